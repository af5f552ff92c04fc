"""What is not speech does not become a voice; what is wrong with a recording is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import valle
from conftest import ATTEST, RATE
from valle.audio.recording import load_recording
from valle.bundle.bundle import DEFAULT_FOLDER
from valle.bundle.config import CONFIG_NAME
from valle.runtime.recognizer import PhonemeRecognizer
from valle.voices import suitability

VOICE = Path(__file__).parents[2] / "examples" / "voice.wav"
Sound = NDArray[np.float32]

needs_bundle = pytest.mark.skipif(
    not (DEFAULT_FOLDER / CONFIG_NAME).is_file(), reason="this checkout has no default bundle"
)


@pytest.fixture(scope="module")
def default_model() -> valle.Model:
    return valle.load(threads=1)


@pytest.fixture(scope="module")
def speech() -> Sound:
    return load_recording(VOICE).samples


def colored_noise(seed: int, seconds: float, exponent: float) -> Sound:
    count = int(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    spectrum *= np.maximum(np.arange(len(spectrum)), 20 * seconds) ** -exponent
    noise = np.fft.irfft(spectrum, count)
    return (0.1 * noise / noise.std()).astype(np.float32)


def music(seed: int, seconds: float) -> Sound:
    """Chords, each of three decaying notes with harmonics, and every other seed with drums."""
    rng = np.random.default_rng(seed)
    count, beat = int(seconds * RATE), rng.uniform(0.3, 0.6)
    sound = np.zeros(count + RATE)
    for start in np.arange(0, seconds, beat):
        first, time = int(start * RATE), np.arange(RATE) / RATE
        for interval in rng.choice([0, 4, 7, 12, 16], 3):
            pitch = 440 * 2 ** ((rng.integers(48, 60) + interval - 69) / 12)
            note = sum(np.sin(2 * np.pi * k * pitch * time) / k**1.5 for k in range(1, 8))
            sound[first : first + RATE] += note * np.exp(-time / beat) * np.minimum(time / 0.02, 1)
        if seed % 2:
            sound[first : first + RATE] += 2 * rng.standard_normal(RATE) * np.exp(-time / 0.02)
    return (0.2 * sound[:count] / np.abs(sound[:count]).max()).astype(np.float32)


def not_speech(kind: str, seconds: float) -> Sound:
    time = np.arange(int(seconds * RATE)) / RATE
    rng = np.random.default_rng(7)
    name, _, value = kind.partition(" ")
    sound: NDArray[np.floating]
    if name == "noise":
        sound = colored_noise(1, seconds, float(value))
    elif name == "gusts":
        gains = np.interp(
            time, np.arange(0, seconds + 1, 0.5), rng.uniform(0, 1, 100)[: int(2 * seconds) + 2]
        )
        sound = colored_noise(2, seconds, 0.5) * gains
    elif name == "pulsing":
        sound = colored_noise(3, seconds, 0.0) * np.clip(np.sin(2 * np.pi * 4 * time), 0, 1)
    elif name == "tone":
        sound = 0.2 * np.sin(2 * np.pi * float(value) * time)
    elif name == "beeps":
        sound = 0.2 * np.sin(2 * np.pi * float(value) * time) * (time % 0.5 < 0.25)
    elif name == "siren":
        sound = 0.2 * np.sin(2 * np.pi * np.cumsum(700 + 300 * np.sin(np.pi * time)) / RATE)
    elif name == "buzz":
        sound = 0.2 * np.sign(np.sin(2 * np.pi * 120 * time)) * (np.sin(6 * np.pi * time) > 0)
    elif name == "clicks":
        sound = np.zeros(len(time))
        sound[:: RATE // int(value)] = 0.8
    elif name == "chirps":
        sound = np.zeros(len(time))
        for start in rng.integers(0, len(time) - 2000, int(5 * seconds)):
            chirp = np.sin(2 * np.pi * rng.uniform(2000, 5000) * time[:2000])
            sound[start : start + 2000] += 0.2 * np.hanning(2000) * chirp
    else:
        sound = music(int(value), seconds)
    return sound.astype(np.float32)


KINDS = [
    *("noise 0", "noise 0.5", "noise 1", "gusts", "pulsing", "siren", "buzz", "chirps"),
    *("tone 100", "tone 440", "tone 3000", "beeps 440", "beeps 1000", "clicks 2", "clicks 20"),
    *(f"music {seed}" for seed in range(6)),
]


@needs_bundle
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", [3.0, 10.0])
def test_what_is_not_speech_is_refused(
    default_model: valle.Model, kind: str, seconds: float
) -> None:
    with pytest.raises(valle.RecordingError, match="no speech was found|of sound"):
        default_model.enroll(not_speech(kind, seconds), attest=ATTEST)


@needs_bundle
def test_speech_is_accepted_without_a_fault(default_model: valle.Model, speech: Sound) -> None:
    for part in (speech, speech[: 2 * RATE], 0.05 * speech):
        voice = default_model.enroll(part, attest=ATTEST)
        assert not [w for w in voice.warnings if "second voice" in w or "music" in w]


@needs_bundle
def test_music_and_a_second_voice_are_warned_of(default_model: valle.Model, speech: Sound) -> None:
    behind = music(3, len(speech) / RATE)[: len(speech)]
    behind *= np.float32(0.25 * np.sqrt((speech**2).mean() / (behind**2).mean()))
    (warning,) = suitability.find_warnings(default_model.bundle, speech + behind, RATE)
    assert warning.startswith("music or a hum is heard")
    # Played 1.5 times as fast: another pitch and other formants.
    positions = np.arange(0, len(speech) - 1, 1.5)
    other = np.interp(positions, np.arange(len(speech)), speech).astype(np.float32)
    turns = np.concatenate([speech[: 5 * RATE], other, other])[: 10 * RATE]
    (warning,) = suitability.find_warnings(default_model.bundle, turns, RATE)
    assert "second voice" in warning


def test_untrained_recognizer_does_not_judge(model: valle.Model) -> None:
    noise = not_speech("noise 0", 3.0)
    posteriors = PhonemeRecognizer(model.bundle).compute_posteriors(noise)
    suitability.check_speech(posteriors, noise, RATE)


def test_rating_falls_with_faults_length_and_background(speech: Sound) -> None:
    best, reasons = suitability.rate_recording(speech, RATE, 0)
    assert best >= 90
    assert reasons.startswith(f"{len(speech) / RATE:.1f} s, level -")
    noise = colored_noise(0, len(speech) / RATE, 0.5)[: len(speech)]
    for worse in (
        suitability.rate_recording(speech, RATE, 1)[0],
        suitability.rate_recording(speech[: 3 * RATE], RATE, 0)[0],
        suitability.rate_recording(speech + 0.2 * noise, RATE, 0)[0],
    ):
        assert worse < best - 5
    assert suitability.rate_recording(speech[:RATE], RATE, 9)[0] == 0
