"""A bundle: the folder that holds a trained model, `config.json` beside its ONNX graphs.

Everything that runs a model reads it through `Bundle`. Loading reads the configuration only; each
graph is read, checked against its SHA-256 and turned into an ONNX Runtime session when it is first
asked for, so that a command which needs one graph pays for one.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import re
import shutil
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from valle.errors import BundleError, OutputError, UsageError
from valle.hashed_file import open_hashed
from valle.hub import HUB_PREFIX, fetch
from valle.session import make_session, threads_for
from valle.style import CLASSES, STYLES

if TYPE_CHECKING:
    import onnxruntime

FORMAT = 4  # the latest config.json format that this version reads, and the one it writes
CONFIG_NAME = "config.json"
DEFAULT_FOLDER = Path(__file__).parent / "bundles" / "default"

Precision = Literal["fp32", "fp16", "int8", "int4"]

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}


class _Strict(BaseModel):
    # An unknown key is refused: a misspelt one would otherwise be silently ignored.
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorConfig(_Strict):
    """One input or output of a graph; a dimension is a number, a name, or None when unnamed."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


class GraphConfig(_Strict):
    """One graph: its file inside the bundle, the file's SHA-256 (hex), and its layout."""

    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    precision: Precision
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        # A bundle may come from a stranger, so its file names must not lead out of its folder.
        if not _PLAIN_NAME.fullmatch(file):
            raise ValueError(f"{file!r} is not a plain file name")
        return file


class ARConfig(_Strict):
    """Size of the AR model; `max_positions` and both longest stays are in frames."""

    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    width: int = Field(ge=1)
    max_positions: int = Field(ge=1)
    max_stay_phoneme: int = Field(ge=1)
    max_stay_border: int = Field(ge=1)


class NARConfig(_Strict):
    """Size of the NAR model; `block`, `past` and `ahead` are in frames."""

    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    width: int = Field(ge=1)
    block: int = Field(ge=1)
    past: int = Field(ge=0)
    ahead: int = Field(ge=0)
    latent: int = Field(ge=1)  # numbers of a vector that it says


class StyleConfig(_Strict):
    """What the style tokens mean: the borders between the classes of each, in its own unit.

    In the order of `valle.style.STYLES`; a bundle without this reads no style.
    """

    borders: tuple[tuple[float, ...], ...]

    @field_validator("borders")
    @classmethod
    def _ascending(cls, borders: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if [len(row) for row in borders] != [CLASSES - 1] * len(STYLES):
            raise ValueError(f"{len(STYLES)} styles have {CLASSES - 1} borders each")
        if any(list(row) != sorted(row) for row in borders):
            raise ValueError("the borders of a style must go up")
        return borders


class BundleConfig(_Strict):
    """All of `config.json`. Rates in Hz, `hop` in samples a frame, `decoder_delay` in frames."""

    format: Literal[4] = 4
    name: str = Field(min_length=1)
    language: str
    sample_rate: int = Field(ge=1)
    hop: int = Field(ge=1)
    codebooks: int = Field(ge=1)
    codebook_size: int = Field(ge=2)  # also the code value that means "no code here"
    frames_per_step: Literal[1] = 1
    alignment: Literal["pointer"] = "pointer"
    symbols: tuple[str, ...]  # id 0 is "<unknown>"
    listener_symbols: tuple[str, ...]  # "<blank>", "<pause>", then phonemes
    decoder_delay: int = Field(ge=0)
    decoder_state: int = Field(ge=0)  # float32 numbers that the codec decoder carries on
    decoder_noise: int = Field(ge=0)  # normal numbers that it takes for each frame
    ar: ARConfig
    nar: NARConfig
    style: StyleConfig | None = None
    graphs: dict[str, GraphConfig] = Field(default_factory=dict)

    @field_validator("symbols", "listener_symbols")
    @classmethod
    def _no_duplicates(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(symbols)) != len(symbols):
            raise ValueError("a symbol appears twice")
        return symbols

    @model_validator(mode="after")
    def _heads_divide_width(self) -> BundleConfig:
        for part, size in (("ar", self.ar), ("nar", self.nar)):
            if size.width % size.heads:
                raise ValueError(f"{part}: {size.heads} heads do not divide width {size.width}")
        return self


class Bundle:
    """A model on disk: its configuration at once, its graphs when they are first used.

    Safe to share between threads: sessions are made under a lock, and ONNX Runtime's `run` may be
    called from several threads.
    """

    def __init__(self, folder: Path, config: BundleConfig, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads}; give 1 or more, or leave it out")
        self.folder = folder
        self.config = config
        self.threads = threads
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, source: str | Path | None = None, threads: int | None = None) -> Bundle:
        """Open a bundle: the default one (None), a folder, or `hf://owner/name[@revision]`.

        `threads` bounds the threads each graph computes with; None is one for each processor that
        the process may use. Raises BundleError for a folder, file or format that cannot be read.
        """
        if isinstance(source, str) and source.startswith(HUB_PREFIX):
            folder = fetch(source, CONFIG_NAME)
        elif source is None:
            folder = DEFAULT_FOLDER
            if not (folder / CONFIG_NAME).is_file():
                raise BundleError(
                    f"this copy of valle came without its default model ({folder} is missing): "
                    "reinstall it, or name a bundle: a folder or hf://owner/name"
                )
        else:
            folder = Path(source).expanduser()
        return cls(folder, read_config(folder), threads)

    def session(self, name: str) -> onnxruntime.InferenceSession:
        """The session of graph `name`, made at the first call after the file's SHA-256 agreed.

        Raises BundleError if the bundle has no such graph, or its file is missing or altered.
        """
        with self._lock:
            if name not in self._sessions:
                threads = threads_for(name, self.config.ar, self.threads)
                with self._checked(name) as model:
                    try:
                        self._sessions[name] = make_session(model, threads, name)
                    except Exception as error:  # ONNX Runtime's exceptions share no base class
                        raise BundleError(
                            f"{self._path(name)} cannot be run by the installed onnxruntime: "
                            f"{error}; upgrade onnxruntime"
                        ) from error
            return self._sessions[name]

    def graph_hash(self, name: str) -> str:
        """SHA-256 (hex) that graph `name` must have: the key for what was computed with it."""
        return self._graph(name).sha256

    def verify(self) -> None:
        """Check every graph's file now; the BundleError raised lists all that are wrong."""
        problems = []
        for name in self.config.graphs:
            try:
                with self._checked(name):
                    pass
            except BundleError as error:
                problems.append(str(error))
        if problems:
            raise BundleError("; ".join(problems))

    def _graph(self, name: str) -> GraphConfig:
        graph = self.config.graphs.get(name)
        if graph is None:
            has = ", ".join(sorted(self.config.graphs)) or "none"
            raise BundleError(
                f"the bundle {self.config.name!r} in {self.folder} has no graph {name!r} "
                f"(it has: {has}); use a complete bundle"
            )
        return graph

    def _path(self, name: str) -> Path:
        return self.folder / self._graph(name).file

    def read_graph(self, name: str) -> bytes:
        """The bytes of graph `name`; BundleError if its file is missing or altered."""
        with self._checked(name) as model:
            return model if isinstance(model, bytes) else Path(model).read_bytes()

    @contextlib.contextmanager
    def _checked(self, name: str) -> Iterator[bytes | str]:
        """The bytes of graph `name`, or a path to read them from while this is open."""
        path = self._path(name)
        try:
            with open_hashed(path) as (found, model):
                wanted = self.graph_hash(name)
                if found != wanted:
                    raise BundleError(
                        f"{path} is not the file that {CONFIG_NAME} describes "
                        f"(SHA-256 {found[:12]}..., expected {wanted[:12]}...); {_RESTORE}"
                    )
                yield model
        except OSError as error:
            raise BundleError(f"{path} cannot be read ({error.strerror}); {_RESTORE}") from error


_RESTORE = "copy the bundle again, or export it again"


def read_config(folder: Path) -> BundleConfig:
    """Read and check `config.json` in `folder`; raises BundleError saying what is wrong in it."""
    path = folder / CONFIG_NAME
    if not folder.is_dir():
        raise BundleError(
            f"there is no bundle at {folder}: give the folder that holds {CONFIG_NAME}"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}); a bundle is a folder with {CONFIG_NAME} "
            "and its .onnx files"
        ) from error
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is not UTF-8 text; {_RESTORE}") from error
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise BundleError(f"{path} is not JSON: {error}; {_RESTORE}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("format"), int):
        raise BundleError(f"{path} names no format version; {_RESTORE}")
    if fields["format"] > FORMAT:
        raise BundleError(
            f"{path} is of format {fields['format']}, and this valle reads up to {FORMAT}: "
            "upgrade valle, or use an older bundle"
        )
    if 0 < fields["format"] < FORMAT:
        raise BundleError(
            f"{path} is of format {fields['format']}, whose models this valle no longer runs: it "
            f"reads format {FORMAT}; use a newer bundle, or the valle that wrote this one"
        )
    try:
        return BundleConfig.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{path}: {_explain(error)}; mend it, or {_RESTORE}") from error


@dataclass(frozen=True)
class NewGraph:
    """A graph to be written: the serialised ONNX model and the precision of its weights."""

    model: bytes
    precision: Precision = "fp32"


def write_bundle(
    folder: str | Path,
    config: BundleConfig,
    graphs: Mapping[str, NewGraph],
    documents: Mapping[str, str] | None = None,
) -> Bundle:
    """Write a bundle and open it: `config` with its `graphs` filled in here, one file a graph.

    `documents` are further text files by name (a model card, licences). The folder appears under
    its name only when complete; a bundle that was there is replaced, anything else is refused.
    Each graph is loaded once, so one that ONNX Runtime cannot read is never written. Raises
    BundleError for such a graph and OutputError for a folder that cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / CONFIG_NAME).is_file() and not _is_empty(folder):
        raise OutputError(f"{folder} holds something other than a bundle; choose another folder")
    documents = documents or {}
    for name in (*graphs, *documents):
        if not _PLAIN_NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be the name of a graph or document in a bundle")
    described = {name: _describe(name, graph) for name, graph in graphs.items()}
    config = config.model_copy(update={"graphs": described})
    # Beside the final place, so that the rename stays on one file system.
    temporary = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    try:
        temporary.mkdir(parents=True)
        for name, graph in graphs.items():
            (temporary / described[name].file).write_bytes(graph.model)
        for name, text in documents.items():
            (temporary / name).write_text(text, encoding="utf-8")
        (temporary / CONFIG_NAME).write_text(
            config.model_dump_json(indent=1) + "\n", encoding="utf-8"
        )
        _replace_folder(temporary, folder)
    except OSError as error:
        raise OutputError(f"the bundle {folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Bundle.load(folder)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _replace_folder(new: Path, folder: Path) -> None:
    if not folder.exists():
        new.rename(folder)
        return
    # A folder cannot be renamed over one with files in it, so the old one steps aside first.
    old = new.with_name(new.name + ".old")
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _describe(name: str, graph: NewGraph) -> GraphConfig:
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


def _explain(error: ValidationError) -> str:
    known = {
        field
        for model in (BundleConfig, ARConfig, NARConfig, StyleConfig, GraphConfig, TensorConfig)
        for field in model.model_fields
    }
    problems = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        what = item["msg"]
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
            what = "unknown key" + (f", did you mean {near[0]!r}?" if near else "")
        problems.append(f"{where}: {what}" if where else what)
    return "; ".join(problems)
