"""Edits of real recordings: are the new words understood, and do they sound like the rest?

    python benchmarks/editing.py --manifest speech/manifest.jsonl --speakers heldout-native.txt \
        --whisper whisper/base --edits 20

Two to four words in the middle of each recording are replaced by words of another speaker's
transcript. Whisper writes down the edited recording, and the whole new text as plain speech in the
same voice; the error rate is that of the replaced words. Similarity is by Resemblyzer: the new
words with the rest, the words that they replace with the rest, those words after codec resynthesis
with the rest, and the halves of the original. A join jumps where the power of 10 ms before and
after it differs more than at 95 of 100 places of the recording. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import valle
from valle.arrays import Samples
from valle.audio.recording import load_recording, resample
from valle.corpora.recordings import read_heldout, read_manifest
from valle.editing.changes import Change, apply_changes
from valle.editing.edit import EditedRecording, edit_recording
from valle.errors import Error
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.metrics.statistics import bootstrap_interval
from valle.evaluation.metrics.whisper import WhisperTranscriber
from valle.files import temporary_data_folder
from valle.text.edit_distance import align
from valle.trust.attestation import ATTESTATION

RATE = 16_000
_SECONDS = (5.0, 9.0)  # of the recordings
SIMILARITIES = (
    "span_similarity",
    "old_words_similarity",
    "codec_similarity",
    "halves_similarity",
)


def count_errors(new_text: str, place: tuple[int, int], heard: str) -> tuple[float, int]:
    """Return the word errors within a part of a text, and how many words it has."""
    inside = [len(new_text[: place[0]].split()), len(new_text[: place[1]].split())]
    reference, hypothesis = (
        ["".join(c for c in word if c.isalnum()) for word in text.casefold().split()]
        for text in (new_text, heard)
    )
    errors, position = 0, 0
    for i, j in align(reference, hypothesis):
        position = i if i >= 0 else position
        if inside[0] <= position < inside[1]:
            errors += i < 0 or j < 0 or reference[i] != hypothesis[j]
    return float(errors), inside[1] - inside[0]


def choose_recordings(manifest: Path, speakers: Path) -> Iterator[dict[str, Any]]:
    """Yield one recording of each speaker after the other."""
    names = read_heldout(speakers)
    taken: dict[str, int] = {}
    rows = [
        row
        for row in read_manifest(manifest)
        if row["speaker"] in names
        and row["text"]
        and _SECONDS[0] <= row["seconds"] <= _SECONDS[1]
        and len(row["text"].split()) >= 12
    ]
    ordered = []
    for row in rows:
        taken[row["speaker"]] = taken.get(row["speaker"], 0) + 1
        ordered.append((taken[row["speaker"]], row["speaker"], row))
    yield from (row for _, _, row in sorted(ordered, key=lambda entry: entry[:2]))


def measure_jumps(edited: EditedRecording) -> list[bool]:
    """Tell of each join whether its jump in level is beyond 95 of 100 in the recording."""

    def jumps(samples: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float64]:
        size = edited.sample_rate // 100
        sums = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
        before, after = sums[places] - sums[places - size], sums[places + size] - sums[places]
        return np.abs(10 * np.log10((before + 1e-8) / (after + 1e-8)))

    original, result = edited.original.samples.mean(axis=1), edited.samples.mean(axis=1)
    size = edited.sample_rate // 100
    limit = np.percentile(jumps(original, np.arange(size, len(original) - size, size)), 95)
    (span,) = edited.spans
    joins = np.array([round(second * edited.sample_rate) for second in span.now])
    return [bool(jump > limit) for jump in jumps(result, joins)]


def summarize(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of all trials, means with their intervals."""
    figures: dict[str, Any] = {}
    for name in ("edited", "plain"):
        errors, counts = np.array([trial[name] for trial in trials]).T
        figures[f"{name}_word_error_rate"] = bootstrap_interval(errors, counts)
    for name in SIMILARITIES:
        values = np.array([trial[name] for trial in trials])
        figures[name] = bootstrap_interval(values, np.ones(len(values)))
    joins = [jump for trial in trials for jump in trial["jumps"]]
    figures["joins_beyond_95th_percentile"] = float(np.mean(joins))
    return figures


def main() -> None:
    """Run the edits and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--speakers", type=Path, required=True)
    parser.add_argument("--whisper", type=Path, required=True)
    parser.add_argument("--edits", type=int, default=20)
    arguments = parser.parse_args()
    model = valle.load(threads=1)
    whisper, encoder = WhisperTranscriber(arguments.whisper), ResemblyzerEncoder()
    rows = list(choose_recordings(arguments.manifest, arguments.speakers))
    trials: list[dict[str, Any]] = []
    refused: list[str] = []
    exact = 0
    with temporary_data_folder(), tqdm(total=arguments.edits) as bar:
        for number, row in enumerate(rows):
            if len(trials) == arguments.edits:
                break
            words = rows[(number + 7) % len(rows)]["text"].split()
            new = " ".join(words[2 : 4 + number % 3])
            recording = load_recording(arguments.manifest.parent / row["audio"])
            samples: Samples = resample(recording.samples, recording.sample_rate, RATE)
            try:
                voice = model.enroll((samples, RATE), name=f"V{number}", attest=ATTESTATION)
                transcript = model.align(samples, row["text"])
                middle = len(transcript.words) // 2
                change = Change(middle, middle + 2 + number % 3, new)
                edited = edit_recording(model, (samples, RATE), transcript, [change], voice)
            except Error as error:
                refused.append(str(error))
                continue
            text, (place,) = apply_changes(transcript, [change])
            plain = model.speak(text, voice)
            (span,) = edited.spans
            start, end = (round(second * RATE) for second in span.now)
            mono = edited.samples[:, 0]
            tail = len(mono) - end
            exact += np.array_equal(mono[:start], samples[:start]) and np.array_equal(
                mono[end:], samples[len(samples) - tail :]
            )
            rest = np.concatenate([mono[:start], mono[end:]])
            old = slice(*(round(second * RATE) for second in span.was))
            old_rest = np.concatenate([samples[: old.start], samples[old.stop :]])
            half = len(samples) // 2
            coded = model.codec.decode(model.codec.encode(samples))
            embed = encoder.embed
            trials.append(
                {
                    "edited": count_errors(text, place, whisper.transcribe(mono)),
                    "plain": count_errors(text, place, whisper.transcribe(plain.audio)),
                    "span_similarity": float(embed(mono[start:end]) @ embed(rest)),
                    "old_words_similarity": float(embed(samples[old]) @ embed(old_rest)),
                    "codec_similarity": float(embed(coded[old]) @ embed(old_rest)),
                    "halves_similarity": float(embed(samples[:half]) @ embed(samples[half:])),
                    "jumps": measure_jumps(edited),
                }
            )
            bar.update()
    figures = {"edits": len(trials), "bit_exact": exact, "refused": refused} | summarize(trials)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
