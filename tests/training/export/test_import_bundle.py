"""Import of a bundle into training runs: a lossless inverse of the export."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra [train]")
pytest.importorskip("torch", reason="needs the extra [train]")

import onnx
import torch

from command_line import expect_success, expect_usage_error
from valle.bundle.bundle import Bundle
from valle.errors import BundleError, OutputError
from valle.training.checkpoints import load_ar, load_codec, load_listener, load_nar, load_speaker
from valle.training.export.bundle import Preset, export_bundle, random_models
from valle.training.export.import_bundle import import_bundle, read_graph_weights

LOADERS = {
    "codec": load_codec,
    "listener": load_listener,
    "speaker": load_speaker,
    "ar": load_ar,
    "nar": load_nar,
}


def test_models_round_trip(tmp_path: Path) -> None:
    models = random_models("debug", seed=1)
    models = dataclasses.replace(models, style_bin_edges=np.arange(35.0).reshape(5, 7))
    export_bundle(tmp_path / "bundle", "b", models, "fp32")
    assert import_bundle(Bundle.load(tmp_path / "bundle"), tmp_path / "runs") == list(LOADERS)
    for stage, load in LOADERS.items():
        before, after = getattr(models, stage).state_dict(), load(tmp_path / "runs" / stage)
        for name, weight in after.state_dict().items():
            if name.rpartition(".")[2] not in ("counts", "sums", "started", "num_batches_tracked"):
                torch.testing.assert_close(weight, before[name], atol=1e-6, rtol=1e-6)
        assert after.size == getattr(models, stage).size if hasattr(after, "size") else True


@pytest.mark.parametrize("precision", ["int8-weights", "w8a8", "w4a8"])
def test_quantized_weights_round_trip(tmp_path: Path, precision: Preset) -> None:
    export_bundle(tmp_path / "one", "b", random_models("debug", seed=1), precision)
    expect_success("import", tmp_path / "one", "--runs", tmp_path / "runs")
    again = ("--runs", tmp_path / "runs", "--name", "b", "--precision", precision)
    expect_success("export", tmp_path / "two", *again)
    one, two = Bundle.load(tmp_path / "one"), Bundle.load(tmp_path / "two")
    for graph in one.config.graphs:
        before, after = read_graph_weights(one, graph), read_graph_weights(two, graph)
        assert before.keys() == after.keys()
        for name, weight in before.items():
            np.testing.assert_allclose(after[name], weight, rtol=1e-6, atol=1e-7, err_msg=name)


def test_dynamic_int8_weights_are_dequantized() -> None:
    values = np.array([[[-127, 2], [3, 127]], [[5, -6], [7, 8]]], np.int8)
    scale = np.array([[0.5, 1.0], [2.0, 4.0]], np.float32)
    tensors = [
        onnx.numpy_helper.from_array(values, "w.int8"),
        onnx.numpy_helper.from_array(scale, "w.scale"),
    ]
    for order in (tensors, tensors[::-1]):
        graph = onnx.helper.make_graph([], "nar", [], [], order)
        data = onnx.helper.make_model(graph).SerializeToString()
        bundle: Any = SimpleNamespace(read_graph=lambda _name, data=data: data)
        weights = read_graph_weights(bundle, "nar")
        assert list(weights) == ["w"]
        expected = [[[-63.5, 2.0], [1.5, 127.0]], [[10.0, -24.0], [14.0, 32.0]]]
        np.testing.assert_array_equal(weights["w"], expected)


def test_training_continues_from_a_bundle(tmp_path: Path) -> None:
    from synthetic_corpus import write_corpus

    write_corpus(tmp_path / "data", {"a": [150, 150], "b": [150, 150]}, words=4)
    export_bundle(tmp_path / "bundle", "b", random_models("debug", seed=1), "fp32")
    runs = tmp_path / "runs"
    expect_success("import", tmp_path / "bundle", "--runs", runs)
    codec = load_codec(runs / "codec")
    common = ("--data", tmp_path / "data", "--runs", runs, "--size", "debug", "--steps", 2)
    expect_success("train", "codec", "--keep-codes", *common, "--threads", 1, "-q")
    expect_success("train", "ar", *common, "--threads", 1, "-q")
    after = load_codec(runs / "codec")
    kept, moved = codec.state_dict(), after.state_dict()
    for name in kept:
        if name.startswith(("encoder.", "quantiser.")):
            assert torch.equal(kept[name], moved[name]), name
    assert not torch.equal(codec.decoder.output.weight, after.decoder.output.weight)


def test_existing_runs_and_damaged_bundles_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    export_bundle(bundle, "b", random_models("debug", seed=1), "fp32")
    (tmp_path / "runs" / "nar").mkdir(parents=True)
    (tmp_path / "runs" / "nar" / "checkpoint.pt").write_bytes(b"mine")
    with pytest.raises(OutputError, match="nar"):
        import_bundle(Bundle.load(bundle), tmp_path / "runs")
    assert not (tmp_path / "runs" / "codec").exists()
    assert (tmp_path / "runs" / "nar" / "checkpoint.pt").read_bytes() == b"mine"
    (bundle / "speaker.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"speaker\.onnx"):
        import_bundle(Bundle.load(bundle), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    train = ("train", "codec", "--keep-codes", "--data", tmp_path, "--runs", tmp_path / "none")
    expect_usage_error(capsys, *train, "--size", "debug", "--steps", 1)
