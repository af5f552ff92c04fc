"""Export: every graph computes what its PyTorch module does, and 8-bit storage is exact enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")
pytest.importorskip("onnx", reason="needs the extra [train]")

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from random_models import run_nar_module
from valle.audio_format import HOP
from valle.bundle.bundle import Bundle
from valle.bundle.config import read_config
from valle.bundle.session import make_session
from valle.errors import OutputError, UsageError
from valle.runtime.speaker_encoder import EMBEDDING_DIM
from valle.training.export.bundle import Models, export_bundle, export_runs, random_models
from valle.training.export.quantization import quantize_weights_int8
from valle.training.models.codec import NOISE
from valle.training.models.quantizer import residual_codes

GRAPHS = (
    "ar",
    "codec_decoder",
    "codec_encoder",
    "listener",
    "nar",
    "phonemes",
    "speaker",
)


@pytest.fixture(scope="module")
def models() -> Models:
    """Untrained models with codebooks around the encoder's latents, each finer than the last."""
    models = random_models("debug", seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        models.listener.log_temperature.fill_(0.3)
        noise = 0.2 * torch.randn(4, 50 * HOP, generator=generator)
        latents = models.codec.encoder(noise).flatten(0, 1)
        codebooks = torch.randn(models.codec.quantiser.tables.shape, generator=generator)
        scale = 0.5 ** torch.arange(len(codebooks))[:, None, None]
        models.codec.quantiser.tables.copy_(codebooks * latents.std(0) * scale)
        models.codec.quantiser.tables[0] += latents.mean(0)
    return models


@pytest.fixture(scope="module")
def bundle(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("fp32") / "bundle"
    export_bundle(folder, "exported", models, "fp32")
    return Bundle.load(folder, threads=1)


@pytest.fixture(scope="module")
def small(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("int8") / "bundle"
    export_bundle(folder, "exported", models, "int8-weights")
    return Bundle.load(folder, threads=1)


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    rng = np.random.default_rng(1)
    return (0.2 * rng.standard_normal((3, 23 * HOP))).astype(np.float32)


def voices(rng: np.random.Generator, count: int) -> np.ndarray:
    """Speaker embeddings [count, 192] of unit length."""
    vectors = rng.standard_normal((count, EMBEDDING_DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def run_graph(bundle: Bundle, graph: str, **inputs: np.ndarray) -> list[np.ndarray]:
    return bundle.session(graph).run(None, inputs)


def test_config_describes_the_bundle(bundle: Bundle, small: Bundle) -> None:
    for exported, precision in ((bundle, "fp32"), (small, "int8")):
        config = read_config(exported.folder)
        assert sorted(config.graphs) == list(GRAPHS)
        assert {graph.precision for graph in config.graphs.values()} == {precision}
        assert (config.sample_rate, config.hop, config.decoder_delay) == (16000, HOP, 4)
        exported.verify()


@torch.no_grad()
def test_codec_encoder(bundle: Bundle, models: Models, waveform: np.ndarray) -> None:
    (codes,) = run_graph(bundle, "codec_encoder", waveform=waveform)
    (output,) = bundle.config.graphs["codec_encoder"].outputs
    assert output.shape == ("batch", "codes", 8)
    wanted = models.codec.encode(torch.from_numpy(waveform)).numpy()
    assert len(np.unique(wanted[..., 0])) > 10  # otherwise the comparison would be trivial
    np.testing.assert_array_equal(codes, wanted)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 11])
def test_codec_decoder(bundle: Bundle, models: Models, frames: int) -> None:
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 1025, (2, frames, 8))
    decoder = models.codec.decoder
    state = rng.standard_normal((2, decoder.state_size)).astype(np.float32)
    voice = voices(rng, 2)
    noise = rng.standard_normal((2, frames, NOISE), np.float32)
    found = run_graph(bundle, "codec_decoder", codes=codes, state=state, voice=voice, noise=noise)
    latents = models.codec.quantiser.decode(torch.from_numpy(codes))
    wanted = decoder(latents, *(torch.from_numpy(one) for one in (state, voice, noise)))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-4)


@torch.no_grad()
def test_listener(bundle: Bundle, models: Models, waveform: np.ndarray) -> None:
    found = run_graph(bundle, "listener", waveform=waveform)
    wanted = models.listener(torch.from_numpy(waveform))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-3)
        np.testing.assert_allclose(np.exp(one).sum(-1), 1.0, atol=1e-4)


@torch.no_grad()
def test_speaker(bundle: Bundle, models: Models, waveform: np.ndarray) -> None:
    (found,) = run_graph(bundle, "speaker", waveform=waveform)
    np.testing.assert_allclose(found, models.speaker(torch.from_numpy(waveform)), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1.0, atol=1e-5)


@torch.no_grad()
def test_phonemes_and_ar(bundle: Bundle, models: Models) -> None:
    rng, size, frames = np.random.default_rng(3), models.ar.size, 12
    symbols, stress = rng.integers(0, 20, (1, 7)), rng.integers(0, 3, (1, 7))
    path = np.sort(rng.integers(0, 7, (1, frames)))
    codes, stay = rng.integers(0, 1025, (1, frames, 8)), rng.integers(0, 32, (1, frames))
    inputs = {"symbols": symbols, "stress": stress, "voice": voices(rng, 1)}
    (encoded,) = run_graph(bundle, "phonemes", **inputs)
    wanted = models.ar.phonemes(*map(torch.from_numpy, inputs.values())).numpy()
    np.testing.assert_allclose(encoded, wanted, atol=1e-4)
    (voiceless,) = run_graph(
        bundle, "phonemes", **{**inputs, "voice": np.zeros((1, EMBEDDING_DIM), "f4")}
    )
    assert (
        np.abs(encoded - voiceless).max(axis=-1) > 0.05
    ).all()  # otherwise the comparison would be trivial
    empty = np.zeros((1, size.heads, size.max_positions, size.width // size.heads), np.float32)
    past = {f"past_{kind}_{i}": empty for i in range(size.layers) for kind in ("key", "value")}
    logits, transitions, *_ = run_graph(
        bundle,
        "ar",
        codes=codes,
        encoded=encoded[:, path[0]],
        stay=stay,
        seqlens_k=np.array([frames - 1], np.int32),
        total_sequence_length=np.array(frames, np.int32),
        **past,
    )
    tensors = map(torch.from_numpy, (codes, encoded[:, path[0]], stay))
    for one, other in zip((logits, transitions), models.ar(*tensors), strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("kind", [0, 1])
def test_nar(bundle: Bundle, models: Models, kind: int) -> None:
    rng, size = np.random.default_rng(4), models.nar.size
    shape = (size.layers, 2, size.heads, 5, size.width // size.heads)
    inputs: dict[str, np.ndarray] = {
        "codes": rng.integers(0, 1025, (2, 9, 8)),
        "symbols": rng.integers(0, 20, (2, 9)),
        "stress": rng.integers(0, 3, (2, 9)),
        "voice": voices(rng, 2),
        "positions": np.stack([np.arange(9) + 5] * 2),
        "kind": np.array(kind),
        "past_key": rng.standard_normal(shape).astype(np.float32),
        "past_value": rng.standard_normal(shape).astype(np.float32),
    }
    inputs["codes"][..., 0] %= 1024
    unguided: dict[str, np.ndarray] = {
        "known": np.zeros((2, 0), np.int64),
        "left": np.zeros((2, 0, size.latent), np.float32),
        "plain": np.zeros((2, 9, size.latent), np.float32),
        "strength": np.array(0, np.float32),
    }
    added, vector, _, *found = run_graph(bundle, "nar", **inputs, **unguided)
    wanted = run_nar_module(models.nar, inputs)
    for one, other in zip((vector, *found), wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-3)
    coded = residual_codes(models.nar.tables[1:], wanted[0]).numpy()
    assert (added == coded).mean() > 0.99


@pytest.mark.parametrize("graph", GRAPHS)
def test_int8_weights_are_within_half_a_step(bundle: Bundle, small: Bundle, graph: str) -> None:
    original = weights(bundle.folder / f"{graph}.onnx")
    stored = weights(small.folder / f"{graph}.onnx")
    quantized = [name for name in original if f"{name}.int8" in stored]
    assert quantized
    for name, weight in original.items():
        if name not in quantized:
            np.testing.assert_array_equal(stored[name], weight)
            assert weight.ndim < 2 or weight.size < 4096 or weight.dtype != np.float32
            continue
        values, scale = stored[f"{name}.int8"], stored[f"{name}.scale"]
        assert values.dtype == np.int8
        assert name not in stored
        assert np.abs(values.astype(int)).max() <= 127
        assert (np.abs(values * scale - weight) <= 0.5001 * scale).all()


def test_int8_files_are_much_smaller(bundle: Bundle, small: Bundle) -> None:
    sizes = {}
    for graph in GRAPHS:
        one, other = (b.folder / f"{graph}.onnx" for b in (small, bundle))
        sizes[graph] = one.stat().st_size / other.stat().st_size
    assert sizes["ar"] < 0.3
    assert sizes["nar"] < 0.3
    # The smallest graphs of this size are mostly nodes, not weights.
    assert max(sizes[g] for g in ("codec_encoder", "codec_decoder", "phonemes", "speaker")) < 0.65
    assert max(sizes.values()) < 0.75, sizes


def test_no_computable_table_is_stored(small: Bundle) -> None:
    """Fourier transforms of 2 MB and more are a few operations in the graphs."""
    for graph in GRAPHS:
        for node in onnx.load(small.folder / f"{graph}.onnx").graph.node:
            for attribute in node.attribute:
                assert attribute.t.ByteSize() < 50_000, (graph, node.name)


@torch.no_grad()
def test_int8_outputs_are_close_to_fp32(
    bundle: Bundle, small: Bundle, waveform: np.ndarray
) -> None:
    one, other = (run_graph(b, "speaker", waveform=waveform)[0] for b in (bundle, small))
    assert (np.sum(one * other, axis=-1) > 0.99).all()
    one, other = (run_graph(b, "listener", waveform=waveform)[1] for b in (bundle, small))
    assert np.abs(np.exp(one) - np.exp(other)).max() < 0.05


def test_int8_weights_of_known_values() -> None:
    """Rows of one value each, of very different magnitude: a scale per row is lossless."""
    weight = np.repeat(10.0 ** np.arange(-3, 5, dtype=np.float32), 1024).reshape(8, 1024)
    weight[0] = 0.0
    table = np.linspace(-1, 1, 8192, dtype=np.float32).reshape(1024, 8)
    constant = helper.make_node("Constant", [], ["t"], value=numpy_helper.from_array(table))
    graph = helper.make_graph(
        [constant, helper.make_node("MatMul", ["w", "t"], ["y"])],
        "one",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    quantize_weights_int8(model)
    onnx.checker.check_model(model)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert stored["w.scale"].shape == (8, 1)
    np.testing.assert_allclose(stored["w.int8"] * stored["w.scale"], weight, rtol=1e-6)
    (half,) = [n for n in model.graph.node if n.op_type == "Constant"]
    assert numpy_helper.to_array(half.attribute[0].t).dtype == np.float16


@pytest.mark.parametrize("by_row", [True, False])
def test_only_looked_up_rows_of_a_table_are_dequantized(by_row: bool) -> None:
    values = np.random.default_rng(5).integers(-127, 128, (64, 64))
    values[0], values[:, 0] = 127, 127
    scale = 2.0 ** np.arange(-32, 32)
    table = (values * (scale[:, None] if by_row else scale)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "ids"], ["y"], axis=0)]
    ids = helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["a", "b"])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["a", "b", 64])
    graph = helper.make_graph(nodes, "one", [ids], [y], [numpy_helper.from_array(table, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    quantize_weights_int8(model)
    onnx.checker.check_model(model)
    first = model.graph.node[0]
    assert (first.op_type, first.input[0]) == ("Gather", "table.int8")  # not the whole table
    wanted = np.array([[0, 63], [7, 7]])
    (found,) = make_session(model.SerializeToString(), 1).run(None, {"ids": wanted})
    np.testing.assert_array_equal(found, table[wanted])


def test_table_that_is_also_a_factor_is_dequantized() -> None:
    table = np.random.default_rng(6).standard_normal((64, 64)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], axis=0),
        helper.make_node("MatMul", ["rows", "table"], ["y"]),
    ]
    ids = helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["a"])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["a", 64])
    graph = helper.make_graph(nodes, "one", [ids], [y], [numpy_helper.from_array(table, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    quantize_weights_int8(model)
    assert [node.op_type for node in model.graph.node] == ["Cast", "Mul", "Gather", "MatMul"]
    (found,) = make_session(model.SerializeToString(), 1).run(None, {"ids": np.arange(3)})
    np.testing.assert_allclose(found, table[:3] @ table, atol=0.3)


def weights(path: Path) -> dict[str, np.ndarray]:
    return {
        tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer
    }


def test_untrained_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="codec"):
        export_runs(tmp_path, tmp_path / "bundle", "b")
    assert not (tmp_path / "bundle").exists()


def test_other_folder_is_not_replaced(models: Models, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError):
        export_bundle(tmp_path, "b", models, "fp32")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
