"""Measures Markdown prose: how long paragraphs and sentences are."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_PARAGRAPH_WORDS = 120
MAX_SENTENCE_WORDS = 40

_NOT_PROSE = re.compile(
    r"\A---\n.*?^---$"  # YAML front matter
    r"|^```.*?^```$"  # code
    r"|<!--.*?-->"
    r"|^<[^\n]*>$",  # lines of HTML
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_BLOCK_START = re.compile(r"^\s*(?:[-*+]|\d+\.|#+|!!!|\?\?\?|:) ?")
_SENTENCE_END = re.compile(r"(?<=[.!?])[)\"*]*\s+(?=[\"(*`_]*[A-Z0-9])")


def read_paragraphs(page: str) -> Iterator[tuple[int, str]]:
    """Yield each paragraph, list item or heading of a page with the number of its first line.

    Tables, code, comments and front matter are left out; links count as their text.
    """
    blanked = _NOT_PROSE.sub(lambda match: "\n" * match[0].count("\n"), page)
    start, words = 0, ""
    for number, line in enumerate([*blanked.split("\n"), ""], 1):
        is_table = line.lstrip().startswith("|")
        if words and (not line.strip() or is_table or _BLOCK_START.match(line)):
            yield start, words
            words = ""
        if line.strip() and not is_table:
            start = start if words else number
            text = _LINK.sub(r"\1", _BLOCK_START.sub("", line))
            words = f"{words} {text.strip()}".strip()


def read_sentences(paragraph: str) -> list[str]:
    """Split a paragraph into sentences."""
    return _SENTENCE_END.split(paragraph)


def find_long_prose(page: str) -> list[str]:
    """Describe every paragraph and sentence of a page that is over its limit of words."""
    found = []
    for line, paragraph in read_paragraphs(page):
        if (words := len(paragraph.split())) > MAX_PARAGRAPH_WORDS:
            found.append(f"line {line}: a paragraph of {words} words")
        found += [
            f"line {line}: a sentence of {words} words: {sentence[:60]}..."
            for sentence in read_sentences(paragraph)
            if (words := len(sentence.split())) > MAX_SENTENCE_WORDS
        ]
    return found
