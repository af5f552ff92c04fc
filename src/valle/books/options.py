"""Options of a book: one definition for the command line, the project's file and Python."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, field_validator

from valle.options import (
    OUTPUT_RATES,
    OutputOptions,
    SpeakOptions,
    parse_pauses,
    validate_options,
)

DEFAULT_PAUSES = {"sentence": 0.5, "paragraph": 1.0, "chapter": 2.0}  # seconds
ACX = "acx"
"""The levels that Audible's ACX asks for: RMS -23 to -18 dBFS, peaks of at most -3 dBFS."""
_SPEAK = SpeakOptions.model_fields
_OUTPUT = OutputOptions.model_fields


class BookOptions(BaseModel):
    """Options of a book. The descriptions are the help texts of the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str | None = Field(
        None, min_length=1, description="title (default: the one in the file)"
    )
    author: str | None = Field(
        None, min_length=1, description="author (default: the one in the file)"
    )
    narrator: str | None = Field(
        None, min_length=1, description="narrator, as players show it (default: the voice's name)"
    )
    cover: str | None = Field(
        None, description="picture of the book, JPEG or PNG (default: the one in the EPUB)"
    )
    chapters: str | None = Field(
        None, min_length=1, description="chapters to speak, such as 2-10,12 (default: all of them)"
    )
    notes: Literal["skip", "speak"] = Field(
        "skip", description="footnotes: skip them, or speak them where they stand"
    )
    foreign: Literal["refuse", "skip"] = Field(
        "refuse",
        description="a book that is mostly in another script or language: refuse it, or skip what "
        "cannot be spoken",
    )
    seed: int = Field(0, ge=0, lt=2**63, description=str(_SPEAK["seed"].description))
    temperature: float = Field(
        0.9, ge=0.0, le=2.0, description=str(_SPEAK["temperature"].description)
    )
    top_p: float = Field(0.8, gt=0.0, le=1.0, description=str(_SPEAK["top_p"].description))
    speed: float = Field(1.0, ge=0.25, le=4.0, description=str(_SPEAK["speed"].description))
    best_of: int = Field(1, ge=1, le=32, description=str(_SPEAK["best_of"].description))
    retries: int = Field(2, ge=0, le=32, description=str(_SPEAK["retries"].description))
    pause: dict[str, float] = Field(
        DEFAULT_PAUSES,
        description="silence in seconds: sentence=SECONDS,paragraph=SECONDS,chapter=SECONDS, any "
        "of them",
    )
    lexicon: str | None = Field(None, description=str(_SPEAK["lexicon"].description))
    plain: bool = Field(
        False, description="speak tags in brackets such as [pause:1s] too, as they are written"
    )
    loudness: float | Literal["acx", "off"] = Field(
        -16.0,
        description="loudness in LUFS (ITU-R BS.1770), -60 to -5; acx for the levels that ACX asks "
        "for; off leaves it as the model speaks",
    )
    rate: int | None = Field(None, description=str(_OUTPUT["rate"].description))
    bitrate: int | None = Field(
        None,
        ge=16,
        le=320,
        description="kilobits per second (default: 64 for M4B and MP3, 192 with acx, 32 for Opus)",
    )

    @field_validator("pause", mode="before")
    @classmethod
    def _complete_pause(cls, value: object) -> dict[str, float]:
        return parse_pauses(value, DEFAULT_PAUSES)

    @field_validator("lexicon", "cover", mode="before")
    @classmethod
    def _make_absolute(cls, value: object) -> object:
        """The project may be continued from another folder."""
        if value is None:
            return None
        if not str(value).strip():
            raise ValueError("must be the name of a file")
        return str(Path(str(value)).absolute())

    @field_validator("loudness", mode="before")
    @classmethod
    def _parse_loudness(cls, value: object) -> object:
        if value in (ACX, "off"):
            return value
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = 0.0
        if not -60.0 <= number <= -5.0:
            raise ValueError("must be acx, off, or LUFS from -60 to -5")
        return number

    @field_validator("rate")
    @classmethod
    def _check_rate(cls, value: int | None) -> int | None:
        if value is not None and value not in OUTPUT_RATES:
            raise ValueError("must be one of " + ", ".join(map(str, OUTPUT_RATES)))
        return value

    @classmethod
    def from_keywords(cls, **values: Any) -> BookOptions:
        """Validate values from a user, as `SpeakOptions.from_keywords` does.

        Raises:
            UsageError: An unknown option or a value out of range.
        """
        return validate_options(cls, values)


class BookKeywords(TypedDict, total=False):
    """The fields of `BookOptions` as keyword arguments, so that type checkers know them."""

    title: str | None
    author: str | None
    narrator: str | None
    cover: str | PurePath | None
    chapters: str | None
    notes: Literal["skip", "speak"]
    foreign: Literal["refuse", "skip"]
    seed: int
    temperature: float
    top_p: float
    speed: float
    best_of: int
    retries: int
    pause: dict[str, float]
    lexicon: str | PurePath | None
    plain: bool
    loudness: float | Literal["acx", "off"]
    rate: int | None
    bitrate: int | None
