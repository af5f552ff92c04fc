"""What an attacker would try: other people's things, other machines, and the server's own files."""

from __future__ import annotations

import hmac
import io
import json
import logging
import re
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient
from sqlalchemy import event

from server.conftest import Connect
from valle.registry import keys
from valle.registry.consents import NewConsent
from valle.registry.keys import Caller
from valle.registry.tables import ConsentRow
from valle.server.logs import _JSONFormatter
from valle.server.services import Services

SPEECH = {"model": "tts-1", "input": "Hello.", "voice": "Babble"}
SECRET = "the content of a private file"
ALL = ("speak", "voices", "jobs", "detect")


def get_services(client: TestClient) -> Services:
    return client.app.state.services  # type: ignore[attr-defined]


def make_key(client: TestClient, name: str) -> tuple[dict[str, str], Caller]:
    database = get_services(client).registry.database
    secret, _ = keys.create_key(database, name, ALL)
    caller = keys.find_caller(database, secret)
    assert caller is not None
    return {"Authorization": f"Bearer {secret}"}, caller


# Other people's ids


def list_operations(client: TestClient) -> Iterator[tuple[str, str, str]]:
    """Yield method, path and the name of its parameter, of every route that takes an id."""
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for name in re.findall(r"{(voice|voice_id|consent_id|job_id)}", path):
            for method in methods:
                yield method, path, name


def send(client: TestClient, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    body: dict[str, Any] = {"json": {"text": "Hello.", "name": "N"}} if method == "post" else {}
    answer = client.request(method, path, headers=headers, **body)
    return answer.status_code, answer.text


def test_an_id_of_another_key_is_one_that_does_not_exist(client: TestClient, voice: Any) -> None:
    """On every route, to the letter: neither is there, nor may it be told that it is."""
    registry = get_services(client).registry
    (_, ada), (bob, _) = make_key(client, "ada"), make_key(client, "bob")
    row = ConsentRow(
        id="cons_" + "a" * 24,
        owner=ada.id,
        name="Ada",
        language="en-US",
        challenge={},
        object_key="consents/x.bin",
    )
    with registry.database.session() as session:
        session.add(row)
    others = {
        "voice_id": registry.voices.add(ada.id, voice).id,
        "consent_id": row.id,
        "job_id": registry.jobs.submit(ada, "of another version", {}).id,
    }
    others["voice"] = others["voice_id"]
    unknown = {name: re.sub("[0-9a-f]{24}$", "0" * 24, value) for name, value in others.items()}
    operations = list(list_operations(client))
    assert len(operations) > 15
    for method, path, name in operations:
        theirs, nobodys = (
            send(
                client,
                method,
                path.replace(f"{{{name}}}", ids[name]).replace("{part}", "words"),
                bob,
            )
            for ids in (others, unknown)
        )
        assert theirs[0] == 404, (method, path, theirs)
        assert theirs[1].replace(others[name], unknown[name]) == nobodys[1], (method, path)
    for paths in ("stream-input", "multi-stream-input"):
        with client.websocket_connect(
            f"/v1/text-to-speech/{others['voice']}/{paths}", headers=bob
        ) as opened:
            assert opened.receive_json()["error"] == "voice_not_found"
    for page in ("/v1/audio/voice_consents", "/v1/jobs", "/v1/audio/voices", "/v1/studio/voices"):
        assert "Ada" not in client.get(page, headers=bob).text
        assert ada.id not in client.get(page, headers=bob).text
    after = [
        client.get("/v1/audio/voice_consents", params={"after": ids["consent_id"]}, headers=bob)
        for ids in (others, unknown)
    ]
    assert after[0].status_code == after[1].status_code
    assert after[0].text.replace(others["consent_id"], "") == after[1].text.replace(
        unknown["consent_id"], ""
    )


def test_another_keys_consent_makes_no_voice(client: TestClient, recording: Path) -> None:
    registry = get_services(client).registry
    (ada, caller), (bob, _) = make_key(client, "ada"), make_key(client, "bob")
    client.post("/v1/audio/voice_consents/challenges", json={"name": "Ada"}, headers=ada)
    stolen = registry.consents.create(caller, NewConsent("Ada", "en-US", b"x", "bin")).id
    files = {"audio_sample": recording.read_bytes()}
    for consent in (stolen, "cons_" + "0" * 24):
        data = {"name": "Mine", "consent": consent}
        answer = client.post("/v1/audio/voices", data=data, files=files, headers=bob)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "consent_not_found")
        body = SPEECH | {"ref_audio": "UklGRg==", "consent": consent}
        answer = client.post("/v1/audio/speech", json=body, headers=bob)
        assert answer.status_code == 404, answer.text


# Keys


def test_a_key_is_looked_up_by_its_hash_alone(client: TestClient) -> None:
    """A look-up by parts of the secret would tell by its time how many of them are right."""
    headers, _ = make_key(client, "ada")
    secret = headers["Authorization"].removeprefix("Bearer ")
    other = "valle_" + "x" * 43
    database = get_services(client).registry.database
    seen: list[Any] = []

    def note(_c: Any, _s: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "api_keys" in statement:
            seen.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    guess = secret[:-1] + ("A" if secret[-1] != "A" else "B")  # all but the last is right
    for tried in (secret, guess, other):
        client.get("/v1/models", headers={"Authorization": f"Bearer {tried}"})
    event.remove(database.engine, "before_cursor_execute", note)
    looked_up = [parameters for statement, parameters in seen if "sha256 =" in statement]
    assert looked_up == [(keys.hash_secret(tried),) for tried in (secret, guess, other)]
    assert secret[:12] not in json.dumps([str(one) for one in seen])


def test_the_key_of_the_environment_is_compared_in_constant_time(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, compared = "a-long-enough-key", []
    compare = hmac.compare_digest

    def note(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setenv("VALLE_API_KEY", known)
    monkeypatch.setattr(hmac, "compare_digest", note)
    for tried, status in (
        (known, 200),
        (known[:-1] + "x", 401),
        ("x" * 50, 401),
        (known + "x", 401),
    ):
        headers = {"Authorization": f"Bearer {tried}"}
        assert client.get("/v1/models", headers=headers).status_code == status
    assert compared == [(64, 64)] * 4  # hashes: of one length, whatever is tried


def test_a_refused_key_says_nothing_about_others(client: TestClient) -> None:
    headers, _ = make_key(client, "ada")
    keys.revoke_key(get_services(client).registry.database, "ada")
    make_key(client, "bob")
    answers = {
        client.get("/v1/models", headers={"Authorization": value}).text
        for value in (headers["Authorization"], "Bearer valle_" + "x" * 43, "Bearer x")
    }
    assert len(answers) == 1


# Other machines, and files of this one


class Listener:
    """Counts who connects to a port of this computer."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port = self._socket.getsockname()[1]
        self.count = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                self._socket.accept()[0].close()
                self.count += 1
            except TimeoutError:
                continue

    def stop(self) -> int:
        self._stopped.set()
        self._thread.join()
        self._socket.close()
        return self.count


def make_traps(address: str, path: Path) -> dict[str, bytes]:
    """Files that name an address, and a file of the server, in the ways of their formats."""
    doctype = (
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY file SYSTEM "file://{path}">'
        f'<!ENTITY away SYSTEM "{address}">]>'
    )
    page = f'<html><body><p>Hello &file; &away;</p><img src="{address}"/></body></html>'
    epub = io.BytesIO()
    with zipfile.ZipFile(epub, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr(
            "META-INF/container.xml",
            f'{doctype}<container><rootfiles><rootfile full-path="../../..{path}"/>'
            '<rootfile full-path="b.opf"/></rootfiles></container>',
        )
        archive.writestr(
            "b.opf",
            f'{doctype}<package><manifest><item id="a" href="a.xhtml" '
            f'media-type="application/xhtml+xml"/><item id="b" href="{address}"/></manifest>'
            '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>',
        )
        archive.writestr("a.xhtml", doctype + page)
    port = address.rpartition(":")[2]
    return {
        "playlist.mp4": f"#EXTM3U\n#EXTINF:1,\n{address}/a.ts\n#EXTINF:1,\n{path}\n".encode(),
        "concat.mp4": f"ffconcat version 1.0\nfile '{address}'\nfile '{path}'\n".encode(),
        "manifest.mp4": f"<MPD><Period><BaseURL>{address}</BaseURL></Period></MPD>".encode(),
        "session.mp4": f"v=0\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n".encode(),
        "book.html": (doctype + page).encode(),
        "book.md": f"# One\n\nHello. ![x]({address}) <img src='{address}'>\n".encode(),
        "book.epub": epub.getvalue(),
        "words.pls": f"{doctype}<lexicon><lexeme><grapheme>&file;&away;</grapheme>"
        "<phoneme>a</phoneme></lexeme></lexicon>".encode(),
        "cover.jpg": f'<svg><image href="{address}"/></svg>'.encode(),
        "cues.ass": f"[Script Info]\n[Fonts]\nfontname: {address}\n[Events]\n".encode(),
    }


def list_trapped_requests(traps: dict[str, bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield paths with the fields of a form, so that each trap is read by all that may read it."""
    request = {"request": (None, json.dumps({"voice": "Babble", "options": {"retries": 0}}))}
    said = {"voice": "Babble", "text": "Hello.", "delete": "Hello"}
    edit = {"request": (None, json.dumps(said))}
    book = {"book": ("a.txt", b"Hello.")}
    cues = {"subtitles": ("a.srt", b"1\n00:00:00,000 --> 00:00:01,000\nHi.\n")}
    for name, data in traps.items():
        kind = name.partition(".")[0]
        if name.endswith(".mp4"):
            for route in ("/v1/audio/detections", "/v1/studio/recordings"):
                yield route, {"recording": (name, data)}
            yield "/v1/jobs/dub", request | cues | {"film": (name, data)}
            yield "/v1/jobs/edit", edit | {"recording": ("a.wav", data)}
        elif kind == "book":
            yield "/v1/studio/texts", {"file": (name, data)}
            yield "/v1/jobs/book", request | {"book": (name, data)}
        elif kind == "words":
            yield "/v1/jobs/book", request | book | {"lexicon": (name, data)}
        elif kind == "cover":
            yield "/v1/jobs/book", request | book | {"cover": (name, data)}
        else:
            yield "/v1/jobs/dub", request | {"film": ("a.mp4", data), "subtitles": (name, data)}


def test_no_file_has_the_server_fetch_another(
    client: TestClient, tmp_path: Path, wait_for_jobs: Callable[[TestClient], list[dict[str, Any]]]
) -> None:
    private = tmp_path / "private.txt"
    private.write_text(SECRET)
    listener = Listener()
    traps = make_traps(f"http://127.0.0.1:{listener.port}", private)
    for path, files in list_trapped_requests(traps):
        answer = client.post(path, files=files)
        assert answer.status_code < 500, (path, answer.text)
        assert SECRET not in answer.text, path
    jobs = wait_for_jobs(client)
    assert len(jobs) >= 10
    for job in jobs:
        assert SECRET not in json.dumps(job)
        for part in ("result", "report", "subtitles"):
            assert SECRET.encode() not in client.get(f"/v1/jobs/{job['id']}/{part}").content
    for field in ("ref_audio", "input"):
        address = f"http://127.0.0.1:{listener.port}/a.wav"
        text = f'<speak>Hello <audio src="{address}"/></speak>'
        body = SPEECH | {field: address if field == "ref_audio" else text, "ssml": field == "input"}
        assert client.post("/v1/audio/speech", json=body).status_code < 500
    assert listener.stop() == 0


# Headers, logs, paths and ranges


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x=1", "ä", "\u202e", "x" * 5000, "a, b", "a\0"])
def test_fields_of_a_request_begin_no_header(client: TestClient, name: str) -> None:
    answer = client.post("/v1/audio/speech", json=SPEECH | {name: 1, "fine_name": 1})
    assert answer.status_code == 200
    assert answer.headers["x-ignored-fields"] == "fine_name"
    assert "set-cookie" not in answer.headers


def test_headers_of_a_request_begin_no_line_of_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    evil = '"}\t{"event": "evil"'
    headers = {"X-Request-ID": evil, "Idempotency-Key": evil, "User-Agent": evil}
    with caplog.at_level(logging.INFO, "valle.server"):
        client.get(f"/v1/jobs/{'evil' * 50}%0a%0d", headers=headers)
        client.post("/v1/jobs", json={"kind": "evil\n", "request": SPEECH}, headers=headers)
        with client.websocket_connect(
            "/v1/text-to-speech/evil%0a/stream-input", headers=headers
        ) as s:
            s.receive_json()
    lines = [_JSONFormatter().format(record) for record in caplog.records]
    assert len(lines) >= 3
    assert not any("evil" in line or "\n" in line for line in lines)


@pytest.mark.parametrize(
    "name",
    [
        "../settings.py",
        "..%2fsettings.py",
        "%2e%2e/settings.py",
        "..%5csettings.py",
        "....//settings.py",
        "%2fetc%2fpasswd",
        "index.html%00.js",
        "app.js/../../settings.py",
        "%c0%ae%c0%ae/settings.py",
    ],
)
def test_no_path_leads_out_of_the_page(client: TestClient, name: str) -> None:
    for prefix in ("/page/", "/", "/v1/jobs/", "/v1/studio/voices/"):
        answer = client.get(prefix + name)
        assert answer.status_code in (400, 404, 405), (prefix, answer.text[:80])
        assert "ServeOptions" not in answer.text
        assert "root:" not in answer.text


def test_many_ranges_are_one_answer(client: TestClient, connect: Connect) -> None:
    """Ranges were once read in quadratic time, and overlapping ones multiply what is sent."""
    bomb = "bytes=" + ",".join("0-" for _ in range(15_000))
    request = {"kind": "speech", "request": SPEECH | {"response_format": "wav"}}
    job = client.post("/v1/jobs", json=request).json()["id"]
    client.get(f"/v1/jobs/{job}/events")
    paths = ["/", "/page/app.js", f"/v1/jobs/{job}/result", f"/v1/jobs/{job}/words", "/v1/models"]
    paths += ["/openapi.json", "/health"]
    for path in paths:
        whole, answer = client.get(path), client.get(path, headers={"Range": bomb})
        assert (answer.status_code, whole.status_code) == (200, 200), path
        assert answer.content == whole.content
