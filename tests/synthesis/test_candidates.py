"""Best-of-N and retries: how many candidates are generated, and which one is kept."""

from __future__ import annotations

import numpy as np
import pytest

import valle
from synthesis_helpers import FakeRecognizerCheck
from valle.synthesis import candidates


def use_check(
    model: valle.Model, monkeypatch: pytest.MonkeyPatch, error_rates: list[float]
) -> FakeRecognizerCheck:
    check = FakeRecognizerCheck(error_rates)
    monkeypatch.setattr(model._pipeline.recognizer, "check", check)
    return check


@pytest.mark.parametrize(
    ("error_rates", "best"),
    [([0.9, 0.1], 1), ([0.0], 0), ([0.5, 0.4, 0.7], 1), ([0.9, 0.8, 0.3], 2)],
)
def test_sentence_with_missing_words_is_retried_and_the_best_candidate_kept(
    model: valle.Model,
    voice: valle.Voice,
    monkeypatch: pytest.MonkeyPatch,
    error_rates: list[float],
    best: int,
) -> None:
    check = use_check(model, monkeypatch, error_rates)
    speech = model.speak("So be it.", voice)
    assert check.calls == check.distinct == len(error_rates)
    assert speech.check is not None
    assert speech.check.phoneme_error_rate == error_rates[best]
    # What the recognizer checks is what is heard, watermark and all.
    np.testing.assert_allclose(speech.audio, check.samples[best], atol=1e-5)


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_retries_bound_the_number_of_candidates(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch, retries: int
) -> None:
    check = use_check(model, monkeypatch, [1.0] * 10)
    model.speak("So be it.", voice, retries=retries)
    assert check.calls == 1 + retries


@pytest.mark.parametrize(
    ("error_rates", "similarities", "best"),
    [
        ([0.1, 0.0, 0.2], [0.5, 0.8, 0.6], 1),
        ([0.1, 0.0, 0.2], [0.5, 0.3, 0.9], 2),  # a more similar voice for a few phonemes
        ([0.1, 0.9, 0.0, 0.2], [0.7, 1.0, 0.5, 0.5], 0),  # one lacks a word and does not count
    ],
)
def test_best_of_keeps_the_candidate_with_fewest_errors_and_highest_similarity(
    model: valle.Model,
    voice: valle.Voice,
    monkeypatch: pytest.MonkeyPatch,
    error_rates: list[float],
    similarities: list[float],
    best: int,
) -> None:
    check = use_check(model, monkeypatch, error_rates)
    remaining = iter(similarities)
    monkeypatch.setattr(model._pipeline.acoustic_model, "similarity", lambda *_: next(remaining))
    speech = model.speak("So be it.", voice, best_of=3)
    assert speech.check is not None
    assert speech.check.phoneme_error_rate == error_rates[best]
    assert check.calls == len(error_rates)


def test_candidates_are_the_same_whether_generated_in_a_batch_or_one_by_one(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for parallel in (1, 2, candidates.PARALLEL_CANDIDATES):
        monkeypatch.setattr(candidates, "PARALLEL_CANDIDATES", parallel)
        check = use_check(model, monkeypatch, [0.0] * 10)
        model.speak("So be it. It is good.", voice, best_of=5)
        assert check.calls == check.distinct == 10
        runs.append([samples.tobytes() for samples in check.samples])
    assert runs[0] == runs[1] == runs[2]


def test_temperature_0_generates_a_single_candidate(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = use_check(model, monkeypatch, [1.0])
    speech = model.speak("So be it.", voice, temperature=0.0, best_of=3)
    assert speech.check is not None
    assert not speech.check.passed
    assert check.calls == 1


def test_stream_does_not_wait_for_the_check(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = use_check(model, monkeypatch, [1.0])
    stream = model.stream("The house is green, and it is a very old house, they say.", voice)
    next(stream)
    assert check.calls == 0
    assert [p.check.phoneme_error_rate for p in stream if p.check] == [1.0]


def test_stream_with_retries_equals_speech(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    error_rates = [0.9, 0.1, 0.0]  # the first sentence is retried once
    text = "So be it. It is good."
    use_check(model, monkeypatch, error_rates)
    speech = model.speak(text, voice, seed=1)
    use_check(model, monkeypatch, error_rates)
    joined = valle.Speech.join(model.stream(text, voice, **speech.options))
    np.testing.assert_array_equal(joined.audio, speech.audio)
    assert joined.provenance == speech.provenance
    use_check(model, monkeypatch, error_rates)
    without_retries = valle.Speech.join(model.stream(text, voice, seed=1))
    assert without_retries.options["retries"] == 0
    assert without_retries.audio.tobytes() != speech.audio.tobytes()
