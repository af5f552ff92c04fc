"""Challenges and tries of statements are limited and recorded; the program fixes the verifiers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import valle
from command_line import RunCommand
from consent_steps import assert_refused, set_clock
from valle.bundle.bundle import DEFAULT_FOLDER
from valle.consent import attempts, challenge, verification, verifiers
from valle.trust import ledger

pytestmark = pytest.mark.usefixtures("empty_ledger")


def test_refusal_says_how_near_it_was_which_try_it_is_and_what_to_do(
    run: RunCommand, recording: Path, statement: Path, fake_scores: dict[str, Any]
) -> None:
    fake_scores["phrase_cosine"] = 0.52
    created = challenge.create("Ada")
    enroll = ("enroll", recording, "--name", "Ada", "--consent", statement)
    assert_refused(
        run(*enroll),
        "(0.52; at least 0.6 is needed)",
        "try 1 of 3",
        f"open until {created.expires}",
        "read the four words more slowly",
    )
    assert_refused(run(*enroll), "try 2 of 3")
    assert_refused(run(*enroll), "try 3 of 3, the last: `valle consent new` gives other words")
    fake_scores.clear()
    assert_refused(run(*enroll, "--challenge", created.id), "used already")
    events = [(line["what"], line.get("number")) for line in ledger.read_lines()]
    assert events == [
        ("challenge", None),
        *((what, number) for number in (1, 2, 3) for what in ("try", "refuse")),
    ]
    refusal = list(ledger.read_lines())[-1]
    assert refusal["scores"]["phrase_cosine"] == 0.52


def test_try_counts_even_if_the_verification_is_interrupted(
    model: valle.Model,
    recording: Path,
    statement: Path,
    fake_scores: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    created = challenge.create("Ada")
    with monkeypatch.context() as patch:
        patch.setattr(verification, "score", lambda *_: exec("raise KeyboardInterrupt"))
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                model.enroll(recording, name="Ada", consent=statement)
    with pytest.raises(valle.ConsentError, match="was tried 3 times"):
        model.enroll(recording, name="Ada", consent=statement)
    assert challenge.find(None, "Ada") == created


def test_tries_at_the_same_time_are_counted_one_by_one() -> None:
    created = challenge.create("Ada")

    def attempt(count: Callable[[], int]) -> int | None:
        try:
            return count()
        except valle.ConsentError:
            return None

    with ThreadPoolExecutor(8) as pool:
        tries = list(pool.map(attempt, [lambda: attempts.record_try(created.id)] * 8))
        asked = list(pool.map(attempt, [lambda: attempts.record_challenge("Bob", "0")] * 8))
    assert sorted(filter(None, tries)) == [1, 2, 3]
    assert sorted(filter(None, asked)) == [1, 2, 3]


def test_words_cannot_be_drawn_until_they_fit(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = ("consent", "new", "--name")
    issued = [challenge.create("Ada") for _ in range(attempts.FREE_CHALLENGES)]
    assert [one.number for one in issued] == [1, 2, 3]
    assert challenge.find(None, "Ada") == issued[-1]  # one open challenge per name
    assert_refused(run(*new, "Ada"), "can be issued in a minute")
    for minutes, wait in ((1.1, "2 minutes"), (3.2, "4 minutes"), (7.3, "8 minutes")):
        set_clock(monkeypatch, minutes / 1440)
        assert run(*new, "Ada")[0] == 0
        assert_refused(run(*new, "Ada"), f"can be issued in {wait}")
    assert run(*new, "Bob")[0] == 0
    for number in range(attempts.MAX_CHALLENGES - 7):
        challenge.create(f"Ada {number}")
    assert_refused(run(*new, "Eve"), "can be issued in a minute")
    assert len(list(ledger.read_lines())) == attempts.MAX_CHALLENGES
    set_clock(monkeypatch, 2)
    assert challenge.create("Ada").number == 1


def test_bundle_that_is_to_speak_does_not_judge(
    debug_bundle: Path, recording: Path, statement: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The debug bundle has no detector and no cohort, and its speaker encoder is random."""
    verified_by = []
    score = verification.score

    def record(bundle: Any, *arguments: Any) -> Any:
        verified_by.append(bundle.folder)
        return score(bundle, *arguments)

    monkeypatch.setattr(verification, "score", record)
    challenge.create("Ada")
    with pytest.raises(valle.ConsentError, match="not accepted as consent"):
        valle.load(debug_bundle).enroll(recording, name="Ada", consent=statement)
    assert verified_by == [DEFAULT_FOLDER]


def test_missing_judge_is_a_refusal(
    debug_bundle: Path, recording: Path, statement: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("valle.bundle.bundle.DEFAULT_FOLDER", debug_bundle)
    verifiers._load_default.cache_clear()
    challenge.create("Ada")
    try:
        with pytest.raises(valle.ConsentError, match="without the models that verify it"):
            valle.load(debug_bundle).enroll(recording, name="Ada", consent=statement)
    finally:
        verifiers._load_default.cache_clear()
