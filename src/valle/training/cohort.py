"""`valle cohort`: adds to a bundle the speakers that its check of voices compares with.

Needs no PyTorch: the bundle's own speaker encoder listens to recordings.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tqdm import tqdm

from valle.audio import load_recording, resample
from valle.bundle import Bundle, NewGraph, write_bundle
from valle.corpora.recordings import read_heldout, read_manifest
from valle.errors import BundleError, RecordingError, UsageError
from valle.safety.cohort import GRAPH
from valle.speaker import SpeakerEncoder

NEAREST = 10  # speakers of the cohort that a recording is compared with
_FEWEST = 3 * NEAREST  # speakers
_SMOOTHING = 0.1  # of the mean variance, added to each: the covariance is of few speakers
_DOCUMENTS = (".md", ".txt")  # endings of the files that are kept beside the graphs
_OPSET, _IR_VERSION = 17, 8

Floats = NDArray[np.floating[Any]]


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


def kept_cohort(folder: Path, speaker: NewGraph) -> dict[str, NewGraph]:
    """The cohort of the bundle in `folder`; none without one, or if its speaker encoder differs."""
    with contextlib.suppress(BundleError):
        old = Bundle.load(folder)
        if GRAPH in old.config.graphs and old.read_graph("speaker") == speaker.model:
            return {GRAPH: NewGraph(old.read_graph(GRAPH), old.config.graphs[GRAPH].precision)}
    return {}


def cohort_graph(speakers: Mapping[str, Floats]) -> NewGraph:
    """The graph of `valle.safety.cohort` from embeddings [n, 192] of each speaker.

    embedding [N, 192] -> turned [N, 192], of unit length, mean [N] and spread [N] of its products
    with those of the `NEAREST` speakers, and near [N], the mean cosine to these before turning.
    """
    means = _unit(np.stack([own.mean(axis=0) for own in speakers.values()]))
    centre = means.mean(axis=0)
    parts = [own - own.mean(axis=0) for own in speakers.values() if len(own) > 1]
    within = np.mean([part.T @ part / (len(part) - 1) for part in parts], axis=0)
    size = len(within)
    within += _SMOOTHING * np.trace(within) / size * np.eye(size)
    turn = np.linalg.cholesky(np.linalg.inv(within))
    # Only the direction counts, and half precision has little room upwards.
    weights = {"speakers": means, "centre": centre, "turn": turn / np.abs(turn).max()}
    nodes = []

    def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **more: Any) -> str:
        nodes.append(helper.make_node(operator, list(inputs), list(outputs), **more))
        return outputs[0]

    def turned(name: str, output: str) -> str:
        moved = node("Sub", [name, "centre"], [f"{name}_moved"])
        product = node("MatMul", [moved, "turn"], [f"{name}_product"])
        length = node("ReduceL2", [product], [f"{name}_length"], axes=[-1], keepdims=1)
        return node("Div", [product, length], [output])

    def nearest(one: str, all_: str, what: str) -> str:
        across = node("Transpose", [all_], [f"{what}_across"], perm=[1, 0])
        products = node("MatMul", [one, across], [f"{what}_products"])
        return node("TopK", [products, "count"], [f"{what}_top", f"{what}_index"], axis=-1)

    for name in weights:
        node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)
    own, others = turned("embedding", "turned"), turned("speakers", "speakers_turned")
    top = nearest(own, others, "turned")
    mean = node("ReduceMean", [top], ["means"], axes=[-1], keepdims=1)
    away = node("Sub", [top, mean], ["away"])
    square = node("Mul", [away, away], ["square"])
    variance = node("ReduceMean", [square], ["variance"], axes=[-1], keepdims=0)
    node("Sqrt", [variance], ["spread"])
    node("ReduceMean", [top], ["mean"], axes=[-1], keepdims=0)
    node(
        "ReduceMean",
        [nearest("embedding", "speakers", "plain")],
        ["near"],
        axes=[-1],
        keepdims=0,
    )
    tensors = [
        numpy_helper.from_array(np.asarray(value, np.float16), f"{name}_half")
        for name, value in weights.items()
    ]
    tensors.append(numpy_helper.from_array(np.array([NEAREST], np.int64), "count"))

    def value(name: str, *shape: str | int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))

    graph = helper.make_graph(
        nodes,
        GRAPH,
        [value("embedding", "batch", size)],
        [
            value("turned", "batch", size),
            *(value(name, "batch") for name in ("mean", "spread", "near")),
        ],
        tensors,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="valle",
    )
    return NewGraph(model.SerializeToString(), "fp16")


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))
