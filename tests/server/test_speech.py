"""`/v1/audio/speech`: by OpenAI's own client, in every format, and what it refuses."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

TEXT = "Hello there. This is the second sentence."


def speak(client: TestClient, **fields: object):
    body = {"model": "tts-1", "input": TEXT, "voice": "Babble", **fields}
    return client.post("/v1/audio/speech", json=body)


def test_mp3_is_the_default(client: TestClient) -> None:
    answer = speak(client)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
    assert answer.content[:2] in (b"\xff\xf3", b"\xff\xfb")
    assert len(answer.content) > 5000


def test_streamed_pcm_is_the_whole_bit_for_bit(client: TestClient) -> None:
    streamed = speak(client, response_format="pcm")
    whole = speak(client, response_format="pcm", stream=False)
    assert "content-length" not in streamed.headers
    assert int(whole.headers["content-length"]) == len(whole.content)
    assert streamed.content == whole.content
    events = read_events(speak(client, response_format="pcm", stream_format="sse").text)
    deltas = [e["audio"] for e in events if e["type"] == "speech.audio.delta"]
    assert b"".join(map(base64.b64decode, deltas)) == whole.content
    assert len(deltas) > 1
    assert events[-1]["type"] == "speech.audio.done"
    usage = events[-1]["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_the_rate_is_24_khz_unless_another_is_asked_for(client: TestClient) -> None:
    lengths = {
        rate: len(speak(client, response_format="pcm", sample_rate=rate).content) / 2 / rate
        for rate in (24_000, 16_000, 48_000)
    }
    default = len(speak(client, response_format="pcm").content) / 2 / 24_000
    assert lengths == pytest.approx(dict.fromkeys(lengths, default), abs=1e-3)


def test_words_come_with_their_times(client: TestClient) -> None:
    text = speak(client, response_format="wav", stream_format="sse", timestamps=True).text
    words = [w for e in read_events(text) if e["type"] == "speech.audio.words" for w in e["words"]]
    assert [word["word"] for word in words] == TEXT.replace(".", "").split()
    times = [time for word in words for time in (word["start"], word["end"])]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("fields", "status", "code", "reason"),
    [
        ({"voice": "Nobody"}, 404, "voice_not_found", "no voice 'Nobody'"),
        ({"voice": "alloy"}, 404, "voice_not_found", "--alias alloy=Babble"),
        ({"voice": None}, 400, None, "voice is missing"),
        ({"input": " \n"}, 400, "invalid_text", "empty"),
        ({"input": "🎉🎉"}, 400, "invalid_text", ""),
        ({"input": "x" * 200_000}, 400, "invalid_text", "split it"),
        ({"model": "dall-e"}, 404, "model_not_found", "use one of"),
        ({"speed": 9}, 400, "invalid_request", "speed"),
        ({"response_format": "midi"}, 400, "invalid_request", "mp3"),
        ({"sample_rate": 11_111}, 400, "invalid_request", "11111"),
        ({"timestamps": True}, 400, "invalid_request", "stream_format"),
        ({"lexicon": "/etc/passwd"}, 400, "invalid_request", "lexicon"),
        ({"ref_audio": "file:///etc/passwd", "consent": "c"}, 400, "invalid_recording", "fetches"),
        ({"ref_audio": "http://10.0.0.1/", "consent": "c"}, 400, "invalid_recording", "fetches"),
        ({"ref_audio": "UklGRg=="}, 403, "consent_required", "voice_consents"),
        ({"input": "[voice:Nobody] Hello."}, 404, "voice_not_found", "Nobody"),
    ],
)
def test_what_cannot_be_spoken_is_refused_in_openais_form(
    client: TestClient, fields: dict[str, object], status: int, code: str | None, reason: str
) -> None:
    answer = speak(client, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert reason in error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def test_clients_that_send_more_are_told_what_was_ignored(client: TestClient) -> None:
    answer = speak(client, instructions="like a pirate", lang_code="a", **{"bad\r\nname": 1})
    assert answer.status_code == 200
    assert answer.headers["x-ignored-fields"] == "instructions, lang_code"


def test_a_style_is_a_field_or_plain_instructions(client: TestClient) -> None:
    plain = speak(client, response_format="pcm").content
    for asked in ({"style": "sad 0"}, {"style": {"emotion": "sad", "strength": 0}}):
        assert speak(client, response_format="pcm", **asked).content == plain
    sad = speak(client, response_format="pcm", style={"emotion": "sad", "rate": 0.83})
    assert sad.content != plain
    told = speak(client, response_format="pcm", instructions="Sound sad, and speak slowly.")
    assert told.content == sad.content
    assert "x-ignored-fields" not in told.headers
    both = speak(client, style="sad 0", instructions="happy", response_format="pcm")
    assert both.content == plain
    assert both.headers["x-ignored-fields"] == "instructions"
    for wrong in ("sud", {"pitch": 99}, {"mood": 1}):
        answer = speak(client, style=wrong)
        assert answer.status_code in (400, 422)
        assert "style" in answer.text or "pitch" in answer.text or "mood" in answer.text


def test_openai_names_are_aliases_that_the_user_sets(connect, stored_voice: str) -> None:
    client = connect(alias={"alloy": "Babble"}, default_voice="Babble")
    expected = speak(client, response_format="pcm").content
    for name in ("alloy", "cedar", {"id": "babble"}):
        assert speak(client, voice=name, response_format="pcm").content == expected


def test_openais_client_works_unchanged(serve, stored_voice: str) -> None:
    openai = pytest.importorskip("openai")
    server = serve()
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any")
    body = {"model": "gpt-4o-mini-tts", "voice": "Babble", "input": TEXT}
    with client.audio.speech.with_streaming_response.create(**body, response_format="pcm") as got:
        streamed = b"".join(got.iter_bytes())
    assert client.audio.speech.create(**body, response_format="pcm").content == streamed
    assert np.abs(np.frombuffer(streamed, "<i2")).max() > 100
    with pytest.raises(openai.NotFoundError, match="no voice 'Nobody'"):
        client.audio.speech.create(**(body | {"voice": "Nobody"}))
    assert {"valle", "tts-1"} <= {model.id for model in client.models.list()}


def read_events(text: str) -> list[dict]:
    lines = [line for line in text.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]
