"""One sentence spoken again, and what a cache saves: the others are the same, bit for bit."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

import valle
from valle.synthesis.acoustic_model import AcousticModel
from valle.synthesis.sentence_cache import SentenceCache

TEXT = "The house is green. It rains. Then it stops."


def sentence_codes(speech: valle.Speech, model: valle.Model) -> list[bytes]:
    """The codes of each sentence, from its first word to its last."""
    frames = [
        slice(round(s.start * model.frame_rate), round(s.end * model.frame_rate))
        for s in speech.sentences
    ]
    return [speech.codes[span].tobytes() for span in frames]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Sentence and attempt of every utterance that the acoustic model has started."""
    calls: list[tuple[int, int]] = []
    start = AcousticModel.start

    def record(self, utterance, prompt):
        calls.append((utterance.index, utterance.attempt))
        return start(self, utterance, prompt)

    monkeypatch.setattr(AcousticModel, "start", record)
    return calls


@pytest.fixture
def cached_model(debug_bundle: Path, tmp_path: Path) -> valle.Model:
    model = valle.load(debug_bundle, threads=1)
    model.use_cache(SentenceCache(tmp_path / "cache"))
    return model


@pytest.mark.parametrize("retries", [0, 2])
def test_redone_sentence_is_another_and_all_others_are_the_same(
    model: valle.Model, voice: valle.Voice, retries: int
) -> None:
    usual, redone, twice = (
        model.speak(TEXT, voice, retries=retries, redo=redo) for redo in ([], [2], [2, 2])
    )
    assert redone.options["redo"] == [2]
    codes = [sentence_codes(speech, model) for speech in (usual, redone, twice)]
    assert codes[0][0] == codes[1][0] == codes[2][0]
    assert codes[0][2] == codes[1][2] == codes[2][2]
    assert len({each[1] for each in codes}) == 3
    again = model.speak(TEXT, voice, **redone.options)
    np.testing.assert_array_equal(again.audio, redone.audio)


def test_redo_of_a_sentence_that_does_not_exist_is_refused(
    model: valle.Model, voice: valle.Voice
) -> None:
    with pytest.raises(valle.UsageError, match="--redo 4: the text has 3 sentences"):
        model.stream(TEXT, voice, redo=[4])


@pytest.mark.parametrize("retries", [0, 2])
def test_cached_speech_is_the_same_bit_for_bit(
    model: valle.Model,
    cached_model: valle.Model,
    voice: valle.Voice,
    started: list[tuple[int, int]],
    retries: int,
) -> None:
    expected = model.speak(TEXT, voice, retries=retries)
    first = cached_model.speak(TEXT, voice, retries=retries)
    started.clear()
    second = cached_model.speak(TEXT, voice, retries=retries)
    assert started == []
    for speech in (first, second):
        np.testing.assert_array_equal(speech.audio, expected.audio)
        np.testing.assert_array_equal(speech.codes, expected.codes)
        assert speech.describe()["sentences"] == expected.describe()["sentences"]
        assert speech.phonemes == expected.phonemes


def test_only_the_redone_sentence_is_generated(
    cached_model: valle.Model, voice: valle.Voice, started: list[tuple[int, int]]
) -> None:
    cached_model.speak(TEXT, voice, retries=0)
    started.clear()
    cached_model.speak(TEXT, voice, retries=0, redo=[2])
    assert started == [(1, 1)]
    started.clear()
    cached_model.speak(TEXT.replace("stops", "snows"), voice, retries=0, redo=[2])
    assert started == [(2, 0)]  # the sentence with the changed word


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"temperature": 0.8}, {"top_p": 0.7}, {"speed": 1.1}, {"best_of": 2}]
)
def test_other_options_are_other_sentences(
    cached_model: valle.Model,
    voice: valle.Voice,
    started: list[tuple[int, int]],
    change: dict[str, float],
) -> None:
    cached_model.speak("It rains.", voice, retries=0)
    started.clear()
    cached_model.speak("It rains.", voice, **{"retries": 0, **change})  # type: ignore[arg-type]
    assert started


def test_damaged_cache_is_ignored(
    cached_model: valle.Model, voice: valle.Voice, tmp_path: Path, started: list[tuple[int, int]]
) -> None:
    cached_model.speak("It rains.", voice, retries=0)
    (file,) = (tmp_path / "cache").glob("*.npz")
    if os.name == "posix":
        assert file.stat().st_mode & 0o077 == 0
    for damage in (b"", b"no archive", file.read_bytes()[:-40]):
        file.write_bytes(damage)
        started.clear()
        cached_model.speak("It rains.", voice, retries=0)
        assert started


def test_unused_sentences_are_forgotten(tmp_path: Path) -> None:
    cache = SentenceCache(tmp_path)
    for name in ("old", "new"):
        (tmp_path / f"{name}.npz").touch()
    long_ago = time.time() - 40 * 86_400
    os.utime(tmp_path / "old.npz", (long_ago, long_ago))
    cache.prune()
    assert [path.name for path in tmp_path.iterdir()] == ["new.npz"]


def test_revoked_voice_is_not_spoken_from_the_cache(
    cached_model: valle.Model, voice: valle.Voice
) -> None:
    from valle.consent.revocation import revoke

    cached_model.speak("It rains.", voice, retries=0)
    revoke(voice.consent["id"])
    with pytest.raises(valle.ConsentError):
        cached_model.speak("It rains.", voice, retries=0)
