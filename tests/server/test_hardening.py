"""Whatever is sent, the server answers with a 4xx that says why, and stays as it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

from malformed_uploads import ROUTES, UploadMaker, find_fault
from server.conftest import LiveServer
from valle.files import data_folder
from valle.registry.database import DatabaseUnavailableError

UPLOADS = 300
SPEECH = {"model": "tts-1", "input": "Hello.", "voice": "Babble"}
NASTY = (
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "C:\\Windows\\win.ini",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "' OR 1=1 --",
    '"; DROP TABLE voices; --',
    "%00",
    "a\u0000b",
    "a\r\nSet-Cookie: x=1",
    "{{7*7}}",
    "$(id)",
    "\u202eevil",
    "x" * 100,
    "[voice:../../x]",
)


def check_refused(answer) -> None:
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:200])
    assert set(answer.json()) == {"error"}
    for leak in ("root:", "Traceback", "sqlite", "/tmp/", "site-packages", "SELECT"):
        assert leak not in answer.text, answer.text
    assert "set-cookie" not in answer.headers


def test_nasty_names_are_only_names(client: TestClient) -> None:
    for name in NASTY:
        check_refused(client.post("/v1/audio/speech", json=SPEECH | {"voice": name}))
        check_refused(client.post("/v1/audio/speech", json=SPEECH | {"model": name}))
        check_refused(client.post("/v1/audio/speech", json=SPEECH | {"ref_audio": name}))
        check_refused(client.post("/v1/jobs", json={"kind": name, "request": SPEECH}))
        challenge = client.post("/v1/audio/voice_consents/challenges", json={"name": name})
        assert challenge.status_code in (200, 400, 403), challenge.text
        files = {"audio_sample": (name, b"x", "audio/wav")}
        data = {"name": name, "consent": name}
        check_refused(client.post("/v1/audio/voices", data=data, files=files))
        files = {"recording": (name, b"RIFF" + b"\0" * 60, "audio/wav")}
        check_refused(client.post("/v1/audio/detections", files=files))
        if name.isprintable():
            for path in ("voices", "voice_consents"):
                check_refused(client.delete(f"/v1/audio/{path}/{name}"))
            check_refused(client.get(f"/v1/jobs/{name}"))
            check_refused(client.get("/v1/audio/voice_consents", params={"after": name}))


def test_damaged_uploads_are_refused(
    client: TestClient,
    recording: Path,
    tmp_path: Path,
    wait_for_jobs: Callable[[TestClient], list[dict[str, Any]]],
) -> None:
    """Of 300, by every route; `python benchmarks/uploads.py` sends 10,000."""
    maker = UploadMaker(tmp_path, recording, seed=0)
    statuses: Counter[str] = Counter()
    for upload in maker.make_all(UPLOADS):
        headers = {"Content-Type": upload.media_type}
        answer = client.post(upload.path, content=upload.body, headers=headers)
        if answer.status_code == 429:  # too many jobs
            wait_for_jobs(client)
            answer = client.post(upload.path, content=upload.body, headers=headers)
        fault = find_fault(answer.status_code, answer.content, dict(answer.headers))
        assert fault is None, (upload.path, upload.body[:300])
        statuses[f"{upload.path} {answer.status_code // 100}xx"] += 1
    jobs = wait_for_jobs(client)
    for route in ROUTES:
        assert statuses[f"{route.path} 4xx"] >= 5, statuses
    assert {job["state"] for job in jobs} <= {"succeeded", "failed"}
    errors = [job["error"] for job in jobs if job["error"]]
    assert errors
    assert "server_error" not in {error["type"] for error in errors}
    assert not any(str(data_folder()) in error["message"] for error in errors)
    assert list((data_folder() / "server" / "objects").glob("uploads/*")) == []


def test_bodies_that_are_not_json_are_refused(client: TestClient) -> None:
    deep = "[" * 50_000 + "]" * 50_000
    for body in (b"", b"{", b"null", b"[]", b"\xff\xfe", deep.encode(), b'{"input": "\\ud800"}'):
        answer = client.post(
            "/v1/audio/speech", content=body, headers={"Content-Type": "application/json"}
        )
        check_refused(answer)
    huge = json.dumps(SPEECH | {"speed": 1}).replace('"speed": 1', '"speed": 1' + "0" * 5000)
    headers = {"Content-Type": "application/json"}
    check_refused(client.post("/v1/audio/speech", content=huge, headers=headers))
    check_refused(client.post("/v1/audio/speech", content=json.dumps(SPEECH)))  # without a type
    surrogate = json.dumps(SPEECH | {"input": "Hi \ud800 there"})
    answer = client.post("/v1/audio/speech", content=surrogate, headers=headers)
    assert answer.status_code in (200, 400)


def test_ranges_are_not_parsed(client: TestClient) -> None:
    ranges = "bytes=" + ",".join(f"{n}-" for n in range(20_000))
    answer = client.post("/v1/audio/speech", json=SPEECH, headers={"Range": ranges[:60_000]})
    assert answer.status_code == 200


def test_a_database_that_is_gone_is_said_so_and_comes_back(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = client.app.state.services.registry.database  # type: ignore[attr-defined]

    def fail(*_: object) -> None:
        raise DatabaseUnavailableError("the database cannot be used now; try again")

    with monkeypatch.context() as patch:
        patch.setattr(database, "session", fail)
        answer = client.post("/v1/audio/speech", json=SPEECH)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["error"]["code"] == "unavailable"
        assert client.get("/health").status_code == 503
    assert client.post("/v1/audio/speech", json=SPEECH).status_code == 200
    assert client.get("/health").status_code == 200


def test_a_full_disk_is_said_so_and_nothing_is_left(
    client: TestClient, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = client.app.state.services.registry.objects  # type: ignore[attr-defined]
    client.post("/v1/audio/voice_consents/challenges", json={"name": "Ada"})

    def fill(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    data = {"name": "Ada", "language": "en-US"}
    files = {"recording": ("x.wav", recording.read_bytes(), "audio/wav")}
    with monkeypatch.context() as patch:
        patch.setattr(objects._files, "pipe_file", fill)
        answer = client.post("/v1/audio/voice_consents", data=data, files=files)
        assert answer.status_code == 503
        assert "No space left" in answer.json()["error"]["message"]
    assert client.get("/v1/audio/voice_consents").json()["data"] == []
    answer = client.post("/v1/audio/voice_consents", data=data, files=files)
    assert answer.status_code == 200, "the challenge was used up by the attempt that failed"


def test_the_official_client_raises_its_own_errors_for_damaged_recordings(
    serve: Callable[..., LiveServer], recording: Path, tmp_path: Path
) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{serve().url}/v1", api_key="unused", max_retries=0)
    client.post("/audio/voice_consents/challenges", body={"name": "N"}, cast_to=object)
    maker = UploadMaker(tmp_path, recording, seed=1)
    for data in (b"", b"RIFF", *(maker.damage_sound() for _ in range(10))):
        file = ("a.wav", data)
        with pytest.raises(openai.APIStatusError) as refused:
            client.audio.voices.create(name="N", audio_sample=file, consent="cons_00")
        assert refused.value.status_code in (400, 404)
        assert refused.value.body["message"]
    with pytest.raises(openai.BadRequestError, match="recording"):
        client.audio.voice_consents.create(name="N", language="en-US", recording=("a.wav", b"RIFF"))
    assert client.audio.voice_consents.list().data == []


@pytest.mark.slow
def test_schemathesis_finds_nothing(client: TestClient) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings

    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    assert len(list(schema.get_all_operations())) > 15
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in ("/metrics", "/v1/jobs/{job_id}/events"):
            continue

        @given(case=operation.as_strategy())
        @settings(
            max_examples=12,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def send(case) -> None:
            answer = client.request(**case.as_transport_kwargs())
            assert answer.status_code < 500, (case.method, case.path, answer.text[:300])

        send()
