"""One connection of Wyoming's protocol: a text, or a text that is still being written, to sound.

A client sends `synthesize`, or `synthesize-start`, `synthesize-chunk`s and `synthesize-stop`. In
between it also sends a plain `synthesize` with the same text, for servers that know only that; it
is ignored, or everything would be heard twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error as ErrorEvent
from wyoming.event import Event, async_read_event
from wyoming.info import Describe
from wyoming.ping import Ping, Pong
from wyoming.server import AsyncEventHandler
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeTextFormat,
    SynthesizeVoice,
)

from valle.errors import Error, TextError
from valle.registry.keys import Caller
from valle.server.engine import CancelledTicketError
from valle.server.errors import ApiError, to_api_error
from valle.server.logs import log, log_failure
from valle.server.services import Services
from valle.server.speaking import SpeechOrder, TextFeed, settle, start_speech
from valle.server.wyoming.description import describe, list_usable_voices

RATE = 16_000  # Hz; the client is told, so nothing needs to be resampled
WIDTH = 2  # bytes of a sample
IDLE_SECONDS = 300.0  # after which a client of whom nothing is heard is let go
MAX_EVENT_BYTES = 1 << 20  # of its text
_MAX_WAITING = 8  # texts of a connection that are not spoken yet


class _BoundedReader:
    """A stream of events that refuses to read whatever length a client states."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def readexactly(self, count: int) -> bytes:
        if count > MAX_EVENT_BYTES:
            raise ValueError("the event is too large")
        return await self._reader.readexactly(count)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


class SpeechHandler(AsyncEventHandler):
    """Answers one client. Its texts are spoken one after the other."""

    def __init__(
        self,
        services: Services,
        caller: Caller,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        super().__init__(_BoundedReader(reader), writer)  # type: ignore[arg-type]
        self._services, self._caller = services, caller
        self._feed: TextFeed | None = None
        self._whole: list[str] | None = None  # parts of an SSML document, which needs its end
        self._voice: SynthesizeVoice | None = None
        self._fed = 0  # characters of the text that is being written
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Answer events until the client leaves; see `AsyncEventHandler`."""
        try:
            while (event := await self._read()) is not None:
                if not await self.handle_event(event):
                    break
        except (ValueError, TypeError, AttributeError, KeyError, EOFError) as error:
            # Whatever it was, it was no event of this protocol.
            log("wyoming event refused", reason=type(error).__name__)
        except OSError:
            pass  # the client has left
        finally:
            await self.disconnect()
            self.writer.close()

    async def handle_event(self, event: Event) -> bool:
        """Answer one event; False ends the connection."""
        try:
            return await self._handle(event)
        except (Error, ApiError) as error:
            await self._refuse(error)
            return False

    async def disconnect(self) -> None:
        """Stop what is being spoken, as nobody hears it any more."""
        if self._feed is not None:
            self._feed.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self) -> Event | None:
        while True:
            reading = asyncio.ensure_future(async_read_event(self.reader))
            done, _ = await asyncio.wait({reading}, timeout=IDLE_SECONDS)
            while not done and self._tasks:  # it listens
                done, _ = await asyncio.wait({reading}, timeout=IDLE_SECONDS)
            if done:
                return reading.result()
            reading.cancel()
            return None

    async def _handle(self, event: Event) -> bool:
        if Describe.is_type(event.type):
            info = await run_in_threadpool(describe, self._services, self._caller)
            await self.write_event(info.event())
        elif Ping.is_type(event.type):
            await self.write_event(Pong(text=Ping.from_event(event).text).event())
        elif Synthesize.is_type(event.type):
            if self._feed is None and self._whole is None:
                request = Synthesize.from_event(event)
                self._start(request.text, request.voice, request.text_format, streams=False)
        elif SynthesizeStart.is_type(event.type):
            self._begin(SynthesizeStart.from_event(event))
        elif SynthesizeChunk.is_type(event.type):
            self._add(SynthesizeChunk.from_event(event).text)
        elif SynthesizeStop.is_type(event.type):
            await self._end()
        return True  # other events belong to other kinds of server

    def _begin(self, request: SynthesizeStart) -> None:
        """Begin a text that is still being written."""
        if self._feed is not None or self._whole is not None:
            raise TextError("a text is being written already; end it by synthesize-stop")
        self._voice, self._fed = request.voice, 0
        if request.text_format == SynthesizeTextFormat.SSML:
            self._whole = []
        else:
            self._feed = TextFeed(partial(self._services.budget.spend, self._caller))

    def _add(self, part: str) -> None:
        """Add a part of it; its first words start the speech."""
        if self._feed is None and self._whole is None:
            raise TextError("a part of a text came before synthesize-start")
        begins = not self._fed and bool(part.strip())
        self._fed += len(part) if self._fed or begins else 0
        if self._fed > self._services.options.max_characters:
            raise TextError(
                f"the text is longer than {self._services.options.max_characters} characters; "
                "send it in several"
            )
        if self._whole is not None:
            self._whole.append(part)
        elif self._feed is not None:
            self._feed.feed(part)
            if begins:
                self._start(self._feed, self._voice, None, streams=True)

    async def _end(self) -> None:
        """End it."""
        feed, whole, self._feed, self._whole = self._feed, self._whole, None, None
        if feed is not None:
            feed.close()
        if whole:
            self._start("".join(whole), self._voice, SynthesizeTextFormat.SSML, streams=True)
        elif not self._fed:
            await self.write_event(SynthesizeStopped().event())

    def _start(
        self,
        text: str | TextFeed,
        voice: SynthesizeVoice | None,
        text_format: str | None,
        *,
        streams: bool,
    ) -> None:
        """Speak a text once those before it are spoken."""
        if len(self._tasks) >= _MAX_WAITING:
            raise ApiError(429, f"{_MAX_WAITING} texts wait already", "too_many_requests")
        name = voice.name if voice is not None else None
        options = {"ssml": text_format == SynthesizeTextFormat.SSML, "retries": 0}
        task = asyncio.create_task(self._speak(text, name, options, streams, self._last))
        self._last = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _speak(
        self,
        text: str | TextFeed,
        name: str | None,
        options: dict[str, Any],
        streams: bool,
        before: asyncio.Task[None] | None,
    ) -> None:
        """Send the sound of a text; a failure ends the connection, which is how clients see it."""
        if before is not None:
            await asyncio.wait({before})
        try:
            order = SpeechOrder(
                text, name or await self._choose_voice(), options, format="pcm", rate=RATE
            )
            await self._send(order)
            if streams:
                await self.write_event(SynthesizeStopped().event())
        except (Error, ApiError) as error:
            await self._refuse(error)
        except (OSError, CancelledTicketError):
            pass  # the client has left, or the server stops
        except Exception as error:
            log_failure("wyoming speech failed", error)
            await self._refuse(ApiError(500, "internal error; the server's log has it"))
        finally:
            if isinstance(text, TextFeed):
                settle(self._services, self._caller, text)  # if it was not begun

    async def _choose_voice(self) -> str:
        default = self._services.options.default_voice
        if default is not None:
            return default
        names = await run_in_threadpool(list_usable_voices, self._services, self._caller)
        if not names:
            raise TextError(
                "there is no voice that may speak here: `valle enroll FILE --name NAME` makes one, "
                "and --allow-attested permits voices that rest on your own word"
            )
        return names[0]

    async def _send(self, order: SpeechOrder) -> None:
        speech = await start_speech(self._services, self._caller, order)
        sound = {"rate": RATE, "width": WIDTH, "channels": 1}
        async with contextlib.aclosing(speech):
            await self.write_event(AudioStart(**sound).event())
            async for chunk in speech:
                if chunk.data:
                    await self.write_event(AudioChunk(**sound, audio=chunk.data).event())
        await self.write_event(AudioStop().event())

    async def _refuse(self, error: Error | ApiError) -> None:
        refusal = to_api_error(error) if isinstance(error, Error) else error
        log("wyoming request refused", reason=refusal.code)
        with contextlib.suppress(OSError):
            await self.write_event(ErrorEvent(refusal.message, refusal.code).event())
        self.writer.close()
