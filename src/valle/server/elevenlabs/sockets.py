"""ElevenLabs' WebSockets: `stream-input` speaks one text, `multi-stream-input` several at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect, WebSocketState

from valle.errors import Error, TextError, UsageError
from valle.registry.keys import Caller
from valle.server.access import authenticate, check_scope, get_caller, read_secret
from valle.server.elevenlabs.contexts import (
    POLICY_VIOLATION,
    SpeechSettings,
    SpokenContext,
    describe_error,
)
from valle.server.elevenlabs.fields import (
    DEFAULT_FORMAT,
    VoiceSettings,
    check_model_id,
    parse_output_format,
)
from valle.server.errors import ApiError, to_api_error
from valle.server.logs import log, log_failure
from valle.server.services import Services, get_services
from valle.server.speaking import SpeechOrder, find_voices

router = APIRouter(tags=["ElevenLabs"])

MOST_CONTEXTS = 16  # of one connection at once
_LOOK_SECONDS = 1.0  # between looks for contexts whose client has gone quiet
_NORMAL, _FAILED = 1000, 1011  # close codes
_REASON_BYTES = 123  # most that the reason of a close can have

Model = TypeVar("Model", bound=BaseModel)


class SocketQuery(BaseModel):
    """What the address of a WebSocket says. Other parameters of ElevenLabs' are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model_id: str | None = Field(None, max_length=128)
    output_format: str = Field(DEFAULT_FORMAT, max_length=64)
    seed: int | None = Field(None, ge=0, lt=2**63)
    sync_alignment: bool = False
    auto_mode: bool = False
    inactivity_timeout: float = Field(20.0, ge=1, le=180)


class Message(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: str | None = None
    flush: bool | None = None
    voice_settings: VoiceSettings | None = None
    xi_api_key: str | None = Field(None, max_length=256)
    authorization: str | None = Field(None, max_length=256)
    context_id: str | None = Field(None, max_length=256)
    close_context: bool | None = None
    close_socket: bool | None = None

    @property
    def secret(self) -> str | None:
        """The API key, which may come with the first message."""
        return self.xi_api_key or (self.authorization or "").removeprefix("Bearer ") or None


class Connection:
    """A WebSocket, and the contexts that are spoken over it."""

    def __init__(self, socket: WebSocket, voice: str) -> None:
        self._socket, self._voice = socket, voice
        self._services: Services = get_services(socket)
        self._lock = asyncio.Lock()
        self._first: Message | None = None
        self._contexts: dict[str | None, SpokenContext] = {}
        self._tasks: dict[SpokenContext, asyncio.Task[None]] = {}
        self._settings: SpeechSettings
        self._patience = 0.0

    async def open(self) -> None:
        """Find out who calls, and refuse what could not be spoken.

        Raises:
            Error: The voice, its consent or the format is refused.
            ApiError: The caller or the model is.
        """
        query = _validate(SocketQuery, dict(self._socket.query_params))
        caller = await self._authenticate()
        check_scope(caller, "speak")
        check_model_id(self._services, query.model_id)
        audio, rate = parse_output_format(query.output_format)
        self._patience = query.inactivity_timeout
        self._settings = SpeechSettings(
            services=self._services,
            caller=caller,
            voice=self._voice,
            format=audio,
            rate=rate,
            seed=query.seed,
            whole_messages=query.auto_mode,
            absolute_times=query.sync_alignment,
        )
        order = SpeechOrder(text="", voice=self._voice)
        await run_in_threadpool(find_voices, self._services, caller, order)

    async def _authenticate(self) -> Caller:
        if read_secret(self._socket) is None and self._services.needs_key:
            self._first = await self._receive()
            caller = await run_in_threadpool(authenticate, self._services, self._first.secret)
            self._socket.state.caller = caller.id
            return caller
        return await run_in_threadpool(get_caller, self._socket, self._services)

    async def messages(self) -> AsyncIterator[Message]:
        """Yield what the client sends, until it leaves."""
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        while True:
            yield await self._receive()

    async def _receive(self) -> Message:
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", _NORMAL))
        text = received.get("text")
        if text is None:
            raise UsageError("messages are JSON in text frames, not binary frames")
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            raise ApiError(400, "the message is not JSON", "invalid_json") from None
        if not isinstance(fields, dict):
            raise ApiError(400, "the message is not a JSON object", "invalid_json")
        return _validate(Message, fields)

    async def send(self, fields: dict[str, Any]) -> None:
        """Send a message; it waits for a client who reads slowly."""
        async with self._lock:
            if self._socket.application_state is WebSocketState.CONNECTED:
                with contextlib.suppress(WebSocketDisconnect):  # whoever reads notices it too
                    await self._socket.send_json(fields)

    def find(self, name: str | None) -> SpokenContext | None:
        """Return a context that is open."""
        return self._contexts.get(name)

    def begin(self, name: str | None, voice: VoiceSettings | None = None) -> SpokenContext:
        """Begin a context.

        Raises:
            ApiError: There are too many.
        """
        if sum(not task.done() for task in self._tasks.values()) >= MOST_CONTEXTS:
            raise ApiError(
                429,
                f"{MOST_CONTEXTS} contexts are open already; close some with close_context",
                "too_many_contexts",
            )
        names = {} if name is None else {"contextId": name}

        async def send(fields: dict[str, Any]) -> None:
            await self.send(fields | names)

        context = SpokenContext(self._settings, send, voice)
        self._contexts[name] = context
        self._tasks[context] = asyncio.create_task(context.run())
        return context

    def release(self, name: str | None) -> None:
        """Forget the name of a context, which may begin again while its speech goes on."""
        self._contexts.pop(name, None)

    async def wait_for(self, context: SpokenContext) -> None:
        """Return once a context is spoken."""
        await asyncio.wait({self._tasks[context]})

    async def tidy(self) -> None:
        """Forget what is spoken, and end texts about which nothing was heard for too long.

        Never returns.
        """
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for context, task in list(self._tasks.items()):
                if time.monotonic() - context.last_heard > self._patience:
                    context.finish()
                if task.done():
                    del self._tasks[context]
            ended = [name for name, one in self._contexts.items() if one not in self._tasks]
            for name in ended:
                self.release(name)

    async def finish(self) -> None:
        """End all texts, and wait until they are spoken."""
        for context in self._tasks:
            context.finish()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def close(self) -> None:
        """Stop everything."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@router.websocket("/v1/text-to-speech/{voice}/stream-input")
async def stream_input(socket: WebSocket, voice: str) -> None:
    """Speak one text while it is written."""

    async def talk(connection: Connection) -> ApiError | None:
        context = connection.begin(None)
        await _run_first(
            connection.wait_for(context), _read_text(connection, context), connection.tidy()
        )
        return context.error

    await _serve(socket, voice, talk)


async def _read_text(connection: Connection, context: SpokenContext) -> None:
    async for message in connection.messages():
        context.last_heard = time.monotonic()
        if message.voice_settings is not None:
            context.set_voice(message.voice_settings)
        if message.text == "" and not message.flush:
            context.finish()
        else:
            context.write(message.text or "")
            if message.flush:
                context.flush()


@router.websocket("/v1/text-to-speech/{voice}/multi-stream-input")
async def multi_stream_input(socket: WebSocket, voice: str) -> None:
    """Speak several texts while they are written, each under a `context_id`."""

    async def talk(connection: Connection) -> ApiError | None:
        await _run_first(_read_texts(connection), connection.tidy())
        await _run_first(connection.finish(), _wait_until_left(connection))
        return None

    await _serve(socket, voice, talk)


async def _read_texts(connection: Connection) -> None:
    """Feed contexts, until the client asks for the end."""
    async for message in connection.messages():
        if message.close_socket:
            return
        name = message.context_id
        context = connection.find(name)
        if message.close_context:
            if context is not None:
                context.close()
            continue
        if context is None or context.is_finished:
            if not message.text:
                continue  # it only keeps the connection alive
            connection.release(name)
            try:
                context = connection.begin(name, message.voice_settings)
            except ApiError as error:
                await connection.send(describe_error(error) | {"contextId": name})
                continue
        elif message.voice_settings is not None:
            context.set_voice(message.voice_settings)
        context.last_heard = time.monotonic()
        try:
            context.write(message.text or "")
        except (TextError, ApiError) as error:
            await context.fail(to_api_error(error) if isinstance(error, Error) else error)
            context.cancel()
            continue
        if message.flush:
            context.flush()


async def _wait_until_left(connection: Connection) -> None:
    async for _ in connection.messages():
        pass


async def _serve(
    socket: WebSocket, voice: str, talk: Callable[[Connection], Awaitable[ApiError | None]]
) -> None:
    """Accept a WebSocket, talk, and close it.

    `talk` returns an error that its client was told of already.
    """
    await socket.accept()
    began, code, reason = time.monotonic(), _NORMAL, ""
    connection = Connection(socket, voice)
    try:
        await connection.open()
        failure = await talk(connection)
        if failure is not None:
            code, reason = POLICY_VIOLATION, failure.message
    except WebSocketDisconnect:
        pass
    except (Error, ApiError) as error:
        refusal = to_api_error(error) if isinstance(error, Error) else error
        code, reason = POLICY_VIOLATION, refusal.message
        await connection.send(describe_error(refusal))
    except Exception as error:
        log_failure("connection failed", error)
        code, reason = _FAILED, "internal error"
    finally:
        await connection.close()
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close(code, reason.encode()[:_REASON_BYTES].decode(errors="ignore"))
        log(
            "connection ended",
            request_id=socket.state.request_id,
            route=socket.scope["route"].path,
            code=code,
            caller=getattr(socket.state, "caller", ""),
            ms=round(1000 * (time.monotonic() - began), 1),
        )


async def _run_first(*work: Coroutine[Any, Any, None]) -> None:
    """Run several coroutines until the first ends, stop the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _validate(kind: type[Model], fields: dict[str, Any]) -> Model:
    """Return fields as a model.

    Raises:
        ApiError: A field has a wrong value; its name is said, its value is not.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{place}: {first['msg']}"[:500], "invalid_request") from None
