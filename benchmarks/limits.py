"""What limits speech from text? Recordings of held-out speakers, with more and more of them made.

    python benchmarks/limits.py --speakers 8 --clips 2

Each recording is judged as it is, through the codec, with its own first codebook and the others by
the NAR (given its phonemes and their times, and a prompt of the speaker), and said anew by AR and
NAR from its text. Beside the judges' figures stands how far the pitch moves (the median clip's
tenth to ninetieth hundredth). What a row loses against the one before is the fault of the model
that came in. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import valle
from valle.arrays import Samples
from valle.audio.recording import resample
from valle.evaluation.material import Original, Speaker, read_speakers
from valle.evaluation.metrics.judges import JUDGE_RATE, SentenceChooser
from valle.evaluation.protocols.naturalness import pitch_range
from valle.evaluation.protocols.style import placed
from valle.evaluation.protocols.zero_shot import ATTESTATION, Panel, phoneme_errors
from valle.evaluation.report import figures
from valle.options import SpeakOptions
from valle.runtime.nar import NAR
from valle.runtime.recognizer import Listener
from valle.synthesis.durations import Slot
from valle.synthesis.generator import Reader, Sayer
from valle.text.phonemes import to_sentences


class Parts:
    """A model taken apart: one voice and text at a time, each part after the other."""

    def __init__(self, model: valle.Model) -> None:
        self.model = model
        self._listener = Listener(model.bundle)
        self._sayer = Sayer(model.bundle, model.codec)
        self._nar = NAR(model.bundle)

    def reader(self, speaker: Speaker) -> Reader:
        voice = self.model.enroll((speaker.prompt, JUDGE_RATE), attest=ATTESTATION)
        return self._sayer.reader(voice)

    def rows(self, reader: Reader, original: Original, seed: int) -> Iterator[tuple[str, Samples]]:
        """What is to be judged, by its name, at the model's rate."""
        codec, voice = self.model.codec, reader.nar.voice
        samples = resample(original.samples(), JUDGE_RATE, self.model.sample_rate)
        yield "recordings", samples
        codes = codec.encode(samples)
        yield "codec", codec.decode(codes)
        found = placed(self._listener, self._sayer, samples, original.text)
        if found is not None:
            symbols, at = found
            columns = codes[:, 0].tolist(), symbols.ids[at].tolist(), symbols.stress[at].tolist()
            refined = list(self._nar.refine(reader.nar, zip(*columns, strict=True)))
            yield "first codebook recorded, NAR", codec.decode(np.concatenate(refined), voice)
        sentences, _ = to_sentences(original.text)
        options = SpeakOptions.of(seed=seed)
        slots = [Slot(self._sayer.task(sentence, reader), 0, None) for sentence in sentences]
        said = [self._sayer.said(reader, slot, options, i) for i, slot in enumerate(slots)]
        yield "AR, NAR", codec.decode(np.concatenate(said), voice)

    def errors(self, samples: Samples, text: str) -> tuple[float, int]:
        return phoneme_errors(self._listener, samples, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", help="(the package's)")
    parser.add_argument("--manifest", type=Path, default=Path("../shared/speech/manifest.jsonl"))
    parser.add_argument("--heldout", type=Path, default=Path("../shared/heldout.txt"))
    parser.add_argument("--speakers", type=int, default=8)
    parser.add_argument("--clips", type=int, default=2, help="of each speaker")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    chooser = SentenceChooser()
    speakers = read_speakers(arguments.manifest, arguments.heldout, chooser, arguments.clips)
    texts = [original.text for speaker in speakers for original in speaker.originals]
    panel = Panel(speakers, chooser, quality=True)
    parts = Parts(valle.load(arguments.bundle, threads=arguments.threads))
    clips = []
    ranges: dict[str, list[float]] = {}
    for speaker in tqdm(speakers[: arguments.speakers], disable=None):
        reader = parts.reader(speaker)
        for seed, original in enumerate(speaker.originals[: arguments.clips]):
            for row, samples in parts.rows(reader, original, seed):
                errors = parts.errors(samples, original.text)
                judged = resample(samples, parts.model.sample_rate, JUDGE_RATE)
                clips.append(panel.judge(row, speaker, original.text, texts, judged, errors))
                spread = pitch_range(judged)
                ranges.setdefault(row, []).append(np.nan if spread is None else spread)
    found: dict[str, dict[str, Any]] = {}
    for row in dict.fromkeys(clip.row for clip in clips):
        own = [clip for clip in clips if clip.row == row]
        known = figures(own).items()
        found[row] = {"clips": len(own)} | {n: asdict(f) for n, f in known if f is not None}
        found[row]["pitch_range_semitones"] = float(np.nanmedian(ranges[row]))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
