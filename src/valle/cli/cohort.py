"""`valle cohort`: adds to a bundle the speakers that its check of voices compares with.

Needs no PyTorch: the bundle's own speaker encoder listens to recordings.
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
from valle.bundle.writer import NewGraph, write_bundle
from valle.consent.as_norm import GRAPH
from valle.corpora.recordings import read_heldout, read_manifest
from valle.errors import RecordingError, UsageError
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.training.export.cohort import NEAREST, cohort_graph

_FEWEST = 3 * NEAREST  # speakers
_DOCUMENTS = (".md", ".txt")  # endings of the files that are kept beside the graphs


def cohort_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `valle cohort BUNDLE`."""
    shared = Path("../shared")
    parser.add_argument("bundle", type=Path, help="the folder that it is put into")
    parser.add_argument("--manifest", type=Path, default=shared / "speech" / "manifest.jsonl")
    parser.add_argument("--heldout", type=Path, help="a list of speakers to leave out")
    parser.add_argument(
        "--each", type=int, default=4, help="recordings of a speaker, the longest (%(default)s)"
    )
    parser.add_argument("--threads", type=int, help="of the model (default: all processors)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def cohort(arguments: argparse.Namespace) -> None:
    """Make the cohort's graph and write the bundle anew with it."""
    if arguments.each < 2:
        raise UsageError(f"--each must be 2 or more, not {arguments.each}")
    bundle = Bundle.load(arguments.bundle, arguments.threads)
    chosen = _chosen(arguments.manifest, read_heldout(arguments.heldout), arguments.each)
    if len(chosen) < _FEWEST:
        raise UsageError(f"a cohort needs {_FEWEST} speakers; {arguments.manifest} has fewer")
    with tqdm(total=len(chosen), unit="speaker", disable=arguments.quiet or None) as bar:
        speakers = {}
        for name, paths in chosen.items():
            if voices := list(_voices(bundle, paths)):
                speakers[name] = np.stack(voices)
            bar.update()
    graphs = {
        name: NewGraph(bundle.read_graph(name), graph.precision)
        for name, graph in bundle.config.graphs.items()
    }
    graphs[GRAPH] = cohort_graph(speakers)
    documents = {
        file.name: file.read_text(encoding="utf-8")
        for file in bundle.folder.iterdir()
        if file.suffix in _DOCUMENTS
    }
    write_bundle(bundle.folder, bundle.config, graphs, documents)
    print(f"{bundle.folder}: a cohort of {len(speakers)} speakers")


def _chosen(manifest: Path, heldout: frozenset[str], each: int) -> dict[str, list[Path]]:
    rows: dict[str, list[tuple[float, str]]] = {}
    for row in read_manifest(manifest):
        if row["speaker"] not in heldout:
            rows.setdefault(row["speaker"], []).append((-row["seconds"], row["audio"]))
    return {
        name: [manifest.parent / audio for _, audio in sorted(own)[:each]]
        for name, own in rows.items()
    }


def _voices(bundle: Bundle, paths: Sequence[Path]) -> Iterator[NDArray[np.float32]]:
    for path in paths:
        with contextlib.suppress(RecordingError):  # too little sound to tell a voice from
            read = load_recording(path)
            samples = resample(read.samples, read.sample_rate, bundle.config.sample_rate)
            yield SpeakerEncoder(bundle).embed(samples)
