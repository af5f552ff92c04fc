"""The impostor cohort of a bundle, as a graph that normalizes speaker scores (AS-norm)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from valle.bundle.bundle import Bundle
from valle.bundle.writer import NewGraph
from valle.consent.as_norm import GRAPH
from valle.errors import BundleError

NEAREST = 10  # impostors with the highest scores, which the normalization uses
_SHRINKAGE = 0.1  # of the mean variance, added to each: the covariance is of few speakers
_OPSET, _IR_VERSION = 17, 8

_Array = NDArray[np.floating[Any]]


def load_matching_cohort(folder: Path, speaker: NewGraph) -> dict[str, NewGraph]:
    """Read the cohort of the bundle in `folder`, if it is of the same speaker encoder.

    Returns:
        The cohort's graph by its name, or nothing.
    """
    with contextlib.suppress(BundleError):
        old = Bundle.load(folder)
        if GRAPH in old.config.graphs and old.read_graph("speaker") == speaker.model:
            return {GRAPH: NewGraph(old.read_graph(GRAPH), old.config.graphs[GRAPH].precision)}
    return {}


def build_cohort_graph(speakers: Mapping[str, _Array]) -> NewGraph:
    """Build the graph of `valle.consent.as_norm` from embeddings [n, 192] of each speaker.

    Embeddings are whitened by the covariance within speakers (WCCN, Hatch et al. 2006). Graph:
    embedding [N, 192] -> turned [N, 192], whitened and of unit length; mean [N] and spread [N], the
    mean and standard deviation of its scores against the `NEAREST` impostors; near [N], the mean
    cosine to the nearest ones before whitening.
    """
    weights = _compute_weights(speakers)
    size = weights["speakers"].shape[1]
    nodes = []

    def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **more: Any) -> str:
        nodes.append(helper.make_node(operator, list(inputs), list(outputs), **more))
        return outputs[0]

    def whiten(name: str, output: str) -> str:
        moved = node("Sub", [name, "centre"], [f"{name}_moved"])
        product = node("MatMul", [moved, "turn"], [f"{name}_product"])
        length = node("ReduceL2", [product], [f"{name}_length"], axes=[-1], keepdims=1)
        return node("Div", [product, length], [output])

    def top_scores(embedding: str, others: str, prefix: str) -> str:
        across = node("Transpose", [others], [f"{prefix}_across"], perm=[1, 0])
        products = node("MatMul", [embedding, across], [f"{prefix}_products"])
        return node("TopK", [products, "count"], [f"{prefix}_top", f"{prefix}_index"], axis=-1)

    for name in weights:
        node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)
    whitened = whiten("embedding", "turned")
    impostors = whiten("speakers", "speakers_turned")
    top = top_scores(whitened, impostors, "turned")
    mean = node("ReduceMean", [top], ["means"], axes=[-1], keepdims=1)
    away = node("Sub", [top, mean], ["away"])
    square = node("Mul", [away, away], ["square"])
    variance = node("ReduceMean", [square], ["variance"], axes=[-1], keepdims=0)
    node("Sqrt", [variance], ["spread"])
    node("ReduceMean", [top], ["mean"], axes=[-1], keepdims=0)
    node(
        "ReduceMean",
        [top_scores("embedding", "speakers", "plain")],
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


def _compute_weights(speakers: Mapping[str, _Array]) -> dict[str, _Array]:
    """Mean embeddings of the speakers [speakers, 192], their center, and the whitening matrix."""
    means = _normalize(np.stack([rows.mean(axis=0) for rows in speakers.values()]))
    deviations = [rows - rows.mean(axis=0) for rows in speakers.values() if len(rows) > 1]
    covariances = [rows.T @ rows / (len(rows) - 1) for rows in deviations]
    within = np.mean(covariances, axis=0)
    size = len(within)
    within += _SHRINKAGE * np.trace(within) / size * np.eye(size)
    whitening = np.linalg.cholesky(np.linalg.inv(within))
    # Only the direction matters, and fp16 has a small range.
    return {
        "speakers": means,
        "centre": means.mean(axis=0),
        "turn": whitening / np.abs(whitening).max(),
    }


def _normalize(rows: _Array) -> _Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))
