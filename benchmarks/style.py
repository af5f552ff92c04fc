"""Styles asked for and measured; what they cost in words and voice.

    python benchmarks/style.py --manifest speech/manifest.jsonl --speakers heldout-native.txt \
        --whisper whisper/base --voices 10
    python benchmarks/style.py --recording examples/voice.wav

In each voice one sentence is spoken, and said again with each property at five levels: Spearman's
rank correlation within voice and sentence tells whether what is measured rises with what is asked.
Then each emotion is applied at five strengths: the property that it changes most must move step by
step. At full strength Whisper writes down the words, and Resemblyzer compares the voice with its
recording. A voice that cannot be enrolled is passed over. With --recording, the same is done to
recordings as they are, which takes seconds: nothing is spoken, and no words are recognized. Prints
JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import valle
from editing import choose_recordings, count_errors
from valle.arrays import Samples
from valle.audio.prosody import compute_frame_features, measure_styles
from valle.audio.recording import load_recording, resample
from valle.audio.shaping import shape_speech
from valle.errors import Error
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.metrics.statistics import bootstrap_interval
from valle.evaluation.metrics.whisper import WhisperTranscriber
from valle.evaluation.protocols.style import spearman
from valle.files import temporary_data_folder
from valle.styles import EMOTIONS, LIMITS, Style
from valle.trust.attestation import ATTESTATION

RATE = 16_000
_PHONEMES_PER_SECOND = 10.0  # of a recording: the rates only compare with each other
LEVELS = {
    "pitch": (-4, -2, 0, 2, 4),
    "range": (0.4, 0.7, 1, 1.4, 1.8),
    "energy": (-8, -4, 0, 4, 8),
    "rate": (0.75, 0.87, 1, 1.15, 1.3),
    "tilt": (-2, -1, 0, 1, 2),
}
STRENGTHS = (0, 0.25, 0.5, 0.75, 1)
# By which the strength of an emotion is told: the property that changes most beside the energy.
TOLD_BY = {
    "happy": "pitch",
    "sad": "rate",
    "angry": "energy",
    "calm": "energy",
    "fearful": "pitch",
    "surprised": "range",
}
SENTENCES = (
    "We thought the joyful boy should measure each huge garage.",
    "Now bring the fresh pears, and go with five old dogs to the zoo.",
    "The rain has stopped, and the garden smells of mint and warm earth.",
)


def measure(samples: Samples, phonemes: int) -> dict[str, float]:
    """Return the properties of speech, in the units of `valle.styles.Style`, but not relative."""
    features = compute_frame_features(samples, RATE, RATE // 50)
    values = measure_styles(features, phonemes)
    return dict(zip(LIMITS, (float(value) for value in values), strict=True))


def say(plain: Samples, style: dict[str, Any]) -> Samples:
    """Return speech in a style, as `Model.speak` changes the sound of a sentence."""
    shift = Style.model_validate(style).resolve()
    return plain if shift is None else shape_speech(plain[:, None], RATE, shift)[:, 0]


def say_styles(plain: Samples, count: int) -> dict[str, Any]:
    """Return what was measured of speech with `count` phonemes, and each emotion in full."""
    measured: dict[str, list[float]] = {}
    correlations: dict[str, float] = {}
    for name, levels in LEVELS.items():
        measured[name] = [measure(say(plain, {name: x}), count)[name] for x in levels]
        correlations[name] = spearman(levels, measured[name])
    strength: dict[str, float] = {}
    for name, told_by in TOLD_BY.items():
        steps = [
            measure(say(plain, {"emotion": name, "strength": s}), count)[told_by] for s in STRENGTHS
        ]
        rises = getattr(EMOTIONS[name], told_by) > measure_nothing(told_by)
        strength[name] = spearman(STRENGTHS, steps) * (1 if rises else -1)
    whole = {name: say(plain, {"emotion": name}) for name in EMOTIONS}
    return {
        "measured": measured,
        "correlations": correlations,
        "strength": strength,
        "emotions": whole,
    }


def measure_nothing(name: str) -> float:
    """Return the number of a property that changes nothing."""
    return 1.0 if name in ("range", "rate") else 0.0


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Speak in voices until there are enough of them."""
    model = valle.load(threads=1)
    whisper, encoder = WhisperTranscriber(arguments.whisper), ResemblyzerEncoder()
    trials: list[dict[str, Any]] = []
    rows = list(choose_recordings(arguments.manifest, arguments.speakers))[arguments.skip :]
    for row in tqdm(rows, total=arguments.voices):
        if len(trials) == arguments.voices:
            break
        recording = load_recording(arguments.manifest.parent / row["audio"])
        samples = resample(recording.samples, recording.sample_rate, RATE)
        try:
            voice = model.enroll((samples, RATE), attest=ATTESTATION)
        except Error:
            continue
        text = SENTENCES[(len(trials) + arguments.skip) % len(SENTENCES)]
        plain = model.speak(text, voice)
        styled = say_styles(plain.audio, len(plain.phonemes))
        reference = encoder.embed(samples)

        def score(said: Samples, text: str = text, reference: Any = reference) -> list[float]:
            errors, words = count_errors(text, (0, len(text)), whisper.transcribe(said))
            return [errors, words, float(encoder.embed(said) @ reference)]

        emotions = {name: score(said) for name, said in styled["emotions"].items()}
        trials.append(styled | {"plain": score(plain.audio), "emotions": emotions})
        print(json.dumps(trials[-1]), file=sys.stderr, flush=True)
    return trials


def change_recordings(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Say recordings in every style, and compare each with the recording as it was."""
    encoder, trials = ResemblyzerEncoder(), []
    for file in files:
        recording = load_recording(file)
        samples = resample(recording.samples, recording.sample_rate, RATE)
        styled = say_styles(samples, round(_PHONEMES_PER_SECOND * len(samples) / RATE))
        reference = encoder.embed(samples)
        similarity = {
            name: round(float(encoder.embed(said) @ reference), 3)
            for name, said in styled["emotions"].items()
        }
        trials.append({"file": file.name} | styled | {"emotions": similarity})
    return trials


def summarize(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return means with their intervals over the voices."""

    def mean(values: Sequence[float]) -> Any:
        return bootstrap_interval(np.array(values), np.ones(len(values)))

    figures: dict[str, Any] = {"voices": len(trials)}
    figures["correlation"] = {
        name: mean([trial["correlations"][name] for trial in trials]) for name in LEVELS
    }
    figures["strength"] = {
        name: mean([trial["strength"][name] for trial in trials]) for name in TOLD_BY
    }
    words = sum(trial["plain"][1] for trial in trials)
    figures["plain_word_error_rate"] = sum(trial["plain"][0] for trial in trials) / words
    figures["plain_similarity"] = mean([trial["plain"][2] for trial in trials])
    for name in EMOTIONS:
        scores = [trial["emotions"][name] for trial in trials]
        pairs = list(zip(scores, trials, strict=True))
        figures[name] = {
            "word_error_rate_rise": sum(s[0] - t["plain"][0] for s, t in pairs) / words,
            "similarity_drop": mean([t["plain"][2] - s[2] for s, t in pairs]),
        }
    return figures


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--speakers", type=Path)
    parser.add_argument("--whisper", type=Path)
    parser.add_argument("--recording", type=Path, action="append")
    parser.add_argument("--voices", type=int, default=10)
    parser.add_argument("--skip", type=int, default=0, help="recordings to begin after")
    arguments = parser.parse_args()
    if arguments.recording:
        print(json.dumps(change_recordings(arguments.recording), indent=1))
        return
    if None in (arguments.manifest, arguments.speakers, arguments.whisper):
        parser.error("give --manifest, --speakers and --whisper, or --recording")
    with temporary_data_folder():
        trials = run(arguments)
    print(json.dumps(summarize(trials) | {"trials": trials}, indent=1))


if __name__ == "__main__":
    main()
