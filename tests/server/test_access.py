"""Who may call: keys and scopes, hosts and origins, sizes and speeds; and what the server tells."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

from valle.errors import UsageError
from valle.registry import keys
from valle.registry.keys import Caller
from valle.server.errors import ApiError
from valle.server.limits import SpeechBudget
from valle.server.settings import ServeOptions

Connect = Callable[..., TestClient]
SPEECH = {"model": "tts-1", "input": "Hello.", "voice": "Babble"}


def make_key(client: TestClient, *scopes: str, seconds: float | None = None) -> dict[str, str]:
    database = client.app.state.services.registry.database  # type: ignore[attr-defined]
    secret, _ = keys.create_key(database, "test", scopes or keys.DEFAULT_SCOPES, seconds)
    return {"Authorization": f"Bearer {secret}"}


def test_a_key_is_needed_once_there_is_one(client: TestClient) -> None:
    assert client.get("/v1/models").status_code == 200
    headers = make_key(client, "speak")
    answer = client.get("/v1/models")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"]["type"] == "authentication_error"
    assert client.get("/v1/models", headers=headers).status_code == 200
    xi = {"xi-api-key": headers["Authorization"].removeprefix("Bearer ")}
    assert client.get("/v1/models", headers=xi).status_code == 200
    assert client.get("/health").status_code == 200


def test_others_need_a_key_from_the_start(connect: Connect) -> None:
    client = connect(host="0.0.0.0")
    assert client.get("/v1/models").status_code == 401
    assert connect(host="0.0.0.0", without_keys=True).get("/v1/models").status_code == 200


def test_everybody_may_speak_but_make_no_voices(connect: Connect, stored_voice: str) -> None:
    client = connect(host="0.0.0.0", without_keys=True, allow_attested=True)
    assert client.post("/v1/audio/speech", json=SPEECH).status_code == 200
    answer = client.post("/v1/audio/voice_consents/challenges", json={"name": "Ada"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")
    assert client.get("/metrics").status_code == 403
    assert client.get("/v1/jobs").status_code == 403


def test_callers_of_a_proxy_are_not_the_user_of_this_computer(client: TestClient) -> None:
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        answer = client.get("/v1/models", headers={name: "203.0.113.7"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")
    headers = make_key(client) | {"X-Forwarded-For": "203.0.113.7"}
    assert client.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/audio/speech", "speak"),
        ("GET", "/v1/audio/voices", "speak"),
        ("GET", "/v1/models", "speak"),
        ("GET", "/v1/audio/voice_consents", "voices"),
        ("DELETE", "/v1/audio/voices/x", "voices"),
        ("GET", "/v1/jobs", "jobs"),
        ("POST", "/v1/audio/detections", "detect"),
        ("GET", "/metrics", "admin"),
    ],
)
def test_each_route_needs_its_scope(client: TestClient, method: str, path: str, scope: str) -> None:
    others = [name for name in keys.SCOPES if name != scope]
    answer = client.request(method, path, headers=make_key(client, *others))
    assert answer.status_code == 403
    assert f"{scope!r}" in answer.json()["error"]["message"]
    assert client.request(method, path, headers=make_key(client, scope)).status_code != 403


def test_open_webui_lists_voices_without_a_key_only_if_that_is_said(
    connect: Connect, stored_voice: str
) -> None:
    closed, open_ = connect(), connect(list_voices_without_key=True)
    make_key(closed)
    assert closed.get("/audio/voices").status_code == 401
    for path in ("/audio/voices", "/v1/audio/voices"):
        assert open_.get(path).json()["voices"] == [{"id": "Babble", "name": "Babble"}]
    assert {"id": "tts-1", "name": "tts-1"} in open_.get("/audio/models").json()["models"]
    assert open_.post("/v1/audio/speech", json=SPEECH).status_code == 401


def test_web_pages_of_others_do_not_reach_it(connect: Connect) -> None:
    client = connect()
    assert client.get("/v1/models", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.get("/v1/models", headers={"Host": "evil.example:8000"}).status_code == 403
    assert client.get("/v1/models", headers={"Origin": "http://testserver"}).status_code == 200
    assert client.get("/v1/models", headers={"Host": "127.0.0.1:8000"}).status_code == 200
    allowed = connect(allow_origin=["https://good.example"], allow_host=["speech.example"])
    answer = allowed.get("/v1/models", headers={"Origin": "https://good.example"})
    assert answer.headers["access-control-allow-origin"] == "https://good.example"
    assert allowed.get("/v1/models", headers={"Host": "speech.example"}).status_code == 200
    assert "access-control-allow-origin" not in client.get("/v1/models").headers


def test_uploads_are_limited(connect: Connect) -> None:
    client = connect(max_upload=1)
    files = {"recording": ("x.wav", b"x" * (1 << 20) + b"y", "audio/wav")}
    answer = client.post("/v1/audio/detections", files=files)
    assert answer.status_code == 413
    headers = {"Content-Length": "9" * 12, "Content-Type": "multipart/form-data; boundary=x"}
    stated = client.post("/v1/audio/detections", headers=headers)
    assert stated.status_code == 413


def test_more_requests_than_there_is_room_for_come_again_later(connect: Connect) -> None:
    client = connect(max_requests=1)
    engine = client.app.state.services.engine  # type: ignore[attr-defined]
    original, engine.count = engine.count, lambda *_, **__: 1
    answer = client.post("/v1/audio/speech", json=SPEECH)
    engine.count = original
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.json()["error"]["type"] == "rate_limit_error"


def test_limits_count_seconds_of_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("valle.server.limits.time.monotonic", lambda: now[0])
    budget = SpeechBudget(60.0)
    ada, bob = (Caller(name, name, frozenset()) for name in ("ada", "bob"))
    for _ in range(60):
        budget.spend(ada, 1.0)  # many small requests are as good as one
    with pytest.raises(ApiError, match="60 seconds of speech per minute") as refused:
        budget.spend(ada, 10.0)
    assert refused.value.status == 429
    assert refused.value.retry_after == pytest.approx(10.0)
    budget.spend(bob, 60.0)
    now[0] += 10
    budget.spend(ada, 10.0)
    budget.correct(ada, 10.0, 2.0)
    budget.spend(ada, 8.0)
    now[0] += 600
    budget.spend(ada, 600.0)  # longer than a minute's worth: paid off afterward
    with pytest.raises(ApiError):
        budget.spend(ada, 1.0)


def test_a_keys_own_limit_holds(client: TestClient) -> None:
    headers = make_key(client, seconds=2.0)
    body = SPEECH | {"input": "This takes more than two seconds, which is all there is."}
    client.app.state.services.options.__dict__["allow_attested"] = True  # type: ignore[attr-defined]
    assert client.post("/v1/audio/speech", json=body, headers=headers).status_code == 200
    answer = client.post("/v1/audio/speech", json=body, headers=headers)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_logs_hold_no_texts_and_no_lines_of_others(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    from valle.server.logs import _JSONFormatter

    with caplog.at_level(logging.INFO, "valle.server"):
        client.post(
            "/v1/audio/speech",
            json=SPEECH | {"input": "A secret sentence.", "voice": "Nobody\n{}"},
            headers={"X-Request-ID": "a\tb {evil}", "User-Agent": "evil"},
        )
        client.get("/v1/jobs/some%0asecret")
    lines = [_JSONFormatter().format(record) for record in caplog.records]
    entries = [json.loads(line) for line in lines]
    assert [entry["route"] for entry in entries] == ["/v1/audio/speech", "/v1/jobs/{job_id}"]
    assert not any(word in line for line in lines for word in ("secret", "evil", "Nobody", "\n"))


def test_request_ids_are_returned(client: TestClient) -> None:
    answer = client.get("/health", headers={"X-Request-ID": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert client.get("/health", headers={"X-Request-ID": "no good"}).headers["x-request-id"]


def test_metrics_count_what_happens(client: TestClient) -> None:
    client.post("/v1/audio/speech", json=SPEECH)
    text = client.get("/metrics").text
    assert 'valle_requests_total{method="POST",route="/v1/audio/speech",status="200"} 1.0' in text
    assert "valle_first_audio_seconds_count 1.0" in text
    assert "valle_model_loaded 1.0" in text


def test_wrong_methods_and_paths_are_json(client: TestClient) -> None:
    for path, status in (("/v1/audio/speech", 405), ("/nowhere", 404), ("/../etc/passwd", 404)):
        answer = client.get(path)
        assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_the_model_is_unloaded_when_idle_and_comes_back(
    connect: Connect, stored_voice: str
) -> None:
    client = connect(idle_unload=0.01)
    services = client.app.state.services  # type: ignore[attr-defined]
    assert client.post("/v1/audio/speech", json=SPEECH).status_code == 200
    services.engine.last_used -= 1
    services.unload_when_idle()
    assert not services.loader.is_loaded
    assert client.get("/health").status_code == 200
    assert client.post("/v1/audio/speech", json=SPEECH).status_code == 200


def test_options_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match="--port"):
        ServeOptions.from_keywords(port=99_999)
    with pytest.raises(UsageError, match="--alias takes NAME=VOICE"):
        ServeOptions.from_keywords(alias=["alloy"])
    options = ServeOptions.from_keywords(alias=["alloy=Ada", "nova=Bob"])
    assert options.alias == {"alloy": "Ada", "nova": "Bob"}
    assert ServeOptions.from_json(options.model_dump_json()) == options
    hosts = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.0.2.1")
    private = [host for host in hosts if ServeOptions.from_keywords(host=host).is_private]
    assert private == ["127.0.0.1", "::1", "localhost"]


def test_ssml_names_only_voices_that_the_caller_may_use(
    connect: Connect, stored_voice: str
) -> None:
    client = connect()
    text = f'<speak><voice name="{stored_voice}">Go on.</voice></speak>'
    spoken = client.post("/v1/audio/speech", json=SPEECH | {"input": text, "ssml": True})
    assert spoken.status_code == 200, spoken.text
    other = text.replace(f'"{stored_voice}"', '"../../Eve"')
    refused = client.post("/v1/audio/speech", json=SPEECH | {"input": other, "ssml": True})
    assert refused.status_code in (400, 404)
    wrong = client.post("/v1/audio/speech", json=SPEECH | {"input": "<speak>\n<x/>", "ssml": True})
    assert (wrong.status_code, "line 2: <x>" in wrong.text) == (400, True)


def test_detection_finds_what_was_spoken_here(connect: Connect, stored_voice: str) -> None:
    client = connect()
    body = SPEECH | {"input": "This is long enough to find a watermark in. " * 3}
    speech = client.post(
        "/v1/audio/speech", json=body | {"response_format": "wav", "stream": False}
    )
    answer = client.post("/v1/audio/detections", files={"recording": speech.content})
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert set(report) >= {"watermark", "detector", "provenance", "seconds"}
    (receipt,) = report["watermark"]["payload"]["ledger"]
    assert receipt["made"] is True
    verified = client.post("/v1/audio/verifications", files={"recording": speech.content})
    assert verified.json()["verified"] is None
    bad = client.post("/v1/audio/detections", files={"recording": b"not audio"})
    assert (bad.status_code, "/tmp" in bad.text) == (400, False)


def test_a_container_takes_its_key_from_the_environment(
    connect: Connect, stored_voice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALLE_API_KEY", "a-long-enough-key")
    client = connect(host="0.0.0.0", allow_attested=True)
    assert client.get("/v1/models").status_code == 401
    headers = {"Authorization": "Bearer a-long-enough-key"}
    assert client.post("/v1/audio/speech", json=SPEECH, headers=headers).status_code == 200
    assert client.get("/metrics", headers=headers).status_code == 200
    monkeypatch.setenv("VALLE_API_KEY", "short")
    with pytest.raises(UsageError, match="16 characters"):
        keys.read_environment_key()
