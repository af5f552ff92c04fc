"""Options of `valle mcp`: one definition for the command line and Python."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from valle.options import validate_options


class AssistantOptions(BaseModel):
    """Options of the tools. The descriptions are the help texts of the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str | None = Field(
        None,
        min_length=1,
        description="folder in which speech is saved and recordings are checked; the assistant "
        "reaches no other files (default: spoken, in your data folder)",
    )
    voice: str | None = Field(
        None,
        min_length=1,
        description="the voice when the assistant names none (default: the first saved voice)",
    )
    play: bool = Field(False, description="also play what is spoken on this computer")
    max_characters: int = Field(
        20_000, ge=1, le=1_000_000, description="longest text that is spoken at once"
    )
    port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="listen at http://127.0.0.1:PORT/mcp for programs of this computer, instead of "
        "standard input",
    )
    bundle: str | None = Field(
        None,
        description="the model to use: a folder or hf://OWNER/NAME (default: the built-in one)",
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="processor threads to use (default: one per core)"
    )

    @classmethod
    def from_keywords(cls, **values: Any) -> AssistantOptions:
        """Validate values from a user.

        Raises:
            UsageError: A value out of range; the message names the option.
        """
        return validate_options(cls, values)
