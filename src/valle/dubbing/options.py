"""Options of dubbing: one definition for the Python API and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, field_validator

from valle.options import SpeakOptions, validate_options

if TYPE_CHECKING:
    from typing_extensions import Self

_SPEAK = SpeakOptions.model_fields


class FilmOptions(BaseModel):
    """Options of all that gives a film new speech. The descriptions are the help texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    original: Literal["keep", "replace", "duck"] = Field(
        "keep",
        description="original sound: keep it as a second track, replace it, or duck: lower it "
        "under the new speech",
    )
    duck: float = Field(
        15.0, ge=3.0, le=60.0, description="decibels by which --original duck lowers it; 3 to 60"
    )
    background: str | None = Field(
        None, description="music and effects without speech, to be mixed under the new speech"
    )
    track: str | None = Field(
        None,
        description="track of the original sound: its language (such as deu) or its number from 1 "
        "(default: the film's default)",
    )
    loudness: float | None = Field(
        None,
        ge=-60.0,
        le=-5.0,
        description="loudness of the speech in LUFS (ITU-R BS.1770) (default: that of the "
        "original's speech; -16 without one)",
    )
    seed: int = Field(0, ge=0, lt=2**62, description=str(_SPEAK["seed"].description))
    retries: int = Field(
        2,
        ge=0,
        le=32,
        description="times to speak a cue or phrase again that lacks or repeats words; 0 to 32",
    )
    lexicon: str | dict[str, str] | None = Field(
        None, description=str(_SPEAK["lexicon"].description)
    )

    @field_validator("lexicon", "background", mode="before")
    @classmethod
    def _spell_path(cls, value: object) -> object:
        return str(value) if isinstance(value, PurePath) else value

    @classmethod
    def from_keywords(cls, **values: Any) -> Self:
        """Validate values from a user.

        Raises:
            UsageError: An unknown option or a value out of range.
        """
        return validate_options(cls, values)


class SyncOptions(FilmOptions):
    """Options of `valle sync`."""


class DubOptions(FilmOptions):
    """Options of `dub_film` and of `valle dub`."""

    spill: float = Field(
        1.0,
        ge=0.0,
        le=10.0,
        description="seconds that a cue may run into the gap after it, where it does not fit; "
        "0 to 10",
    )
    max_rate: float = Field(
        1.35,
        ge=1.0,
        le=2.0,
        description="how many times as fast as usual a cue may be spoken to fit; 1 to 2",
    )
    redo: Sequence[int] = Field(
        (),
        description="number of a cue to speak in another way; repeat it for several, or to try the "
        "same one again",
    )


class DubKeywords(TypedDict, total=False):
    """The fields of `DubOptions` as keyword arguments, so that type checkers know them."""

    spill: float
    max_rate: float
    original: Literal["keep", "replace", "duck"]
    duck: float
    background: str | None
    track: str | None
    loudness: float | None
    seed: int
    retries: int
    lexicon: str | dict[str, str] | None
    redo: Sequence[int]
