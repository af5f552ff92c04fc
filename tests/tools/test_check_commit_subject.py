"""The check of commit messages accepts imperatives and refuses what nobody could search for."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[2] / "tools" / "check_commit_subject.py"
_SPEC = importlib.util.spec_from_file_location("check_commit_subject", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
check = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(check)


@pytest.mark.parametrize(
    "message",
    [
        "Add a vocabulary check\n",
        "Add a vocabulary check\n\nIt reads a list of words.\n# comment of git\n",
        "Embed the watermark before resampling",
        "Process recordings in parallel",
        "Merge branch 'main' of example.org. That is git's own subject, of any length whatever.",
        "fixup! add",
        "x" * 0 + "Use " + "y" * 68,
    ],
)
def test_good_messages_pass(message: str) -> None:
    assert check.find_problems(message) == []


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("", "imperative"),
        ("add a check", "imperative"),
        ("Added a check", "imperative"),
        ("Adds a check", "imperative"),
        ("Adding a check", "imperative"),
        ("The check is added", "imperative"),
        ("What codes add is said once in the NAR's training", "imperative"),
        ("1.0", "imperative"),
        ("Use " + "y" * 69, "73 characters"),
        ("Add a check.", "period"),
        ("Add a check\nand more", "blank"),
    ],
)
def test_bad_messages_are_refused(message: str, problem: str, tmp_path: Path) -> None:
    assert problem in "; ".join(check.find_problems(message))
    (tmp_path / "message").write_text(message)
    assert check.main([str(tmp_path / "message")]) == 1
