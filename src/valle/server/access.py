"""Who calls, and what they may do: API keys and their scopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from valle.registry.keys import LOCAL_CALLER, Caller, find_caller
from valle.registry.tables import LOCAL
from valle.server.errors import ApiError
from valle.server.services import Services, get_services

EVERYBODY = Caller("everybody", "everybody", frozenset({"speak", "detect"}))
"""The caller of a server that is open to all: it speaks in the shared voices, and leaves nothing
behind that others of its kind could find."""
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")
_LISTENER = Caller("listing", "listing", frozenset({"speak"}))


def authenticate(services: Services, secret: str | None) -> Caller:
    """Return whose key this is.

    Raises:
        ApiError: 401 without a valid key, where one is needed.
    """
    if secret:
        caller = find_caller(services.registry.database, secret)
        if caller is not None:
            return caller
    if not services.needs_key:
        # Clients that insist on a key send some placeholder.
        return LOCAL_CALLER if services.options.is_private else EVERYBODY
    if secret:
        raise ApiError(401, "this API key is not valid; `valle keys` lists keys", "invalid_api_key")
    raise ApiError(
        401,
        "this server needs an API key, as `Authorization: Bearer KEY`; `valle keys new` makes one",
        "missing_api_key",
    )


def read_secret(connection: HTTPConnection) -> str | None:
    """Return the API key of a request, from the header that its client uses."""
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    return connection.headers.get("xi-api-key") or None


def get_caller(
    connection: HTTPConnection, services: Annotated[Services, Depends(get_services)]
) -> Caller:
    """Return who makes a request (a dependency)."""
    caller = authenticate(services, read_secret(connection))
    if caller is LOCAL_CALLER and any(name in connection.headers for name in _PROXY_HEADERS):
        # To this computer every caller of a proxy looks like its own user.
        raise ApiError(
            401,
            "a request through a proxy needs an API key; `valle keys new` makes one",
            "missing_api_key",
        )
    connection.state.caller = caller.id
    return caller


def require(scope: str) -> Callable[..., Caller]:
    """Return a dependency: the caller, who must have a scope."""

    def check(caller: Annotated[Caller, Depends(get_caller)]) -> Caller:
        check_scope(caller, scope)
        return caller

    return check


def check_scope(caller: Caller, scope: str) -> None:
    """Refuse a caller without a scope.

    Raises:
        ApiError: 403.
    """
    if scope not in caller.scopes:
        raise ApiError(
            403,
            f"this needs an API key with the scope {scope!r}: `valle keys new NAME --scopes ...`",
            "insufficient_scope",
        )


def get_lister(
    connection: HTTPConnection, services: Annotated[Services, Depends(get_services)]
) -> Caller:
    """Return who asks for the list of voices, which may be open to all (a dependency)."""
    if services.options.list_voices_without_key and read_secret(connection) is None:
        return _LISTENER
    caller = get_caller(connection, services)
    check_scope(caller, "speak")
    return caller


def may_use_attested(services: Services, caller: Caller) -> bool:
    """Whether a caller may use voices that rest on the user's own word: the user himself may."""
    return caller.id == LOCAL or services.options.allow_attested
