"""`/v1/models`: the model under its own name, and under those that clients insist on."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from valle.server.access import get_lister, require
from valle.server.errors import ApiError
from valle.server.services import Services, get_services

router = APIRouter(tags=["OpenAI"])

_OTHER_NAMES = ("valle", "tts-1", "tts-1-hd", "gpt-4o-mini-tts")
_DATED = re.compile(r"(tts-1|tts-1-hd|gpt-4o-mini-tts)-\d{4}(-\d\d-\d\d)?")


def check_model(services: Services, name: str) -> None:
    """Refuse the name of a model that is not this server's.

    Raises:
        ApiError: 404.
    """
    if name not in _names(services) and not _DATED.fullmatch(name):
        raise ApiError(
            404,
            f"there is no model {name[:80]!r}; use one of {', '.join(_names(services))}",
            "model_not_found",
            "model",
        )


@router.get("/v1/models", dependencies=[Depends(require("speak"))])
def list_models(services: Annotated[Services, Depends(get_services)]) -> dict[str, Any]:
    """List the names of the model."""
    return {"object": "list", "data": [_describe(name) for name in _names(services)]}


@router.get("/v1/models/{model}", dependencies=[Depends(require("speak"))])
def retrieve_model(
    model: str, services: Annotated[Services, Depends(get_services)]
) -> dict[str, Any]:
    """Return one name of the model."""
    check_model(services, model)
    return _describe(model)


@router.get("/audio/models", dependencies=[Depends(get_lister)])
@router.get("/v1/audio/models", dependencies=[Depends(get_lister)])
def list_speech_models(services: Annotated[Services, Depends(get_services)]) -> dict[str, Any]:
    """List the names of the model as Open WebUI asks for them."""
    return {"models": [{"id": name, "name": name} for name in _names(services)]}


def _names(services: Services) -> list[str]:
    return list(dict.fromkeys((services.loader.config.name, *_OTHER_NAMES)))


def _describe(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "valle"}
