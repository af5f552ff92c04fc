"""What tests of the detector share: detectors with a fixed verdict, and stores to train one on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

from valle.bundle.bundle import Bundle
from valle.bundle.writer import NewGraph, add_graph
from valle.corpora.split import is_calibration_speaker
from valle.corpora.store import StoreWriter, UtteranceInfo
from valle.detection.detector import BONA_FIDE, GRAPH, KINDS, RESYNTHESIZED, SYNTHETIC
from valle.training.export.bundle import detector_graph
from valle.training.models.detector import DETECTOR_SIZES, Detector
from valle.training.trainers.detector import CALIBRATION_ONE_IN

RATE = 16_000


def constant_detector(kind: str, log_odds: float = 3.0) -> Detector:
    """Make a detector that favors one class by `log_odds` over both others, whatever the input."""
    detector = Detector(DETECTOR_SIZES["debug"])
    with torch.no_grad():
        detector.output.weight.zero_()
        detector.output.bias.zero_()
        detector.output.bias[KINDS.index(kind)] = log_odds
    return detector


def add_to_bundle(debug_bundle: Path, folder: Path, detector: Detector) -> Bundle:
    """Copy a bundle and add a detector to the copy."""
    shutil.copytree(debug_bundle, folder)
    graph = NewGraph(detector_graph(detector).SerializeToString())
    add_graph(Bundle.load(folder), GRAPH, graph)
    return Bundle.load(folder, threads=1)


def speaker_names(count: int, held_out: bool) -> list[str]:
    """Return names of speakers that are, or are not, held out for calibration."""
    names = (f"speaker {number}" for number in range(1000))
    return [
        name
        for name in names
        if is_calibration_speaker("detector", name, CALIBRATION_ONE_IN) == held_out
    ][:count]


def write_classes(folder: Path) -> Path:
    """Write a store of all classes for every speaker, each class an easily recognized sound."""
    writer = StoreWriter(folder)
    rng = np.random.default_rng(0)
    time = np.arange(4 * RATE) / RATE
    for speaker in speaker_names(3, held_out=False) + speaker_names(2, held_out=True):
        pitch = rng.uniform(80, 300)
        sounds = {
            f"{BONA_FIDE}/test": rng.standard_normal(len(time)) * (np.sin(9 * time) > 0),
            f"{RESYNTHESIZED}/8": np.sign(np.sin(2 * np.pi * pitch * time)),
            f"{SYNTHETIC}/valle": np.sin(2 * np.pi * (pitch + 2000 * np.sin(5 * time)) * time),
        }
        for corpus, samples in sounds.items():
            clip = (0.1 * samples).astype(np.float32)
            writer.add(
                UtteranceInfo(
                    f"{speaker} {corpus}", corpus, speaker, None, waveform_is_clean=False
                ),
                clip,
            )
    writer.close()
    return folder
