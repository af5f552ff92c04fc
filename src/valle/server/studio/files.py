"""The files of the page: read once, and served under a policy that loads nothing from elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from valle.server.errors import ApiError

FOLDER = Path(__file__).parents[1] / "page"
_INDEX = "index.html"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Asked for again each time, so that a new version of valle never meets parts of an old page.
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class PageFile:
    """A file of the page."""

    content: bytes
    media_type: str
    tag: str
    """Its entity tag: the same for the same content."""


@cache
def read_files() -> dict[str, PageFile]:
    """Return the files of the page by their names, which are all that a request can ask for."""
    files = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in _MEDIA_TYPES:
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
            files[path.name] = PageFile(content, _MEDIA_TYPES[path.suffix], tag)
    return files


@router.get("/")
def show_page(request: Request) -> Response:
    """Return the page; whom the server knows is asked by its first request."""
    return _send(request, read_files()[_INDEX])


@router.get("/page/{name}")
def send_file(request: Request, name: str) -> Response:
    """Return a file of the page."""
    file = read_files().get(name)
    if file is None:
        raise ApiError(404, "the page has no such file", "not_found")
    return _send(request, file)


def _send(request: Request, file: PageFile) -> Response:
    headers = _HEADERS | {"ETag": file.tag}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
