"""The outermost layer: an id for each request, its log line, and limits of its size and time."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from valle.server.errors import ApiError, render_openai
from valle.server.limits import longest_samples_bytes
from valle.server.logs import log, log_failure
from valle.server.services import Services
from valle.server.settings import ServeOptions

BODY_SECONDS = 120.0  # that a client has to send its request
JOB_BODY_SECONDS = 3600.0  # the same, with a film or a long take
JOBS_PATH = "/v1/jobs/"  # below which the files of jobs are uploaded
ENCODINGS_PATH = "/v1/studio/encodings"  # to which the page sends the samples of a whole take
_JOB_FILES = 4
_IDLE_SECONDS = 30.0  # between two parts of it
_FORM_BYTES = 1 << 16  # of the fields around an upload
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1", "testserver"}


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, options: ServeOptions) -> None:
        self._app = app
        self._most_bytes = max(options.max_upload << 20, 40 * options.max_characters) + _FORM_BYTES
        self._most_job_bytes = (_JOB_FILES * options.max_job_upload << 20) + _FORM_BYTES
        # Without a key, a page in the user's browser must not reach this server under a name of
        # its own (DNS rebinding).
        self._hosts = set(options.allow_host) | _LOCAL_HOSTS if options.is_private else None
        self._origins = set(options.allow_origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        refusal = self._check_source(headers)
        if refusal is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": refusal.message})
            else:
                await render_openai(refusal)(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        body = _LimitedBody(receive, headers, *self._find_limits(scope))
        await self._handle(scope, body, send)

    def _find_limits(self, scope: Scope) -> tuple[int, float]:
        """Return the most bytes of a body, and the seconds in which it must have come."""
        if scope["path"].startswith(JOBS_PATH):
            return self._most_job_bytes, JOB_BODY_SECONDS
        if scope["path"] == ENCODINGS_PATH:
            services: Services = scope["app"].state.services
            rate = services.loader.config.sample_rate
            most = longest_samples_bytes(services.options.max_characters, rate)
            return max(self._most_bytes, most), JOB_BODY_SECONDS
        return self._most_bytes, BODY_SECONDS

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.monotonic(), 0
        request_id = scope["state"]["request_id"]

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except Exception as error:
            log_failure("request failed", error, request_id=request_id)
            if (
                status
            ):  # too late to say so: the connection is cut, so that nobody takes it as whole
                raise
            failure = ApiError(500, f"internal error; the server's log has it under {request_id}")
            await render_openai(failure)(scope, receive, send_named)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            services: Services = scope["app"].state.services
            services.metrics.requests.labels(scope["method"][:8], route, str(status)).inc()
            log(
                "request",
                request_id=request_id,
                method=scope["method"][:8],
                route=route,
                status=status,
                caller=scope["state"].get("caller", ""),
                ms=round(1000 * (time.monotonic() - began), 1),
            )

    def _check_source(self, headers: dict[str, str]) -> ApiError | None:
        """Return why a request is refused for where it was sent from or to; None if it is not."""
        host = _host_name(headers.get("host", ""))
        if self._hosts is not None and host and host not in self._hosts:
            return ApiError(
                403, f"this server is not known as {host[:80]!r}; start it with --allow-host NAME"
            )
        origin = headers.get("origin")
        if origin is None or origin in self._origins:
            return None
        if urlsplit(origin).netloc.casefold() == headers.get("host", "").casefold():
            return None
        return ApiError(
            403, "web pages of other origins may not call this server; see --allow-origin"
        )


class _LimitedBody:
    """Receives the body of a request within limits of its size and time."""

    def __init__(
        self, receive: Receive, headers: dict[str, str], most_bytes: int, seconds: float
    ) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._stated = headers.get("content-length", "")
        self._received = 0
        self._complete = False
        self._deadline = time.monotonic() + seconds

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()
        if self._stated.isdecimal() and len(self._stated) < 20:
            self._check(int(self._stated))
        seconds = min(_IDLE_SECONDS, max(0.0, self._deadline - time.monotonic()))
        try:
            message = await asyncio.wait_for(self._receive(), seconds)
        except asyncio.TimeoutError:
            self._complete = True
            raise HTTPException(408, "the request did not arrive in time; send it again") from None
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._check(self._received)
            self._complete = not message.get("more_body", False)
        return message

    def _check(self, size: int) -> None:
        if size > self._most_bytes:
            self._complete = True
            limit = self._most_bytes / (1 << 20)
            raise HTTPException(413, f"the request is larger than {limit:.0f} MiB")


def _host_name(host: str) -> str:
    """Return the name in a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].casefold()
    return host.rpartition(":")[0].casefold() if ":" in host else host.casefold()
