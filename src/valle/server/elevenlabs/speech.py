"""`POST /v1/text-to-speech/{voice}`: whole or streamed, with the times of characters or without."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from valle.registry.keys import Caller
from valle.server.access import require
from valle.server.elevenlabs.alignment import Alignment, TextAligner
from valle.server.elevenlabs.fields import (
    DEFAULT_FORMAT,
    VoiceSettings,
    check_model_id,
    make_options,
    parse_output_format,
)
from valle.server.encoders import MEDIA_TYPES
from valle.server.responses import SpeechResponse, while_connected
from valle.server.services import Services, get_services
from valle.server.speaking import RunningSpeech, SpeechOrder, start_speech

router = APIRouter(tags=["ElevenLabs"])

_NOT_STORED = {"Cache-Control": "no-store"}


class SpeechBody(BaseModel):
    """The request. Other fields of ElevenLabs' are accepted, and ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: str = Field(description="the text to speak")
    model_id: str | None = Field(None, max_length=128, description="any of ElevenLabs' or ours")
    voice_settings: VoiceSettings | None = Field(None, description="speed; the rest is ignored")
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="random seed; the same seed gives the same speech"
    )


class SpeechRequest:
    """A request for speech: its voice, its format, its text (a dependency)."""

    def __init__(
        self,
        voice: str,
        body: SpeechBody,
        services: Annotated[Services, Depends(get_services)],
        caller: Annotated[Caller, Depends(require("speak"))],
        output_format: Annotated[
            str, Query(max_length=64, description="format, rate in Hz, and bit rate")
        ] = DEFAULT_FORMAT,
    ) -> None:
        self.services, self.caller = services, caller
        self._voice, self._body = voice, body
        check_model_id(services, body.model_id)
        self._format, self._rate = parse_output_format(output_format)

    @property
    def media_type(self) -> str:
        """Content type of the audio."""
        return MEDIA_TYPES[self._format]

    def make_aligner(self) -> TextAligner:
        """Return what finds the times of its characters."""
        return TextAligner(self._body.text)

    async def start(self, whole: bool) -> RunningSpeech:
        """Begin to speak; raises what `start_speech` does."""
        order = SpeechOrder(
            text=self._body.text,
            voice=self._voice,
            options=make_options(self._body.voice_settings, self._body.seed),
            format=self._format,
            rate=self._rate,
            whole=whole,
        )
        return await start_speech(self.services, self.caller, order)


Ordered = Annotated[SpeechRequest, Depends()]
_AUDIO: dict[int | str, dict[str, Any]] = {
    200: {"description": "The speech.", "content": {kind: {} for kind in MEDIA_TYPES.values()}}
}


@router.post("/v1/text-to-speech/{voice}", response_class=Response, responses=_AUDIO)
async def speak(request: Request, ordered: Ordered) -> Response:
    """Speak a text; the answer comes when all of it is there."""

    async def collect() -> bytes:
        speech = await ordered.start(whole=True)
        return b"".join([data async for data in speech.chunks_as_bytes()])

    data = await while_connected(request, collect())
    return Response(data, media_type=ordered.media_type, headers=_NOT_STORED)


@router.post("/v1/text-to-speech/{voice}/stream", response_class=Response, responses=_AUDIO)
async def stream(request: Request, ordered: Ordered) -> Response:
    """Speak a text; the answer comes while it is made."""
    speech = await while_connected(request, ordered.start(whole=False))
    return SpeechResponse(
        speech, speech.chunks_as_bytes(), media_type=ordered.media_type, headers=_NOT_STORED
    )


@router.post("/v1/text-to-speech/{voice}/with-timestamps")
async def speak_with_timestamps(request: Request, ordered: Ordered) -> Response:
    """Speak a text; the answer also says when each character is spoken."""

    async def collect() -> dict[str, Any]:
        speech = await ordered.start(whole=True)
        whole, parts = Alignment(), []
        async for data, alignment in align_chunks(speech, ordered.make_aligner()):
            parts.append(data)
            if alignment is not None:
                whole.characters.extend(alignment.characters)
                whole.starts.extend(alignment.starts)
                whole.ends.extend(alignment.ends)
        return _describe(b"".join(parts), whole)

    answer = await while_connected(request, collect())
    return Response(json.dumps(answer), media_type="application/json", headers=_NOT_STORED)


@router.post("/v1/text-to-speech/{voice}/stream/with-timestamps", response_class=Response)
async def stream_with_timestamps(request: Request, ordered: Ordered) -> Response:
    """Speak a text; the answer is one JSON object per line, while it is made."""
    speech = await while_connected(request, ordered.start(whole=False))

    async def make_lines() -> AsyncIterator[bytes]:
        async for data, alignment in align_chunks(speech, ordered.make_aligner()):
            if data or alignment is not None:
                yield json.dumps(_describe(data, alignment)).encode() + b"\n"

    return SpeechResponse(speech, make_lines(), media_type="application/json", headers=_NOT_STORED)


async def align_chunks(
    speech: RunningSpeech, aligner: TextAligner
) -> AsyncIterator[tuple[bytes, Alignment | None]]:
    """Yield encoded audio with the times of the characters that are known by then.

    A word's time is known after its end, so it may come later than its audio.
    """
    async for chunk in speech:
        words = chunk.piece.words if chunk.piece is not None else []
        yield chunk.data, aligner.align(words)
    rest = aligner.finish(speech.made)
    if rest is not None:
        yield b"", rest


def _describe(data: bytes, alignment: Alignment | None) -> dict[str, Any]:
    times = alignment.in_seconds() if alignment is not None else None
    return {
        "audio_base64": base64.b64encode(data).decode(),
        "alignment": times,
        "normalized_alignment": times,
    }
