"""Options of speech synthesis: one definition for the Python API and the command line."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, TypedDict, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from valle.errors import UsageError
from valle.styles import Style

DEFAULT_PAUSE = {"sentence": 0.5, "paragraph": 1.0}  # seconds
MAX_PAUSE = 60.0  # seconds
FILE_OPTIONS = frozenset({"lexicon", "background", "cover"})
"""Options that name a file, of all kinds of work: records leave its folder out, and the server
takes the file itself instead."""
OUTPUT_RATES = (16_000, 22_050, 24_000, 44_100, 48_000)  # Hz: those that all formats can have


class SpeakOptions(BaseModel):
    """Options of `Model.speak` and `Model.stream`.

    The descriptions are the help texts of the command line. `SpeakKeywords` has the same fields for
    type checkers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(
        0, ge=0, lt=2**63, description="random seed; the same seed gives the same speech"
    )
    temperature: float = Field(
        0.9,
        ge=0.0,
        le=2.0,
        description="sampling temperature: 0 always takes the most likely code; 0 to 2",
    )
    top_p: float = Field(
        0.8,
        gt=0.0,
        le=1.0,
        description="nucleus sampling: probability held by the codes that are sampled from",
    )
    speed: float = Field(
        1.0,
        ge=0.25,
        le=4.0,
        description="speaking rate: 1 is the voice's own, 2 is twice as fast; 0.25 to 4",
    )
    duration: float | None = Field(
        None, gt=0.0, le=3600.0, description="length of the whole speech in seconds"
    )
    best_of: int = Field(
        1,
        ge=1,
        le=32,
        description="candidates to generate of each sentence, the best of which is kept; 1 to 32",
    )
    retries: int = Field(
        2,
        ge=0,
        le=32,
        description="times to generate a sentence again that lacks or repeats words; 0 to 32",
    )
    pause: dict[str, float] = Field(
        DEFAULT_PAUSE,
        description="silence between sentences and between paragraphs in seconds, either or both: "
        "sentence=SECONDS,paragraph=SECONDS",
    )
    lexicon: str | dict[str, str] | None = Field(
        None,
        description="file with how words are said: a word, a comma, and a respelling or IPA per "
        "line (Nguyen, win)",
    )
    plain: bool = Field(
        False, description="speak marks of Markdown and HTML too, instead of leaving them out"
    )
    ssml: bool = Field(
        False, description="read the text as SSML, a document from <speak> to </speak>"
    )
    style: Style | None = Field(
        None,
        description="how it is said: numbers of valle.styles.Style, or a text such as "
        "'sad 0.5, slow'",
    )
    redo: Sequence[int] = Field(
        (),
        description="number of a sentence to speak in another way, from 1; repeat it for several, "
        "or to try the same one again. All other sentences stay as they are",
    )

    @field_validator("lexicon", mode="before")
    @classmethod
    def _spell_path(cls, value: object) -> object:
        return str(value) if isinstance(value, PurePath) else value

    @field_validator("pause", mode="before")
    @classmethod
    def _complete_pause(cls, value: object) -> dict[str, float]:
        return parse_pauses(value, DEFAULT_PAUSE)

    @model_validator(mode="after")
    def _check_redo(self) -> SpeakOptions:
        if self.redo and min(self.redo) < 1:
            raise ValueError(f"--redo counts sentences from 1, so there is no {min(self.redo)}")
        if self.redo and self.temperature == 0:
            raise ValueError("--redo needs a --temperature above 0: at 0 nothing is random")
        return self

    @model_validator(mode="after")
    def _reject_speed_with_duration(self) -> SpeakOptions:
        if self.duration is not None and self.speed != 1.0:
            raise ValueError("--speed and --duration exclude each other: give only one of them")
        return self

    @classmethod
    def from_keywords(cls, **values: Any) -> SpeakOptions:
        """Validate values from a user.

        Raises:
            UsageError: An unknown option or a value out of range; the message names the command
                line's flag, the value given and the values allowed.
        """
        return validate_options(cls, values)

    def as_keywords(self) -> SpeakKeywords:
        """Return all options as keyword arguments."""
        return cast("SpeakKeywords", self.model_dump())


class SpeakKeywords(TypedDict, total=False):
    """The fields of `SpeakOptions` as keyword arguments, so that type checkers know them."""

    seed: int
    temperature: float
    top_p: float
    speed: float
    duration: float | None
    best_of: int
    retries: int
    pause: dict[str, float]
    lexicon: str | dict[str, str] | None
    plain: bool
    ssml: bool
    style: Style | dict[str, Any] | str | None
    redo: Sequence[int]


class OutputOptions(BaseModel):
    """Options of `Speech.save`: the samples that are written.

    The descriptions are the help texts of the command line. `OutputKeywords` has the same fields
    for type checkers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    loudness: float | None = Field(
        -16.0,
        ge=-60.0,
        le=-5.0,
        description="loudness of the file in LUFS (ITU-R BS.1770), -60 to -5; off leaves it as the "
        "model speaks",
    )
    rate: int | None = Field(
        None,
        description="sample rate of the file in Hz, such as 24000 or 48000 (default: the model's)",
    )

    @field_validator("loudness", mode="before")
    @classmethod
    def _read_off(cls, value: object) -> object:
        return None if value == "off" else value

    @field_validator("rate", mode="before")
    @classmethod
    def _refuse_factor(cls, value: object) -> object:
        if isinstance(value, (str, float)) and not str(value).strip().isdigit():
            raise ValueError("is the sample rate of the file in Hz; how fast it is, --speed says")
        return value

    @field_validator("rate")
    @classmethod
    def _check_rate(cls, value: int | None) -> int | None:
        if value is not None and value not in OUTPUT_RATES:
            raise ValueError("must be one of " + ", ".join(map(str, OUTPUT_RATES)))
        return value

    @classmethod
    def from_keywords(cls, **values: Any) -> OutputOptions:
        """Validate values from a user, as `SpeakOptions.from_keywords` does.

        Raises:
            UsageError: An unknown option or a value out of range.
        """
        return validate_options(cls, values)


class OutputKeywords(TypedDict, total=False):
    """The fields of `OutputOptions` as keyword arguments, so that type checkers know them."""

    loudness: float | None
    rate: int | None


Options = TypeVar("Options", bound=BaseModel)


def validate_options(model: type[Options], values: dict[str, Any]) -> Options:
    """Return the options with values from a user; errors are in the terms of the command line."""
    for name in values.keys() - model.model_fields.keys():
        close = difflib.get_close_matches(name, model.model_fields, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "use " + ", ".join(model.model_fields)
        raise UsageError(f"there is no option {name!r}; {hint}")
    try:
        return model(**values)
    except ValidationError as error:
        raise UsageError("; ".join(map(_explain, error.errors()))) from None


def describe_options(options: BaseModel | dict[str, Any]) -> dict[str, Any]:
    """Return options for a record that others read: of files, their names without the folders."""
    values = dict(options) if isinstance(options, dict) else options.model_dump(mode="json")
    for name in FILE_OPTIONS & values.keys():
        if isinstance(values[name], str):
            values[name] = PurePath(values[name]).name
    return values


def parse_pauses(value: object, defaults: dict[str, float]) -> dict[str, float]:
    """Return all pauses in seconds, from shorter to longer ones.

    One that is not given has its default, or is longer, as it should be: twice the one before.

    Args:
        value: A mapping, or text such as `sentence=0.3,paragraph=0.8`.
        defaults: Seconds of each kind, the shorter before the longer.

    Raises:
        ValueError: A kind is not among the defaults, or a pause is not a number from 0 to
            `MAX_PAUSE`.
    """
    kinds = list(defaults)
    usage = f"takes {','.join(f'{kind}=SECONDS' for kind in kinds)}, from 0 to {MAX_PAUSE:g}"
    if isinstance(value, str):
        value = dict(part.partition("=")[::2] for part in value.replace(" ", "").split(","))
    try:
        given = {str(kind): float(seconds) for kind, seconds in dict(value).items()}  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise ValueError(usage) from None
    if not given.keys() <= defaults.keys():
        raise ValueError(usage)
    if not all(0.0 <= seconds <= MAX_PAUSE for seconds in given.values()):
        raise ValueError(usage)
    pauses = defaults | given
    for shorter, longer in itertools.pairwise(kinds):
        if longer not in given:
            pauses[longer] = max(pauses[longer], min(MAX_PAUSE, 2 * pauses[shorter]))
    return pauses


def flag(name: str) -> str:
    """Return the command line's spelling of a field's name."""
    return "--" + name.replace("_", "-")


def _explain(error: Any) -> str:
    """Return one of pydantic's errors as one line in the terms of the command line."""
    if not error["loc"]:
        return str(error["msg"]).removeprefix("Value error, ")
    name = str([part for part in error["loc"] if isinstance(part, str)][-1])
    message = str(error["msg"])[0].lower() + str(error["msg"])[1:]
    message = message.removeprefix("value error, ")
    message = message.replace("input should be", "must be")
    return f"{flag(name)} {message}, not {error['input']!r}"
