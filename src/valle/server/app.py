"""The application: protocols, their errors, and the services that they share."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from valle.errors import Error
from valle.server import detections, jobs, operations
from valle.server.edge import Edge
from valle.server.elevenlabs import sockets
from valle.server.elevenlabs import speech as elevenlabs_speech
from valle.server.elevenlabs import voices as elevenlabs_voices
from valle.server.elevenlabs.fields import render_elevenlabs
from valle.server.engine import CancelledTicketError
from valle.server.errors import ApiError, render_openai, to_api_error
from valle.server.openai import consents, models, speech, voices
from valle.server.services import Services
from valle.server.settings import ServeOptions
from valle.server.studio.routes import ROUTERS as STUDIO_ROUTERS
from valle.server.work import JobWorker
from valle.version import __version__

OPTIONS_VARIABLE = "VALLE_SERVE_OPTIONS"  # in which `valle serve` passes them to its workers


class Protocol(NamedTuple):
    """The routes of one kind of client, and how it reads errors."""

    prefixes: tuple[str, ...]
    """Of the paths whose errors are rendered so; none for the default."""
    router: APIRouter
    render_error: Callable[[ApiError], Response] = render_openai


PROTOCOLS: tuple[Protocol, ...] = (
    Protocol((), speech.router),
    Protocol((), voices.router),
    Protocol((), consents.router),
    Protocol((), models.router),
    Protocol((), jobs.router),
    Protocol((), detections.router),
    Protocol((), operations.router),
    *(Protocol((), router) for router in STUDIO_ROUTERS),
    Protocol(("/v1/text-to-speech",), elevenlabs_speech.router, render_elevenlabs),
    Protocol(("/v1/text-to-speech",), sockets.router, render_elevenlabs),
    Protocol(("/v1/voices", "/v2/voices"), elevenlabs_voices.router, render_elevenlabs),
)


def create_app(options: ServeOptions | None = None) -> FastAPI:
    """Build the application; its services open when it starts.

    Args:
        options: None for those in the environment, or the defaults.
    """
    chosen = options or ServeOptions.from_json(os.environ.get(OPTIONS_VARIABLE, "{}"))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = Services.open(chosen)
        app.state.services = services
        worker = asyncio.create_task(JobWorker(services).run())
        try:
            yield
        finally:
            services.draining = True
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker
            await run_in_threadpool(services.close)

    app = FastAPI(
        title="valle",
        version=__version__,
        summary="Speech in voices whose owners have agreed",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    for protocol in PROTOCOLS:
        app.include_router(protocol.router)
    _add_error_handlers(app)
    if chosen.allow_origin:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=chosen.allow_origin,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    app.add_middleware(Edge, options=chosen)
    return app


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def refuse(request: Request, error: ApiError) -> Response:
        return _render(request, error)

    @app.exception_handler(Error)
    async def explain(request: Request, error: Error) -> Response:
        return _render(request, to_api_error(error))

    @app.exception_handler(RequestValidationError)
    async def reject(request: Request, error: RequestValidationError) -> Response:
        return _render(request, _describe_invalid(error))

    @app.exception_handler(HTTPException)
    async def fail(request: Request, error: HTTPException) -> Response:
        response = _render(request, ApiError(error.status_code, str(error.detail)))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(ClientDisconnect)
    @app.exception_handler(CancelledTicketError)
    async def leave(_request: Request, _error: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it; the log does


def _render(request: Request, error: ApiError) -> Response:
    for protocol in PROTOCOLS:
        if request.url.path.startswith(protocol.prefixes or ("\0",)):
            return protocol.render_error(error)
    return render_openai(error)


def _describe_invalid(error: RequestValidationError) -> ApiError:
    """Return the first thing that is wrong with a request; its values are not repeated."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    param = place[0] if place else None
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        return ApiError(400, "the body is not JSON", "invalid_json")
    text = f"{'.'.join(place)}: {message}" if place else message
    return ApiError(400, text[:500], "invalid_request", param)
