"""The schema of a bundle's `config.json`, and messages that say what is wrong with a file."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from valle.audio.prosody import CLASSES, STYLES
from valle.errors import BundleError
from valle.files import FileTooLargeError, read_regular_file

FORMAT = 4  # the latest config.json format that this version reads, and the one it writes
CONFIG_NAME = "config.json"
Precision = Literal["fp32", "fp16", "int8", "int4"]

# Upper bounds: far above what any model needs, and far below what exhausts a machine.
_MAX_CONFIG_BYTES = 4 << 20
_LAYERS, _WIDTH, _FRAMES = 256, 65_536, 1_000_000
_SYMBOLS, _NAME, _GRAPHS = 10_000, 200, 64
_STATE = 16_000_000  # float32 values: 64 MB

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class _Strict(BaseModel):
    # Unknown keys are refused: a misspelled one would otherwise be silently ignored.
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorConfig(_Strict):
    """An input or output of a graph; a dimension is a size, a name, or None if it is unnamed."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


class GraphConfig(_Strict):
    """A graph: its file in the bundle, that file's SHA-256 (hex), and its inputs and outputs."""

    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    precision: Precision
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        # A bundle may come from an untrusted source: its file names must not leave its folder.
        if not PLAIN_NAME.fullmatch(file):
            raise ValueError(f"{file!r} is not a plain file name")
        return file


class ARConfig(_Strict):
    """The AR model: its size, and how it is run; positions and limits per symbol are in frames."""

    layers: int = Field(ge=1, le=_LAYERS)
    heads: int = Field(ge=1, le=_WIDTH)
    width: int = Field(ge=1, le=_WIDTH)
    max_positions: int = Field(ge=1, le=_FRAMES)
    max_stay_phoneme: int = Field(ge=1, le=_FRAMES)  # the most frames on one phoneme
    max_stay_border: int = Field(ge=1, le=_FRAMES)  # the most frames on a pause or punctuation mark
    # Of classifier-free guidance toward a style (Ho and Salimans 2022, section 3.2). At 3 every
    # style is audible, and phonemes stay as clear (docs/decisions/0006-style-guidance.md).
    guidance_scale: float = Field(default=3.0, ge=0, le=100)


class NARConfig(_Strict):
    """The NAR model: its size, and how it is run; `block`, `past` and `ahead` are in frames."""

    layers: int = Field(ge=1, le=_LAYERS)
    heads: int = Field(ge=1, le=_WIDTH)
    width: int = Field(ge=1, le=_WIDTH)
    block: int = Field(ge=1, le=_FRAMES)
    past: int = Field(ge=0, le=_FRAMES)
    ahead: int = Field(ge=0, le=_FRAMES)
    latent: int = Field(
        ge=1, le=_WIDTH
    )  # dimension of the codec's latent vectors, which it predicts
    # As that of the AR; its effect is smaller than that of another random seed.
    guidance_scale: float = Field(default=1.0, ge=0, le=100)


class StyleConfig(_Strict):
    """Bin edges that quantize each style measurement into the classes of its token.

    In the order of `valle.audio.prosody.STYLES`, each in its own unit. A bundle without this
    section takes no style.
    """

    borders: tuple[tuple[float, ...], ...]

    @field_validator("borders")
    @classmethod
    def _ascending(cls, borders: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if [len(row) for row in borders] != [CLASSES - 1] * len(STYLES):
            raise ValueError(f"each of the {len(STYLES)} styles needs {CLASSES - 1} borders")
        if any(list(row) != sorted(row) for row in borders):
            raise ValueError("the borders of a style must be in ascending order")
        return borders


class BundleConfig(_Strict):
    """The whole of `config.json`.

    `sample_rate` is in Hz, `hop` in samples per frame, `decoder_delay` in frames.
    """

    format: Literal[4] = 4
    name: str = Field(min_length=1, max_length=_NAME)
    language: str = Field(max_length=_NAME)
    sample_rate: int = Field(ge=1, le=384_000)
    hop: int = Field(ge=1, le=_WIDTH)
    codebooks: int = Field(ge=1, le=_LAYERS)
    codebook_size: int = Field(ge=2, le=_FRAMES)  # also the code that means "no code"
    frames_per_step: Literal[1] = 1
    alignment: Literal["pointer"] = "pointer"
    symbols: tuple[str, ...] = Field(max_length=_SYMBOLS)  # id 0 is "<unknown>"
    # "<blank>", "<pause>", then phonemes
    listener_symbols: tuple[str, ...] = Field(max_length=_SYMBOLS)
    decoder_delay: int = Field(ge=0, le=_FRAMES)
    # float32 values that the codec decoder keeps between calls
    decoder_state: int = Field(ge=0, le=_STATE)
    # dimension of its Gaussian noise input per frame
    decoder_noise: int = Field(ge=0, le=_WIDTH)
    ar: ARConfig
    nar: NARConfig
    style: StyleConfig | None = None
    # receipts of the speakers that the model was fine-tuned on, see `valle.trust.receipts`
    consents: tuple[dict[str, Any], ...] = Field(default=(), max_length=10_000)
    graphs: dict[str, GraphConfig] = Field(default_factory=dict, max_length=_GRAPHS)

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


RESTORE = "copy the bundle again, or export it again"


def read_config(folder: Path) -> BundleConfig:
    """Read and check `config.json` in `folder`.

    Raises:
        BundleError: There is no such file, or it is not a valid configuration; the message says
            what is wrong and where.
    """
    path = folder / CONFIG_NAME
    if not folder.is_dir():
        raise BundleError(
            f"there is no bundle at {folder}: give the folder that holds {CONFIG_NAME}"
        )
    try:
        text = read_regular_file(path, _MAX_CONFIG_BYTES).decode("utf-8")
    except FileTooLargeError as error:
        raise BundleError(f"{path} is too large for a configuration; {RESTORE}") from error
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror or error}); a bundle is a folder with "
            f"{CONFIG_NAME} and its .onnx files"
        ) from error
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is not UTF-8 text; {RESTORE}") from error
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:  # nested thousands deep
        raise BundleError(f"{path} is not JSON: {error}; {RESTORE}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("format"), int):
        raise BundleError(f"{path} has no format version; {RESTORE}")
    if fields["format"] > FORMAT:
        raise BundleError(
            f"{path} has format {fields['format']}, and this version of valle reads up to "
            f"{FORMAT}: upgrade valle, or use an older bundle"
        )
    if 0 < fields["format"] < FORMAT:
        raise BundleError(
            f"{path} has format {fields['format']}, whose models this version of valle no longer "
            f"runs: it reads format {FORMAT}; use a newer bundle, or the version that wrote it"
        )
    try:
        config = BundleConfig.model_validate_json(text)
        check_shapes(config)
        return config
    except ValidationError as error:
        raise BundleError(f"{path}: {_explain(error)}; correct it, or {RESTORE}") from error


def check_shapes(config: BundleConfig) -> None:
    """Check that the sizes in a configuration are those of its graphs' inputs.

    Raises:
        BundleError: One differs. Otherwise it would be noticed while speaking, or take memory.
    """
    head = config.ar.width // config.ar.heads
    declared = {
        ("codec_decoder", "codes", 2): ("codebooks", config.codebooks),
        ("codec_decoder", "state", 1): ("decoder_state", config.decoder_state),
        ("codec_decoder", "noise", 2): ("decoder_noise", config.decoder_noise),
        ("ar", "codes", 2): ("codebooks", config.codebooks),
        ("ar", "past_key_0", 1): ("ar.heads", config.ar.heads),
        ("ar", "past_key_0", 2): ("ar.max_positions", config.ar.max_positions),
        ("ar", "past_key_0", 3): ("ar.width", head),
        ("nar", "past_key", 0): ("nar.layers", config.nar.layers),
        ("nar", "past_key", 2): ("nar.heads", config.nar.heads),
        ("nar", "plain", 2): ("nar.latent", config.nar.latent),
    }
    for (graph, tensor, axis), (field, size) in declared.items():
        for given in config.graphs[graph].inputs if graph in config.graphs else ():
            if given.name == tensor and axis < len(given.shape):
                found = given.shape[axis]
                if isinstance(found, int) and found != size:
                    raise BundleError(
                        f"{CONFIG_NAME} has {field} = {size}, but the input {tensor!r} of its "
                        f"graph {graph!r} has {found}; {RESTORE}"
                    )


def _explain(error: ValidationError) -> str:
    """List the problems that pydantic found, with the most similar key for an unknown one."""
    known_keys = {
        field
        for model in (BundleConfig, ARConfig, NARConfig, StyleConfig, GraphConfig, TensorConfig)
        for field in model.model_fields
    }
    problems = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        problem = item["msg"]
        if item["type"] == "extra_forbidden":
            similar = difflib.get_close_matches(str(item["loc"][-1]), known_keys, n=1)
            problem = "unknown key" + (f", did you mean {similar[0]!r}?" if similar else "")
        problems.append(f"{key}: {problem}" if key else problem)
    return "; ".join(problems)
