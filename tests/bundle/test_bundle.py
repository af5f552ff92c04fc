"""Bundles are loaded, verified and written completely, and refused with a reason."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from pydantic import ValidationError

import valle.bundle.bundle
from tiny_codec import HOP, codec_graphs, tiny_config
from valle.bundle.bundle import Bundle
from valle.bundle.writer import NewGraph, write_bundle
from valle.errors import BundleError, OutputError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "tiny", tiny_config(), codec_graphs(), {"MODEL_CARD.md": "# Tiny\n"})
    return tmp_path / "tiny"


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_written_bundle_loads(folder: Path) -> None:
    bundle = Bundle.load(folder)
    config = bundle.config
    assert config.model_copy(update={"graphs": {}}) == tiny_config()
    decoder = config.graphs["codec_decoder"]
    assert [(i.name, i.dtype, i.shape) for i in decoder.inputs] == [
        ("codes", "int64", ("B", "T", 8)),
        ("state", "float32", ("B", 4)),
        ("voice", "float32", ("B", 192)),
        ("noise", "float32", ("B", "T", 320)),
    ]
    assert [o.name for o in decoder.outputs] == ["waveform", "state_out"]
    data = (folder / "codec_decoder.onnx").read_bytes()
    assert decoder.sha256 == bundle.graph_hash("codec_decoder") == hashlib.sha256(data).hexdigest()
    assert (folder / "MODEL_CARD.md").read_text() == "# Tiny\n"
    bundle.verify()


def test_string_path_loads(folder: Path) -> None:
    assert Bundle.load(str(folder)).config.name == "tiny"


def test_sessions_run_and_are_created_once(folder: Path) -> None:
    bundle = Bundle.load(folder, threads=1)
    session = bundle.session("codec_encoder")
    assert session.get_session_options().intra_op_num_threads == 1
    codes = session.run(None, {"waveform": np.full((2, HOP), 0.5, np.float32)})[0]
    assert codes.shape == (2, 1, 8)
    assert codes[0, 0, 0] == 768
    assert bundle.session("codec_encoder") is session


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_below_one_are_refused(folder: Path, threads: int) -> None:
    with pytest.raises(UsageError, match="threads"):
        Bundle.load(folder, threads=threads)


def test_altered_graph_is_refused_by_name(folder: Path) -> None:
    path = folder / "codec_encoder.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    bundle = Bundle.load(folder)  # the other graph still works
    bundle.session("codec_decoder")
    with pytest.raises(BundleError, match=r"codec_encoder\.onnx.*SHA-256.*export it again"):
        bundle.session("codec_encoder")
    with pytest.raises(BundleError, match=r"codec_encoder\.onnx"):
        bundle.verify()


def test_verify_lists_all_problems(folder: Path) -> None:
    (folder / "codec_encoder.onnx").unlink()
    (folder / "codec_decoder.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"codec_encoder\.onnx.*codec_decoder\.onnx"):
        Bundle.load(folder).verify()


def test_missing_graph_is_named(folder: Path) -> None:
    with pytest.raises(BundleError, match="no graph 'nar'.*codec_decoder, codec_encoder"):
        Bundle.load(folder).session("nar")


def test_later_format_is_refused_before_its_new_keys(folder: Path) -> None:
    change_config(folder, format=5, something_new=1)
    with pytest.raises(BundleError, match="format 5.*reads up to 4.*upgrade"):
        Bundle.load(folder)


def test_earlier_format_is_refused(folder: Path) -> None:
    change_config(folder, format=3)
    with pytest.raises(BundleError, match="format 3, whose models.*reads format 4.*newer bundle"):
        Bundle.load(folder)


def test_misspelled_key_gets_a_suggestion(folder: Path) -> None:
    change_config(folder, codebook_sise=3)
    with pytest.raises(BundleError, match="codebook_sise: unknown key, did you mean 'codebook_s"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop": 0}, "hop"),
        ({"hop": "three"}, "hop"),
        ({"format": None}, "no format version"),
        ({"format": 0}, "format"),
        ({"alignment": "none"}, "alignment"),
        ({"symbols": ["<unknown>", "a", "a"]}, "symbols: .*appears twice"),
        ({"ar": {"layers": 1}}, r"ar\.heads"),
        ({"decoder_state": 10**12}, "decoder_state"),
        ({"sample_rate": 2**31}, "sample_rate"),
        ({"codebooks": 10**9}, "codebooks"),
        ({"codebooks": 7}, "codebooks = 7, but the input 'codes' of its graph 'codec_decoder' has"),
        ({"name": "x" * 100_000}, "name"),
        ({"symbols": [str(number) for number in range(20_000)]}, "symbols"),
    ],
)
def test_invalid_value_is_named(folder: Path, changes: dict[str, object], message: str) -> None:
    change_config(folder, **changes)
    with pytest.raises(BundleError, match=message):
        Bundle.load(folder)


def test_deep_or_endless_configuration_is_refused(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text("[" * 200_000)
    with pytest.raises(BundleError, match="not JSON"):
        Bundle.load(folder)
    path.write_bytes(b" " * (5 << 20))
    with pytest.raises(BundleError, match="too large"):
        Bundle.load(folder)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(BundleError, match="not a regular file"):
        Bundle.load(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BundleError, match="not a regular file"):
        Bundle.load(folder)


def test_graph_that_is_a_device_is_refused(folder: Path) -> None:
    graph = folder / "codec_decoder.onnx"
    graph.unlink()
    graph.symlink_to("/dev/zero")
    with pytest.raises(BundleError, match="not a regular file"):
        Bundle.load(folder).session("codec_decoder")


def test_graph_with_weights_in_another_file_is_refused(folder: Path) -> None:
    model = onnx.load(folder / "codec_decoder.onnx")
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "outside")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="3")
    model.graph.initializer.append(tensor)
    data = model.SerializeToString()
    (folder / "codec_decoder.onnx").write_bytes(data)
    graphs = json.loads((folder / "config.json").read_text())["graphs"]
    graphs["codec_decoder"]["sha256"] = hashlib.sha256(data).hexdigest()
    change_config(folder, graphs=graphs)
    with pytest.raises(BundleError, match="keeps weights outside of the file"):
        Bundle.load(folder).session("codec_decoder")


def test_heads_must_divide_the_width() -> None:
    ar = tiny_config().ar.model_dump() | {"heads": 3}
    with pytest.raises(ValidationError, match="ar: 3 heads do not divide width 8"):
        tiny_config(ar=ar)


@pytest.mark.parametrize("file", ["../codec.onnx", "/etc/passwd", "a/b.onnx", "..", ""])
def test_file_outside_the_bundle_is_refused(folder: Path, file: str) -> None:
    graphs = json.loads((folder / "config.json").read_text())["graphs"]
    graphs["codec_encoder"]["file"] = file
    change_config(folder, graphs=graphs)
    with pytest.raises(BundleError, match="not a plain file name"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "not JSON"), (b"\xff\xfe\xfa", "not UTF-8"), (b"[]", "no format version")],
)
def test_damaged_config_is_refused(folder: Path, content: bytes, message: str) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(BundleError, match=message):
        Bundle.load(folder)


def test_missing_folder_or_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle at .*nowhere"):
        Bundle.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"config\.json cannot be read"):
        Bundle.load(tmp_path)


def test_missing_default_bundle_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valle.bundle.bundle, "DEFAULT_FOLDER", tmp_path / "default")
    with pytest.raises(BundleError, match="default is missing.*hf://owner/name"):
        Bundle.load()


# Writing


def test_bundle_is_replaced_completely(folder: Path) -> None:
    write_bundle(folder, tiny_config(name="second"), {})
    assert Bundle.load(folder).config.name == "second"
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="something other"):
        write_bundle(tmp_path, tiny_config(), {})
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_failed_write_leaves_the_old_bundle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_disk_full(self: Path, *args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", raise_disk_full)
        with pytest.raises(OutputError, match="No space left"):
            write_bundle(folder, tiny_config(name="second"), codec_graphs())
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]
    Bundle.load(folder).verify()


def test_graph_that_does_not_run_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="'ar' cannot be run"):
        write_bundle(tmp_path / "b", tiny_config(), {"ar": NewGraph(b"not a graph")})
    assert list(tmp_path.iterdir()) == []


def test_document_outside_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        write_bundle(tmp_path / "b", tiny_config(), {}, {"../README.md": ""})


# The Hub, without a network


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def fake_hub(monkeypatch: pytest.MonkeyPatch, download: object) -> None:
    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


@pytest.mark.parametrize(
    ("source", "revision"), [("hf://someone/tiny", None), ("hf://someone/tiny@v1.2", "v1.2")]
)
def test_repository_is_requested_from_the_hub(
    folder: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    revision: str | None,
) -> None:
    requests = []

    def download(repository: str, revision: str | None, allow_patterns: list[str]) -> str:
        requests.append((repository, revision))
        return str(folder)

    fake_hub(monkeypatch, download)
    Bundle.load(source).verify()
    assert requests == [("someone/tiny", revision)]


def test_message_offline_says_where_to_put_the_files(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*args: object, **kwargs: object) -> str:
        raise ConnectionError("no route to host")

    fake_hub(monkeypatch, download)
    folder_by_hand = home / "bundles" / "someone" / "tiny"
    with pytest.raises(BundleError, match="no route to host") as error:
        Bundle.load("hf://someone/tiny")
    assert str(folder_by_hand) in str(error.value)
    folder_by_hand.parent.mkdir(parents=True)
    folder.rename(folder_by_hand)  # as the message says
    Bundle.load("hf://someone/tiny").verify()


def test_missing_hub_package_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # makes the import fail
    with pytest.raises(BundleError, match=r"pip install 'valle\[hub\]'") as error:
        Bundle.load("hf://someone/tiny")
    assert str(home / "bundles" / "someone" / "tiny") in str(error.value)


@pytest.mark.parametrize("source", ["hf://tiny", "hf://a/b/c", "hf://../b", "hf:///", "hf://a/.."])
def test_invalid_hub_address_is_refused(home: Path, source: str) -> None:
    with pytest.raises(BundleError, match="not of the form"):
        Bundle.load(source)


def test_import_does_not_load_onnxruntime() -> None:
    code = (
        "import sys, valle.bundle.bundle, valle.runtime.codec; "
        "sys.exit('onnxruntime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
