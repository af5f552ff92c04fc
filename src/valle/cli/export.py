"""`valle export` and `valle import`: trained models to a bundle, and back."""

from __future__ import annotations

import argparse
from pathlib import Path

from valle.bundle.bundle import Bundle
from valle.consent.as_norm import GRAPH as COHORT
from valle.errors import UsageError
from valle.training.export.bundle import PRESETS, export_runs
from valle.training.export.import_bundle import import_bundle


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `valle export FOLDER`."""
    parser.add_argument("folder", type=Path, help="where the bundle goes")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="what was trained")
    parser.add_argument("--name", help="the bundle's name (default: the folder's)")
    parser.add_argument("--card", type=Path, help="model card to keep in the bundle")
    parser.add_argument(
        "--precision",
        choices=PRESETS,
        default="fast8",
        help="fp16 is for graphics cards; int8 stores weights in 8 bits and computes in fp32, "
        "fast8 (default) also multiplies 8-bit integers, fast4 has 4-bit weights in the AR, for "
        "large ones",
    )


def export(arguments: argparse.Namespace) -> None:
    """Write the trained models as a bundle."""
    name = arguments.name or arguments.folder.resolve().name
    card = None
    if arguments.card is not None:
        try:
            card = arguments.card.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--card {arguments.card} cannot be read: {error}") from error
    export_runs(arguments.runs, arguments.folder, name, arguments.precision, card)
    size = sum(file.stat().st_size for file in arguments.folder.iterdir())
    print(f"{arguments.folder}: {size / 2**20:.1f} MiB")
    if COHORT not in Bundle.load(arguments.folder).config.graphs:
        print(
            f"it has no cohort to compare voices beside: `valle cohort {arguments.folder}` adds one"
        )


def import_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `valle import [BUNDLE]`."""
    parser.add_argument(
        "bundle", nargs="?", help="a folder or hf://owner/name (default: the one in the package)"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="where training goes on (default: runs)"
    )


def import_(arguments: argparse.Namespace) -> None:
    """Write a bundle's models as runs."""
    stages = import_bundle(Bundle.load(arguments.bundle), arguments.runs)
    print(f"{arguments.runs}: {', '.join(stages)}")
