"""A real recording, and the metrics that need large models, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest

from valle.arrays import Samples
from valle.evaluation.material import read_samples
from valle.evaluation.metrics.sentence_identification import SentenceIdentifier
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder

VOICE = Path(__file__).parents[2] / "examples" / "voice.wav"
SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="session")
def recorded() -> Samples:
    """examples/voice.wav at 16 kHz."""
    return read_samples(VOICE)


@pytest.fixture(scope="session")
def identifier() -> SentenceIdentifier:
    pytest.importorskip("pocketsphinx", reason="needs the extra eval")
    return SentenceIdentifier()


@pytest.fixture(scope="session")
def encoder() -> ResemblyzerEncoder:
    pytest.importorskip("webrtcvad", reason="needs the extra eval")
    pytest.importorskip("resemblyzer", reason="needs the extra eval")
    return ResemblyzerEncoder()


@pytest.fixture(scope="session")
def heldout_material() -> tuple[Path, Path, Path]:
    """Manifest, held-out speakers, sentences."""
    paths = (
        SHARED / "speech" / "manifest.jsonl",
        SHARED / "heldout.txt",
        SHARED / "text" / "sentences.tsv",
    )
    for path in paths:
        if not path.is_file():
            pytest.skip(f"no recordings: {path} is absent")
    return paths
