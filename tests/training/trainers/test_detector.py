"""The detector's trainer: learning, calibration, missing classes, generators left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from command_line import expect_success, expect_usage_error
from detector_material import RATE, speaker_names, write_classes
from valle.corpora.store import Store, StoreWriter, UtteranceInfo
from valle.detection.detector import BONA_FIDE, RESYNTHESIZED, SYNTHETIC
from valle.errors import UsageError
from valle.training.checkpoints import load_detector
from valle.training.trainers.detector import DetectorTrainer
from valle.training.trainers.trainer import TrainerContext


def make_context(stores: list[Store], tmp_path: Path) -> TrainerContext:
    return TrainerContext(stores, tmp_path / "run", "debug", "cpu", 0)


def write_clips(folder: Path, corpora: list[str], names: list[str]) -> Store:
    """Write a clip of every corpus for every speaker."""
    writer = StoreWriter(folder)
    for name in names:
        for corpus in corpora:
            clip = np.full(RATE, 0.1, np.float32)
            writer.add(
                UtteranceInfo(f"{name} {corpus}", corpus, name, None, waveform_is_clean=False), clip
            )
    writer.close()
    return Store(folder)


def test_training_command_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_clips(tmp_path / "other", ["test"], speaker_names(1, held_out=False))
    train = ("train", "detector", "--runs", tmp_path / "runs", "--size", "debug", "--threads", 1)
    message = expect_usage_error(capsys, *train, "--data", other.folder, "--steps", 1, "-q")
    assert "valle prepare detector" in message
    data = ("--data", write_classes(tmp_path / "data"))
    expect_success(*train, *data, "--steps", 2, "-q")
    before = load_detector(tmp_path / "runs" / "detector").output.weight.clone()
    expect_success(*train, *data, "--steps", 3, "-q")
    after = load_detector(tmp_path / "runs" / "detector").output.weight
    assert not torch.equal(before, after)


def test_learns_and_calibrates_on_held_out_speakers(tmp_path: Path) -> None:
    store = Store(write_classes(tmp_path / "data"))
    trainer = DetectorTrainer(make_context([store], tmp_path))
    training, calibration = (
        {u.speaker for generators in clips.values() for g in generators.values() for _, u in g}
        for clips in (trainer.clips, trainer.calibration_clips)
    )
    assert training
    assert calibration
    assert not training & calibration
    for number in range(16):
        figures = trainer.step(number, 0.1 + number / 40)
    assert figures["accuracy"] > 0.8  # a third by chance
    assert trainer.detector.log_temperature.abs().max() > 0


def test_missing_class_is_refused(tmp_path: Path) -> None:
    names = speaker_names(1, held_out=False) + speaker_names(1, held_out=True)
    store = write_clips(tmp_path / "data", [f"{BONA_FIDE}/test", f"{SYNTHETIC}/valle"], names)
    with pytest.raises(UsageError, match=f"{RESYNTHESIZED} speech"):
        DetectorTrainer(make_context([store], tmp_path))


def test_generator_can_be_left_out(tmp_path: Path) -> None:
    names = speaker_names(2, held_out=False) + speaker_names(1, held_out=True)
    classes = Store(write_classes(tmp_path / "data"))
    stores = [classes, write_clips(tmp_path / "flite", [f"{SYNTHETIC}/flite"], names)]
    context = make_context(stores, tmp_path)
    assert set(DetectorTrainer(context).clips[SYNTHETIC]) == {"valle", "flite"}
    trainer = DetectorTrainer(context, leave_out="flite")
    remaining = trainer.clips[SYNTHETIC], trainer.calibration_clips[SYNTHETIC]
    assert set(remaining[0]) == set(remaining[1]) == {"valle"}
    with pytest.raises(UsageError, match=r"'flute'.*flite, valle"):
        DetectorTrainer(context, leave_out="flute")
    with pytest.raises(UsageError, match="synthetic speech of several"):
        DetectorTrainer(make_context([classes], tmp_path), leave_out="valle")
