"""The job `speech`: a long text to one file, with the times of its words beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from valle.errors import UsageError
from valle.registry.keys import Caller
from valle.server.encoders import MEDIA_TYPES, check_format
from valle.server.errors import ApiError
from valle.server.limits import estimate_seconds
from valle.server.openai.speech import SpeechBody, VoiceId
from valle.server.services import Services
from valle.server.speaking import SpeechOrder, check_text, find_voices, start_speech

if TYPE_CHECKING:
    from valle.server.work import JobContext


async def check_speech_job(services: Services, caller: Caller, body: SpeechBody) -> None:
    """Refuse what could not be spoken.

    Raises:
        Error: The text, the voice, its consent or the format is refused.
        ApiError: The voice is missing.
    """
    if body.ref_audio is not None:
        raise UsageError("a job takes a voice, not ref_audio: make one with POST /v1/audio/voices")
    order = _make_order(services, body)
    check_format(order.format, order.rate)
    check_text(services, order)
    await run_in_threadpool(find_voices, services, caller, order)


async def run_speech_job(context: JobContext, body: SpeechBody) -> dict[str, Any]:
    """Speak the text, and store the file; returns where it is, and its length."""
    services, objects = context.services, context.services.registry.objects
    order = _make_order(services, body)
    expected = max(1.0, estimate_seconds(len(body.input), body.speed))
    parts: list[bytes] = []
    words: list[dict[str, Any]] = []
    speech = await start_speech(services, context.caller, order)
    async for chunk in speech:
        parts.append(chunk.data)
        if chunk.piece is not None:
            words += [word._asdict() for word in chunk.piece.words]
        context.progress = min(0.99, speech.made / expected)
        context.message = f"{speech.made:.0f} s spoken"
    data = b"".join(parts)
    key = f"results/{context.row.id}.{order.format}"
    await run_in_threadpool(objects.put, key, data)
    words_key = f"results/{context.row.id}.json"
    await run_in_threadpool(objects.put, words_key, json.dumps(words).encode())
    return {
        "object": key,
        "words": words_key,
        "media_type": MEDIA_TYPES[order.format],
        "bytes": len(data),
        "seconds": round(speech.made, 3),
    }


def _make_order(services: Services, body: SpeechBody) -> SpeechOrder:
    voice = body.voice.id if isinstance(body.voice, VoiceId) else body.voice
    voice = voice or services.options.default_voice
    if not voice:
        raise ApiError(400, "voice is missing; give one of GET /v1/audio/voices", None, "voice")
    return SpeechOrder(
        text=body.input,
        voice=voice,
        options=body.speak_options(),
        format=body.response_format,
        rate=body.sample_rate,
        whole=True,
        background=True,
    )
