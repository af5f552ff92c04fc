"""Whether a recording holds speech, and what in it keeps a voice from being good.

Thresholds were chosen on 1,441 recordings of 8 corpora (read speech; adults and children, native
or not) and on 78 signals that are not speech: noises, tones, beeps, clicks, hums, birds, engines
and music. docs/experiments/2026-11-30-not-speech.md has the error rates.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from valle.arrays import Floats, Samples
from valle.audio import levels
from valle.audio.levels import STEPS_PER_SECOND
from valle.bundle.bundle import Bundle
from valle.errors import RecordingError
from valle.runtime.alignment import Posteriors
from valle.runtime.recognizer import recognize
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.text.symbols import PAUSE

# The frame head of a trained recognizer gives its best class 0.17 on average even in white noise,
# and 0.5 or more in speech; an untrained one 0.07 everywhere. It cannot judge, and is not asked.
_TRAINED_CONFIDENCE = 0.12
# Speech visits many phonemes, one at a time. Information: what a frame tells about the phoneme, in
# nats; 1.18 to 2.9 in speech, at most 1.67 elsewhere. Variety: phonemes recognized with a
# probability above 0.7, per second of sound, times the entropy of which ones, in bits.
_MIN_INFORMATION, _MIN_VARIETY, _SURE = 1.4, 2.0, 0.7
# A voice has 36 % of its power or more below 1.5 kHz; bird song has less than 10 %.
_VOICE_BAND, _MIN_VOICE_SHARE = (80.0, 1500.0), 0.3  # Hz

# Embeddings of 2.5 s of one speaker have a cosine similarity of 0.24 or more in 99 of 100
# recordings; of two speakers in turns, 0.01 in the middle. Voices at once are not told apart.
_TURN_SECONDS, _MIN_SIMILARITY = 2.5, 0.24
# Between words, a room leaves noise: a spectral flatness of 0.025 or more in recordings of 7.5 s.
# Music 10 dB below the voice leaves 0.010 in the middle, 15 dB below it 0.014. In less than 4 s
# there may be no pause to look at.
_MUSIC_BAND, _MIN_FLATNESS, _MUSIC_SECONDS = (100.0, 4000.0), 0.02, 4.0  # Hz; s
_AUDIBLE = -35.0  # dB, background below the speech; quieter music does not matter
_FFT_SECONDS = 0.064

_GOOD_SECONDS, _GOOD_RANGE = 6.0, 25.0  # of speech; dB between the voice and what is behind it


def check_speech(posteriors: Posteriors, samples: Samples, sample_rate: int) -> None:
    """Check that a recording holds speech.

    Args:
        posteriors: Of the bundle's recognizer.
        samples: [N] in [-1, 1].
        sample_rate: In Hz.

    Raises:
        RecordingError: It holds noise, tones, clicks, or music alone.
    """
    probability = np.exp(posteriors.frame)
    if probability.max(axis=1).mean() < _TRAINED_CONFIDENCE:
        return
    mean = probability.mean(axis=0)
    entropy = float(-(probability * posteriors.frame).sum(axis=1).mean())
    information = float(-(mean * np.log(mean + 1e-9)).sum()) - entropy
    if (
        information < _MIN_INFORMATION
        or _measure_variety(posteriors, samples, sample_rate) < _MIN_VARIETY
        or _measure_voice_share(samples, sample_rate) < _MIN_VOICE_SHARE
    ):
        raise RecordingError(
            "no speech was found in the recording: it sounds like noise, tones or music; "
            "give one of a person speaking, near to the microphone and with nothing else to hear"
        )


def find_warnings(bundle: Bundle, samples: Samples, sample_rate: int) -> list[str]:
    """Return warnings about a second voice, and about music behind the voice.

    Args:
        bundle: Its speaker encoder compares the voices.
        samples: [N] in [-1, 1], at the bundle's sample rate.
        sample_rate: That rate, in Hz.
    """
    warnings = []
    if _measure_lowest_similarity(bundle, samples, sample_rate) < _MIN_SIMILARITY:
        warnings.append("it seems to have a second voice; give a recording of one person alone")
    if _has_music(samples, sample_rate):
        warnings.append(
            "music or a hum is heard behind the voice; record again without it, or give a part "
            "that has none"
        )
    return warnings


def is_about_excerpt(warning: str) -> bool:
    """Tell whether a warning is about what was used of a recording, which is not a fault."""
    return any(part in warning for part in (" was used", " were used", "only the first hour"))


def rate_recording(samples: Samples, sample_rate: int, faults: int) -> tuple[int, str]:
    """Rate how well a recording serves to learn a voice from.

    100 points, less 20 for every fault that a warning names, less up to 25 for being shorter than
    6 s, and less up to 25 for a background that is less than 25 dB below the voice.

    Args:
        samples: [N] in [-1, 1], what was used of the recording.
        sample_rate: In Hz.
        faults: How many faults the voice's warnings name, see `is_about_excerpt`.

    Returns:
        The points from 0 to 100, and what they rest on, in words.
    """
    power = levels.compute_power(samples, sample_rate)
    level = levels.compute_level(power)
    background = 10 * np.log10(np.percentile(power, 10) + 1e-12)
    distance = max(0.0, level - background)
    seconds = len(samples) / sample_rate
    points = 100.0 - 20.0 * faults
    points -= 25.0 * max(0.0, 1.0 - seconds / _GOOD_SECONDS)
    points -= 25.0 * max(0.0, 1.0 - distance / _GOOD_RANGE)
    reasons = f"{seconds:.1f} s, level {level:.0f} dBFS, background {distance:.0f} dB below it"
    return max(0, round(points)), reasons


def _measure_variety(posteriors: Posteriors, samples: Samples, sample_rate: int) -> float:
    recognition = recognize(posteriors)
    counts = Counter(
        symbol
        for symbol, confidence in zip(recognition.guesses, recognition.confidence, strict=True)
        if symbol != PAUSE and confidence > _SURE
    )
    power = levels.compute_power(samples, sample_rate)
    seconds = max(levels.detect_sound(power).sum() / STEPS_PER_SECOND, 0.1)
    total = sum(counts.values())
    shares = np.array(list(counts.values())) / max(total, 1)
    return float(total / seconds * -(shares * np.log2(shares)).sum())


def _measure_voice_share(samples: Samples, sample_rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1.0 / sample_rate)
    low, high = _VOICE_BAND
    in_band = spectrum[(frequency > low) & (frequency < high)].sum()
    return float(in_band / max(spectrum[frequency > low].sum(), 1e-12))


def _measure_lowest_similarity(bundle: Bundle, samples: Samples, sample_rate: int) -> float:
    """Return the lowest cosine similarity of any two turns; 1 where there is one turn."""
    size = round(_TURN_SECONDS * sample_rate)
    count = len(samples) // size
    if count < 2:
        return 1.0
    embed = SpeakerEncoder(bundle).embed
    turns = np.stack([embed(turn) for turn in samples[: count * size].reshape(count, size)])
    return float((turns @ turns.T).min())


def _has_music(samples: Samples, sample_rate: int) -> bool:
    """Tell whether what is left between the words is loud and has a few strong frequencies."""
    if len(samples) < _MUSIC_SECONDS * sample_rate:
        return False
    size = round(_FFT_SECONDS * sample_rate)
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]
    power = np.abs(np.fft.rfft(windows * np.hanning(size), axis=1)) ** 2
    energy: Floats = power.sum(axis=1)
    order = np.argsort(energy)
    # From the 2nd to the 12th percentile: the quietest of all may be digital silence.
    quiet = order[int(0.02 * len(order)) : int(0.12 * len(order))]
    speech = energy[order[len(order) // 2 :]].mean()
    if 10 * np.log10(energy[quiet].mean() / max(speech, 1e-12) + 1e-9) < _AUDIBLE:
        return False
    low, high = (round(edge * _FFT_SECONDS) for edge in _MUSIC_BAND)
    band = power[quiet, low:high] + 1e-12
    flatness = np.exp(np.log(band).mean(axis=1)) / band.mean(axis=1)
    return bool(np.median(flatness) < _MIN_FLATNESS)
