"""The studio's own routes: what they keep to their owner, and what they refuse."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

import valle
from consent.conftest import GOOD
from server.conftest import Connect
from valle.consent import verification
from valle.dubbing.options import DubOptions
from valle.editing.options import EditOptions
from valle.options import SpeakOptions
from valle.registry.keys import create_key
from valle.server.limits import longest_samples_bytes
from valle.voices import registry as voice_folder

SPEECH = {"input": "One boat is late. Two boats are early.", "voice": "Babble"}


def read_events(client: TestClient, **fields: Any) -> list[dict[str, Any]]:
    answer = client.post("/v1/studio/speech", json=SPEECH | fields)
    assert answer.status_code == 200, answer.text
    return [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: ")]


def test_the_page_is_told_what_there_is(client: TestClient) -> None:
    studio = client.get("/v1/studio").json()
    assert set(studio["options"]["properties"]) == set(SpeakOptions.model_fields)
    assert set(studio["edit_options"]["properties"]) == set(EditOptions.model_fields)
    assert set(studio["dub_options"]["properties"]) == set(DubOptions.model_fields)
    assert {"speech", "align", "edit"} <= set(studio["jobs"])
    assert studio["attestation"] == "I hold the rights to this voice"


def test_words_and_sentences_have_their_places_in_the_text(client: TestClient) -> None:
    events = read_events(client)
    text = SPEECH["input"]
    words = [
        word for event in events for word in event.get("words", []) if event["type"] == "words"
    ]
    assert [text[slice(*word["span"])] for word in words] == text.replace(".", "").split()
    assert all(one["start"] < one["end"] for one in words)
    sentences = [one for event in events for one in event.get("sentences", [])]
    assert [text[slice(*one["span"])] for one in sentences] == [
        "One boat is late.",
        "Two boats are early.",
    ]
    assert [event["type"] for event in (events[0], events[-1])] == ["start", "done"]


def test_a_wrong_text_is_refused_before_any_event(client: TestClient) -> None:
    answer = client.post("/v1/studio/speech", json=SPEECH | {"input": "[pause:never] Hello."})
    assert answer.status_code == 400
    assert "pause" in answer.json()["error"]["message"]


def test_samples_are_encoded_as_they_are(client: TestClient) -> None:
    samples = np.arange(-8000, 8000, dtype="<i2")
    answer = client.post("/v1/studio/encodings?format=wav", content=samples.tobytes())
    assert answer.content[44:] == samples.tobytes()
    for body in (b"", b"abc"):
        assert client.post("/v1/studio/encodings?format=wav", content=body).status_code == 400
    refused = client.post("/v1/studio/encodings?format=exe", content=samples.tobytes())
    assert refused.status_code == 400


@pytest.mark.parametrize("name", ["mp3", "opus", "aac", "flac", "wav"])
def test_a_long_take_is_encoded_whole(client: TestClient, name: str) -> None:
    """Longer than any recording may be; in parts that are cut in the middle of a sample."""
    av = pytest.importorskip("av", reason="needs the extra [serve]")
    rate, seconds = 16_000, 400
    sound = np.sin(np.arange(rate * seconds) * 0.05 * np.pi) * 8000
    samples = sound.astype("<i2").tobytes()
    assert len(samples) > client.app.state.services.options.max_upload << 20  # type: ignore[attr-defined]
    parts = (samples[start : start + 65_535] for start in range(0, len(samples), 65_535))
    answer = client.post(f"/v1/studio/encodings?format={name}", content=parts)
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    with av.open(io.BytesIO(answer.content)) as container:
        stream = container.streams.audio[0]
        count = sum(frame.samples for frame in container.decode(audio=0))
        assert count / stream.rate == pytest.approx(seconds, abs=0 if name == "wav" else 0.1)


def test_a_take_longer_than_any_text_is_refused(connect: Connect) -> None:
    client = connect(max_characters=100)
    most = longest_samples_bytes(100, client.app.state.services.loader.config.sample_rate)  # type: ignore[attr-defined]
    headers = {"Content-Length": str(max(most, 11 << 20) + 1)}
    answer = client.post("/v1/studio/encodings?format=wav", headers=headers)
    assert answer.status_code == 413


def test_a_recording_is_for_its_owner_alone(connect: Connect, stored_voice: str) -> None:
    client = connect()
    (voice,) = client.get("/v1/studio/voices").json()["data"]
    database = client.app.state.services.registry.database  # type: ignore[attr-defined]
    secret, _ = create_key(database, "bob")
    headers = {"Authorization": f"Bearer {secret}"}
    (shared,) = client.get("/v1/studio/voices", headers=headers).json()["data"]
    assert (shared["is_own"], shared["usable"], shared["uses"]) == (False, False, 0)
    routes = [("GET", "recording"), ("GET", "file"), ("GET", "uses"), ("POST", "revocation")]
    for method, what in routes:
        path = f"/v1/studio/voices/{voice['id']}/{what}"
        assert client.request(method, path, headers=headers).status_code == 403, what
    renamed = client.post(
        f"/v1/studio/voices/{voice['id']}", json={"name": "Mine"}, headers=headers
    )
    assert renamed.status_code == 403
    assert voice_folder.names() == [stored_voice]


def test_uses_are_counted_by_the_ledger(client: TestClient) -> None:
    read_events(client)
    read_events(client, seed=3)
    (voice,) = client.get("/v1/studio/voices").json()["data"]
    uses = client.get(f"/v1/studio/voices/{voice['id']}/uses").json()
    assert (voice["uses"], uses["count"]) == (2, 2)
    assert [use["seed"] for use in uses["data"]] == [3, 0]


def test_a_statement_is_recorded_again_under_the_same_consent(
    connect: Connect, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect()
    scores = dataclasses.replace(GOOD, speaker_cosine=0.1, as_norm=0.0)
    monkeypatch.setattr(verification, "score", lambda *_: scores)
    sound = recording.read_bytes()

    def create(**fields: str) -> dict[str, Any]:
        files = {"recording": ("a.wav", sound), "statement": ("b.wav", sound)}
        answer = client.post("/v1/studio/voices", data={"name": "Ada", **fields}, files=files)
        return answer.json() | {"status": answer.status_code}

    assert create()["status"] == 403  # there is no challenge
    client.post("/v1/audio/voice_consents/challenges", json={"name": "Ada"})
    first = create()
    assert first["voice"] is None
    assert first["refusal"]["faults"] == ["it is another voice than the recording's"]
    assert first["refusal"]["tries_left"] == 2
    second = create(consent=first["consent"])
    assert second["refusal"]["tries_left"] == 1
    third = create(consent=first["consent"])
    assert third["refusal"]["tries_left"] == 0
    monkeypatch.setattr(verification, "score", lambda *_: GOOD)
    spent = create(consent=first["consent"])
    assert spent["status"] == 403
    assert "ask for a new statement" in spent["error"]["message"]
    client.post("/v1/audio/voice_consents/challenges", json={"name": "Ada"})
    assert create()["voice"]["kind"] == "consented"


def test_a_damaged_statement_costs_no_try(
    connect: Connect, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect()
    monkeypatch.setattr(verification, "score", lambda *_: GOOD)
    client.post("/v1/audio/voice_consents/challenges", json={"name": "Ada"})
    files = {"recording": ("a.wav", recording.read_bytes()), "statement": ("b.wav", b"nonsense")}
    answer = client.post("/v1/studio/voices", data={"name": "Ada"}, files=files).json()
    assert answer["refusal"]["tries_left"] is None
    files["statement"] = ("b.wav", recording.read_bytes())
    data = {"name": "Ada", "consent": answer["consent"]}
    voice = client.post("/v1/studio/voices", data=data, files=files).json()["voice"]
    assert voice["kind"] == "consented"


def test_only_the_sentence_attests(connect: Connect, recording: Path) -> None:
    client = connect()
    files = {"recording": ("a.wav", recording.read_bytes())}
    for words in ("", "yes", "I hold the rights"):
        data = {"name": "Ada", "attestation": words}
        assert client.post("/v1/studio/voices", data=data, files=files).status_code == 403
    data["attestation"] = client.get("/v1/studio").json()["attestation"]
    made = client.post("/v1/studio/voices", data=data, files=files).json()["voice"]
    assert (made["kind"], made["usable"]) == ("attested", True)
    exported = client.get(f"/v1/studio/voices/{made['id']}/file")
    assert valle.Voice.from_bytes(exported.content, "it").name == "Ada"
    assert "Ada.safetensors" in exported.headers["content-disposition"]


def test_subtitles_are_read_by_cue_and_speaker(client: TestClient) -> None:
    subtitles = b"1\n00:00:01,000 --> 00:00:03,000\n- Late?\n- [yawns] Yes.\n"
    answer = client.post("/v1/studio/subtitles", files={"file": ("../a.srt", subtitles)}).json()
    cues = [(cue["cue"], cue["text"], cue["start"]) for cue in answer["cues"]]
    assert cues[0] == ("1", "Late?", 1.0)
    assert cues[1][:2] == ("1.2", "Yes.")
    assert "yawns" in answer["notes"][0]
    refused = client.post("/v1/studio/subtitles", files={"file": ("a.srt", b"nothing")})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("the file has no cue")


def test_texts_are_read_by_chapters_and_turns(client: TestClient) -> None:
    book = b"# The pier\n\nIt rained.\n\n# The lamp\n\nIt stopped.\n"
    read = client.post("/v1/studio/texts", files={"file": ("../../a.md", book)}).json()
    assert [chapter["title"] for chapter in read["chapters"]] == ["The pier", "The lamp"]
    turns = client.post("/v1/studio/turns", json={"text": "ADA: Late?\nBEN: Yes."}).json()["turns"]
    assert turns == [{"speaker": "ADA", "text": "Late?"}, {"speaker": "BEN", "text": "Yes."}]
    assert client.post("/v1/studio/turns", json={"text": "It rained."}).json()["turns"] == []
    assert (
        client.post("/v1/studio/texts", files={"file": ("a.pdf", b"%PDF-1.7")}).status_code == 400
    )
