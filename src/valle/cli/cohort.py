"""`valle cohort`: adds the impostor cohort that consent checks normalize speaker scores with.

Needs no PyTorch: the bundle's own speaker encoder embeds the recordings.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.audio.recording import load_recording, resample
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
from valle.corpora.recordings import read_heldout, read_manifest
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
    for name, paths in tqdm(recordings.items(), unit="speaker", disable=arguments.quiet or None):
        if embeddings := list(_embed(bundle, paths)):
            speakers[name] = np.stack(embeddings)
    add_graph(bundle, GRAPH, build_cohort_graph(speakers))
    print(f"{bundle.folder}: a cohort of {len(speakers)} speakers")


def _choose_recordings(
    manifest: Path, heldout: frozenset[str], per_speaker: int
) -> dict[str, list[Path]]:
    """The longest recordings of every speaker of a manifest who is not held out."""
    by_speaker: dict[str, list[tuple[float, str]]] = {}
    for row in read_manifest(manifest):
        if row["speaker"] not in heldout:
            by_speaker.setdefault(row["speaker"], []).append((-row["seconds"], row["audio"]))
    return {
        name: [manifest.parent / audio for _, audio in sorted(recordings)[:per_speaker]]
        for name, recordings in by_speaker.items()
    }


def _embed(bundle: Bundle, paths: Sequence[Path]) -> Iterator[NDArray[np.float32]]:
    for audio in paths:
        with contextlib.suppress(RecordingError):  # too little sound for an embedding
            recording = load_recording(audio)
            samples = resample(recording.samples, recording.sample_rate, bundle.config.sample_rate)
            yield SpeakerEncoder(bundle).embed(samples)
