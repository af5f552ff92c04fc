"""Challenges: a statement with unguessable words, a short lifetime, and a single use."""

from __future__ import annotations

import itertools
import math
import unicodedata
from pathlib import Path

import pytest

from valle.consent import challenge
from valle.consent.challenge import PHRASE_WORDS
from valle.consent.words import WORDS
from valle.errors import ConsentError, UsageError
from valle.runtime.check import phoneme_error_rate
from valle.text.segmentation import split_sentences
from valle.text.symbols import BORDERS
from valle.trust import ledger


def test_phrases_are_hard_to_guess() -> None:
    assert len(set(WORDS)) == len(WORDS)
    assert math.log2(math.perm(len(WORDS), PHRASE_WORDS)) > 30  # bits
    phrases = {tuple(challenge.create(f"Ada {number}").phrase) for number in range(20)}
    assert len(phrases) == 20
    assert all(len(set(phrase)) == PHRASE_WORDS and set(phrase) <= set(WORDS) for phrase in phrases)


def test_words_are_phonetically_distinct() -> None:
    phonemes = {}
    for word in WORDS:
        (sentence,), _ = split_sentences(word)
        phonemes[word] = [p.symbol for p in sentence.phonemes if p.symbol not in BORDERS]
        assert len(phonemes[word]) >= 4, word
    for first, second in itertools.combinations(WORDS, 2):
        # A difference in length of 3 or more is already an edit distance of 3.
        if abs(len(phonemes[first]) - len(phonemes[second])) < 3:
            rate = phoneme_error_rate(phonemes[first], phonemes[second])
            assert rate * len(phonemes[first]) > 2.5, (first, second)


def test_statement_states_the_scope_and_ends_with_the_phrase() -> None:
    created = challenge.create("Ada", "Bob Ray", "an audio book.", "en-us", "2031-02-05")
    for part in ("Ada", "Bob Ray", "for an audio book.", "February 5, 2031", "American English"):
        assert part in created.text
    assert created.text.endswith(", ".join(created.phrase) + ".")
    assert [created.text[start:end] for start, end in created.statement.phrase] == created.phrase
    spoken = [(w.start, w.end) for s in split_sentences(created.text)[0] for w in s.words]
    assert set(created.statement.phrase) <= set(spoken)
    assert created.scope.expires == "2031-02-05"
    assert created.scope.languages == ["en-us"]
    assert "ends" not in challenge.create("Ada").text


def test_expiry_in_days_is_counted_from_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "now", lambda: "2032-02-28T23:59:59Z")
    assert challenge.create("Ada", expires="1").scope.expires == "2032-02-29"
    assert challenge.create("Ada", expires="0").scope.expires == "2032-02-28"
    for bad in ("2032-02-27", "-1", "2032-02-30", "", "soon", "99999"):
        with pytest.raises(UsageError, match="--expires"):
            challenge.create("Ada", expires=bad)


@pytest.mark.parametrize("text", ["", "  ", "a\0b", "x" * 201, "[[ˈɛniθɪŋ]]"])
def test_text_that_cannot_be_read_aloud_is_refused(text: str) -> None:
    for where in ("user", "purpose"):
        with pytest.raises(UsageError, match=f"--{where}"):
            challenge.create("Ada", **{where: text})


def test_find_returns_the_newest_of_a_speaker_or_the_given_id() -> None:
    first, other = challenge.create("Ada"), challenge.create("Bob")
    assert challenge.find(None, "Bob") == other
    assert challenge.find(first.id, "Ada") == first
    assert challenge.find(first.id, None) == first
    with pytest.raises(ConsentError, match="for the speaker 'Ada', not 'Bob'"):
        challenge.find(first.id, "Bob")
    with pytest.raises(ConsentError, match="no challenge for 'Eve' is open"):
        challenge.find(None, "Eve")
    with pytest.raises(ConsentError, match="several"):
        challenge.find(None, None)
    challenge.consume(other)
    assert challenge.find(None, None) == first


def test_speaker_may_have_any_name_and_is_found_by_it() -> None:
    created = challenge.create("José  Álvarez Jr.")
    assert created.text.startswith("My name is José Álvarez Jr. I agree")
    decomposed = unicodedata.normalize("NFD", "José Álvarez Jr.")
    assert challenge.find(None, decomposed) == created
    for name in ("", "x" * 65, "a\0b", "[[ada]]"):
        with pytest.raises(UsageError, match="--speaker"):
            challenge.create(name)


@pytest.mark.parametrize("name", ["../key", "", "x" * 16, "0" * 15, "/etc/passwd", "0" * 16 + "/"])
def test_id_is_never_a_path(name: str) -> None:
    with pytest.raises(ConsentError, match="is not the id of a challenge"):
        challenge.find(name, None)


def test_challenge_is_used_once() -> None:
    created = challenge.create("Ada")
    challenge.consume(created)
    with pytest.raises(ConsentError, match="used already"):
        challenge.consume(created)
    with pytest.raises(ConsentError, match="used already"):
        challenge.find(created.id, "Ada")
    with pytest.raises(ConsentError, match="no challenge"):
        challenge.find(None, "Ada")


def test_challenge_expires_and_setting_the_clock_back_does_not_reopen_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = challenge.create("Ada")
    start = ledger.parse_time(created.created)
    assert ledger.parse_time(created.expires) - start == 15 * 60
    for late, is_open in ((899, True), (901, False), (-30, False)):
        monkeypatch.setattr(ledger, "now", lambda late=late: ledger.format_time(start + late))
        if is_open:
            assert challenge.find(created.id, None) == created
            continue
        with pytest.raises(ConsentError, match="has expired"):
            challenge.find(created.id, None)
        with pytest.raises(ConsentError, match="no challenge"):
            challenge.find(None, "Ada")
    monkeypatch.setattr(ledger, "now", lambda: ledger.format_time(start + 3600))
    challenge.create("Bob")
    assert len(list((home / "safety" / "challenges").iterdir())) == 1  # expired ones are removed
