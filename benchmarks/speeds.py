"""What another speed costs: words by Whisper, and phonemes by the bundle's own recognizer.

Each sentence is spoken at its usual speed and at others, and the usual one is also stretched to
these by WSOLA (FFmpeg's atempo), which keeps every sound: what the stretched speech loses is lost
by the recognizers alone. Prints JSON. Needs the extras `eval` and `media`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

import valle
from valle.arrays import Samples
from valle.evaluation.material import read_names, rows_by_speaker
from valle.evaluation.metrics.whisper import WhisperTranscriber
from valle.evaluation.metrics.word_errors import WordErrorCounter
from valle.files import temporary_data_folder
from valle.runtime.recognizer import PhonemeRecognizer
from valle.text.segmentation import Sentence, split_sentences
from valle.trust.attestation import ATTESTATION

SPEEDS = (0.8, 1.25)
_SHORTEST_PROMPT = 5.0  # seconds
_LENGTHS = range(35, 75)  # characters of a sentence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, action="append", required=True)
    parser.add_argument("--heldout", type=Path, action="append", required=True)
    parser.add_argument("--text", type=Path, required=True, help="lines of source, tab, sentence")
    parser.add_argument("--whisper", type=Path, required=True, help="a faster-whisper folder")
    parser.add_argument("--voices", type=int, default=4)
    parser.add_argument("--sentences", type=int, default=5, help="per voice")
    arguments = parser.parse_args()
    whisper, counter = WhisperTranscriber(arguments.whisper), WordErrorCounter()
    model = valle.load()
    recognizer = PhonemeRecognizer(model.bundle)
    totals: dict[str, dict[str, float]] = {}
    with temporary_data_folder():
        for sentence, clips in _synthesize(model, arguments):
            for name, samples in clips.items():
                errors = counter.count(sentence.text, whisper.transcribe(samples))
                total = totals.setdefault(name, dict.fromkeys(("words", "edits", "wrong", "of"), 0))
                total["words"] += errors.words
                total["edits"] += errors.word_edits
                total["wrong"] += _count_wrong_phonemes(recognizer, sentence, samples)
                total["of"] += len(sentence.phonemes)
    rows = {
        name: {
            "words": total["words"],
            "word_error_rate": round(total["edits"] / total["words"], 3),
            "phoneme_error_rate": round(total["wrong"] / total["of"], 3),
        }
        for name, total in totals.items()
    }
    print(json.dumps(rows, indent=1))


def _synthesize(
    model: valle.Model, arguments: argparse.Namespace
) -> Iterator[tuple[Sentence, dict[str, Samples]]]:
    """Yield each sentence with its clips at the bundle's sample rate, by name."""
    sentences = _read_sentences(arguments.text)
    rows = rows_by_speaker(arguments.manifest, read_names(arguments.heldout))
    prompts = [
        next((row["audio"] for row in recordings if row["seconds"] >= _SHORTEST_PROMPT), None)
        for recordings in rows.values()
    ]
    for prompt in [prompt for prompt in prompts if prompt is not None][: arguments.voices]:
        voice = model.enroll(prompt, attest=ATTESTATION)
        for seed in range(arguments.sentences):
            sentence = next(sentences)
            usual = model.speak(sentence.text, voice, seed=seed, retries=0).audio
            clips = {"usual": usual}
            for speed in SPEEDS:
                spoken = model.speak(sentence.text, voice, seed=seed, speed=speed, retries=0)
                clips[f"spoken at {speed}"] = spoken.audio
                clips[f"stretched to {speed}"] = stretch(usual, model.sample_rate, speed)
            print(sentence.text, file=sys.stderr, flush=True)
            yield sentence, clips


def _read_sentences(path: Path) -> Iterator[Sentence]:
    """Yield the sentences of a file that have plain words and a usual length."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.rpartition("\t")[2]
        if len(text) in _LENGTHS and text[-1] in ".?" and text[:-1].replace(" ", "").isalpha():
            yield split_sentences(text)[0][0]


def _count_wrong_phonemes(
    recognizer: PhonemeRecognizer, sentence: Sentence, samples: Samples
) -> float:
    words = [sentence.words[p.word].text if p.word >= 0 else "" for p in sentence.phonemes]
    check = recognizer.check(samples, [p.symbol for p in sentence.phonemes], words)
    return check.phoneme_error_rate * len(sentence.phonemes)


def stretch(samples: Samples, sample_rate: int, speed: float) -> Samples:
    """Change the speed of [N] samples by WSOLA, without a change of pitch."""
    graph = av.filter.Graph()
    nodes = [
        graph.add_abuffer(
            sample_rate=sample_rate, format="flt", layout="mono", time_base=Fraction(1, sample_rate)
        ),
        graph.add("atempo", str(speed)),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "flt", "mono")
    frame.sample_rate = sample_rate
    nodes[0].push(frame)
    nodes[0].push(None)
    stretched = []
    while True:
        try:
            stretched.append(nodes[-1].pull().to_ndarray().reshape(-1))
        except (av.error.EOFError, av.error.BlockingIOError):
            return np.concatenate(stretched).astype(np.float32)


if __name__ == "__main__":
    main()
