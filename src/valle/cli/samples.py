"""`valle samples`: a page of samples that opens from disk."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from valle.cli.arguments import (
    Integer,
    add_bundle,
    add_count,
    add_quiet,
    add_seed,
    add_threads,
    nonempty,
    path,
)
from valle.cli.console import note
from valle.cli.evaluate_items import add_items, add_systems, name_systems, read_items
from valle.cli.evaluate_speech import add_whisper, load_whisper
from valle.consent.issuing import GivenConsent, check_given
from valle.errors import UsageError
from valle.evaluation.evaluator import phoneme_errors_by
from valle.evaluation.item_clips import ItemSpeaker, check_systems
from valle.evaluation.items import select_items
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.samples.clips import (
    SampleMaker,
    SampleMetrics,
    SampleSettings,
    select_worst,
)
from valle.evaluation.samples.page import PageText, check_page_folder, write_page
from valle.runtime.recognizer import PhonemeRecognizer
from valle.styles import parse_style
from valle.synthesis.model import load
from valle.trust.attestation import ATTESTATION

_INTRODUCTION = (
    "Each text with the recording that was cloned, the ground truth where there is one, the same "
    "through the codec, and the speech from text. These are the first results of their seeds, not "
    "a selection."
)
_INTRODUCTION_WORST = (
    "The clips with the most wrong words, the worst first, beside the recordings they are compared "
    "with."
)


def samples_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle samples`."""
    add_items(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=path,
        default=Path("samples"),
        metavar="FOLDER",
        help="where to write the page, index.html and its clips (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="replace a page that is there")
    add_count(parser, "--seeds", 2, "clips of every text, each with a seed of its own")
    add_seed(parser, "the first seed")
    parser.add_argument(
        "--items", type=Integer(1), metavar="N", help="only N of the texts (default: all)"
    )
    parser.add_argument(
        "--worst", type=Integer(1), metavar="N", help="show only the N clips with the most errors"
    )
    parser.add_argument(
        "--edit",
        nargs=2,
        type=nonempty,
        action="append",
        default=[],
        metavar=("OLD", "NEW"),
        help="show recordings that say OLD edited to say NEW; may be given several times",
    )
    parser.add_argument(
        "--style",
        type=_check_style,
        action="append",
        default=[],
        metavar="STYLE",
        help="say every text in a style too, such as sad or 'low, soft'; may be given several "
        "times",
    )
    add_systems(parser)
    add_whisper(parser)
    parser.add_argument("--title", type=nonempty, default="Samples", help="of the page")
    parser.add_argument(
        "--attest", metavar="WORDS", help=f'your statement of your rights: "{ATTESTATION}"'
    )
    add_bundle(parser)
    add_threads(parser)
    add_quiet(parser)


def _check_style(text: str) -> str:
    try:
        parse_style(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def samples(arguments: argparse.Namespace) -> None:
    """Make a page of samples.

    Raises:
        UsageError: the list, a package or a value is wrong.
        RecordingError: a recording cannot be used.
        ConsentError: the rights to the voices were not stated.
        OutputError: the page cannot be written.
    """
    check_given(GivenConsent(arguments.attest))
    check_page_folder(arguments.output, arguments.force)
    items = select_items(read_items(arguments), arguments.items)
    settings = SampleSettings(
        seeds=tuple(range(arguments.seed, arguments.seed + arguments.seeds)),
        systems=name_systems(arguments.system),
        styles=arguments.style,
        edits=[(old, new) for old, new in arguments.edit],
    )
    check_systems(settings.systems, items)
    transcriber = load_whisper(arguments)
    model = load(arguments.bundle, threads=arguments.threads)
    errors = phoneme_errors_by(PhonemeRecognizer(model.bundle), model.sample_rate)
    metrics = SampleMetrics(ResemblyzerEncoder(), errors, transcriber)
    maker = SampleMaker(ItemSpeaker(model, arguments.attest), metrics, settings)
    bar = tqdm(items, desc="samples", unit="text", disable=arguments.quiet or None, file=sys.stderr)
    groups = [list(maker.make(item)) for item in bar]
    introduction = _INTRODUCTION
    if arguments.worst:
        groups = select_worst(groups, arguments.worst)
        introduction = _INTRODUCTION_WORST
    page = write_page(
        arguments.output, groups, PageText(arguments.title, introduction), arguments.force
    )
    note(arguments, f"{page}: {len(groups)} texts; open it in a browser")
