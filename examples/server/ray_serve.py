"""The application under Ray Serve, with as many replicas as you like (pip install 'ray[serve]').

    export VALLE_SERVE_OPTIONS='{"host": "0.0.0.0", "database": "postgresql://..."}'
    cd examples/server && serve run ray_serve:deployment

The replicas share voices, jobs and revocations through the database and the object store.
"""

from __future__ import annotations

import os

from fastapi import FastAPI
from ray import serve

from valle.server.app import OPTIONS_VARIABLE, create_app
from valle.server.settings import ServeOptions


def make_app() -> FastAPI:
    """Return the application of one replica, with the options in the environment."""
    chosen = os.environ.get(OPTIONS_VARIABLE, '{"host": "0.0.0.0"}')
    return create_app(ServeOptions.from_json(chosen))


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 1})
@serve.ingress(make_app)
class Server:
    """A replica: Ray Serve passes its requests to the application."""


deployment = Server.bind()  # type: ignore[attr-defined]
