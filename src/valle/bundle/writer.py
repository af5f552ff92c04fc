"""Write a bundle, completely or not at all."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from valle.bundle.bundle import Bundle
from valle.bundle.config import (
    CONFIG_NAME,
    PLAIN_NAME,
    BundleConfig,
    GraphConfig,
    Precision,
    TensorConfig,
)
from valle.bundle.session import make_session
from valle.errors import BundleError, OutputError, UsageError

if TYPE_CHECKING:
    import onnxruntime


_DOCUMENTS = (".md", ".txt")  # endings of the text files that are kept with the graphs
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}


@dataclass(frozen=True)
class NewGraph:
    """A graph to write: the serialized ONNX model and the precision of its weights."""

    model: bytes
    precision: Precision = "fp32"


def write_bundle(
    folder: str | Path,
    config: BundleConfig,
    graphs: Mapping[str, NewGraph],
    documents: Mapping[str, str] | None = None,
) -> Bundle:
    """Write a bundle, one file per graph, and open it.

    The folder appears under its name only when it is complete. Each graph is loaded once, so that
    one that ONNX Runtime cannot read is never written.

    Args:
        folder: Where to write it. An existing bundle there is replaced; anything else is refused.
        config: The configuration; its `graphs` are filled in here.
        graphs: The graphs by name.
        documents: Further text files by name, such as a model card and licenses.

    Raises:
        BundleError: A graph that ONNX Runtime cannot read.
        OutputError: The folder cannot be written, or holds something other than a bundle.
        UsageError: The name of a graph or document is not a plain file name.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / CONFIG_NAME).is_file() and not _is_empty(folder):
        raise OutputError(f"{folder} holds something other than a bundle; choose another folder")
    documents = documents or {}
    for name in (*graphs, *documents):
        if not PLAIN_NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be the name of a graph or document in a bundle")
    graph_configs = {name: _describe(name, graph) for name, graph in graphs.items()}
    config = config.model_copy(update={"graphs": graph_configs})
    # In the same folder as the final one, so that the rename stays within one file system.
    temporary = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    try:
        temporary.mkdir(parents=True)
        for name, graph in graphs.items():
            (temporary / graph_configs[name].file).write_bytes(graph.model)
        for name, text in documents.items():
            (temporary / name).write_text(text, encoding="utf-8")
        # Earlier versions refuse the field, so they run no bundle whose receipts they cannot check.
        unused = None if config.consents else {"consents"}
        (temporary / CONFIG_NAME).write_text(
            config.model_dump_json(indent=1, exclude=unused) + "\n", encoding="utf-8"
        )
        _replace_folder(temporary, folder)
    except OSError as error:
        raise OutputError(f"the bundle {folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Bundle.load(folder)


def add_graph(bundle: Bundle, name: str, graph: NewGraph) -> Bundle:
    """Write a bundle again with one more graph, or with another one of that name.

    Its other graphs and documents stay byte for byte.

    Args:
        bundle: The bundle to rewrite.
        name: Of the graph.
        graph: The graph to add.

    Raises:
        BundleError: A file of the bundle is missing or altered, or ONNX Runtime cannot read the
            graph.
        OutputError: The folder cannot be written.
    """
    graphs = {
        other: NewGraph(bundle.read_graph(other), config.precision)
        for other, config in bundle.config.graphs.items()
    }
    documents = {
        path.name: path.read_text(encoding="utf-8")
        for path in bundle.folder.iterdir()
        if path.suffix in _DOCUMENTS
    }
    return write_bundle(bundle.folder, bundle.config, graphs | {name: graph}, documents)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _replace_folder(new: Path, folder: Path) -> None:
    if not folder.exists():
        new.rename(folder)
        return
    # A folder cannot be renamed over one that holds files, so the old one is renamed first.
    old = new.with_name(new.name + ".old")
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _describe(name: str, graph: NewGraph) -> GraphConfig:
    """Return the entry of a graph in `config.json`, read from a session of it."""
    try:
        session = make_session(graph.model, threads=1)
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise BundleError(f"graph {name!r} cannot be run by onnxruntime: {error}") from error

    def layout(tensors: list[onnxruntime.NodeArg]) -> tuple[TensorConfig, ...]:
        return tuple(
            TensorConfig(
                name=tensor.name,
                dtype=_DTYPES.get(tensor.type, tensor.type[len("tensor(") : -1]),
                shape=tuple(tensor.shape),
            )
            for tensor in tensors
        )

    return GraphConfig(
        file=f"{name}.onnx",
        sha256=hashlib.sha256(graph.model).hexdigest(),
        precision=graph.precision,
        inputs=layout(session.get_inputs()),
        outputs=layout(session.get_outputs()),
    )
