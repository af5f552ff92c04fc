"""Transcripts by Whisper (Radford et al. 2022), run by faster-whisper on the CPU.

The model is a local folder in CTranslate2 format; nothing is downloaded. It measures and never
teaches: no model of this project is trained on its output.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from valle.arrays import Samples
from valle.errors import UsageError
from valle.evaluation.metrics.packages import import_optional

# Greedy fallbacks at higher temperatures are random, and a previous window's text hides errors of
# the next, so both are off: one clip, one transcript.
_OPTIONS: dict[str, Any] = {
    "language": "en",
    "beam_size": 5,
    "temperature": 0.0,
    "condition_on_previous_text": False,
}
_COMPUTE_TYPE = "int8"
_SHORTEST = 400  # samples: one window of the spectrogram; shorter clips hold no words
_MODEL_FILES = ("model.bin", "config.json", "tokenizer.json")


class Transcriber(Protocol):
    """What turns a recording into text."""

    def transcribe(self, samples: Samples) -> str:
        """The words of `samples` [N] in [-1, 1] at 16 kHz."""
        ...

    def describe(self) -> dict[str, Any]:
        """The model, its version and its options, for the JSON of a report."""
        ...


class WhisperTranscriber:
    """Whisper from a folder.

    Args:
        folder: a faster-whisper model: `model.bin`, `config.json`, `tokenizer.json` and its
            vocabulary.
        threads: CPU threads.

    Raises:
        UsageError: the folder is not such a model, or faster-whisper is not installed.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        missing = [name for name in _MODEL_FILES if not (folder / name).is_file()]
        if missing:
            raise UsageError(
                f"{folder} is not a faster-whisper model: it lacks {', '.join(missing)}; "
                "give --whisper a folder in CTranslate2 format"
            )
        library = import_optional("faster_whisper", "faster-whisper")
        self._folder = folder
        try:
            self._model = library.WhisperModel(
                str(folder), device="cpu", compute_type=_COMPUTE_TYPE, cpu_threads=threads
            )
        except (RuntimeError, ValueError) as error:
            raise UsageError(f"{folder} cannot be loaded as a Whisper model: {error}") from error

    def transcribe(self, samples: Samples) -> str:
        """The words of `samples` [N] in [-1, 1] at 16 kHz; empty when there are none."""
        if len(samples) < _SHORTEST:
            return ""
        segments, _ = self._model.transcribe(np.asarray(samples, np.float32), **_OPTIONS)
        return " ".join(segment.text.strip() for segment in segments)

    def describe(self) -> dict[str, Any]:
        """The model's folder name and hash, versions, and decoding options."""
        with (self._folder / "model.bin").open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        return {
            "model": self._folder.name,
            "model_sha256": digest.hexdigest(),
            "faster_whisper_version": version("faster-whisper"),
            "ctranslate2_version": version("ctranslate2"),
            "compute_type": _COMPUTE_TYPE,
            "options": _OPTIONS,
        }
