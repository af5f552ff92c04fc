"""The command `valle evaluate`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from valle.audio import save_audio
from valle.errors import OutputError, UsageError
from valle.evaluation import quick
from valle.evaluation.material import (
    CHOICES,
    PER_SPEAKER,
    PROMPT_SECONDS,
    Samples,
    draw_sentences,
    read_speakers,
)
from valle.evaluation.metrics import JUDGE_RATE, SentenceChooser
from valle.evaluation.report import report, table, write_json
from valle.files import check_target
from valle.synthesis import load


def evaluate_arguments(parent: argparse.ArgumentParser) -> None:
    """The options of `valle evaluate`, one set for each protocol."""
    protocols = parent.add_subparsers(
        dest="protocol", required=True, metavar="PROTOCOL", parser_class=type(parent)
    )
    words = "held-out speakers say new sentences after 3 s of their voice"
    parser = protocols.add_parser("quick", help=words, description=words, allow_abbrev=False)
    shared = Path("../shared")
    parser.add_argument("--bundle", help="bundle to evaluate (default: the one in the package)")
    parser.add_argument("--manifest", type=Path, default=shared / "speech" / "manifest.jsonl")
    parser.add_argument("--heldout", type=Path, default=shared / "heldout.txt")
    parser.add_argument("--text", type=Path, default=shared / "text" / "sentences.tsv")
    parser.add_argument("--speakers", type=int, help="only this many speakers (default: all)")
    parser.add_argument(
        "--sentences",
        type=int,
        default=PER_SPEAKER,
        help=f"of each speaker, 1 to {PER_SPEAKER} (default: {PER_SPEAKER})",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first clip (default: 0)")
    parser.add_argument("--threads", type=int, help="of the model (default: all processors)")
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="keep what was made here")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/quick.json"))
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def evaluate(arguments: argparse.Namespace) -> None:
    """`valle evaluate quick`: print the table, write the JSON.

    Raises:
        UsageError: a file or a package is missing, or a limit is out of range.
        OutputError: the JSON or a clip cannot be written.
    """
    if not 1 <= arguments.sentences <= PER_SPEAKER:
        raise UsageError(f"--sentences must be 1 to {PER_SPEAKER}, not {arguments.sentences}")
    begun = time.perf_counter()
    chooser = SentenceChooser()
    speakers = read_speakers(arguments.manifest, arguments.heldout, chooser)
    wanted = len(speakers) if arguments.speakers is None else arguments.speakers
    if not 1 <= wanted <= len(speakers):
        raise UsageError(f"--speakers must be 1 to {len(speakers)}, not {wanted}")
    sentences = draw_sentences(arguments.text, arguments.manifest, chooser)
    model = load(arguments.bundle, threads=arguments.threads)
    # Before the work, so that a wrong path does not cost an hour.
    _make_folder(arguments.output.parent)
    check_target(arguments.output)
    clips = quick.evaluate(
        model,
        speakers,
        sentences,
        chooser,
        limit_speakers=wanted,
        limit_sentences=arguments.sentences,
        seed=arguments.seed,
        keep=_keeper(arguments.clips),
        quiet=arguments.quiet,
    )
    config = model.bundle.config
    result = report(
        clips,
        bundle=config.name,
        graphs={name: graph.sha256 for name, graph in config.graphs.items()},
        seed=arguments.seed,
        prompt_seconds=PROMPT_SECONDS,
        choices=CHOICES,
        sentences=sentences,
        seconds=round(time.perf_counter() - begun, 1),
    )
    write_json(arguments.output, result)
    print(table(clips))


def _keeper(folder: Path | None) -> Callable[[str, Samples], None]:
    """What writes kept clips as FOLDER/NAME.wav; without a folder, nothing is kept."""

    def keep(name: str, samples: Samples) -> None:
        if folder is not None:
            target = folder / f"{name}.wav"
            _make_folder(target.parent)
            save_audio(target, samples, JUDGE_RATE)

    return keep


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
