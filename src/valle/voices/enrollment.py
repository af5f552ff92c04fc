"""Voice enrollment: from a recording and its owner's consent to a voice.

The best excerpt of the recording is labeled with its phonemes, by the phoneme recognizer or by the
recording's transcript, and aligned with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Ints, Samples
from valle.audio.recording import (
    EXCERPT_SECONDS,
    Recording,
    find_best_excerpt,
    load_recording,
    resample,
)
from valle.bundle.bundle import Bundle
from valle.errors import RecordingError, TextError
from valle.runtime.check import phoneme_error_rate
from valle.runtime.recognizer import PhonemeRecognizer, format_prompt_symbols
from valle.text.segmentation import split_sentences
from valle.text.symbols import BORDERS, START
from valle.voices.names import check_name
from valle.voices.suitability import check_speech, find_warnings
from valle.voices.voice import Voice

MAX_TRANSCRIBED_SECONDS = 60.0  # of a recording that is aligned with its transcript
MAX_PHONEME_ERROR_RATE = 0.6  # above it, a transcript probably belongs to another recording

Source = str | Path | BinaryIO | tuple[NDArray[np.generic], int]


@dataclass(frozen=True)
class _Labels:
    """The phonemes of a recording, aligned with its frames."""

    symbols: list[str]
    stress: list[int]
    frame_symbol: Ints  # [frames] index of the symbol that each frame is at


def enroll(
    bundle: Bundle,
    source: Source,
    name: str,
    ref_text: str | None,
    issue_receipt: Callable[[Samples, int], Mapping[str, Any]],
) -> Voice:
    """Make a voice of the best 10 s of a recording.

    Args:
        bundle: Its recognizer labels the recording.
        source: See `valle.audio.recording.load_recording`.
        name: The voice's name, see `valle.voices.names.check_name`.
        ref_text: The transcript of the whole recording; None has it recognized.
        issue_receipt: Returns the consent receipt for the excerpt, given its samples [N] and their
            sample rate; see `valle.consent.issuing.build_issuer`.

    Raises:
        UsageError: The name is not allowed.
        RecordingError: The recording cannot be used, or has no speech.
        TextError: The transcript has no words, or too many for the recording.
        Error: What `issue_receipt` raises.
    """
    name = check_name(name)
    # Without a transcript, only the excerpt of a long recording is read into memory.
    recording = load_recording(source, excerpt=EXCERPT_SECONDS if ref_text is None else None)
    warnings = list(recording.warnings)
    excerpt = slice(0, len(recording.samples))
    if ref_text is not None:
        excerpt = _choose_excerpt(recording, warnings)
    labels = _label(bundle, recording, excerpt, ref_text, warnings)
    audio = recording.samples[excerpt]
    return Voice(
        name=name,
        audio=audio,
        sample_rate=recording.sample_rate,
        symbols=tuple(labels.symbols),
        stress=tuple(labels.stress),
        frame_symbol=labels.frame_symbol,
        consent=issue_receipt(audio, recording.sample_rate),
        warnings=tuple(warnings),
    )


def _choose_excerpt(recording: Recording, warnings: list[str]) -> slice:
    """Return the samples to use of a whole recording; warns if they are not all of it."""
    start, end = find_best_excerpt(recording.samples, recording.sample_rate, EXCERPT_SECONDS)
    if end - start < len(recording.samples):
        seconds = start / recording.sample_rate, end / recording.sample_rate
        warnings.append(f"the part from {seconds[0]:.1f} s to {seconds[1]:.1f} s was used")
    return slice(start, end)


def _label(
    bundle: Bundle,
    recording: Recording,
    excerpt: slice,
    text: str | None,
    warnings: list[str],
) -> _Labels:
    """Label the excerpt of a recording: by recognition, or by the transcript of all of it."""
    recognizer, rate, hop = PhonemeRecognizer(bundle), bundle.config.sample_rate, bundle.config.hop
    samples = resample(recording.samples[excerpt], recording.sample_rate, rate)
    check_speech(recognizer.compute_posteriors(samples), samples, rate)
    warnings += find_warnings(bundle, samples, rate)
    if text is not None and recording.seconds > MAX_TRANSCRIBED_SECONDS:
        warnings.append(
            "the text was not used, since the recording is longer than "
            f"{MAX_TRANSCRIBED_SECONDS:.0f} s"
        )
        text = None
    if text is None:
        return _enclose(_recognize(recognizer, samples))
    whole = resample(recording.samples, recording.sample_rate, rate)
    labels = _align_text(recognizer, whole, rate, text, warnings)
    first_frame = round(excerpt.start / recording.sample_rate * rate / hop)
    return _enclose(_crop(labels, first_frame, math.ceil(len(samples) / hop)))


def _recognize(recognizer: PhonemeRecognizer, samples: Samples) -> _Labels:
    """Label samples [N] at the bundle's rate by recognition.

    Stress cannot be recognized; phonemes that the recognizer is unsure of are unknown symbols, but
    are aligned by its best guess.
    """
    recognition = recognizer.transcribe(samples)
    guesses = format_prompt_symbols(recognition, guesses=True)
    alignment = recognizer.align(samples, guesses)
    if alignment is None or all(symbol in BORDERS for symbol in guesses):
        raise RecordingError("no speech was found in the recording; give one of a person speaking")
    symbols = format_prompt_symbols(recognition)
    return _Labels(symbols, [0] * len(symbols), alignment.frame_symbol)


def _align_text(
    recognizer: PhonemeRecognizer,
    samples: Samples,
    sample_rate: int,
    text: str,
    warnings: list[str],
) -> _Labels:
    """Label samples [N] by their transcript; warns if it seems to be of another recording."""
    symbols, stress = _phonemize(text)
    alignment = recognizer.align(samples, symbols)
    if alignment is None:
        raise TextError(
            f"ref_text has too many sounds for a recording of {len(samples) / sample_rate:.1f} s; "
            "give what is said in it, word for word"
        )
    recognized = recognizer.transcribe(samples).guesses
    if phoneme_error_rate(symbols, recognized) > MAX_PHONEME_ERROR_RATE:
        warnings.append(
            "its text does not seem to be what it says; check ref_text, or leave it out"
        )
    return _Labels(symbols, stress, alignment.frame_symbol)


def _phonemize(text: str) -> tuple[list[str], list[int]]:
    """Return the symbols and stress of all sentences of a text as one, with one start symbol."""
    phonemes = [p for sentence in split_sentences(text)[0] for p in sentence.phonemes]
    joined = [p for index, p in enumerate(phonemes) if index == 0 or p.symbol != START]
    return [p.symbol for p in joined], [p.stress for p in joined]


def _crop(labels: _Labels, start: int, frames: int) -> _Labels:
    """Return the labels of `frames` frames from `start` on, or of the last ones."""
    start = min(start, len(labels.frame_symbol) - frames)
    frame_symbol = labels.frame_symbol[start : start + frames]
    low, high = int(frame_symbol[0]), int(frame_symbol[-1]) + 1
    if labels.symbols[high : high + 1] and labels.symbols[high] in BORDERS:
        high += 1  # the border that follows belongs to the excerpt, even without a frame
    return _Labels(labels.symbols[low:high], labels.stress[low:high], frame_symbol - low)


def _enclose(labels: _Labels) -> _Labels:
    """Add the start symbol and the final border that every sentence has, where they are missing."""
    symbols, stress, frame_symbol = labels.symbols, labels.stress, labels.frame_symbol
    if symbols[0] != START:
        symbols, stress, frame_symbol = [START, *symbols], [0, *stress], frame_symbol + 1
    if symbols[-1] not in BORDERS or len(symbols) == 1:
        symbols, stress = [*symbols, "."], [*stress, 0]
    return _Labels(symbols, stress, frame_symbol)
