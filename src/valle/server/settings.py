"""Options of the servers: one definition for the command line, the environment and Python."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from valle.options import validate_options

if TYPE_CHECKING:
    from typing_extensions import Self

OPENAI_VOICES = "alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse".split()
"""The names of OpenAI's voices: some clients take no others, so they can be pointed at voices."""


class ServiceOptions(BaseModel):
    """Options of every protocol. The descriptions are the help texts of the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen at; 0.0.0.0 is all of them")
    database: str | None = Field(
        None,
        description="sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME (default: SQLite in "
        "the user's data folder)",
    )
    objects: str | None = Field(
        None,
        description="folder or s3://BUCKET/PREFIX of voices, recordings and results (default: in "
        "the user's data folder)",
    )
    alias: dict[str, str] = Field(
        default_factory=dict,
        description="another name for a voice, such as alloy=Ada; repeat it for several",
    )
    default_voice: str | None = Field(
        None, description="the voice of OpenAI's names that have no --alias"
    )
    allow_attested: bool = Field(
        False,
        description="let API keys use voices that rest on your own word (--attest) too",
    )
    without_keys: bool = Field(
        False, description="let everybody who reaches this server use it, without an API key"
    )
    max_requests: int = Field(
        64, ge=1, le=10_000, description="requests at once; more are asked to come again later"
    )
    seconds_per_minute: float | None = Field(
        None, gt=0, description="seconds of speech per minute that a key may ask for"
    )
    max_characters: int = Field(
        100_000,
        ge=1,
        le=10_000_000,
        description="longest text of a request; jobs take ten times it",
    )
    idle_unload: float | None = Field(
        None, gt=0, description="seconds without a request after which the model is unloaded"
    )
    bundle: str | None = Field(
        None,
        description="the model to use: a folder or hf://OWNER/NAME (default: the built-in one)",
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="processor threads to use (default: one per core)"
    )

    @field_validator("alias", mode="before")
    @classmethod
    def _read_aliases(cls, value: object) -> object:
        if isinstance(value, list):
            pairs = [str(item).partition("=") for item in value]
            if any(not (name and equals and voice) for name, equals, voice in pairs):
                raise ValueError("takes NAME=VOICE, such as alloy=Ada")
            return {name: voice for name, _, voice in pairs}
        return value

    @classmethod
    def from_keywords(cls, **values: Any) -> Self:
        """Validate values from a user.

        Raises:
            UsageError: A value out of range; the message names the option.
        """
        return validate_options(cls, values)

    @property
    def is_private(self) -> bool:
        """Whether only this computer reaches the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class ServeOptions(ServiceOptions):
    """Options of `valle serve`."""

    port: int = Field(8000, ge=0, le=65535, description="port to listen at; 0 is any free one")
    uds: str | None = Field(None, description="Unix socket to listen at, instead of a port")
    workers: int = Field(1, ge=1, le=64, description="processes; one uses all cores already")
    list_voices_without_key: bool = Field(
        False, description="show the list of voices without an API key, as Open WebUI needs it"
    )
    allow_origin: list[str] = Field(
        default_factory=list,
        description="web page that may call this server, such as https://example.org; repeat it "
        "for several",
    )
    allow_host: list[str] = Field(
        default_factory=list,
        description="name under which this server is reached, if it is not its address; repeat it "
        "for several",
    )
    max_upload: int = Field(10, ge=1, le=1024, description="largest recording in MiB")
    max_job_upload: int = Field(
        1024, ge=1, le=1 << 20, description="largest file of a job in MiB: a film, a book"
    )
    whisper: str | None = Field(
        None,
        description="folder of a faster-whisper model, by which recordings that come without their "
        "text are recognized; needs the extra eval",
    )
    shutdown_timeout: float = Field(
        30.0, ge=0, le=3600, description="seconds that running requests get to end at shutdown"
    )

    @classmethod
    def from_json(cls, text: str) -> ServeOptions:
        """Read what `model_dump_json` wrote."""
        return cls(**json.loads(text))

    @property
    def is_private(self) -> bool:
        """Whether only this computer reaches the server."""
        return self.uds is not None or super().is_private


class WyomingOptions(ServiceOptions):
    """Options of `valle wyoming`."""

    default_voice: str | None = Field(
        None, description="the voice of requests that name none (default: the first)"
    )
    port: int = Field(10200, ge=1, le=65535, description="port to listen at")
    zeroconf: bool = Field(
        False, description="announce the server in the local network, where Home Assistant finds it"
    )
