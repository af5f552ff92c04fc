from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from valle.errors import UsageError
from valle.evaluation.metrics.speaker_model import SpeakerModel

onnx = pytest.importorskip("onnx")


def write_model(path: Path, inputs: list[object]) -> Path:
    """A graph whose embedding is the greatest and the mean sample."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    shape = inputs
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["a"], axes=[-1], keepdims=1),
        helper.make_node("ReduceMean", ["x"], ["b"], axes=[-1], keepdims=1),
        helper.make_node("Concat", ["a", "b"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "speaker",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_embeddings_have_unit_length(tmp_path: Path) -> None:
    model = SpeakerModel(write_model(tmp_path / "m.onnx", [1, "N"]))
    embedding = model.embed(np.array([0.1, 0.7], np.float32))
    assert np.linalg.norm(embedding) == pytest.approx(1.0)
    assert embedding[0] / embedding[1] == pytest.approx(0.7 / 0.4)
    assert not model.embed(np.zeros(10, np.float32)).any()
    assert len(model.describe()["sha256"]) == 64


def test_what_is_no_speaker_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        SpeakerModel(tmp_path / "nothing.onnx")
    (tmp_path / "x.onnx").write_bytes(b"\x80\x04not a graph")
    with pytest.raises(UsageError, match="is not an ONNX graph"):
        SpeakerModel(tmp_path / "x.onnx")
    with pytest.raises(UsageError, match="something else than one waveform"):
        SpeakerModel(write_model(tmp_path / "m.onnx", [1, 3, "N"]))
