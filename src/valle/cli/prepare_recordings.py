"""`valle prepare manifest|recordings`: from a folder of recordings to a corpus."""

from __future__ import annotations

import argparse

from valle.cli.arguments import add_heldout, add_manifest, add_workers, nonempty, path
from valle.corpora.layouts import LAYOUTS
from valle.corpora.manifest import ManifestOptions, write_manifest
from valle.corpora.recordings import REFUSED, prepare_recordings


def add_output(parser: argparse.ArgumentParser) -> None:
    """The corpus to write."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="where to write the corpus")


def recordings_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle prepare recordings`."""
    add_output(parser)
    add_manifest(parser)
    add_heldout(parser)
    add_workers(parser)


def import_recordings(arguments: argparse.Namespace) -> None:
    """Import the recordings of a manifest, and say what became of them."""
    tally = prepare_recordings(
        arguments.manifest,
        arguments.folder,
        arguments.heldout,
        arguments.workers,
        arguments.quiet,
    )
    print(f"{arguments.folder}: {tally.kept} recordings, {_hours(tally.seconds_kept)}")
    if tally.refused:
        print(
            f"refused: {tally.refused} recordings, {_hours(tally.seconds_refused)}; "
            f"{arguments.folder / REFUSED} has the reasons"
        )


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def manifest_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle prepare manifest`."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="folder of recordings")
    parser.add_argument(
        "manifest", type=path, metavar="FILE.jsonl", help="manifest to write, for the next step"
    )
    parser.add_argument(
        "--layout",
        choices=[layout.name for layout in LAYOUTS],
        help="how the folder is laid out (default: the first that fits)",
    )
    for option, summary in (
        ("corpus", "name of the corpus (default: a published corpus's own, or the folder's)"),
        ("speaker", "who speaks, where the folder does not say (default: the corpus's name)"),
        ("license", "license of the recordings (default: that of a published corpus)"),
    ):
        parser.add_argument(f"--{option}", type=nonempty, metavar="NAME", help=summary)
    add_workers(parser)


def list_recordings(arguments: argparse.Namespace) -> None:
    """Write the manifest of a folder, and say what became of its recordings."""
    options = ManifestOptions(
        arguments.layout,
        arguments.corpus,
        arguments.speaker,
        arguments.license,
        arguments.workers,
        arguments.quiet,
    )
    tally = write_manifest(arguments.folder, arguments.manifest, options)
    print(
        f"{arguments.manifest}: {tally.rows} of {tally.recordings} recordings, "
        f"{_hours(tally.used)} of {_hours(tally.seconds)}; layout {tally.layout}, license "
        f"{tally.license or 'not stated (--license)'}"
    )
    for reason, count in sorted(tally.reasons.items(), key=lambda item: -item[1]):
        print(f"refused: {count} {reason}")
