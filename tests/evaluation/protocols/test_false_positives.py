"""Counting false positives: what is searched, and that a detection would be counted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from valle.corpora.synthetic import synthesize_speaker
from valle.corpora.synthetic_speaker import SyntheticSpeaker
from valle.evaluation.protocols import false_positives
from valle.watermark.embed import embed_watermark
from valle.watermark.search import Warp

RATE = 16_000


def test_speech_is_joined_to_files_and_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(false_positives, "FILE_SECONDS", 3.0)
    # Other speeds and pitches take most of the time, and are not what is tested here.
    monkeypatch.setattr("valle.watermark.detect.WARPS", (Warp(1.05, 1.05),))
    rng = np.random.default_rng(0)
    noise = ((rng.standard_normal(2 * RATE) / 9).astype(np.float32) for _ in itertools.count())
    files = list(false_positives.run(false_positives.RECORDED, noise, hours=10 / 3600))
    assert [file.seconds for file in files] == [4.0, 4.0, 4.0]
    speaker = SyntheticSpeaker.sample(5, {"espeak": 1.0})
    (utterance,) = synthesize_speaker(speaker, ["This is a sentence that is marked."])[0]
    marked = embed_watermark(np.tile(utterance.samples, 3), RATE)
    files += false_positives.run(false_positives.SYNTHETIC, [marked], hours=1.0)
    summary = false_positives.summarize(files)
    recorded, synthetic = summary["kinds"]["recorded"], summary["kinds"]["synthetic"]
    assert (recorded["false_positives"], recorded["files"]) == (0, 3)
    assert recorded["lowest_probability"] > 1e-7
    assert 0 < recorded["highest_score"] < recorded["threshold"] < 50
    assert synthetic["highest_score"] > synthetic["threshold"]
    assert synthetic["false_positives"] == 1
    assert synthetic["lowest_probability"] < 1e-7
    assert false_positives.table(summary).splitlines()[2].split()[3] == "1"


def test_synthetic_sentences_continue_in_other_voices() -> None:
    texts = ["The house is green.", "It rains."]
    first = list(itertools.islice(false_positives.synthesize_sentences(texts), 18))
    assert len(first) == 18
    assert all(len(samples) > RATE // 4 for samples in first)
    distinct = {samples.tobytes() for samples in first}
    assert len(distinct) > 4
    others = itertools.islice(false_positives.synthesize_sentences(texts, seed=1), 18)
    assert not distinct & {samples.tobytes() for samples in others}
