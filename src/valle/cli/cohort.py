"""`valle cohort`: adds the impostor cohort that consent checks normalize speaker scores with.

Needs no PyTorch: the bundle's own speaker encoder embeds the recordings.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.audio.recording import resample
from valle.bundle.bundle import Bundle
from valle.bundle.writer import add_graph
from valle.cli.arguments import (
    Integer,
    add_heldout,
    add_manifest,
    add_quiet,
    add_threads,
    path,
)
from valle.consent.as_norm import GRAPH
from valle.corpora.recordings import (
    find_part,
    load_recording_part,
    read_heldout,
    read_manifest,
)
from valle.errors import RecordingError, UsageError
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.training.export.cohort import NEAREST, build_cohort_graph

_MIN_SPEAKERS = 3 * NEAREST
_MIN_PER_SPEAKER = 2  # the covariance within speakers needs two


def cohort_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle cohort BUNDLE`."""
    parser.add_argument(
        "bundle", type=path, metavar="BUNDLE", help="folder of the bundle to add the cohort to"
    )
    add_manifest(parser)
    add_heldout(parser)
    parser.add_argument(
        "--per-speaker",
        type=Integer(_MIN_PER_SPEAKER),
        default=4,
        metavar="N",
        help="how many recordings of each speaker to use, the longest ones (default: %(default)s)",
    )
    add_threads(parser)
    add_quiet(parser, "show no progress bar")


def cohort(arguments: argparse.Namespace) -> None:
    """Compute the cohort's graph and rewrite the bundle with it.

    Raises:
        UsageError: the manifest cannot be read, or has too few speakers.
        BundleError: the bundle cannot be read.
        OutputError: the bundle cannot be written.
    """
    bundle = Bundle.load(arguments.bundle, arguments.threads)
    recordings = _choose_recordings(
        arguments.manifest, read_heldout(arguments.heldout), arguments.per_speaker
    )
    if len(recordings) < _MIN_SPEAKERS:
        raise UsageError(
            f"a cohort needs {_MIN_SPEAKERS} speakers; {arguments.manifest} has {len(recordings)}"
        )
    speakers = {}
    for name, rows in tqdm(recordings.items(), unit="speaker", disable=arguments.quiet or None):
        if embeddings := list(_embed(bundle, arguments.manifest.parent, rows)):
            speakers[name] = np.stack(embeddings)
    if len(speakers) < _MIN_SPEAKERS or all(len(rows) < 2 for rows in speakers.values()):
        raise UsageError(
            f"a cohort needs {_MIN_SPEAKERS} speakers, and two recordings of some of them; "
            f"{len(speakers)} speakers of {arguments.manifest} have recordings with enough sound"
        )
    try:
        graph = build_cohort_graph(speakers)
    except np.linalg.LinAlgError as error:
        raise UsageError(
            f"the recordings of each speaker in {arguments.manifest} are copies of each other, "
            "which do not show how a voice varies; give other recordings"
        ) from error
    add_graph(bundle, GRAPH, graph)
    print(f"{bundle.folder}: a cohort of {len(speakers)} speakers")


def _choose_recordings(
    manifest: Path, heldout: frozenset[str], per_speaker: int
) -> dict[str, list[dict[str, Any]]]:
    """The rows of the longest recordings of every speaker of a manifest who is not held out."""
    by_speaker: dict[str, list[dict[str, Any]]] = {}
    for row in read_manifest(manifest):
        if row["speaker"] not in heldout:
            by_speaker.setdefault(row["speaker"], []).append(row)
    return {
        name: sorted(rows, key=lambda row: (-row["seconds"], row["audio"]))[:per_speaker]
        for name, rows in by_speaker.items()
    }


def _embed(
    bundle: Bundle, folder: Path, rows: Sequence[dict[str, Any]]
) -> Iterator[NDArray[np.float32]]:
    """Embed the recordings of rows of a manifest, whose paths are relative to its folder."""
    for row in rows:
        with contextlib.suppress(RecordingError):  # too little sound for an embedding
            recording = load_recording_part(folder / row["audio"], find_part(row))
            samples = resample(recording.samples, recording.sample_rate, bundle.config.sample_rate)
            yield SpeakerEncoder(bundle).embed(samples)
