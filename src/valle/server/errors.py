"""Errors of requests: which status a failure has, and how each protocol's clients read it."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from valle.errors import (
    BundleError,
    ConsentError,
    Error,
    OutputError,
    RecordingError,
    TextError,
    UsageError,
)
from valle.registry.consents import UnknownConsentError
from valle.registry.database import DatabaseUnavailableError
from valle.registry.jobs import UnknownJobError
from valle.registry.voices import UnknownVoiceError

_RETRY_SECONDS = 2  # after which a database that is gone is asked again


class ApiError(Exception):
    """A request that is refused, with its HTTP status."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the status."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, round(self.retry_after)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


_KINDS: tuple[tuple[type[Error], int, str, str | None], ...] = (
    (UnknownVoiceError, 404, "voice_not_found", "voice"),
    (UnknownConsentError, 404, "consent_not_found", "consent"),
    (UnknownJobError, 404, "job_not_found", None),
    (DatabaseUnavailableError, 503, "unavailable", None),
    (TextError, 400, "invalid_text", "input"),
    (RecordingError, 400, "invalid_recording", None),
    (ConsentError, 403, "consent_required", "voice"),
    (BundleError, 503, "model_unavailable", None),
    (OutputError, 503, "storage_unavailable", None),
    (UsageError, 400, "invalid_request", None),
)


def to_api_error(error: Error) -> ApiError:
    """Return the refusal of an error that a user can act on."""
    for kind, status, code, param in _KINDS:
        if isinstance(error, kind):
            retry = _RETRY_SECONDS if status == 503 else None
            return ApiError(status, str(error), code, param, retry)
    return ApiError(400, str(error))


def render_openai(error: ApiError) -> JSONResponse:
    """Format an error as OpenAI's clients read it."""
    return JSONResponse({"error": describe(error)}, error.status, error.headers)


def describe(error: ApiError) -> dict[str, Any]:
    """Return the fields of an error as OpenAI names them."""
    return {
        "message": error.message,
        "type": _openai_type(error.status),
        "param": error.param,
        "code": error.code,
    }


def _openai_type(status: int) -> str:
    named = {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
    }
    return named.get(status, "server_error" if status >= 500 else "invalid_request_error")
