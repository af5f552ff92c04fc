"""Options of a listening test, defined once for Python and the command line."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from valle.options import validate_options

Kind = Literal["preference", "cmos", "smos", "mushra"]

QUESTIONS: dict[Kind, str] = {
    "preference": "Which of the two sounds better?",
    "cmos": "How much better or worse is the second than the first?",
    "smos": "How similar are the two voices? Judge the voice alone, not words or sound quality.",
    "mushra": "How good is each clip compared with the reference?",
}


class ListeningOptions(BaseModel):
    """How a listening test is made. The descriptions are the help texts of the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = Field(
        "preference",
        description="preference (A, B or no difference), cmos (-3 to +3), smos (similarity of "
        "voices, 1 to 5) or mushra (0 to 100, with hidden reference and anchor)",
    )
    title: str = Field("Listening test", min_length=1, description="what the page is called")
    question: str | None = Field(
        None, description="what is asked of every trial (default: one that fits the kind)"
    )
    listeners: int = Field(
        24,
        ge=1,
        le=10_000,
        description="listeners whose order is planned; further ones begin again with the first",
    )
    per_listener: int | None = Field(
        None, ge=1, description="trials of each listener (default: all)"
    )
    loudness: float = Field(
        -23.0,
        ge=-40.0,
        le=-16.0,
        description="loudness of all clips in LUFS (ITU-R BS.1770), -40 to -16",
    )
    seed: int = Field(0, ge=0, lt=1 << 63, description="of the names that hide the systems")

    @classmethod
    def from_keywords(cls, **values: Any) -> ListeningOptions:
        """Validate values from a user.

        Raises:
            UsageError: an unknown option or a value out of range.
        """
        return validate_options(cls, values)
