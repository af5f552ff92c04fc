"""Whisper from a folder; the model itself is needed for the last tests only."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from evaluation_samples import TRANSCRIPT
from valle.arrays import Samples
from valle.errors import UsageError
from valle.evaluation.metrics.whisper import WhisperTranscriber
from valle.evaluation.metrics.word_errors import WordErrorCounter


@pytest.fixture(scope="module")
def whisper() -> WhisperTranscriber:
    folder = os.environ.get("VALLE_WHISPER")
    if not folder:
        pytest.skip("VALLE_WHISPER does not name the folder of a faster-whisper model")
    pytest.importorskip("faster_whisper", reason="needs the extra eval")
    return WhisperTranscriber(Path(folder))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"lacks model\.bin, tokenizer\.json; .*CTranslate2"):
        WhisperTranscriber(tmp_path)


def test_a_broken_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper", reason="needs the extra eval")
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UsageError, match="cannot be loaded as a Whisper model"):
        WhisperTranscriber(tmp_path)


def test_a_clear_recording_is_transcribed(whisper: WhisperTranscriber, recorded: Samples) -> None:
    transcript = whisper.transcribe(recorded)
    assert WordErrorCounter().count(TRANSCRIPT, transcript).word_edits <= 1
    assert whisper.transcribe(recorded) == transcript


def test_no_samples_have_no_words(whisper: WhisperTranscriber) -> None:
    assert whisper.transcribe(np.zeros(0, np.float32)) == ""


def test_the_model_is_described(whisper: WhisperTranscriber) -> None:
    described = whisper.describe()
    assert len(described["model_sha256"]) == 64
    assert described["options"]["temperature"] == 0.0
