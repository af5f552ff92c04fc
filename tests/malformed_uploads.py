"""Files and forms that are damaged, for every route of the server that takes files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from book_files import JPEG, Epub
from film_files import FilmSpec, write_film_file
from hostile_recordings import write_hostile_recordings
from valle.media.subtitles import to_srt
from valle.trust.attestation import ATTESTATION

_MOST_BYTES = 1 << 20  # of a file that was made to harm; larger ones are refused for their size
_HEADS = (
    b"RIFF",
    b"fLaC",
    b"OggS",
    b"ID3\x04",
    b"\x1aE\xdf\xa3",
    b"\0\0\0 ftypM4A ",
    b"FORM",
    b"PK\x03\x04",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"[Script Info]",
    b"<?xml",
)
_NAMES = ("../../etc/passwd", "a\r\nSet-Cookie: x=1", "\u202e", "%00", "x" * 300, "C:\\x", "", '"')
_OPTIONS = {"options": {"retries": 0}}
_SAID = {"text": "One two three.", "delete": "two"}


@dataclass(frozen=True)
class Route:
    """A route that takes files."""

    path: str
    files: dict[str, str]
    """The kind of each file (a key of the material), by the name of its part."""
    fields: dict[str, str] = field(default_factory=dict)
    request: dict[str, Any] | None = None
    """Of a job, without the voice."""


ROUTES = (
    Route("/v1/audio/detections", {"recording": "sound"}),
    Route("/v1/audio/verifications", {"recording": "sound", "record": "record"}),
    Route("/v1/audio/voice_consents", {"recording": "sound"}, {"name": "N", "language": "en-US"}),
    Route("/v1/audio/voices", {"audio_sample": "sound"}, {"name": "N", "consent": "cons_00"}),
    Route("/v1/studio/recordings", {"recording": "sound"}),
    Route("/v1/studio/voices", {"recording": "sound"}, {"attestation": ATTESTATION}),
    Route("/v1/studio/voices", {"recording": "sound", "statement": "sound"}, {"name": "N"}),
    Route("/v1/studio/texts", {"file": "book"}),
    Route("/v1/jobs/book", {"book": "book"}, request=_OPTIONS),
    Route(
        "/v1/jobs/book",
        {"book": "book", "cover": "picture", "lexicon": "lexicon"},
        request=_OPTIONS | {"format": "flac"},
    ),
    Route(
        "/v1/jobs/dub",
        {"film": "film", "subtitles": "subtitles", "background": "sound"},
        request=_OPTIONS,
    ),
    Route("/v1/jobs/edit", {"recording": "sound"}, request=_SAID),
)


@dataclass(frozen=True)
class Upload:
    """One request."""

    path: str
    body: bytes
    media_type: str

    @property
    def is_job(self) -> bool:
        return self.path.startswith("/v1/jobs")


class UploadMaker:
    """Makes damaged uploads; the same seed makes the same."""

    def __init__(self, folder: Path, recording: Path, seed: int, voice: str = "Babble") -> None:
        """Write what is damaged afterward into an empty folder; jobs ask for `voice`."""
        self._rng, self._voice = random.Random(seed), voice
        self._count = 0
        subtitles = to_srt([(0.2, 1.0, "Oh no."), (1.2, 2.0, "Go.")])
        hostile = [path.read_bytes() for path in _write_hostile(folder)]
        film = write_film_file(folder / "film.mp4", FilmSpec(seconds=2.5))
        epub = Epub({"a.xhtml": "<h1>One</h1><p>Hello.</p>"}, extra={"cover.jpg": JPEG})
        self._material: dict[str, list[tuple[str, bytes]]] = {
            "sound": [("a.wav", recording.read_bytes()), *(("a.wav", data) for data in hostile)],
            "film": [("a.mp4", film.read_bytes())],
            "subtitles": [
                ("a.srt", subtitles.encode()),
                ("a.vtt", b"WEBVTT\n\n" + subtitles.encode()),
            ],
            "book": [
                ("a.epub", epub.write(folder / "a.epub").read_bytes()),
                ("a.md", f"# One\n\n[voice:{voice}] Hello. [pause:1s]\n".encode()),
                ("a.html", b"<html><body><h1>One</h1><p>Hello.</p></body></html>"),
            ],
            "picture": [("a.jpg", JPEG)],
            "lexicon": [("a.csv", b"xyz, win\n"), ("a.pls", b"<lexicon><lexeme/></lexicon>")],
            "record": [("a.json", b'{"made_by": "valle", "model": "m", "file_sha256": "0"}')],
        }

    def make_all(self, count: int) -> Iterator[Upload]:
        """Yield uploads, the routes in turn."""
        for number in range(count):
            yield self._make(ROUTES[number % len(ROUTES)])

    def damage_sound(self) -> bytes:
        """Return a damaged recording."""
        return self._damage(self._rng.choice(self._material["sound"])[1])

    def _make(self, route: Route) -> Upload:
        self._count += 1
        fields = {"name": f"N{self._count}"} | route.fields
        if route.request is not None:
            fields = {"request": json.dumps(route.request | {"voice": self._voice})}
        parts: Parts = [(name, None, value.encode()) for name, value in fields.items()]
        whole = self._rng.choice([*route.files])  # so that the others are reached, too
        for name, kind in route.files.items():
            filename, data = self._rng.choice(self._material[kind])
            if name != whole or len(route.files) == 1:
                data = self._damage(data)
            parts.append((name, filename, data))
        boundary = "boundary"
        damage_form = self._rng.choice([_keep] * 6 + _FORM_DAMAGES)
        body, media_type = damage_form(self._rng, parts, boundary)
        return Upload(route.path, body, media_type)

    def _damage(self, data: bytes) -> bytes:
        changed, rng = bytearray(data), self._rng
        kind = rng.randrange(8)
        if kind == 0:
            return data[: rng.randrange(len(data))]
        if kind == 1:
            for _ in range(rng.randrange(1, 60)):
                changed[rng.randrange(min(len(data), 200))] = rng.randrange(256)
        elif kind == 2:
            at = rng.randrange(len(data))
            return data[at:] + data[:at]
        elif kind == 3:
            return rng.choice(_HEADS) + rng.randbytes(rng.randrange(4000))
        elif kind == 4:
            return rng.randbytes(rng.randrange(1, 4000))
        elif kind == 5:
            at = rng.randrange(len(data))
            changed[at : at + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f" * 4, b"\x80\0\0\0"])
        elif kind == 6:
            return b""
        else:
            changed[4:8], changed[16:44] = rng.randbytes(4), rng.randbytes(28)
        return bytes(changed)


def _write_hostile(folder: Path) -> list[Path]:
    inner = folder / "hostile"
    inner.mkdir()
    write_hostile_recordings(inner)
    files = [path for path in inner.iterdir() if path.is_file()]  # and no devices
    return sorted(path for path in files if path.stat().st_size <= _MOST_BYTES)


Parts = list[tuple[str, str | None, bytes]]
FormDamage = Callable[[random.Random, Parts, str], tuple[bytes, str]]


def _write_form(parts: Parts, boundary: str) -> bytes:
    body = b""
    for name, filename, data in parts:
        head = f'Content-Disposition: form-data; name="{name}"'
        head += f'; filename="{filename}"' if filename is not None else ""
        body += f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def _type(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"


def _keep(_rng: random.Random, parts: Parts, boundary: str) -> tuple[bytes, str]:
    return _write_form(parts, boundary), _type(boundary)


def _cut(rng: random.Random, parts: Parts, boundary: str) -> tuple[bytes, str]:
    body = _write_form(parts, boundary)
    return body[: rng.randrange(len(body))], _type(boundary)


def _repeat(rng: random.Random, parts: Parts, boundary: str) -> tuple[bytes, str]:
    return _write_form([*parts, *parts * rng.randrange(1, 20)], boundary), _type(boundary)


def _leave_out(rng: random.Random, parts: Parts, boundary: str) -> tuple[bytes, str]:
    left = [part for part in parts if rng.random() < 0.5]
    return _write_form(left, boundary), _type(boundary)


def _rename(rng: random.Random, parts: Parts, boundary: str) -> tuple[bytes, str]:
    renamed: Parts = [
        (name, rng.choice(_NAMES) if filename is not None else None, data)
        for name, filename, data in parts
    ]
    return _write_form(renamed, boundary), _type(boundary)


def _mistake_the_boundary(_rng: random.Random, parts: Parts, boundary: str) -> tuple[bytes, str]:
    return _write_form(parts, boundary), _type("another")


def _send_as_text(_rng: random.Random, parts: Parts, boundary: str) -> tuple[bytes, str]:
    return _write_form(parts, boundary), "application/json"


def _mix_up_fields(rng: random.Random, parts: Parts, boundary: str) -> tuple[bytes, str]:
    values = [b"\xff\xfe", b"[" * 5000, b"{}", b"null", b"\0", b'{"voice": 3}', b'{"options": []}']
    mixed: Parts = [
        (name, filename, data if filename is not None else rng.choice(values))
        for name, filename, data in parts
    ]
    return _write_form(mixed, boundary), _type(boundary)


def _send_long_heads(_rng: random.Random, parts: Parts, boundary: str) -> tuple[bytes, str]:
    (name, filename, data), *rest = parts
    return _write_form([(name + "x" * 20_000, filename, data), *rest], boundary), _type(boundary)


_FORM_DAMAGES: list[FormDamage] = [
    _cut,
    _repeat,
    _leave_out,
    _rename,
    _mistake_the_boundary,
    _send_as_text,
    _mix_up_fields,
    _send_long_heads,
]


def find_fault(status: int, body: bytes, headers: dict[str, str]) -> str | None:
    """Return what is wrong with an answer to a damaged upload; None if nothing is."""
    if status in (200, 202):
        return None
    if not 400 <= status < 500:
        return f"status {status}"
    if "set-cookie" in headers:
        return "a header of the client's"
    try:
        error = json.loads(body)["error"]
        known = set(error) == {"message", "type", "param", "code"} and error["message"]
    except (ValueError, KeyError, TypeError):
        return "an error in no form"
    if not known or error["type"] == "server_error":
        return f"an error in another form: {error}"
    for leak in ("Traceback", "/tmp/", "site-packages", "root:", "SELECT"):
        if leak in body.decode():
            return f"{leak} in {body.decode()[:200]}"
    return None
