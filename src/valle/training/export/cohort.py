"""The cohort of a bundle: the graph that compares a voice with those of other speakers."""

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

NEAREST = 10  # speakers of the cohort that a recording is compared with
_SMOOTHING = 0.1  # of the mean variance, added to each: the covariance is of few speakers
_OPSET, _IR_VERSION = 17, 8

Floats = NDArray[np.floating[Any]]


def kept_cohort(folder: Path, speaker: NewGraph) -> dict[str, NewGraph]:
    """The cohort of the bundle in `folder`; none without one, or if its speaker encoder differs."""
    with contextlib.suppress(BundleError):
        old = Bundle.load(folder)
        if GRAPH in old.config.graphs and old.read_graph("speaker") == speaker.model:
            return {GRAPH: NewGraph(old.read_graph(GRAPH), old.config.graphs[GRAPH].precision)}
    return {}


def cohort_graph(speakers: Mapping[str, Floats]) -> NewGraph:
    """The graph of `valle.consent.as_norm` from embeddings [n, 192] of each speaker.

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
