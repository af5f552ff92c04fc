"""Quantized products against the fp32 ones that they replace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx", reason="needs the extra [train]")
pytest.importorskip("torch", reason="needs the extra [train]")

import onnx
from onnx import TensorProto, helper, numpy_helper

from valle.bundle.bundle import Bundle
from valle.bundle.config import read_config
from valle.bundle.quantized_weights import BLOCK
from valle.bundle.session import make_session
from valle.training.export.bundle import export_bundle, random_models
from valle.training.export.quantization import (
    quantize_blockwise,
    quantize_dynamic_int8,
    read_blockwise,
)

ROWS, COLUMNS = 100, 48  # rows that do not fill the last block
Floats = NDArray[np.float32]


def proto(*matrices: Floats, bias: Floats | None = None) -> onnx.ModelProto:
    """x -> x @ a -> ... -> y, the bias added to the last.

    The bias is a second output too if there is none: x itself, so that every graph has nodes that
    are not products.
    """
    nodes, weights, last = [], [], "x"
    for i, matrix in enumerate(matrices):
        weights.append(numpy_helper.from_array(matrix, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"p{i}"]))
        last = f"p{i}"
    if bias is not None:
        weights.append(numpy_helper.from_array(bias, "bias"))
        nodes.append(helper.make_node("Add", ["bias", last], ["sum"]))
        last = "sum"
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "rows", ROWS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "rows", None])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def run_model(model: onnx.ModelProto, x: Floats) -> Floats:
    session = make_session(model.SerializeToString(), threads=1)
    y: Floats = session.run(["y"], {"x": x})[0]
    return y


@pytest.fixture
def matrix() -> Floats:
    return np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)


@pytest.fixture
def x() -> Floats:
    return np.random.default_rng(1).standard_normal((2, 5, ROWS)).astype(np.float32)


@pytest.mark.parametrize(("bits", "most"), [(4, 0.12), (8, 0.008)])
def test_blockwise_product_is_close(matrix: Floats, x: Floats, bits: int, most: float) -> None:
    bias = np.arange(COLUMNS, dtype=np.float32)
    model = proto(matrix, bias=bias)
    quantize_blockwise(model, bits)
    assert kinds(model) == ["MatMulNBits", "Identity"]  # the bias is part of the product
    wanted = x @ matrix
    error = run_model(model, x) - bias - wanted
    assert 0 < np.sqrt(np.mean(error**2) / np.mean(wanted**2)) < most


@pytest.mark.parametrize("bits", [4, 8])
def test_blockwise_weights_are_within_half_a_step(matrix: Floats, bits: int) -> None:
    matrix[:, 3] = 0.0
    matrix[:BLOCK, 4] *= 1000.0  # a block of its own scale: the others in its column stay as exact
    model = proto(matrix)
    quantize_blockwise(model, bits)
    weights = read_blockwise(model)["w0"]
    step = np.zeros_like(matrix)
    for begin in range(0, ROWS, BLOCK):
        part = slice(begin, begin + BLOCK)
        step[part] = np.abs(matrix[part]).max(axis=0) / (1 << (bits - 1))
    # The end opposite to the largest weight has one value less.
    at_the_end = np.abs(matrix) > step * ((1 << (bits - 1)) - 1)
    assert (np.abs(weights - matrix) <= step * np.where(at_the_end, 1.001, 0.501)).all()
    assert (weights[:, 3] == 0.0).all()


@pytest.mark.parametrize("bits", [4, 8])
def test_blockwise_row_is_independent_of_other_rows(bits: int) -> None:
    rng = np.random.default_rng(2)
    model = proto(rng.standard_normal((ROWS, 1024)).astype(np.float32))
    quantize_blockwise(model, bits)
    rows = (
        rng.standard_normal((9, 1, ROWS)).astype(np.float32)
        * 10.0 ** np.arange(-4, 5)[:, None, None]
    )
    rows = rows.astype(np.float32)
    # With 4 bits, a single row differs without AVX-512; `valle.runtime.batching` never runs one.
    padding = [np.zeros_like(rows[:1])] if bits == 4 else []
    alone = np.concatenate(
        [run_model(model, np.concatenate([row[None], *padding]))[:1] for row in rows]
    )
    for count in (2, 3, 8, 9):
        np.testing.assert_array_equal(run_model(model, rows[:count]), alone[:count])


def test_dynamic_int8_product_is_close(matrix: Floats, x: Floats) -> None:
    bias = np.arange(COLUMNS, dtype=np.float32)
    model = proto(matrix, bias=bias)
    quantize_dynamic_int8(model)
    assert kinds(model) == ["DynamicQuantizeMatMul", "Identity"]
    wanted = x @ matrix
    error = run_model(model, x) - bias - wanted
    assert 0 < np.sqrt(np.mean(error**2) / np.mean(wanted**2)) < 0.02


def test_sums_of_large_products_do_not_overflow() -> None:
    """255 * 127, a hundred times: two of them do not fit into 16 bits."""
    matrix = np.full((ROWS, COLUMNS), 127.0, np.float32)
    matrix[:, 1::2] *= -1.0
    x = np.full((1, 3, ROWS), 255.0, np.float32)
    x[..., -1] = 0.0
    model = proto(matrix)
    quantize_dynamic_int8(model)
    wanted = np.where(np.arange(COLUMNS) % 2, -1.0, 1.0) * 255.0 * 127.0 * (ROWS - 1)
    np.testing.assert_allclose(run_model(model, x)[0, 0], wanted, rtol=1e-6)


def test_other_products_are_not_quantized(matrix: Floats, x: Floats) -> None:
    """A narrow matrix, and a product that is also an output."""
    for change in (lambda m: quantize_blockwise(m, 8), quantize_dynamic_int8):
        model = proto(matrix, matrix[:COLUMNS, :3].copy())
        change(model)
        assert "MatMul" in kinds(model)
        assert len(kinds(model)) == 3
        shared = proto(matrix, bias=np.ones(COLUMNS, np.float32))
        shared.graph.output.append(
            helper.make_tensor_value_info("p0", TensorProto.FLOAT, ["batch", "rows", COLUMNS])
        )
        change(shared)
        np.testing.assert_allclose(run_model(shared, x), x @ matrix + 1.0, atol=2.0)


def test_quantized_bundles_are_close_to_fp32(tmp_path: Path) -> None:
    """The AR's and the NAR's logits of debug models, in each of the precisions."""
    models = random_models("debug", seed=0)
    logits: dict[str, list[Floats]] = {}
    rng = np.random.default_rng(4)
    frames, ar, nar = 40, models.ar.size, models.nar.size
    codes = rng.integers(0, 1024, (1, frames, 8))
    empty = np.zeros((1, ar.heads, ar.max_positions, ar.width // ar.heads), np.float32)
    shape = (nar.layers, 1, nar.heads, 0, nar.width // nar.heads)
    feeds = {
        "ar": {
            "codes": codes,
            "encoded": rng.standard_normal((1, frames, ar.width)).astype(np.float32),
            "stay": rng.integers(0, 32, (1, frames)),
            "seqlens_k": np.array([frames - 1], np.int32),
            "total_sequence_length": np.array(frames, np.int32),
            **{f"past_{k}_{i}": empty for i in range(ar.layers) for k in ("key", "value")},
        },
        "nar": {
            "codes": codes,
            "symbols": rng.integers(0, 20, (1, frames)),
            "stress": rng.integers(0, 3, (1, frames)),
            "voice": np.full((1, 192), 192**-0.5, np.float32),
            "positions": np.arange(frames)[None],
            "kind": np.array(1),
            "known": np.zeros((1, 0), np.int64),
            "left": np.zeros((1, 0, nar.latent), np.float32),
            "plain": np.zeros((1, frames, nar.latent), np.float32),
            "strength": np.array(0, np.float32),
            "past_key": np.zeros(shape, np.float32),
            "past_value": np.zeros(shape, np.float32),
        },
    }
    for precision in ("fp32", "w8a8", "w4a8"):
        export_bundle(tmp_path / precision, "b", models, precision)
        bundle = Bundle.load(tmp_path / precision, threads=1)
        logits[precision] = [
            bundle.session(graph).run([output], feeds[graph])[0]
            for graph, output in (("ar", "logits"), ("nar", "vector"))
        ]
    for graph in (0, 1):
        whole = logits["fp32"][graph]
        for precision, most in (("w8a8", 0.05), ("w4a8", 0.3 if graph == 0 else 0.05)):
            error = logits[precision][graph] - whole
            assert 0 < np.sqrt(np.mean(error**2) / np.var(whole)) < most, (graph, precision)
    graphs = read_config(tmp_path / "w4a8").graphs
    assert {name for name, graph in graphs.items() if graph.precision == "int4"} == {"ar"}
    assert graphs["nar"].precision == "int8"
    sizes = [(tmp_path / p / "ar.onnx").stat().st_size for p in ("fp32", "w8a8", "w4a8")]
    assert sizes == sorted(sizes, reverse=True)
