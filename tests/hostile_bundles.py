"""Bundles made to harm their reader: configurations that lie, endless graphs, links, pipes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GRAPH = "codec_decoder"  # is replaced; every speech needs it
_FLOAT, _INT64 = TensorProto.FLOAT, TensorProto.INT64

Folders = dict[str, Path]

HARMLESS = {
    "configuration with nar.ahead",
    "configuration with graphs.phonemes.inputs",
    "configuration with graphs.codec_decoder.outputs",
    "configuration with escape codes",
    "graph with an operation of nobody",
    *(f"graph with bits flipped, {number}" for number in range(6)),
}
"""What may be spoken with: the lie is not used, or only the sound suffers."""


def write_hostile_bundles(folder: Path, good: Path) -> Folders:
    """Write bundles into an empty folder, each but for one thing like a good one.

    Returns:
        Their folders by what is wrong with each.
    """
    fields = json.loads((good / "config.json").read_text())
    bundles: Folders = {}

    def begin(name: str) -> Path:
        place = folder / str(len(bundles))
        place.mkdir()
        for file in good.iterdir():
            (place / file.name).symlink_to(file)
        bundles[name] = place
        return place

    def replace(name: str, file: str, data: bytes) -> None:
        path = begin(name) / file
        path.unlink()
        path.write_bytes(data)

    for name, text in _texts(json.dumps(fields)):
        replace(name, "config.json", text)
    for name, change in _changes().items():
        changed = json.loads(json.dumps(fields))
        change(changed)
        replace(name, "config.json", json.dumps(changed).encode())
    whole = (good / f"{GRAPH}.onnx").read_bytes()
    for name, data in _graphs(whole):
        place = begin(name)
        _put_graph(place, fields, data)
    for name, put in _special_files().items():
        place = begin(name)
        file = "config.json" if "configuration" in name else f"{GRAPH}.onnx"
        (place / file).unlink()
        put(place / file)
    (folder / "a file").write_bytes(b"not a folder")
    return bundles | {
        "a file instead of a folder": folder / "a file",
        "nothing": folder / "nothing",
        "a device": Path("/dev/zero"),
        "a name of two lines": folder / "two\nlines\x1b[31m",
        "an address that leads out": Path("hf://../.."),
    }


def _put_graph(place: Path, fields: dict[str, Any], data: bytes) -> None:
    changed = json.loads(json.dumps(fields))
    changed["graphs"][GRAPH]["sha256"] = hashlib.sha256(data).hexdigest()
    for file, content in (("config.json", json.dumps(changed).encode()), (f"{GRAPH}.onnx", data)):
        (place / file).unlink()
        (place / file).write_bytes(content)


def _texts(config: str) -> Iterator[tuple[str, bytes]]:
    yield "empty configuration", b""
    yield "configuration that is a number", b"1"
    yield "configuration that is a list", b"[" + config.encode() + b"]"
    yield "configuration 100,000 deep", b"[" * 100_000
    yield "configuration with objects 100,000 deep", b'{"a":' * 100_000
    yield "configuration of 5 MB of spaces", b" " * 5_000_000
    yield "configuration in UTF-16", config.encode("utf-16")
    yield "configuration that is not text", b"\xff\xfe\x80" * 100
    yield "configuration of zeros", bytes(1000)
    yield "configuration cut off", config[:-20].encode()
    yield "configuration with a number of 5000 digits", b'{"format": ' + b"9" * 5000 + b"}"
    yield "configuration that is a pickle", b"\x80\4cos\nsystem\n(S'touch owned'\ntR."


def _changes() -> dict[str, Callable[[dict[str, Any]], object]]:
    def put(path: str, value: object) -> Callable[[dict[str, Any]], object]:
        def change(fields: dict[str, Any]) -> None:
            *parents, last = path.split(".")
            for parent in parents:
                fields = fields[parent]
            fields[last] = value

        return change

    values: dict[str, object] = {
        "format": "4",
        "name": "x" * 100_000,
        "sample_rate": 2**31,
        "hop": 10**12,
        "codebooks": 200,
        "codebook_size": float("nan"),
        "symbols": [str(number) for number in range(100_000)],
        "listener_symbols": {"a": 1},
        "decoder_delay": -1,
        "decoder_state": 10**12,
        "decoder_noise": [802],
        "language": None,
        "ar": None,
        "ar.layers": 0,
        "ar.heads": 10**30,
        "ar.max_positions": 1_000_000,
        "nar.block": "forty",
        "nar.ahead": 1_000_000,
        "nar.latent": 65_536,
        "style": {"borders": []},
        "graphs": [],
        "graphs.ar": True,
        "graphs.ar.sha256": "0" * 63 + "\n",
        "graphs.ar.file": "../../../etc/passwd",
        "graphs.nar.file": "/etc/passwd",
        "graphs.phonemes.file": "two\nlines",
        "graphs.phonemes.inputs": [{"name": "x", "dtype": "float32", "shape": [2**62]}],
        "graphs.codec_decoder.outputs": [],
    }
    changes = {f"configuration with {path}": put(path, value) for path, value in values.items()}
    changes["configuration with escape codes"] = put("name", "\x1b[31m\x07\u202e\nred")
    changes["configuration without graphs"] = put("graphs", {})
    changes["configuration with a key of a class"] = put("__class__", {"__init__": "os.system"})
    return changes


def _graphs(whole: bytes) -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    yield "empty graph", b""
    yield "graph of noise", rng.bytes(10_000)
    yield "graph cut off", whole[: len(whole) // 2]
    yield "graph of zeros", bytes(10_000)
    yield "graph of lengths of 2^63", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f" * 100
    yield "graph that is a pickle", b"\x80\4cos\nsystem\n(S'touch owned'\ntR."
    for number in range(6):
        flipped = bytearray(whole)
        for place in rng.integers(0, len(whole), 20):
            flipped[place] ^= 1 << int(rng.integers(8))
        yield f"graph with bits flipped, {number}", bytes(flipped)
    for name, change in {
        "weights in another file": _external("other.bin"),
        "weights in an open file": _external("3"),
        "weights in a device": _external("/dev/zero"),
        "weights outside of the folder": _external("../../etc/passwd"),
        "a loop without end": _add_loop,
        "a branch": _add_branch,
        "a constant of 8 GB": _add_constant,
        "an expansion to 2^50": _add_expansion,
        "150,000 operations": _add_operations,
        "an unknown operation": lambda m: m.graph.node.add(op_type="Nothing", output=["x"]),
        "an operation of nobody": lambda m: m.graph.node.add(op_type="A", domain="evil"),
        "an operation on itself": lambda m: m.graph.node.add(
            op_type="Abs", input=["itself"], output=["itself"]
        ),
        "a version of the future": lambda m: m.opset_import.add(domain="", version=10**6),
        "no inputs": lambda m: m.graph.ClearField("input"),
        "no outputs": lambda m: m.graph.ClearField("output"),
        "an input of 2^60 values": _widen_input,
        "weights that are not numbers": _spoil_weights,
    }.items():
        model = onnx.load_from_string(whole)
        change(model)
        yield f"graph with {name}", model.SerializeToString()
    # The same as above, with the parts of each entry in the other order.
    model = onnx.load_from_string(whole)
    _external("3")(model)
    plain = b"\x0a\x08location\x12\x013"
    yield (
        "graph with weights in an open file, backward",
        model.SerializeToString().replace(plain, b"\x12\x013\x0a\x08location"),
    )


def _external(location: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if len(t.raw_data) > 1000)
        length = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)

    return change


def _add_loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["go on"])],
        "body",
        [
            helper.make_tensor_value_info("turn", _INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("go on", TensorProto.BOOL, [])],
    )
    always = numpy_helper.from_array(np.array(True), "always")
    model.graph.initializer.append(always)
    model.graph.node.append(helper.make_node("Loop", ["", "always"], [], body=body))


def _add_branch(model: onnx.ModelProto) -> None:
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["one"], value_float=1.0)],
        "branch",
        [],
        [helper.make_tensor_value_info("one", _FLOAT, [])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "so"))
    model.graph.node.append(
        helper.make_node("If", ["so"], ["or"], then_branch=branch, else_branch=branch)
    )


def _use(model: onnx.ModelProto, value: str) -> None:
    """Add a value to the first output, so that it must be computed."""
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["before" if name == output else name for name in node.output]
    model.graph.node.append(helper.make_node("ReduceMax", [value], ["most"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["before", "most"], [output]))


def _add_constant(model: onnx.ModelProto) -> None:
    shape = numpy_helper.from_array(np.array([2**31]), "large")
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["large"], ["much"]))
    _use(model, "much")


def _add_expansion(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([2**25, 2**25]), "large"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1), np.float32), "small"))
    model.graph.node.insert(0, helper.make_node("Expand", ["small", "large"], ["much"]))
    _use(model, "much")


def _add_operations(model: onnx.ModelProto) -> None:
    first = model.graph.input[0].name
    nodes = [helper.make_node("Abs", [first], [f"n{number}"]) for number in range(150_000)]
    model.graph.node.extend(nodes)


def _widen_input(model: onnx.ModelProto) -> None:
    for dimension in model.graph.input[0].type.tensor_type.shape.dim:
        dimension.dim_value = 2**30


def _spoil_weights(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == _FLOAT and tensor.raw_data:
            tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, "<f4").tobytes()


def _special_files() -> dict[str, Callable[[Path], object]]:
    return {
        "configuration that is a folder": Path.mkdir,
        "configuration that is a pipe": os.mkfifo,
        "configuration that is a device": lambda path: path.symlink_to("/dev/zero"),
        "configuration that is a link to itself": lambda path: path.symlink_to(path),
        "configuration that is missing": lambda path: None,
        "graph that is a folder": Path.mkdir,
        "graph that is a pipe": os.mkfifo,
        "graph that is a device": lambda path: path.symlink_to("/dev/zero"),
        "graph that is a secret of the system": lambda path: path.symlink_to("/proc/self/mem"),
        "graph that is missing": lambda path: None,
    }
