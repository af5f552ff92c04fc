"""From a recording and its owner's agreement to a voice."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from valle.audio.recording import Recording, best_excerpt, load_recording, resample
from valle.bundle.bundle import Bundle
from valle.errors import RecordingError, TextError
from valle.runtime.alignment import Alignment
from valle.runtime.check import phoneme_error_rate
from valle.runtime.recognizer import Listener, prompt_symbols
from valle.text.phonemes import to_sentences
from valle.text.symbols import BORDERS, START
from valle.voices.voice import Voice, check_name

EXCERPT = 10.0  # seconds of a recording that are used
LONGEST_WITH_TEXT = 60.0  # seconds of a recording in which its text is looked for
MISFIT = 0.6  # phoneme error rate from which a text is said not to be that of the recording

Source = str | Path | BinaryIO | tuple[NDArray[np.generic], int]


@dataclass(frozen=True)
class _Said:
    """What is said in an excerpt."""

    symbols: tuple[str, ...]
    stress: tuple[int, ...]
    frame_symbol: NDArray[np.int64]


def enroll(
    bundle: Bundle,
    source: Source,
    name: str,
    ref_text: str | None,
    agreement: Callable[[NDArray[np.float32], int], Mapping[str, Any]],
) -> Voice:
    """Make a voice of the best 10 s of a recording.

    Args:
        bundle: its listener labels the recording, or aligns `ref_text` with it.
        source: what `load_recording` takes.
        name: a voice's name, see `valle.voices.voice.check_name`.
        ref_text: what the recording says, all of it; heard by the listener when None.
        agreement: makes the receipt for the excerpt, see `valle.consent.agreement`.

    Raises UsageError (the name), RecordingError, TextError (a `ref_text` that does not fit into
    the recording, or says nothing), and what `agreement` raises.
    """
    check_name(name)
    if ref_text is None:
        recording = load_recording(source, excerpt=EXCERPT)
        audio, warnings = recording.samples, list(recording.warnings)
        samples = resample(audio, recording.sample_rate, bundle.config.sample_rate)
        said = _heard(Listener(bundle), samples)
    else:
        recording = load_recording(source)
        audio, said, warnings = _read(bundle, recording, ref_text)
    receipt = agreement(audio, recording.sample_rate)
    return Voice(
        name,
        audio,
        recording.sample_rate,
        said.symbols,
        said.stress,
        said.frame_symbol,
        receipt,
        tuple(warnings),
    )


def _heard(listener: Listener, samples: NDArray[np.float32]) -> _Said:
    """Label an excerpt by ear. Stress cannot be heard, and unsure phonemes are unknown."""
    heard = listener.hear(samples)
    guesses = prompt_symbols(heard, guesses=True)
    alignment = listener.align(samples, guesses)
    if alignment is None or all(symbol in BORDERS for symbol in guesses):
        raise RecordingError("no speech was heard in the recording; give one of a person speaking")
    return _whole(prompt_symbols(heard), [0] * len(guesses), alignment)


def _read(
    bundle: Bundle, recording: Recording, text: str
) -> tuple[NDArray[np.float32], _Said, list[str]]:
    """The excerpt of a recording whose text is known, and what of the text is said in it."""
    listener, rate, hop = Listener(bundle), bundle.config.sample_rate, bundle.config.hop
    warnings = list(recording.warnings)
    start, end = best_excerpt(recording.samples, recording.sample_rate, EXCERPT)
    excerpt = recording.samples[start:end]
    seconds = start / recording.sample_rate, end / recording.sample_rate
    if end - start < len(recording.samples):
        warnings.append(f"the part from {seconds[0]:.1f} s to {seconds[1]:.1f} s was used")
    if recording.seconds > LONGEST_WITH_TEXT:
        warnings.append(
            f"the text was not used, since the recording is longer than {LONGEST_WITH_TEXT:.0f} s"
        )
        return excerpt, _heard(listener, resample(excerpt, recording.sample_rate, rate)), warnings

    symbols, stress = _symbols_of(text)
    samples = resample(recording.samples, recording.sample_rate, rate)
    alignment = listener.align(samples, symbols)
    if alignment is None:
        raise TextError(
            f"ref_text has too many sounds for a recording of {recording.seconds:.1f} s; "
            "give what is said in it, word for word"
        )
    if phoneme_error_rate(symbols, listener.hear(samples).guesses) > MISFIT:
        warnings.append(
            "its text does not seem to be what it says; check ref_text, or leave it out"
        )
    # The alignment of the excerpt alone: the same frames, counted from its own start.
    frames = math.ceil(len(resample(excerpt, recording.sample_rate, rate)) / hop)
    first = min(round(seconds[0] * rate / hop), len(alignment.frame_symbol) - frames)
    inside = alignment.frame_symbol[first : first + frames]
    low, high = int(inside[0]), int(inside[-1])
    if symbols[high + 1 : high + 2] and symbols[high + 1] in BORDERS:
        high += 1  # the border that follows belongs to what was said, even without a frame
    part = Alignment(inside - low, alignment.score[low : high + 1])
    return excerpt, _whole(symbols[low : high + 1], stress[low : high + 1], part), warnings


def _symbols_of(text: str) -> tuple[list[str], list[int]]:
    """The symbols of all sentences of a text as one: no "^" but the first."""
    phonemes = [p for sentence in to_sentences(text)[0] for p in sentence.phonemes]
    kept = [p for index, p in enumerate(phonemes) if index == 0 or p.symbol != START]
    return [p.symbol for p in kept], [p.stress for p in kept]


def _whole(symbols: list[str], stress: list[int], alignment: Alignment) -> _Said:
    """Symbols with a beginning and an end of their own, as those of every sentence."""
    frames = alignment.frame_symbol
    if symbols[0] != START:
        symbols, stress, frames = [START, *symbols], [0, *stress], frames + 1
    if symbols[-1] not in BORDERS or len(symbols) == 1:
        symbols, stress = [*symbols, "."], [*stress, 0]
    return _Said(tuple(symbols), tuple(stress), frames)
