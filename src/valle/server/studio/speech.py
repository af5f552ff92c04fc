"""Speech for the page: sound while it is made, its words with their places, its sentences."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import AsyncIterator
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from valle.arrays import Samples
from valle.errors import Error, OutputError, UsageError
from valle.files import data_folder
from valle.options import SpeakOptions
from valle.registry.keys import Caller
from valle.server.access import require
from valle.server.edge import ENCODINGS_PATH
from valle.server.encoders import MEDIA_TYPES, FileEncoder
from valle.server.errors import ApiError, describe, to_api_error
from valle.server.responses import SpeechResponse, format_event, while_connected
from valle.server.services import Services, get_services
from valle.server.speaking import RunningSpeech, SpeechOrder, start_speech
from valle.synthesis.speech import Speech, SpokenPhoneme, SpokenSentence

_BLOCK = 1 << 20
_NOT_SAMPLES = "the body is 16-bit samples, little-endian and mono: two bytes for each"

router = APIRouter(tags=["studio"])
Speaker = Annotated[Caller, Depends(require("speak"))]
Services_ = Annotated[Services, Depends(get_services)]


class StudioSpeech(SpeakOptions):
    """A text to be spoken in the page."""

    input: str = Field(description="the text to speak")
    voice: str = Field(min_length=1, max_length=128, description="a voice's name or id")
    # A stream whose sentences may be redone cannot begin before their end.
    retries: int = Field(
        0, ge=0, le=32, description=SpeakOptions.model_fields["retries"].description
    )
    # As a text it would name a file.
    lexicon: dict[str, str] | None = Field(None, description="words, each with a respelling or IPA")


@router.post("/v1/studio/speech", response_class=Response)
async def speak(
    request: Request, body: StudioSpeech, services: Services_, caller: Speaker
) -> Response:
    """Speak a text; events bring sound, words, sentences with their check, and subtitles."""
    rate = services.loader.config.sample_rate
    options = {name: getattr(body, name) for name in SpeakOptions.model_fields}
    order = SpeechOrder(body.input, body.voice, options, format="pcm", rate=rate)
    speech = await while_connected(request, start_speech(services, caller, order))
    return SpeechResponse(
        speech,
        _make_events(speech, rate),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )


@router.post(ENCODINGS_PATH, dependencies=[Depends(require("speak"))])
async def encode(
    request: Request,
    services: Services_,
    response_format: Annotated[Literal["mp3", "opus", "aac", "flac", "wav"], Query(alias="format")],
) -> Response:
    """Return samples that the page keeps (16 bit, mono, the model's rate) as a file.

    They are encoded as they come, to a file on disk: a long take does not fit into memory often.
    """
    folder = data_folder() / "server"
    await run_in_threadpool(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    # It has no name, so nothing is left of it however this ends.
    file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the response reads it
    try:
        encoder = FileEncoder(response_format, services.loader.config.sample_rate, file)
        count = 0
        async for samples in _read_samples(request):
            await run_in_threadpool(encoder.feed, samples)
            count += len(samples)
        if not count:
            raise UsageError(_NOT_SAMPLES)
        await run_in_threadpool(encoder.finish)
    except BaseException as error:
        file.close()
        if isinstance(error, OSError):
            raise OutputError(f"the file cannot be written: {error.strerror or error}") from error
        raise
    headers = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
    return StreamingResponse(
        iter(lambda: file.read(_BLOCK), b""),
        media_type=MEDIA_TYPES[response_format],
        headers=headers,
        background=BackgroundTask(file.close),
    )


async def _read_samples(request: Request) -> AsyncIterator[Samples]:
    """Yield the samples of a body in blocks, however it was cut on its way.

    Raises:
        UsageError: It ends in the middle of one.
    """
    waiting = bytearray()
    async for part in request.stream():
        waiting += part
        while len(waiting) >= _BLOCK:
            yield _to_samples(waiting[:_BLOCK])
            del waiting[:_BLOCK]
    if len(waiting) % 2:
        raise UsageError(_NOT_SAMPLES)
    if waiting:
        yield _to_samples(waiting)


def _to_samples(data: bytearray) -> Samples:
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32767)


async def _make_events(speech: RunningSpeech, rate: int) -> AsyncIterator[bytes]:
    pieces: list[Speech] = []
    places: dict[float, SpokenPhoneme] = {}
    yield format_event({"type": "start", "rate": rate, "voice": speech.voice.name})
    try:
        async for chunk in speech:
            if chunk.data:
                yield format_event({"type": "audio", "pcm": base64.b64encode(chunk.data).decode()})
            if chunk.piece is not None:
                pieces.append(chunk.piece)
                for event in _describe_piece(chunk.piece, places):
                    yield format_event(event)
    except (Error, ApiError) as error:
        refusal = to_api_error(error) if isinstance(error, Error) else error
        yield format_event({"type": "error", "error": describe(refusal)})
        return
    whole = Speech.join(pieces)
    yield format_event(
        {
            "type": "done",
            "seconds": round(whole.seconds, 3),
            "srt": whole.to_srt(),
            "vtt": whole.to_vtt(),
            "words": whole.to_words(),
            "record": whole.provenance,
        }
    )


def _describe_piece(piece: Speech, places: dict[float, SpokenPhoneme]) -> list[dict[str, Any]]:
    """Return the events of a piece; `places` has phonemes by their start, of earlier ones too."""
    places.update((one.start, one) for one in piece.phonemes if one.text_end)
    events: list[dict[str, Any]] = []
    if piece.words:
        words = []
        for word in piece.words:
            place = places.get(word.start)
            span = (place.text_start, place.text_end) if place else None
            words.append({"start": word.start, "end": word.end, "span": span})
        events.append({"type": "words", "words": words})
    if piece.sentences:
        sentences = [_describe_sentence(one) for one in piece.sentences]
        events.append({"type": "sentences", "sentences": sentences})
    if piece.skipped:
        skipped = [{"text": one.text, "why": one.why} for one in piece.skipped]
        events.append({"type": "skipped", "skipped": skipped})
    return events


def _describe_sentence(sentence: SpokenSentence) -> dict[str, Any]:
    check = sentence.check
    return {
        "number": sentence.number,
        "count": sentence.count,
        "text": sentence.text,
        "span": (sentence.text_start, sentence.text_start + len(sentence.text)),
        "start": sentence.start,
        "end": sentence.end,
        "passed": check.passed,
        "missing": check.missing,
        "repeated": check.repeated,
        "score": round(check.score, 3),
    }
