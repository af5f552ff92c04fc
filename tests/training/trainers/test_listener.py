"""Training of the listener: speed perturbation, labels and calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from synthetic_corpus import write_corpus
from valle.audio_format import HOP, SAMPLE_RATE
from valle.corpora.split import is_calibration_speaker
from valle.corpora.store import Store
from valle.corpora.transcripts import LISTENER_CLASS
from valle.text.symbols import LISTENER_SYMBOLS
from valle.training.trainers.listener import (
    ListenerBatch,
    ListenerTrainer,
    change_speed,
    find_ctc_peaks,
)
from valle.training.trainers.trainer import TrainerContext

SPEAKERS = [f"speaker {number}" for number in range(60)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("corpus")
    return write_corpus(folder, {name: [60] for name in SPEAKERS}, words=2)


def make_trainer(store: Store, folder: Path) -> ListenerTrainer:
    return ListenerTrainer(TrainerContext([store], folder, "debug"))


def test_some_speakers_are_held_out_for_calibration(corpus: Store, tmp_path: Path) -> None:
    trainer = make_trainer(corpus, tmp_path)
    held_out = {example.utterance.speaker for example in trainer.calibration_examples}
    trained = {example.utterance.speaker for pool in trainer.pools for example in pool}
    assert (
        held_out
        == {name for name in SPEAKERS if is_calibration_speaker("listener", name, 25)}
        != set()
    )
    assert held_out | trained == set(SPEAKERS)
    assert not held_out & trained


def test_few_speakers_are_all_trained_on(tmp_path: Path) -> None:
    few = write_corpus(tmp_path / "few", {name: [60] for name in SPEAKERS[:30]}, words=2)
    assert any(is_calibration_speaker("listener", name, 25) for name in SPEAKERS[:30])
    trainer = make_trainer(few, tmp_path)
    assert not trainer.calibration_examples
    assert len(trainer.pools[0]) == 30
    assert "temperature" not in trainer.step(0, 0.0)


def test_calibration_reduces_overconfidence(corpus: Store, tmp_path: Path) -> None:
    trainer = make_trainer(corpus, tmp_path)
    with torch.no_grad():
        trainer.listener.ctc.weight *= 10.0
    before = {name: value.clone() for name, value in trainer.listener.state_dict().items()}
    first, *_, last = [trainer.calibrate(0.3) for _ in range(200)]
    assert first["calibration_confidence"] > first["calibration_accuracy"] + 0.3
    assert abs(last["calibration_confidence"] - last["calibration_accuracy"]) < 0.2
    assert last["temperature"] > 2.0
    for name, value in trainer.listener.state_dict().items():  # nothing else has changed
        assert torch.equal(value, before[name]) == (name != "log_temperature")
    assert "temperature" in trainer.step(0, 0.3)
    assert "temperature" not in trainer.step(1, 0.3)


def test_labels_follow_the_speed(corpus: Store, tmp_path: Path) -> None:
    trainer = make_trainer(corpus, tmp_path)
    example = trainer.calibration_examples[0]
    symbols = example.symbols
    lengths, shares = {}, {}
    for speed in (0.8, 1.0, 1.25):
        samples = change_speed(example.store.waveform(example.utterance), speed)
        frames = len(samples) // HOP
        batch = ListenerBatch([example], [samples], [speed])
        # With a log-probability of 0 for one class and -1 for the others, the loss is the share of
        # frames with another label.
        class_shares = []
        for symbol in symbols:
            frame = torch.full((1, frames, len(LISTENER_SYMBOLS)), -1.0)
            frame[..., int(LISTENER_CLASS[symbol])] = 0.0
            class_shares.append(1.0 - float(trainer.frame_loss(frame, frame, batch, 0.0)))
        lengths[speed], shares[speed] = frames, np.array(class_shares)
    assert lengths == {0.8: 75, 1.0: 60, 1.25: 48}
    for speed in (0.8, 1.25):  # every class keeps its share of the frames
        np.testing.assert_allclose(shares[speed], shares[1.0], atol=0.06)


def test_higher_speed_is_higher_and_shorter() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 400 * time).astype(np.float32)
    fast = change_speed(tone, 1.25)
    assert len(fast) % HOP == 0
    assert abs(len(fast) - SAMPLE_RATE / 1.25) < HOP
    assert np.argmax(np.abs(np.fft.rfft(fast, SAMPLE_RATE))) == 500
    assert change_speed(tone, 1.0) is tone


def test_ctc_peaks_are_the_most_confident_frames() -> None:
    probabilities = np.array(
        [[0.9, 0.1, 0.0], [0.3, 0.7, 0.0], [0.2, 0.8, 0.0], [0.6, 0.2, 0.2], [0.1, 0.9, 0.0]]
    )
    frames, classes = find_ctc_peaks(np.log(probabilities + 1e-9).astype(np.float32))
    assert frames.tolist() == [2, 4]
    assert classes.tolist() == [1, 1]
    frames, classes = find_ctc_peaks(np.log(np.array([[0.9, 0.1]], np.float32)))
    assert len(frames) == len(classes) == 0
