"""`valle export` and `valle import`: trained models to a bundle, and back."""

from __future__ import annotations

import argparse

from valle.bundle.adapter import Adapter
from valle.bundle.bundle import Bundle
from valle.cli.arguments import BUNDLE, add_runs, nonempty, path
from valle.consent.as_norm import GRAPH as COHORT
from valle.errors import UsageError
from valle.training.export.bundle import DEFAULT_PRESET, PRESETS, ExportOptions, export_runs
from valle.training.export.import_bundle import import_bundle


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle export FOLDER`."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="where to write the bundle")
    add_runs(parser, "folder of the trained models")
    parser.add_argument(
        "--name",
        type=nonempty,
        metavar="NAME",
        help="name of the bundle (default: the folder's name)",
    )
    parser.add_argument(
        "--card", type=path, metavar="FILE", help="model card to include in the bundle"
    )
    parser.add_argument(
        "--precision",
        choices=PRESETS,
        default=DEFAULT_PRESET,
        help="fp32; fp16 for GPUs; int8-weights stores weights in 8 bits, computing in fp32; w8a8 "
        "also multiplies 8-bit integers; w4a8 stores the AR's weights in 4 bits, for large models "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--adapter",
        type=path,
        metavar="FILE",
        help="merge an adapter of valle train adapt into the models, as valle import wrote them",
    )


def export(arguments: argparse.Namespace) -> None:
    """Write the trained models as a bundle.

    Raises:
        UsageError: a model is missing, or the card cannot be read.
        OutputError: the bundle cannot be written.
    """
    name = arguments.name or arguments.folder.resolve().name
    card = None
    if arguments.card is not None:
        try:
            card = arguments.card.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--card {arguments.card} cannot be read: {error}") from error
    adapter = None if arguments.adapter is None else Adapter.load(arguments.adapter)
    options = ExportOptions(arguments.precision, card, adapter)
    export_runs(arguments.runs, arguments.folder, name, options)
    size = sum(file.stat().st_size for file in arguments.folder.iterdir())
    print(f"{arguments.folder}: {size / 2**20:.1f} MiB")
    if COHORT not in Bundle.load(arguments.folder).config.graphs:
        print(f"it has no impostor cohort; `valle cohort {arguments.folder}` adds one")


def import_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle import [BUNDLE]`."""
    parser.add_argument(
        "bundle",
        nargs="?",
        type=nonempty,
        metavar=BUNDLE,
        help="the bundle to unpack (default: the built-in one)",
    )
    add_runs(parser, "folder to write the models to, and to continue training in")


def import_(arguments: argparse.Namespace) -> None:
    """Write a bundle's models as training runs.

    Raises:
        UsageError: a run is already there, or cannot be made from this bundle.
        BundleError: the bundle cannot be read.
    """
    stages = import_bundle(Bundle.load(arguments.bundle), arguments.runs)
    print(f"{arguments.runs}: {', '.join(stages)}")
