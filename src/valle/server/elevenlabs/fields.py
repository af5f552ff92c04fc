"""What ElevenLabs' requests have in common: settings, formats, names of models, errors."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from valle.errors import UsageError
from valle.options import SpeakOptions
from valle.server.encoders import MEDIA_TYPES, check_format
from valle.server.errors import ApiError
from valle.server.openai.models import check_model
from valle.server.services import Services

DEFAULT_FORMAT = "mp3_44100_128"
_FORMAT = re.compile(r"([a-z0-9]{1,8})_(\d{4,6})(_\d{2,3})?")
_MODEL = re.compile(r"eleven_[a-z0-9_]{1,60}")


class VoiceSettings(BaseModel):
    """How a voice speaks: its speed; the rest is accepted, and has no counterpart here."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    speed: float | None = Field(
        None, ge=0.25, le=4.0, description=SpeakOptions.model_fields["speed"].description
    )


def parse_output_format(name: str) -> tuple[str, int]:
    """Return the format and the rate in Hz that a name such as `mp3_44100_128` stands for.

    Raises:
        UsageError: There is no such format.
    """
    found = _FORMAT.fullmatch(name)
    if found is None or found[1] not in MEDIA_TYPES:
        raise UsageError(
            f"the output_format {name[:40]!r} is not known; use {DEFAULT_FORMAT}, pcm_24000, "
            "wav_24000, opus_48000_64 or ulaw_8000"
        )
    rate = int(found[2])
    check_format(found[1], rate)
    return found[1], rate


def check_model_id(services: Services, name: str | None) -> None:
    """Refuse the name of a model that is neither this server's nor ElevenLabs'.

    Raises:
        ApiError: 404.
    """
    if name is not None and not _MODEL.fullmatch(name):
        check_model(services, name)


def make_options(settings: VoiceSettings | None, seed: int | None) -> dict[str, float | int]:
    """Return the options of synthesis.

    No sentence is redone, so that sound comes before its end.
    """
    options: dict[str, float | int] = {"retries": 0}
    if settings is not None and settings.speed is not None:
        options["speed"] = settings.speed
    if seed is not None:
        options["seed"] = seed
    return options


def render_elevenlabs(error: ApiError) -> JSONResponse:
    """Format an error as ElevenLabs' clients read it."""
    detail = {"status": error.code or "invalid_request", "message": error.message}
    return JSONResponse({"detail": detail}, error.status, error.headers)
