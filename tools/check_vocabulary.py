"""Fails where a private word comes back for which the field has a standard term.

    python tools/check_vocabulary.py [FILE ...]

The words are in vocabulary.tsv: a regular expression, the term to use instead, and optionally a
regular expression of the files in which the word is allowed. Words are matched whole and without
regard to case; an underscore is like a space, so `made_speech` is two words. Without files, all of
them are checked: code, tests, docs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
WORDS = Path(__file__).with_name("vocabulary.tsv")
_FOLDERS = ("src", "tests", "benchmarks", "examples", "docs", "tools")
_ENDINGS = {".py", ".md", ".toml", ".yml", ".yaml"}
# Texts that are spoken or shipped with a model, and the words themselves.
_UNCHECKED = re.compile(
    r"src/valle/bundles/|tests/tools/test_check_vocabulary\.py|tools/(check_)?vocabulary"
)


class Word(NamedTuple):
    """A word to avoid."""

    pattern: re.Pattern[str]
    hint: re.Pattern[str]
    """Found in the lower-case text of a file that has the word: much faster to look for."""
    instead: str
    allowed: re.Pattern[str] | None
    """Files in which it may stand."""


def read_words(path: Path = WORDS) -> list[Word]:
    """Read the words to avoid; lines that begin with # are comments."""
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern, instead, *allowed = line.split("\t")
        pattern = pattern.replace(" ", "[ _]")
        words.append(
            Word(
                re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", re.IGNORECASE),
                re.compile(_to_lower_case(pattern)),
                instead,
                re.compile(allowed[0]) if allowed else None,
            )
        )
    return words


def _to_lower_case(pattern: str) -> str:
    """Put the letters of a regular expression in lower case, but not those of its escapes."""
    pattern = pattern.replace("(?-i:", "(?:")
    return re.sub(r"\\.|[A-Z]", lambda m: m[0] if len(m[0]) > 1 else m[0].lower(), pattern)


def list_files(root: Path = ROOT) -> Iterator[Path]:
    """All files that are checked."""
    yield from sorted(root.glob("*.md"))
    for folder in _FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in _ENDINGS and path.is_file():
                yield path


def find(files: Iterable[Path], words: Sequence[Word], root: Path = ROOT) -> Iterator[str]:
    """Yield a line `FILE:LINE: WORD: use TERM` for every word that should not be there."""
    for path in files:
        name = path.resolve().relative_to(root).as_posix()
        if _UNCHECKED.match(name):
            continue
        text = path.read_text(encoding="utf-8")
        lower = text.lower()
        used = [
            word
            for word in words
            if not (word.allowed and word.allowed.search(name)) and word.hint.search(lower)
        ]
        for number, line in enumerate(text.splitlines(), start=1):
            for word in used:
                if match := word.pattern.search(line):
                    yield f"{name}:{number}: {match[0]!r}: use {word.instead}"


def main(argv: Sequence[str]) -> int:
    """Check files, all by default; returns the exit code."""
    files = [Path(name) for name in argv] or list(list_files())
    problems = list(find([file for file in files if file.suffix in _ENDINGS], read_words()))
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} private words; see tools/vocabulary.tsv", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
