"""Which codec? Frame rates, numbers of codebooks and a phoneme loss, compared in short trainings.

    python benchmarks/codec_choices.py --data data/speech

For each choice a codec is trained on spectra alone, a small AR on its first codebook (phonemes and
their times given), and a probe that reads phonemes from that codebook; all on the same speech for
the same number of steps, and judged on speakers that none of them learnt from. The figures say
what a choice does to the sound, how well the AR predicts the codes, and how surely the codes that
it draws are the phonemes asked for. Prints JSON.

The models take their frame length when they are imported, so each choice has its own process.
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


@dataclass(frozen=True)
class Choice:
    """A codec to try: samples a frame, samples between its feature vectors, codebooks, and the
    weight of a loss that asks the first codebook for the phoneme."""

    hop: int
    step: int
    codebooks: int
    phoneme_loss: float = 0.0


# All at about 4 kbit/s but for the last two.
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
    parser.add_argument("--data", type=Path, required=True, help="a labelled store of recordings")
    parser.add_argument("--only", choices=CHOICES, action="append", help="(all)")
    parser.add_argument("--codec-steps", type=int, default=1200)
    parser.add_argument("--ar-steps", type=int, default=800)
    parser.add_argument("--hours", type=float, default=3.0, help="of speech for AR and probe (3)")
    parser.add_argument("--judged", type=int, default=24, help="utterances to judge by (24)")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    results = {}
    for name in arguments.only or CHOICES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            results[name] = pool.submit(found, CHOICES[name], arguments).result()
        print(json.dumps({name: results[name]}), file=sys.stderr, flush=True)
    print(json.dumps(results, indent=1))


def found(choice: Choice, arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures of one choice."""
    from valle.training.models import features

    # Before anything else of valle is imported: models read these when they are.
    features.HOP, features._STEP = choice.hop, choice.step
    features.FEATURES = features.MELS * (choice.hop // choice.step)
    import codec_trial

    figures = codec_trial.try_out(
        arguments.data,
        hop=choice.hop,
        codebooks=choice.codebooks,
        phoneme_loss=choice.phoneme_loss,
        codec_steps=arguments.codec_steps,
        ar_steps=arguments.ar_steps,
        hours=arguments.hours,
        judged=arguments.judged,
        threads=arguments.threads,
    )
    rate = SAMPLE_RATE / choice.hop
    return asdict(choice) | {"kilobits": rate * choice.codebooks * 10 / 1000} | figures


if __name__ == "__main__":
    main()
