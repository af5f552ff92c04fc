"""fp16 export: valid graphs that compute nearly the same."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra [train]")
pytest.importorskip("torch", reason="needs the extra [train]")

import onnx
from onnx import TensorProto

from valle.audio.prosody import CLASSES, STYLES
from valle.bundle.bundle import Bundle
from valle.runtime.ar import ARDecoder
from valle.runtime.batching import EncodedText
from valle.runtime.nar import NAR, FrameInputs
from valle.runtime.pointer import count_frames_on_symbol
from valle.runtime.sampling import DurationController, Sampling
from valle.training.export.bundle import export_bundle, random_models

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
import cuda_step


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    bin_edges = np.tile(np.arange(CLASSES - 1.0), (len(STYLES), 1))
    models = replace(random_models("debug", 0), style_bin_edges=bin_edges)
    folder = tmp_path_factory.mktemp("fp16")
    for precision in ("fp32", "fp16"):
        export_bundle(folder / precision, "debug", models, precision)
    return {name: Bundle.load(folder / name, threads=1) for name in ("fp32", "fp16")}


def test_attention_is_fp16_and_inputs_are_unchanged(
    bundles: dict[str, Bundle],
) -> None:
    graphs = bundles["fp16"].config.graphs
    assert {name for name, graph in graphs.items() if graph.precision == "fp16"} == {"ar", "nar"}
    for name in ("ar", "nar"):
        proto = onnx.load_from_string(bundles["fp16"].read_graph(name))
        onnx.checker.check_model(proto)
        kinds = {tensor.data_type for tensor in proto.graph.initializer if tensor.dims[1:]}
        wide = {t.name for t in proto.graph.initializer if t.data_type == TensorProto.FLOAT}
        assert TensorProto.FLOAT16 in kinds
        assert wide <= {"positions", "frequencies"}
        described = bundles["fp16"].config.graphs[name]
        for tensor in (*described.inputs, *described.outputs):
            kept = name == "ar" and tensor.name.startswith(("past_", "present_"))
            assert tensor.dtype != ("float32" if kept else "float16"), tensor.name


def test_fp16_is_close_to_fp32(bundles: dict[str, Bundle]) -> None:
    rng = np.random.default_rng(0)
    codes, ids = rng.integers(0, 1024, (300, 8)), rng.integers(0, 40, 300)
    voice = np.zeros(192, np.float32)
    vectors, caches = {}, {}
    for name, bundle in bundles.items():
        nar = NAR(bundle)
        frames = FrameInputs(codes, ids, 0 * ids)
        prompt = nar.prefill(frames[:250], voice)
        # Far from the start, where fp16 cannot represent consecutive positions.
        (vectors[name],) = nar._run(("vector",), nar._inputs(prompt, frames[250:], 1))
        ar = ARDecoder(bundle)
        encoded = ar.encode(ids, 0 * ids, voice)
        read = ar.prefill(codes, encoded, count_frames_on_symbol(np.arange(300) // 5))
        caches[name] = read.cache["key_1"].astype(np.float32)
        said = list(
            ar.generate(
                read,
                EncodedText(encoded[:9], ids[:9] < 0),
                Sampling(),
                rng,
                DurationController(40, np.ones(9)),
            )
        )
        assert len(said) == 40
    assert bundles["fp16"].config.graphs["ar"].precision == "fp16"
    for found in (vectors, caches):
        np.testing.assert_allclose(
            found["fp16"], found["fp32"], atol=0.02 * np.abs(found["fp32"]).max()
        )


def test_steps_with_device_binding_match_the_graph(bundles: dict[str, Bundle]) -> None:
    """On the CPU, since tests rarely have a GPU: the binding is the same."""
    half, _ = cuda_step.run_steps(bundles["fp16"], "cpu", 20)
    whole, _ = cuda_step.run_steps(bundles["fp32"], "cpu", 20)
    assert half.shape == (1024,)
    np.testing.assert_allclose(half, whole, atol=0.02 * np.abs(whole).max())
