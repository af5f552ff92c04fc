"""Codes and samples of the recordings that targets were cut from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

from synthetic_corpus import voiced_corpus
from valle.audio_format import HOP
from valle.training.data.examples import Example, ExampleProbabilities, ExampleSource
from valle.training.data.targets import past_codes, prompt_embedding, recorded_samples
from valle.training.models.sizes import NO_CODE


def sample_examples(folder: Path) -> list[Example]:
    source = ExampleSource(
        [voiced_corpus(folder, seed=0)], [1.0], 0, ExampleProbabilities(0.3, 1.0, 0.0)
    )
    return [source.example((75, 150), (90, 90), 0.5) for _ in range(50)]


def test_samples_are_those_of_the_target(tmp_path: Path) -> None:
    examples = sample_examples(tmp_path)
    example = next(e for e in examples if e.target.start == 0)
    source = example.target.source
    assert source is not None
    samples = source.store.waveform(source.utterance)[: len(example.target.codes) * HOP]
    recorded = recorded_samples([example], 100)[0]
    np.testing.assert_array_equal(recorded[: len(samples)], samples)
    assert not recorded[len(samples) :].any()


def test_past_codes_precede_the_target(tmp_path: Path) -> None:
    examples = sample_examples(tmp_path)
    first = next(e for e in examples if e.target.start == 0)
    assert (past_codes(first, 12) == NO_CODE).all()
    later = next(e for e in examples if e.target.start > 12)
    source = later.target.source
    assert source is not None
    start = source.utterance.frames.start + later.target.start
    np.testing.assert_array_equal(past_codes(later, 12), source.store.codes[start - 12 : start])


def test_embedding_is_that_of_the_utterance_where_the_model_has_none(tmp_path: Path) -> None:
    example = sample_examples(tmp_path)[0]
    assert not example.context[0].voice.any()  # speaker dropout
    assert np.linalg.norm(prompt_embedding(example)) == pytest.approx(1.0, abs=1e-3)
