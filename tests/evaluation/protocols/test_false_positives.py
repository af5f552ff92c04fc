"""Counting false alarms: what is searched, and that an alarm would be counted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from valle.corpora.synthetic import say
from valle.corpora.synthetic_speaker import MadeSpeaker
from valle.evaluation.protocols import false_positives
from valle.watermark.embed import mark
from valle.watermark.search import Warp

RATE = 16_000


def test_speech_is_joined_to_files_and_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(false_positives, "FILE_SECONDS", 3.0)
    # Other speeds and pitches cost most of the time, and are not what is tried here.
    monkeypatch.setattr("valle.watermark.detect.WARPS", (Warp(1.05, 1.05),))
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal(2 * RATE).astype(np.float32) / 9 for _ in itertools.count())
    searched = list(false_positives.run(false_positives.REAL, noise, hours=10 / 3600))
    assert [one.seconds for one in searched] == [4.0, 4.0, 4.0]
    (said,) = say(MadeSpeaker.draw(5, {"espeak": 1.0}), ["This is a sentence that is marked."])[0]
    marked = mark(np.tile(said.samples, 3), RATE)
    searched += false_positives.run(false_positives.MADE, [marked], hours=1.0)
    kinds = false_positives.results(searched)["kinds"]
    assert kinds["real"]["alarms"] == 0 and kinds["real"]["files"] == 3
    assert kinds["real"]["least_chance"] > 1e-7
    assert 0 < kinds["real"]["greatest_score"] < kinds["real"]["score_needed"] < 50
    assert kinds["made"]["greatest_score"] > kinds["made"]["score_needed"]
    assert kinds["made"]["alarms"] == 1 and kinds["made"]["least_chance"] < 1e-7
    assert (
        false_positives.table(false_positives.results(searched)).splitlines()[2].split()[3] == "1"
    )


def test_made_speech_goes_on_in_other_voices() -> None:
    texts = ["The house is green.", "It rains."]
    drawn = list(itertools.islice(false_positives.made_speech(texts), 18))
    assert len(drawn) == 18 and all(len(one) > RATE // 4 for one in drawn)
    assert len({one.tobytes() for one in drawn}) > 4
    others = itertools.islice(false_positives.made_speech(texts, seed=1), 18)
    assert not {one.tobytes() for one in drawn} & {one.tobytes() for one in others}
