"""The pipeline: sentences computed in a batch, latency of the first piece, segments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import valle
from valle.synthesis import pipeline


@pytest.mark.parametrize("retries", [0, 1])
def test_speech_is_the_same_whether_sentences_are_prefetched_or_not(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch, retries: int
) -> None:
    text = "The house is green. It rains. Who would have thought so? Amen. Now then. Go."
    prefetched = model.speak(text, voice, seed=5, retries=retries)
    monkeypatch.setattr(pipeline, "PREFETCH_SENTENCES", 0)
    one_by_one = model.speak(text, voice, seed=5, retries=retries)
    np.testing.assert_array_equal(prefetched.codes, one_by_one.codes)
    np.testing.assert_array_equal(prefetched.audio, one_by_one.audio)
    assert prefetched.phonemes == one_by_one.phonemes
    assert prefetched.check == one_by_one.check


def test_no_sentence_is_prefetched_before_the_first_block(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    acoustic_model = model._pipeline.acoustic_model
    start = acoustic_model.start

    def record_start(utterance: Any, prompt: Any) -> Any:
        started.append(utterance.index)
        return start(utterance, prompt)

    monkeypatch.setattr(acoustic_model, "start", record_start)
    text = "The house is green, and it is a very old house, they say. It rains. Amen. Go. No."
    stream = model.stream(text, voice)
    next(stream)
    assert started == [0]
    next(stream)
    assert started == [0, 1, 2, 3]
