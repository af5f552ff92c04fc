"""From a request for speech to its bytes: the voice, its consent, the text, the engine."""

from __future__ import annotations

import contextlib
import queue
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool

from valle.arrays import Samples
from valle.consent.validity import check_usable
from valle.errors import TextError
from valle.options import DEFAULT_PAUSE
from valle.registry.keys import Caller
from valle.registry.receipts import check_not_revoked
from valle.registry.voices import UnknownVoiceError
from valle.server.access import may_use_attested
from valle.server.encoders import DEFAULT_RATE, SpeechEncoder, check_format
from valle.server.engine import CancelledTicketError, Chunk, Ticket
from valle.server.errors import ApiError
from valle.server.limits import estimate_seconds
from valle.server.services import Services
from valle.server.settings import OPENAI_VOICES
from valle.synthesis.model import Model
from valle.synthesis.speech import Speech
from valle.text.notations import parse_text
from valle.voices.voice import Voice

_FLUSH = "[pause:0s]"  # a tag ends a passage at once; a paragraph waits for what follows it
_AFTER_SENTENCE = " \n\t\"')]*_"  # what may follow its last mark
CHECK_SECONDS = 0.2  # between two looks at the registry for a revocation, while speech is made


@dataclass(frozen=True)
class SpeechOrder:
    """What is to be spoken, and how it is to be sent."""

    text: str | TextFeed
    voice: str
    """A name or an id."""
    options: dict[str, Any] = field(default_factory=dict)
    """Fields of `SpeakOptions`."""
    format: str = "mp3"
    rate: int = DEFAULT_RATE
    whole: bool = False
    """Whether all is sent at once."""
    background: bool = False
    """Whether it is long work that nobody waits for."""


class TextFeed:
    """A text that is still being written: parts are fed, and spoken sentence by sentence.

    Safe to feed from the event loop while a thread reads it.
    """

    def __init__(self, charge: Callable[[float], None] = lambda _seconds: None) -> None:
        """Take what is called with the estimated seconds of each part; it may refuse the part."""
        self._charge = charge
        self.charged = 0.0
        """Estimated seconds of all parts so far."""
        self._parts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._closed = False
        self._is_flushed = True
        self._pause = ""  # a tag that is due before the next part
        self._ends_sentence = False

    def feed(self, part: str) -> None:
        """Add a part. Raises what `charge` raises; the part is then not spoken."""
        if part and not self._closed:
            seconds = estimate_seconds(len(part))
            self._charge(seconds)
            self.charged += seconds
            self._parts.put(self._pause + part)
            self._pause, self._is_flushed = "", False
            if part.strip():
                self._ends_sentence = part.rstrip(_AFTER_SENTENCE).endswith((".", "!", "?"))

    def flush(self) -> None:
        """Have what was fed spoken now, as if the sentence ended here."""
        if not (self._closed or self._is_flushed):
            self._parts.put(_FLUSH)
            self._is_flushed = True
            if self._ends_sentence:  # what follows is another, and the tag took their pause
                self._pause = f"[pause:{DEFAULT_PAUSE['sentence']}s]"
                self._ends_sentence = False

    def close(self) -> None:
        """End the text."""
        if not self._closed:
            self._closed = True
            self._parts.put(None)

    def __iter__(self) -> Iterator[str]:
        while (part := self._parts.get()) is not None:
            yield part


@dataclass(eq=False)
class RunningSpeech:
    """Speech whose first audio is there. Close it, or iterate to its end."""

    chunks: AsyncIterator[Chunk]
    first: Chunk | None
    voice: Voice
    made: float = 0.0
    """Seconds of speech so far."""

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        if self.first is not None:
            first, self.first = self.first, None
            self.made += first.seconds
            yield first
        async for chunk in self.chunks:
            self.made += chunk.seconds
            yield chunk

    async def chunks_as_bytes(self) -> AsyncIterator[bytes]:
        """Yield the encoded bytes alone."""
        async with contextlib.aclosing(self):
            async for chunk in self:
                if chunk.data:
                    yield chunk.data

    async def aclose(self) -> None:
        """Stop making it."""
        await self.chunks.aclose()  # type: ignore[attr-defined]


async def start_speech(services: Services, caller: Caller, order: SpeechOrder) -> RunningSpeech:
    """Begin to speak, and return once the first audio is there.

    Raises:
        Error: The text, the voice, its consent, an option or the format is refused.
        ApiError: A limit is met, or the server is shutting down.
    """
    began = time.monotonic()
    _check_room(services, order)
    check_format(order.format, order.rate)
    estimated = check_text(services, order)
    voice, others = await run_in_threadpool(find_voices, services, caller, order)
    services.budget.spend(caller, estimated)
    ticket = Ticket(
        caller.id,
        lambda: make_chunks(services, order, (voice, others)),
        background=order.background,
        paced=not order.whole,
        dedicated=isinstance(order.text, TextFeed),
    )
    chunks = _account(services, caller, ticket, order, estimated)
    try:
        first = await anext(chunks, None)
    except CancelledTicketError as error:
        raise ApiError(503, "the server is shutting down", "unavailable", retry_after=5) from error
    if not order.background:
        services.metrics.first_audio.observe(time.monotonic() - began)
    return RunningSpeech(chunks, first, voice)


def find_voices(
    services: Services, caller: Caller, order: SpeechOrder
) -> tuple[Voice, dict[str, Voice]]:
    """Return the voice of an order, and those that its text names, with their consent checked.

    Raises:
        UnknownVoiceError: The caller may use no voice of a name.
        ConsentError: A voice may not be used.
        TextError: The text has a wrong tag.
    """
    language = services.loader.config.language
    attested = may_use_attested(services, caller)

    def find(name: str) -> Voice:
        row = services.registry.voices.find(caller, name)
        voice = services.registry.voices.load(row)
        check_usable(voice, allow_attested=attested, language=language)
        check_not_revoked(services.registry.database, voice.consent["id"])
        return voice

    default = find(resolve_alias(services, caller, order.voice))
    if not isinstance(order.text, str):
        return default, {}
    options = order.options
    directed = parse_text(order.text, options.get("plain", False), options.get("ssml", False))
    return default, {name: find(name) for name in directed.voices}


def resolve_alias(services: Services, caller: Caller, name: str) -> str:
    """Return the voice that a name stands for.

    Raises:
        UnknownVoiceError: It is one of OpenAI's names, which nothing was said about.
    """
    options = services.options
    if name in options.alias:
        return options.alias[name]
    if name in OPENAI_VOICES:
        names = [row.name for row in services.registry.voices.list(caller)]
        if name in [known.casefold() for known in names]:
            return name
        if options.default_voice is not None:
            return options.default_voice
        hint = f"start the server with --alias {name}={names[0] if names else 'NAME'}"
        raise UnknownVoiceError(
            f"the voice {name!r} is a name of OpenAI's, not set here: {hint}, or ask for one of "
            f"yours ({', '.join(names[:5]) or 'there are none yet'})"
        )
    return name


def make_chunks(
    services: Services,
    order: SpeechOrder,
    voices: tuple[Voice, dict[str, Voice]],
) -> Iterator[Chunk]:
    """Speak and encode; runs on a thread of the engine."""
    voice, others = voices
    model = services.loader.get()
    gain = _find_gain(model, voice)
    encoder = SpeechEncoder(order.format, model.sample_rate, order.rate, order.whole)
    for piece in _speak(services, model, order, (voice, others)):
        services.metrics.speech_seconds.inc(piece.seconds)
        yield Chunk(encoder.feed(_amplify(piece.audio, gain)), piece.seconds, piece)
    yield Chunk(encoder.finish(), 0.0)


def _speak(
    services: Services,
    model: Model,
    order: SpeechOrder,
    voices: tuple[Voice, dict[str, Voice]],
) -> Iterator[Speech]:
    """Yield pieces of speech; a consent that is revoked meanwhile ends it at once."""
    voice, others = voices
    receipts = {spoken.consent["id"] for spoken in (voice, *others.values())}
    named: dict[str, Any] = {"voices": others} if others else {}
    checked = time.monotonic()
    for piece in model.stream(order.text, voice, **named, **order.options):
        if time.monotonic() - checked > CHECK_SECONDS:
            for receipt in receipts:
                check_not_revoked(services.registry.database, receipt)
            check_usable(voice, language=model.bundle.config.language)
            checked = time.monotonic()
        yield piece


async def _account(
    services: Services, caller: Caller, ticket: Ticket, order: SpeechOrder, estimated: float
) -> AsyncIterator[Chunk]:
    """Run a request, and correct the caller's budget by what was made of it."""
    services.metrics.running.inc()
    feed = order.text if isinstance(order.text, TextFeed) else None
    made, complete = 0.0, False
    try:
        async for chunk in services.engine.run(ticket):
            made += chunk.seconds
            yield chunk
        complete = True
    finally:
        services.metrics.running.dec()
        if feed is None:
            services.budget.correct(caller, estimated, made)
        else:
            feed.close()  # a thread may be waiting for its next part
            settle(services, caller, feed, made)
        if not complete:
            services.metrics.cancelled.inc()


def settle(services: Services, caller: Caller, feed: TextFeed, made: float = 0.0) -> None:
    """Replace what a text was charged by the seconds that were made of it."""
    charged, feed.charged = feed.charged, 0.0
    services.budget.correct(caller, charged, made)


def _check_room(services: Services, order: SpeechOrder) -> None:
    """Refuse a request for which there is no room, rather than let a queue grow."""
    if services.draining:
        raise ApiError(503, "the server is shutting down", "unavailable", retry_after=5)
    if not order.background and services.engine.count() >= services.options.max_requests:
        services.metrics.rejected.labels("requests").inc()
        raise ApiError(
            429,
            f"{services.options.max_requests} requests are being spoken already; try again soon",
            "too_many_requests",
            retry_after=1,
        )


def check_text(services: Services, order: SpeechOrder) -> float:
    """Refuse a text that is too long or empty; returns how long it will last, in seconds."""
    if not isinstance(order.text, str):
        return 0.0
    limit = services.options.max_characters * (10 if order.background else 1)
    if len(order.text) > limit:
        raise TextError(
            f"the text has {len(order.text)} characters, and this server takes {limit} at once; "
            "split it, or submit it as a job"
        )
    if not order.text.strip():
        raise TextError("the text is empty; give some words to speak")
    return estimate_seconds(len(order.text), float(order.options.get("speed", 1.0)))


_gains: weakref.WeakKeyDictionary[Voice, float] = weakref.WeakKeyDictionary()


def _find_gain(model: Model, voice: Voice) -> float:
    """Return the gain that brings a voice's speech to the usual loudness, measured once."""
    if voice not in _gains:
        _gains[voice] = model.stream_gain(voice)
    return _gains[voice]


def _amplify(samples: Samples, gain: float) -> Samples:
    return samples if gain == 1.0 else samples * samples.dtype.type(gain)
