"""Options of an edit, defined once for Python and the command line."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from valle.options import SpeakOptions, validate_options


class EditOptions(BaseModel):
    """How the new words are generated. The descriptions are the help texts of the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0, lt=1 << 63, description="random seed")
    best_of: int = Field(
        4,
        ge=1,
        le=32,
        description="candidates to generate of new words, the best of which is kept; 1 to 32",
    )
    remove_fillers: bool = Field(
        False, description="remove um, uh, er and hm wherever the text has them"
    )
    shorten_pauses: float | None = Field(
        None,
        ge=0.1,
        le=10.0,
        description="seconds that a pause between words may last; what is longer is cut out of its "
        "silence; 0.1 to 10",
    )
    lexicon: str | dict[str, str] | None = Field(
        None, description=SpeakOptions.model_fields["lexicon"].description
    )

    @classmethod
    def from_keywords(cls, **values: Any) -> EditOptions:
        """Validate values from a user.

        Raises:
            UsageError: An unknown option or a value out of range.
        """
        return validate_options(cls, values)
