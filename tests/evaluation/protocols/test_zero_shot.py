"""The zero-shot protocol on a model that says its prompt, whatever the text."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pytest

from evaluation_samples import OTHERS, TRANSCRIPT, VOICE
from valle.arrays import Samples
from valle.evaluation.evaluator import Metrics
from valle.evaluation.material import HeldoutUtterance, Speaker
from valle.evaluation.metrics.sentence_identification import SentenceIdentifier
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.protocols import zero_shot


class PromptModel:
    """A model that speaks every text by returning the prompt."""

    sample_rate = 16_000

    def __init__(self) -> None:
        self.bundle, self.codec = self, self
        self.seeds: list[int] = []
        self.candidates: list[int] = []

    def enroll(self, recording: tuple[Samples, int], attest: str) -> Samples:
        assert recording[1] == 16_000
        assert attest
        return recording[0]

    def speak(self, text: str, voice: Samples, seed: int, best_of: int = 1) -> argparse.Namespace:
        self.seeds.append(seed)
        self.candidates.append(best_of)
        return argparse.Namespace(audio=voice, sample_rate=16_000)

    def encode(self, samples: Samples) -> Samples:
        return np.pad(samples, (0, 320))

    def decode(self, codes: Samples) -> Samples:
        return codes


class EmptyRecognizer:
    """A recognizer that recognizes nothing: every phoneme is an error."""

    def __init__(self, bundle: object) -> None: ...

    def transcribe(self, samples: Samples) -> argparse.Namespace:
        return argparse.Namespace(guesses=[])


@pytest.mark.parametrize(("text", "correct"), [(TRANSCRIPT, True), (OTHERS[0], False)])
def test_all_three_rows(
    text: str,
    correct: bool,
    identifier: SentenceIdentifier,
    encoder: ResemblyzerEncoder,
    recorded: Samples,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zero_shot, "PhonemeRecognizer", EmptyRecognizer)
    faster = np.interp(np.arange(0, len(recorded), 1.33), np.arange(len(recorded)), recorded)
    speakers = [
        Speaker("c/a", "c", recorded, (HeldoutUtterance(VOICE, TRANSCRIPT),)),
        Speaker("c/b", "c", faster.astype(np.float32), (HeldoutUtterance(VOICE, OTHERS[0]),)),
    ]
    model = PromptModel()
    saved: dict[str, Any] = {}
    scale = zero_shot.Scale("short", 1, 40, quality=False)
    clips = zero_shot.run(
        model,  # type: ignore[arg-type]
        zero_shot.EvaluationSet(speakers, [text, OTHERS[2]]),
        Metrics(identifier),
        zero_shot.Settings(scale, speakers=1, seed=5, best_of=3),
        save=saved.__setitem__,
    )
    rows = {clip.row: clip for clip in clips}
    assert list(rows) == ["ground truth", "codec resynthesis", "synthesized"]
    assert [clip.identified == clip.text for clip in rows.values()] == [True, True, correct]
    assert rows["synthesized"].similarity == pytest.approx(1.0, abs=1e-4)
    assert rows["codec resynthesis"].seconds == rows["ground truth"].seconds  # without padding
    for clip in clips:
        assert clip.speaker_identified
        assert clip.phoneme_errors == clip.phonemes > 0
    assert rows["ground truth"].work_seconds is None
    assert rows["synthesized"].work_seconds is not None
    assert (model.seeds[-1], model.candidates[-1]) == (5, 3)
    assert sorted(saved) == ["codec/c_a-1", "prompts/c_a", "synthesized/c_a-1"]
