"""The words of a recording without a script, by a recognizer from a folder (faster-whisper).

It only says which words there are; when they are said is found as for any script.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from valle.arrays import Samples
from valle.errors import TextError, UsageError

RATE = 16_000  # Hz
_FILES = ("model.bin", "config.json", "tokenizer.json")


def check_whisper(folder: Path) -> None:
    """Check that a folder is a model of faster-whisper, and that it can be run.

    Raises:
        UsageError: A file is missing, or the package.
    """
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"{folder} is not a faster-whisper model: it lacks {', '.join(missing)}; "
            "give --whisper a folder in CTranslate2 format"
        )
    try:
        import faster_whisper  # noqa: F401
    except ImportError:
        raise UsageError(
            "--whisper needs the package faster-whisper: pip install 'valle[eval]'"
        ) from None


def recognize_text(
    folder: Path,
    samples: Samples,
    threads: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> str:
    """Return what is said in a recording, with punctuation.

    Args:
        folder: A model of faster-whisper (CTranslate2); nothing is downloaded.
        samples: [N] at `RATE`.
        threads: Processor threads; None leaves it to the library.
        progress: Called with the seconds that were heard since the last call.

    Raises:
        UsageError: The folder is not such a model, or faster-whisper is not installed.
        TextError: Nothing is said.
    """
    check_whisper(folder)
    from faster_whisper import WhisperModel

    try:
        model = WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=threads or 0
        )
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{folder} cannot be used as a faster-whisper model: {error}") from error
    # The text of one window would carry its errors into the next.
    segments, _ = model.transcribe(
        np.asarray(samples, np.float32), language="en", condition_on_previous_text=False
    )
    texts, heard = [], 0.0
    for segment in segments:
        texts.append(segment.text.strip())
        if progress is not None:
            progress(max(0.0, segment.end - heard))
        heard = max(heard, segment.end)
    text = " ".join(part for part in texts if part)
    if not text:
        raise TextError("the recognizer heard no words; give the text that is said")
    return text
