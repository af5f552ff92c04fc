"""How to speak: the one definition that Python and the command line take their options from."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from valle.errors import UsageError


class SpeakOptions(BaseModel):
    """Options of `Model.speak` and `Model.stream`; the descriptions are the command line's help."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(
        0, ge=0, lt=2**63, description="number that chance is drawn from; the same, the same speech"
    )
    temperature: float = Field(
        0.9, ge=0.0, le=2.0, description="0 always takes the likeliest code, higher varies more"
    )
    top_p: float = Field(
        0.8, gt=0.0, le=1.0, description="draw among the likeliest codes up to this share, 0 to 1"
    )
    speed: float = Field(
        1.0,
        ge=0.25,
        le=4.0,
        description="1 is the voice's own speed, 2 twice as fast; 0.25 to 4",
    )
    duration: float | None = Field(
        None, gt=0.0, le=3600.0, description="seconds that the whole speech is to take"
    )

    best_of: int = Field(
        1, ge=1, le=32, description="say each sentence so often and keep the best; 1 to 32"
    )

    @model_validator(mode="after")
    def _one_length(self) -> SpeakOptions:
        if self.duration is not None and self.speed != 1.0:
            raise ValueError("--speed and --duration exclude each other: give only one of them")
        return self

    @classmethod
    def of(cls, **values: Any) -> SpeakOptions:
        """Check values from a user.

        Raises:
            UsageError: naming the flag, what was given and what is allowed.
        """
        for name in values.keys() - cls.model_fields.keys():
            near = difflib.get_close_matches(name, cls.model_fields, n=1)
            meant = f"did you mean {near[0]!r}?" if near else "use " + ", ".join(cls.model_fields)
            raise UsageError(f"there is no option {name!r}; {meant}")
        try:
            return cls(**values)
        except ValidationError as error:
            raise UsageError("; ".join(map(_explain, error.errors()))) from None


def flag(name: str) -> str:
    """The command line's spelling of a field's name."""
    return "--" + name.replace("_", "-")


def _explain(error: Any) -> str:
    """One line for one of pydantic's errors, in the words of the command line."""
    if not error["loc"]:
        return str(error["msg"]).removeprefix("Value error, ")
    name = str(error["loc"][0])
    wanted = str(error["msg"])[0].lower() + str(error["msg"])[1:]
    wanted = wanted.replace("input should be", "must be")
    return f"{flag(name)} {wanted}, not {error['input']!r}"
