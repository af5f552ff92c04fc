"""The style of a recording, as far as it can be measured: how differently it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats, Samples
from valle.audio.prosody import STYLES, compute_frame_features, measure_styles
from valle.audio.recording import resample
from valle.audio.whole_recording import read_mono
from valle.consent.prints import is_same_speaker
from valle.errors import RecordingError
from valle.runtime.recognizer import PhonemeRecognizer
from valle.styles import LIMITS, Style
from valle.voices.voice import Voice

if TYPE_CHECKING:
    from valle.synthesis.model import Model
    from valle.voices.enrollment import Source

_MAX_SECONDS = 30.0  # of a recording that are heard
_LEAST_RANGE = 0.5  # semitones: a voice's own pitch range is taken to be no smaller
_PITCH, _RANGE, _RATE, _TILT = (STYLES.index(s) for s in ("pitch", "pitch_range", "rate", "tilt"))


def measure_style(model: Model, recording: Source | NDArray[np.generic], voice: Voice) -> Style:
    """Return how a recording is said, compared with the recording that a voice is made from.

    Nothing of the speaker is taken: of another speaker only how far the pitch rises and falls, and
    how fast the phonemes come. Of the voice's own speaker, pitch and spectral tilt are compared,
    too. How loud a recording is says more of the microphone than of the speaker, and is left out.

    Args:
        model: From `valle.load()`.
        recording: A path, an open binary file, (samples, sample rate), or samples at the model's
            `sample_rate`.
        voice: What is to speak in that style.

    Raises:
        RecordingError: The recording cannot be read, or has less than about a second of speech.
    """
    if isinstance(recording, np.ndarray):
        recording = (recording, model.sample_rate)
    rate = model.sample_rate
    said = read_mono(recording, rate)
    usual = resample(voice.audio, voice.sample_rate, rate)
    recognizer = PhonemeRecognizer(model.bundle)
    there, here = (_measure(samples, recognizer) for samples in (said, usual))
    if not np.isfinite(there).all():
        raise RecordingError(
            "there is too little speech to tell how it is said; give a recording of some seconds"
        )
    if not np.isfinite(here).all():
        raise RecordingError("the recording of the voice has too little speech to compare with")
    found = {
        "range": max(float(there[_RANGE]), _LEAST_RANGE) / max(float(here[_RANGE]), _LEAST_RANGE),
        "rate": there[_RATE] / here[_RATE],
    }
    if is_same_speaker((said, rate), (usual, rate)):
        found |= {"pitch": there[_PITCH] - here[_PITCH], "tilt": there[_TILT] - here[_TILT]}
    return Style.model_validate({n: _limit(n, float(value)) for n, value in found.items()})


def _measure(samples: Samples, recognizer: PhonemeRecognizer) -> Floats:
    """Return the styles [5] of a recording, from its beginning."""
    samples = samples[: round(_MAX_SECONDS * recognizer.sample_rate)]
    features = compute_frame_features(samples, recognizer.sample_rate, recognizer.hop)
    return measure_styles(features, len(recognizer.transcribe(samples).guesses))


def _limit(name: str, value: float) -> float:
    """Return the nearest value that a style may have."""
    low, high = LIMITS[name]
    return round(min(max(value, low), high), 2)
