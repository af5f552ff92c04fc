"""Infilling on a model of random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import valle
from conftest import RATE
from valle.evaluation.material import HeldoutUtterance, Speaker
from valle.evaluation.protocols import infilling
from valle.runtime.alignment import Alignment
from valle.runtime.ar import ARDecoder
from valle.runtime.nar import NAR
from valle.runtime.recognizer import PhonemeRecognizer
from valle.runtime.sampling import Sampling
from valle.synthesis.infilling import Context, InfillRequest, infill
from valle.synthesis.utterance import Symbols


def test_an_infilled_span_depends_on_seed_and_context_alone(model: valle.Model) -> None:
    rng = np.random.default_rng(0)

    def symbols(count: int) -> Symbols:
        ids = rng.integers(7, 40, count)
        return Symbols(ids, np.zeros(count, np.int64), np.zeros(count, bool))

    def context(frames: int) -> Context:
        codes = rng.integers(0, 1024, (frames, 8))
        return Context(codes, symbols(5), np.arange(frames) * 5 // frames)

    before, after, other, span = context(40), context(30), context(30), symbols(6)
    empty = Context(np.zeros((0, 8), np.int64), symbols(0), np.zeros(0, np.int64))
    ar, nar = ARDecoder(model.bundle), NAR(model.bundle)

    def fill(left: Context, right: Context, seed: int = 0) -> np.ndarray:
        request = InfillRequest(left, span, right, np.zeros(192, np.float32))
        return infill(ar, nar, request, Sampling(0.9, 0.8), np.random.default_rng(seed))

    first = fill(before, after)
    assert len(first) >= 6  # every symbol has a frame
    assert (first < 1024).all()
    np.testing.assert_array_equal(first, fill(before, after))
    for different in (fill(before, after, seed=1), fill(before, other), fill(empty, after)):
        assert first.shape != different.shape or (first != different).any()
    assert len(fill(before, empty)) >= 6


def test_the_middle_of_a_recording_is_resynthesized_and_infilled(
    tmp_path: Path, model: valle.Model, babble: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "u.wav", babble, RATE)
    utterance = HeldoutUtterance(tmp_path / "u.wav", "The old man walked along the river.")
    speaker = Speaker("s", "c", babble, (utterance,))

    def align_evenly(
        recognizer: PhonemeRecognizer, samples: np.ndarray, symbols: list[str]
    ) -> Alignment:
        """A recognizer of random weights finds no word boundary to cut at."""
        frames = len(samples) // 320
        path = np.arange(frames) * len(symbols) // frames
        return Alignment(path, np.zeros(len(symbols), np.float32))

    monkeypatch.setattr(PhonemeRecognizer, "align", align_evenly)
    trials = list(infilling.run_trials(model, [speaker], seed=0))
    assert [trial.row for trial in trials] == [infilling.CODEC, infilling.INFILLED]
    assert len({trial.phonemes for trial in trials}) == 1
    summary = infilling.summarize(trials)
    assert list(summary["rows"]) == [infilling.CODEC, infilling.INFILLED]
    assert len(infilling.table(summary).splitlines()) == 3
