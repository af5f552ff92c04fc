"""A text that is still being written, spoken as it comes: one context of a WebSocket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from valle.errors import Error, TextError
from valle.registry.keys import Caller
from valle.server.elevenlabs.alignment import Alignment, TextAligner
from valle.server.elevenlabs.fields import VoiceSettings, make_options
from valle.server.elevenlabs.speech import align_chunks
from valle.server.engine import CancelledTicketError
from valle.server.errors import ApiError, to_api_error
from valle.server.logs import log_failure
from valle.server.services import Services
from valle.server.speaking import SpeechOrder, TextFeed, settle, start_speech

Send = Callable[[dict[str, Any]], Awaitable[None]]
POLICY_VIOLATION = 1008  # the WebSocket's close code of all that is refused
_FINAL = {"audio": None, "isFinal": True, "alignment": None, "normalizedAlignment": None}


@dataclass(frozen=True)
class SpeechSettings:
    """How the texts of one connection are spoken."""

    services: Services
    caller: Caller
    voice: str
    format: str
    rate: int
    seed: int | None = None
    whole_messages: bool = False
    """Whether each message is a sentence or phrase, to be spoken without waiting for the next."""
    absolute_times: bool = False
    """Whether times count from the beginning of the context, rather than from the end of the
    message before, which is how ElevenLabs' clients add them up by themselves."""


class SpokenContext:
    """One text and its speech. `run` it in a task, and feed it from another."""

    def __init__(
        self, settings: SpeechSettings, send: Send, voice_settings: VoiceSettings | None = None
    ) -> None:
        """Create a context that has no text yet; none is spoken until there is.

        Args:
            settings: Those of the connection.
            send: Sends one message.
            voice_settings: The client's, for this context.
        """
        self._settings, self._send = settings, send
        self._feed = TextFeed(partial(settings.services.budget.spend, settings.caller))
        self._aligner = TextAligner()
        self._order = SpeechOrder(
            text=self._feed,
            voice=settings.voice,
            options=make_options(voice_settings, settings.seed),
            format=settings.format,
            rate=settings.rate,
        )
        self._written = 0
        self._ends_with_space = True  # or has not begun
        self._begun = asyncio.Event()
        self._is_flushed = True  # whether the client asked for the sound of all that it wrote
        self._is_closed = False  # by the client
        self.is_finished = False
        """Whether its text has ended."""
        self.error: ApiError | None = None
        """Why it was not spoken to its end."""
        self.last_heard = time.monotonic()
        """When the client last said something about it."""
        self._is_cancelled = False
        self._speaking: asyncio.Task[None] | None = None

    def set_voice(self, settings: VoiceSettings) -> None:
        """Change how it is spoken, while there is no text yet."""
        if not self._written:
            options = self._order.options | make_options(settings, None)
            self._order = replace(self._order, options=options)

    def write(self, text: str) -> None:
        """Add to the text.

        Raises:
            TextError: It is longer than this server takes.
            ApiError: 429, it is more than the caller may have spoken now.
        """
        if not self._written:
            text = text.lstrip()  # a context begins with a message of one space
        if not text or self.is_finished:
            return
        if self._settings.whole_messages and not (self._ends_with_space or text[0].isspace()):
            text = f" {text}"
        self._ends_with_space = text[-1].isspace()
        self._written += len(text)
        if self._written > (most := self._settings.services.options.max_characters):
            raise TextError(f"the text has more than {most} characters; begin another context")
        self._feed.feed(text)
        self._aligner.write(text)
        self._is_flushed = False
        if self._settings.whole_messages:
            self._feed.flush()
        self._begun.set()

    def flush(self) -> None:
        """Have all that was written spoken now."""
        if self._written and not self.is_finished:
            self._feed.flush()
        self._is_flushed = True

    def finish(self) -> None:
        """End the text; what was written is spoken to its end."""
        if not self._ends_with_space:  # to clients a word has ended once there is a space
            self._aligner.write(" ")
            self._ends_with_space = True
        self.is_finished = True
        self._feed.close()
        self._begun.set()

    def close(self) -> None:
        """End it as its client asks: with the sound of all that was flushed, or at once.

        A client that is interrupted closes a context in the middle of its text, or once more.
        """
        if self._is_closed or not self._is_flushed:
            self.cancel()
        self._is_closed = True
        self.finish()

    def cancel(self) -> None:
        """Stop at once."""
        self._is_cancelled = True
        self.finish()
        if self._speaking is not None:
            self._speaking.cancel()

    async def run(self) -> None:
        """Speak until the text has ended, or say why not; then say that this was all."""
        await self._begun.wait()
        if self._written and not self._is_cancelled:
            self._speaking = asyncio.ensure_future(self._speak())
            try:
                await asyncio.wait({self._speaking})
            finally:
                self._speaking.cancel()
                await asyncio.gather(self._speaking, return_exceptions=True)
            if not self._speaking.cancelled():
                await self._explain(self._speaking.exception())
        self.finish()
        settle(self._settings.services, self._settings.caller, self._feed)  # if it was not begun
        if self.error is None:
            await self._send(_FINAL)

    async def _explain(self, error: BaseException | None) -> None:
        if error is None:
            return
        if isinstance(error, CancelledTicketError):
            await self.fail(ApiError(503, "the server is shutting down", "unavailable"))
        elif isinstance(error, Error):
            await self.fail(to_api_error(error))
        elif isinstance(error, ApiError):
            await self.fail(error)
        else:
            log_failure("context failed", error)
            await self.fail(ApiError(500, "internal error; the server's log has it", "internal"))

    async def fail(self, error: ApiError) -> None:
        """Say why there is no more speech."""
        self.error = error
        await self._send(describe_error(error) | {"isFinal": True})

    async def _speak(self) -> None:
        services, caller = self._settings.services, self._settings.caller
        speech = await start_speech(services, caller, self._order)
        async with contextlib.aclosing(speech):
            since = 0.0
            async for data, alignment in align_chunks(speech, self._aligner):
                if data or alignment is not None:
                    await self._send(_describe(data, alignment, since))
                if not self._settings.absolute_times:
                    since = self._aligner.end


def describe_error(error: ApiError) -> dict[str, Any]:
    """Return an error as a message of ElevenLabs' WebSockets."""
    return {
        "message": error.message,
        "error": error.code or "invalid_request",
        "code": POLICY_VIOLATION,
    }


def _describe(data: bytes, alignment: Alignment | None, since: float) -> dict[str, Any]:
    times = alignment.in_milliseconds(since) if alignment is not None else None
    return {
        "audio": base64.b64encode(data).decode(),
        "isFinal": None,
        "alignment": times,
        "normalizedAlignment": times,
    }
