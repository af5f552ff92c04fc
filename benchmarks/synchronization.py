"""How well `valle sync` keeps the times of words, on recordings whose word times are known.

    python benchmarks/synchronization.py words.jsonl [--whisper FOLDER] [--clips 60]

`words.jsonl` has a line for each recording: `{"audio": PATH, "words": [[WORD, START, END], ...]}`,
paths relative to it and times in seconds, as the recording's own corpus states them. Recordings are
joined in groups of ten, as films have many lines. Printed are seconds of difference between the
beginning of each word and its stated one: of the alignment; of the new speech by its pointer; of
the new speech as our recognizer hears it; and, with `--whisper`, as Whisper hears it, which is
nobody's training or choice here. Whisper's own differences on the original recordings stand beside
them: they are how exact its times are at all.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import valle
from valle.audio.whole_recording import read_mono
from valle.files import temporary_data_folder
from valle.text.edit_distance import align

GROUP = 10
EXAMPLE = Path(__file__).parents[1] / "examples" / "voice.wav"
Word = tuple[str, float]


def read_groups(manifest: Path, clips: int, rate: int) -> list[tuple[np.ndarray, str, list[Word]]]:
    """Return samples, script and the stated beginnings of words of each group."""
    rows = [json.loads(line) for line in manifest.read_text().splitlines()][:clips]
    groups = []
    for first in range(0, len(rows), GROUP):
        parts, sentences, words, seconds = [], [], [], 0.0
        for row in rows[first : first + GROUP]:
            samples = read_mono(manifest.parent / row["audio"], rate)
            parts.append(samples)
            spelled = [word for word, _, _ in row["words"]]
            sentences.append(_write_sentence(spelled))
            words += [(word.lower(), seconds + start) for word, start, _ in row["words"]]
            seconds += len(samples) / rate
        groups.append((np.concatenate(parts), " ".join(sentences), words))
    return groups


def _write_sentence(words: list[str]) -> str:
    """A sentence with a capital at its beginning; letters that are spelled stay capitals."""
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]]) + "."


def hear_words(whisper: Any, samples: np.ndarray) -> list[Word]:
    """Words and their beginnings by Whisper."""
    segments, _ = whisper.transcribe(samples, language="en", word_timestamps=True)
    return [
        (word.word.strip(" .,!?-").lower(), word.start)
        for segment in segments
        for word in segment.words
    ]


def compare(stated: list[Word], heard: list[Word]) -> list[float]:
    """Differences of the words that were heard as they are stated."""
    pairs = align([word for word, _ in stated], [word for word, _ in heard])
    return [
        heard[j][1] - stated[i][1]
        for i, j in pairs
        if i >= 0 and j >= 0 and stated[i][0] == heard[j][0]
    ]


def summarize(differences: list[float], stated: int) -> dict[str, float]:
    late = np.abs(differences)
    return {
        "words": len(differences),
        "of": stated,
        "bias": round(float(np.median(differences)), 3),
        "median": round(float(np.median(late)), 3),
        "p90": round(float(np.percentile(late, 90)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--whisper", type=Path)
    parser.add_argument("--clips", type=int, default=60)
    arguments = parser.parse_args()
    model = valle.load(threads=1)
    whisper = None
    if arguments.whisper is not None:
        from faster_whisper import WhisperModel

        whisper = WhisperModel(str(arguments.whisper), device="cpu", compute_type="int8")
    differences: dict[str, list[float]] = {}
    stated_words = 0
    error_rates = []
    with temporary_data_folder():
        voice = model.enroll(EXAMPLE, name="Ada", attest="I hold the rights to this voice")
        for samples, text, stated in read_groups(
            arguments.manifest, arguments.clips, model.sample_rate
        ):
            stated_words += len(stated)
            transcript = model.align(samples, text)
            speech = valle.Speech.join(model.stream_timed(transcript, voice))
            again = model.align(speech.audio, text)
            assert speech.check is not None
            error_rates.append(speech.check.phoneme_error_rate)
            found = {
                "alignment": [(w.text.lower(), w.start) for w in transcript.words if w.start],
                "new_speech_by_pointer": [(w.word.lower(), w.start) for w in speech.words],
                "new_speech_by_recognizer": [
                    (w.text.lower(), w.start) for w in again.words if w.start is not None
                ],
            }
            if whisper is not None:
                found["original_by_whisper"] = hear_words(whisper, samples)
                found["new_speech_by_whisper"] = hear_words(whisper, speech.audio)
            for name, words in found.items():
                differences.setdefault(name, []).extend(compare(stated, words))
    report: dict[str, Any] = {
        name: summarize(values, stated_words) for name, values in differences.items()
    }
    report["phoneme_error_rate"] = round(float(np.mean(error_rates)), 3)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
