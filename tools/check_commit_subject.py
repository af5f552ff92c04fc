"""Fails for a commit message that nobody could search for: a hook of the commit-msg stage.

    python tools/check_commit_subject.py FILE

The subject begins with a verb in the imperative ("Add", not "Added", "Adds" or "The"), has at most
72 characters, does not end with a period, and a blank line follows it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

MAX_LENGTH = 72
# Written by git itself.
_GENERATED = re.compile(r"(Merge|Revert|fixup!|squash!|amend!) ")
# Imperatives that end like another form.
_IMPERATIVES = frozenset(
    "Address Bring Bypass Compress Cross Discuss Dismiss Embed Exceed Express Feed Focus Guess "
    "Miss Need Pass Press Process Proceed Seed Speed Stress String Suppress Succeed Toss".split()
)
_NOT_VERBS = frozenset(
    "A All An And Another As At Because Both But Each Every Few For From How If In It Its Less "
    "Many More Most New No Not Of On One Other Our Some That The Their There These They "
    "This Those To "
    "Two We What When Where Which While Who Why With You Your".split()
)


def find_problems(message: str) -> list[str]:
    """What is wrong with a commit message; comments of git are ignored."""
    lines = [line for line in message.splitlines() if not line.startswith("#")]
    subject = lines[0] if lines else ""
    if _GENERATED.match(subject):
        return []
    problems = []
    if len(subject) > MAX_LENGTH:
        problems.append(f"the subject has {len(subject)} characters, {MAX_LENGTH} at most")
    if subject.endswith("."):
        problems.append("the subject ends with a period")
    if len(lines) > 1 and lines[1].strip():
        problems.append("the second line is not blank")
    first = re.match(r"[^\W\d_]+", subject)
    if first is None or not _is_imperative(first[0]):
        problems.append('the subject does not begin with a capitalized imperative, such as "Add"')
    return problems


def _is_imperative(word: str) -> bool:
    if word in _IMPERATIVES:
        return True
    if not word[0].isupper() or word in _NOT_VERBS:
        return False
    return not re.search(r"(ed|ing|[^s]s)$", word)


def main(argv: Sequence[str]) -> int:
    """Check the message in a file; returns the exit code."""
    problems = find_problems(Path(argv[0]).read_text(encoding="utf-8"))
    for problem in problems:
        print(f"commit message: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
