"""`POST /v1/audio/speech`: whole, as streamed bytes, or as server-sent events."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from valle.errors import ConsentError, Error, UsageError
from valle.options import SpeakOptions
from valle.registry.keys import Caller
from valle.server.access import check_scope, require
from valle.server.encoders import DEFAULT_RATE, MEDIA_TYPES
from valle.server.enrolling import NewVoice, enroll_voice
from valle.server.errors import ApiError, describe, to_api_error
from valle.server.openai.models import check_model
from valle.server.responses import SpeechResponse, format_event, while_connected
from valle.server.services import Services, get_services
from valle.server.speaking import RunningSpeech, SpeechOrder, start_speech
from valle.server.uploads import decode_audio_field
from valle.styles import Style, read_instructions

router = APIRouter(tags=["OpenAI"])

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class VoiceId(BaseModel):
    """A voice by its id."""

    id: str = Field(min_length=1, max_length=128)


class SpeechBody(SpeakOptions):
    """The request. Fields that this server does not know are ignored, and named in a header."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str = Field("valle", max_length=128, description="any of GET /v1/models")
    input: str = Field(description="the text to speak")
    voice: Annotated[str, Field(max_length=128)] | VoiceId | None = Field(
        None, description="a voice's name or id, or an alias of one"
    )
    instructions: str | None = Field(
        None,
        max_length=4096,
        description="how it is said in plain words, such as 'sad and slow', unless there is a "
        "style; words that are not known are ignored",
    )
    response_format: Format = Field("mp3", description="format of the audio")
    stream_format: Literal["audio", "sse"] = Field("audio", description="bytes, or events")
    stream: bool | None = Field(
        None,
        description="false waits for the whole speech, whose headers then state its length",
    )
    sample_rate: int = Field(
        DEFAULT_RATE, description="Hz; pcm is taken for 24000 by OpenAI's clients"
    )
    timestamps: bool = Field(
        False, description="with stream_format sse: events with the times of the words"
    )
    ref_audio: str | None = Field(
        None, description="a recording to speak like, in base64 or as a data URL; needs consent"
    )
    ref_text: str | None = Field(None, max_length=10_000, description="what is said in it")
    consent: str | None = Field(
        None, max_length=128, description="id of the consent that permits ref_audio"
    )
    # A stream whose sentences may be redone cannot begin before their end.
    retries: int = Field(
        0, ge=0, le=32, description=SpeakOptions.model_fields["retries"].description
    )
    # As a text it would name a file.
    lexicon: dict[str, str] | None = Field(None, description="words, each with a respelling or IPA")

    def speak_options(self) -> dict[str, Any]:
        """Return the options of synthesis."""
        options = {name: getattr(self, name) for name in SpeakOptions.model_fields}
        return options if self.style else options | {"style": self._instructed[0]}

    def ignored(self) -> list[str]:
        """Return the names of fields that had no effect."""
        unknown = [name for name in self.model_extra or {} if _FIELD_NAME.fullmatch(name)]
        has_no_effect = self.instructions and (self.style or not self._instructed[1])
        return sorted(unknown[:20] + (["instructions"] if has_no_effect else []))

    @property
    def _instructed(self) -> tuple[Style | None, list[str]]:
        return read_instructions(self.instructions or "")


@router.post(
    "/v1/audio/speech",
    response_class=Response,
    responses={
        200: {
            "description": "The speech.",
            "content": {kind: {} for kind in (*MEDIA_TYPES.values(), "text/event-stream")},
        }
    },
)
async def create_speech(
    request: Request,
    body: SpeechBody,
    services: Annotated[Services, Depends(get_services)],
    caller: Annotated[Caller, Depends(require("speak"))],
) -> Response:
    """Speak a text in a voice."""
    check_model(services, body.model)
    is_sse = body.stream_format == "sse"
    if body.timestamps and not is_sse:
        raise UsageError("timestamps come as events: set stream_format to sse")
    order = SpeechOrder(
        text=body.input,
        voice=await _find_voice_name(services, caller, body),
        options=body.speak_options(),
        format=body.response_format,
        rate=body.sample_rate,
        whole=body.stream is False and not is_sse,
    )
    headers = {"Cache-Control": "no-store"}
    if ignored := body.ignored():
        headers["X-Ignored-Fields"] = ", ".join(ignored)
    media_type = MEDIA_TYPES[body.response_format]
    if order.whole:
        data = await while_connected(request, _collect(services, caller, order))
        return Response(data, media_type=media_type, headers=headers)
    speech = await while_connected(request, start_speech(services, caller, order))
    if is_sse:
        events = _make_events(speech, body)
        return SpeechResponse(speech, events, media_type="text/event-stream", headers=headers)
    return SpeechResponse(speech, speech.chunks_as_bytes(), media_type=media_type, headers=headers)


async def _find_voice_name(services: Services, caller: Caller, body: SpeechBody) -> str:
    """Return the voice that a request names, or that of its own recording."""
    if body.ref_audio is not None:
        check_scope(caller, "voices")
        recording = decode_audio_field(body.ref_audio, services.options.max_upload)
        return await run_in_threadpool(_enroll_reference, services, caller, body, recording)
    if body.consent is not None:
        raise UsageError("consent goes with ref_audio, the recording that it permits")
    if isinstance(body.voice, VoiceId):
        return body.voice.id
    name = body.voice or services.options.default_voice
    if not name:
        raise ApiError(400, "voice is missing; give one of GET /v1/audio/voices", None, "voice")
    return name


def _enroll_reference(
    services: Services, caller: Caller, body: SpeechBody, recording: bytes
) -> str:
    """Return the voice of a recording that came with a text, made at its first use."""
    if not body.consent:
        raise ConsentError(
            "ref_audio needs consent, the id of a recorded statement of its speaker: see "
            "POST /v1/audio/voice_consents"
        )
    name = f"ref-{hashlib.sha256(recording).hexdigest()[:24]}"
    consent = services.registry.consents.get(caller, body.consent)
    if consent.voice_id is not None:
        known = services.registry.voices.list(caller)
        if any(row.id == consent.voice_id and row.name == name for row in known):
            return consent.voice_id
    new = NewVoice(name, recording, body.consent, body.ref_text)
    return enroll_voice(services, caller, new).id


async def _collect(services: Services, caller: Caller, order: SpeechOrder) -> bytes:
    speech = await start_speech(services, caller, order)
    return b"".join([data async for data in speech.chunks_as_bytes()])


async def _make_events(speech: RunningSpeech, body: SpeechBody) -> AsyncIterator[bytes]:
    """Yield the events of OpenAI's streams, and `speech.audio.words` of ours."""
    frames = 0
    try:
        async for chunk in speech:
            if chunk.data:
                audio = base64.b64encode(chunk.data).decode()
                yield format_event({"type": "speech.audio.delta", "audio": audio})
            if chunk.piece is not None:
                frames += len(chunk.piece.codes)
                words = [word._asdict() for word in chunk.piece.words]
                if body.timestamps and words:
                    yield format_event({"type": "speech.audio.words", "words": words})
    except (Error, ApiError) as error:
        refusal = to_api_error(error) if isinstance(error, Error) else error
        yield format_event({"type": "speech.audio.error", "error": describe(refusal)})
        return
    count = len(body.input.split())
    usage = {"input_tokens": count, "output_tokens": frames, "total_tokens": count + frames}
    yield format_event({"type": "speech.audio.done", "usage": usage})
