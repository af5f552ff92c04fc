"""Comparison of codecs in short trainings: frame rates, numbers of codebooks, a phoneme loss.

    python benchmarks/codec_choices.py --data data/speech

For each choice, a codec is trained with spectral losses alone, a small AR on its first codebook
(conditioned on phonemes and their times), and a probe that classifies phonemes from that codebook;
all on the same speech for the same number of steps, and tested on held-out speakers. The figures
show the quality of the audio, how well the AR predicts the codes, and how often the codes it
samples are classified as the right phonemes. Prints JSON.

The models read their frame length when they are imported, so each choice runs in its own process,
forked from one that has imported what they have in common.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

SAMPLE_RATE = 16_000
# Importing these takes longer than a short training. What is not installed is passed over here.
_PRELOADED = ["torch._dynamo", "resemblyzer", "librosa.core.audio", "librosa.feature.spectral"]


@dataclass(frozen=True)
class Choice:
    """A codec: samples per frame, samples per feature vector, codebooks, and the weight of a loss
    that classifies phonemes from the first codebook."""

    hop: int
    step: int
    codebooks: int
    phoneme_loss: float = 0.0


# All at about 4 kbit/s except the last two.
CHOICES = {
    "25 Hz": Choice(640, 160, 16),
    "37.5 Hz": Choice(424, 212, 11),
    "50 Hz": Choice(320, 160, 8),
    "75 Hz": Choice(212, 212, 5),
    "50 Hz, phoneme loss": Choice(320, 160, 8, 0.3),
    "50 Hz, 4 codebooks": Choice(320, 160, 4),
    "50 Hz, 16 codebooks": Choice(320, 160, 16),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a labeled store of recordings")
    parser.add_argument("--only", choices=CHOICES, action="append", help="(default: all)")
    parser.add_argument("--codec-steps", type=int, default=1200)
    parser.add_argument("--ar-steps", type=int, default=800)
    parser.add_argument("--hours", type=float, default=3.0, help="of speech, for AR and probe (3)")
    parser.add_argument("--test", type=int, default=24, help="utterances to test on (24)")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    processes = get_context("forkserver")
    processes.set_forkserver_preload(_PRELOADED)
    results = {}
    for name in arguments.only or CHOICES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with ProcessPoolExecutor(1, mp_context=processes) as pool:
            results[name] = pool.submit(measure, CHOICES[name], arguments).result()
        print(json.dumps({name: results[name]}), file=sys.stderr, flush=True)
    print(json.dumps(results, indent=1))


def measure(choice: Choice, arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures of one choice."""
    from valle import audio_format

    # Models read the hop when they are imported; corpora keep their own.
    label_hop, audio_format.HOP = audio_format.HOP, choice.hop
    from valle.training.models import features

    features._STEP = choice.step
    features.FEATURES = features.MELS * (choice.hop // choice.step)
    import valle.training.models.codec  # noqa: F401  # with these values

    audio_format.HOP = label_hop
    import torch

    import codec_trial

    plan = codec_trial.Plan(
        hop=choice.hop,
        codebooks=choice.codebooks,
        phoneme_loss=choice.phoneme_loss,
        codec_steps=arguments.codec_steps,
        ar_steps=arguments.ar_steps,
        hours=arguments.hours,
        test=arguments.test,
    )
    torch.set_num_threads(arguments.threads)
    figures = codec_trial.run(arguments.data, plan)
    rate = SAMPLE_RATE / choice.hop
    return asdict(choice) | {"kilobits": rate * choice.codebooks * 10 / 1000} | figures


if __name__ == "__main__":
    main()
