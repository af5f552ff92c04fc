"""A challenge: what is read aloud, words nobody could guess, a short life, and one use."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from valle.consent import challenge
from valle.consent.challenge import PHRASE_WORDS
from valle.consent.words import WORDS
from valle.errors import ConsentError, UsageError
from valle.runtime.check import phoneme_error_rate
from valle.text.phonemes import to_sentences
from valle.text.symbols import BORDERS
from valle.trust import ledger


def test_phrases_are_hard_to_guess() -> None:
    assert len(set(WORDS)) == len(WORDS)
    assert math.log2(math.perm(len(WORDS), PHRASE_WORDS)) > 30  # bits
    drawn = {tuple(challenge.new("Ada").phrase) for _ in range(20)}
    assert len(drawn) == 20
    assert all(len(set(phrase)) == PHRASE_WORDS and set(phrase) <= set(WORDS) for phrase in drawn)


def test_no_word_sounds_like_another() -> None:
    said = {}
    for word in WORDS:
        (sentence,), _ = to_sentences(word)
        said[word] = [p.symbol for p in sentence.phonemes if p.symbol not in BORDERS]
        assert len(said[word]) >= 4, word
    for one, other in itertools.combinations(WORDS, 2):
        # Lengths that differ by three need no closer look.
        if abs(len(said[one]) - len(said[other])) < 3:
            edits = phoneme_error_rate(said[one], said[other]) * len(said[one])
            assert edits > 2.5, (one, other)


def test_the_statement_says_who_may_do_what_and_ends_with_the_phrase() -> None:
    made = challenge.new("Ada", "Bob Ray", "an audio book.", "en-us", "2031-02-05")
    for part in ("Ada", "Bob Ray", "for an audio book.", "February 5, 2031", "American English"):
        assert part in made.text
    assert made.text.endswith(", ".join(made.phrase) + ".")
    assert [made.text[start:end] for start, end in made.statement.phrase] == made.phrase
    spoken = [(w.start, w.end) for s in to_sentences(made.text)[0] for w in s.words]
    assert set(made.statement.phrase) <= set(spoken)
    assert made.scope.expires == "2031-02-05" and made.scope.languages == ["en-us"]
    assert "ends" not in challenge.new("Ada").text


def test_days_are_counted_from_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "now", lambda: "2032-02-28T23:59:59Z")
    assert challenge.new("Ada", expires="1").scope.expires == "2032-02-29"
    assert challenge.new("Ada", expires="0").scope.expires == "2032-02-28"
    for bad in ("2032-02-27", "-1", "2032-02-30", "", "soon", "99999"):
        with pytest.raises(UsageError, match="--expires"):
            challenge.new("Ada", expires=bad)


@pytest.mark.parametrize("text", ["", "  ", "a\0b", "x" * 201, "[[ˈɛniθɪŋ]]"])
def test_a_statement_is_read_as_it_is_spoken(text: str) -> None:
    for where in ("user", "purpose"):
        with pytest.raises(UsageError, match=f"--{where}"):
            challenge.new("Ada", **{where: text})


def test_the_newest_of_a_name_is_found_or_the_one_that_is_named() -> None:
    first, other = challenge.new("Ada"), challenge.new("Bob")
    assert challenge.find(None, "Bob") == other and challenge.find(first.id, "Ada") == first
    assert challenge.find(first.id, None) == first
    with pytest.raises(ConsentError, match="for the voice 'Ada', not 'Bob'"):
        challenge.find(first.id, "Bob")
    with pytest.raises(ConsentError, match="no challenge for 'Eve' is open"):
        challenge.find(None, "Eve")
    with pytest.raises(ConsentError, match="several"):
        challenge.find(None, None)
    challenge.use_up(other)
    assert challenge.find(None, None) == first


@pytest.mark.parametrize("name", ["../key", "", "x" * 16, "0" * 15, "/etc/passwd", "0" * 16 + "/"])
def test_an_id_is_never_a_path(name: str) -> None:
    with pytest.raises(ConsentError, match="is no challenge"):
        challenge.find(name, None)


def test_it_is_used_once() -> None:
    made = challenge.new("Ada")
    challenge.use_up(made)
    with pytest.raises(ConsentError, match="used already"):
        challenge.use_up(made)
    with pytest.raises(ConsentError, match="used already"):
        challenge.find(made.id, "Ada")
    with pytest.raises(ConsentError, match="no challenge"):
        challenge.find(None, "Ada")


def test_it_expires_and_a_clock_set_back_does_not_bring_it_back(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = challenge.new("Ada")
    begun = ledger.seconds(made.made)
    assert ledger.seconds(made.ends) - begun == 15 * 60
    for late, is_open in ((899, True), (901, False), (-30, False)):
        monkeypatch.setattr(ledger, "now", lambda late=late: ledger.stamp(begun + late))
        if is_open:
            assert challenge.find(made.id, None) == made
            continue
        with pytest.raises(ConsentError, match="has expired"):
            challenge.find(made.id, None)
        with pytest.raises(ConsentError, match="no challenge"):
            challenge.find(None, "Ada")
    monkeypatch.setattr(ledger, "now", lambda: ledger.stamp(begun + 3600))
    challenge.new("Bob")
    assert len(list((home / "safety" / "challenges").iterdir())) == 1  # old ones are cleared away
