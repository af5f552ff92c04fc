"""`/health` and `/metrics`: what runs a server asks of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from starlette.responses import JSONResponse

from valle.errors import Error
from valle.server import metrics
from valle.server.access import require
from valle.server.services import Services, get_services
from valle.version import __version__

router = APIRouter(tags=["operations"])


@router.get("/health")
def check_health(services: Annotated[Services, Depends(get_services)]) -> Response:
    """Say whether the server can speak: 200 if so, 503 while it starts, stops or lacks its data."""
    status, problem = "ok", None
    if services.draining:
        status = "shutting down"
    elif not services.ready.is_set():
        status = "loading"
    else:
        try:
            services.registry.database.check()
        except Error as error:
            status, problem = "unavailable", str(error)
    body: dict[str, Any] = {"status": status, "version": __version__}
    if problem is not None:
        body["problem"] = problem
    return JSONResponse(body, 200 if status == "ok" else 503)


@router.get("/metrics", dependencies=[Depends(require("admin"))])
def read_metrics(services: Annotated[Services, Depends(get_services)]) -> Response:
    """Return what Prometheus reads."""
    services.metrics.loaded.set(services.loader.is_loaded)
    return Response(services.metrics.render(), media_type=metrics.CONTENT_TYPE)
