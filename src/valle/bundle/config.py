"""`config.json` of a bundle: what it must say, and what is wrong with one that does not."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from valle.audio.prosody import CLASSES, STYLES
from valle.errors import BundleError

FORMAT = 4  # the latest config.json format that this version reads, and the one it writes
CONFIG_NAME = "config.json"
Precision = Literal["fp32", "fp16", "int8", "int4"]

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


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
        if not PLAIN_NAME.fullmatch(file):
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

    In the order of `valle.audio.prosody.STYLES`; a bundle without this reads no style.
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


RESTORE = "copy the bundle again, or export it again"


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
        raise BundleError(f"{path} is not UTF-8 text; {RESTORE}") from error
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise BundleError(f"{path} is not JSON: {error}; {RESTORE}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("format"), int):
        raise BundleError(f"{path} names no format version; {RESTORE}")
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
        raise BundleError(f"{path}: {_explain(error)}; mend it, or {RESTORE}") from error


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
