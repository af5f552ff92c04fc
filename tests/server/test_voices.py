"""Voices and consents by OpenAI's own client: consent is real, and revoking it silences at once."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")
openai = pytest.importorskip("openai")

import valle
from consent.conftest import GOOD
from valle.consent import revocation, verification
from valle.registry import keys
from valle.voices import registry as voice_folder


@pytest.fixture
def good_statements(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Accept every statement, which the debug bundle cannot verify; changes are single scores."""
    changes: dict[str, Any] = {}
    monkeypatch.setattr(verification, "score", lambda *_: dataclasses.replace(GOOD, **changes))
    return changes


@pytest.fixture
def statement(recording: Path) -> bytes:
    return recording.read_bytes()


def connect_openai(server, key: str = "any"):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


def ask_for_challenge(client, name: str) -> dict[str, Any]:
    return client.post(
        "/audio/voice_consents/challenges", body={"name": name}, cast_to=dict[str, Any]
    )


def consent(client, name: str, recording: bytes):
    ask_for_challenge(client, name)
    return client.audio.voice_consents.create(
        name=name, language="en-US", recording=("statement.wav", recording, "audio/wav")
    )


def make_voice(client, name: str, recording: bytes, consent_id: str):
    sample = ("sample.wav", recording, "audio/wav")
    return client.audio.voices.create(name=name, audio_sample=sample, consent=consent_id)


def speak(client, voice: str) -> bytes:
    return client.audio.speech.create(
        model="tts-1", voice=voice, input="Hello.", response_format="pcm"
    ).content


def test_a_voice_needs_consent_and_speaks_until_it_is_revoked(
    serve, statement: bytes, good_statements: dict[str, Any]
) -> None:
    client = connect_openai(serve())
    challenge = ask_for_challenge(client, "Ada")
    assert "My name is Ada" in challenge["text"]
    given = consent(client, "Ada", statement)
    assert (given.object, given.name) == ("audio.voice_consent", "Ada")
    voice = make_voice(client, "Ada", statement, given.id)
    assert voice.object == "audio.voice"
    assert voice_folder.names() == ["Ada"]
    assert len(speak(client, voice.id)) > 1000
    assert client.audio.voice_consents.retrieve(given.id).id == given.id
    assert [one.id for one in client.audio.voice_consents.list()] == [given.id]
    assert client.audio.voice_consents.update(given.id, name="Ada L.").name == "Ada L."
    assert client.audio.voice_consents.delete(given.id).deleted
    with pytest.raises(openai.PermissionDeniedError, match="revoked"):
        speak(client, voice.id)
    assert client.audio.voices.delete(voice.id).deleted
    assert voice_folder.names() == []


def test_a_statement_that_is_not_accepted_makes_no_voice(
    serve, statement: bytes, good_statements: dict[str, Any]
) -> None:
    client = connect_openai(serve())
    given = consent(client, "Ada", statement)
    good_statements["speaker_cosine"] = 0.1
    with pytest.raises(openai.PermissionDeniedError, match="the recorded statement"):
        make_voice(client, "Ada", statement, given.id)
    assert voice_folder.names() == []
    good_statements.clear()
    assert make_voice(client, "Ada", statement, given.id).name == "Ada"
    with pytest.raises(openai.PermissionDeniedError, match="has been used"):
        make_voice(client, "Ada 2", statement, given.id)


@pytest.mark.parametrize("consent_id", ["", "cons_000", "I agree", "../x"])
def test_no_string_stands_for_a_consent(serve, statement: bytes, consent_id: str) -> None:
    client = connect_openai(serve())
    with pytest.raises((openai.PermissionDeniedError, openai.NotFoundError), match="consent"):
        make_voice(client, "Ada", statement, consent_id)


def test_a_consent_without_a_challenge_is_refused(serve, statement: bytes) -> None:
    client = connect_openai(serve())
    file = ("statement.wav", statement, "audio/wav")
    with pytest.raises(openai.PermissionDeniedError, match="challenge"):
        client.audio.voice_consents.create(name="Ada", language="en-US", recording=file)
    ask_for_challenge(client, "Ada")
    with pytest.raises(openai.BadRequestError, match="English"):
        client.audio.voice_consents.create(name="Ada", language="de-DE", recording=file)


def test_keys_see_their_own_voices_and_the_shared_ones(
    serve, statement: bytes, good_statements: dict[str, Any], stored_voice: str
) -> None:
    server = serve()
    database = server.app.state.services.registry.database
    ada = connect_openai(server, keys.create_key(database, "ada")[0])
    bob = connect_openai(server, keys.create_key(database, "bob")[0])
    voice = make_voice(ada, "Ada", statement, consent(ada, "Ada", statement).id)
    assert voice_folder.names() == [stored_voice]
    assert len(speak(ada, "Ada")) > 1000
    for name in (voice.id, "Ada"):
        with pytest.raises(openai.NotFoundError, match="no voice"):
            speak(bob, name)
        with pytest.raises(openai.NotFoundError, match="no voice"):
            bob.audio.voices.delete(name)
    names = bob.get("/audio/voices", cast_to=dict[str, Any])["voices"]
    assert [entry["name"] for entry in names] == [stored_voice]
    with pytest.raises(openai.PermissionDeniedError, match="own word"):
        speak(bob, stored_voice)  # attested by the user of this computer, for himself
    with pytest.raises(openai.PermissionDeniedError, match="shared"):
        bob.audio.voices.delete(stored_voice)
    with pytest.raises(openai.AuthenticationError, match="not valid"):
        speak(connect_openai(server), stored_voice)


def test_the_command_line_revokes_for_the_server_at_once(serve, stored_voice: str) -> None:
    client = connect_openai(serve())
    assert speak(client, stored_voice)
    revocation.revoke(stored_voice)
    with pytest.raises(openai.PermissionDeniedError, match="revoked"):
        speak(client, stored_voice)


def test_revoking_stops_speech_that_is_being_made(serve, stored_voice: str) -> None:
    server = serve()
    client = connect_openai(server)
    text = "This is a sentence that goes on. " * 300
    body = {"model": "tts-1", "voice": stored_voice, "input": text, "response_format": "pcm"}

    def listen_and_revoke() -> None:
        with client.audio.speech.with_streaming_response.create(**body) as answer:
            for number, _ in enumerate(answer.iter_bytes(4096)):
                if number == 1:
                    revocation.revoke(stored_voice)

    with pytest.raises(Exception, match="(?i)peer|incomplete|closed"):
        listen_and_revoke()
    assert server.app.state.services.engine.count() == 0


def test_ref_audio_speaks_only_with_consent_for_it(
    serve, statement: bytes, good_statements: dict[str, Any]
) -> None:
    import base64

    client = connect_openai(serve())
    given = consent(client, "Ada", statement)
    data = "data:audio/wav;base64," + base64.b64encode(statement).decode()
    body: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "input": "Hello."}
    extra = {"ref_audio": data, "consent": given.id, "response_format": "pcm"}
    first = client.audio.speech.create(**body, extra_body=extra).content
    assert client.audio.speech.create(**body, extra_body=extra).content == first
    other = {"ref_audio": base64.b64encode(statement + b"\0" * 10).decode(), "consent": given.id}
    with pytest.raises(openai.PermissionDeniedError, match="has been used"):
        client.audio.speech.create(**body, extra_body=other)


def test_browsers_recordings_are_read(serve, good_statements: dict[str, Any], babble) -> None:
    av = pytest.importorskip("av")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48_000)
        stream.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(babble.repeat(3)[None], format="flt", layout="mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    client = connect_openai(serve())
    ask_for_challenge(client, "Ada")
    given = client.audio.voice_consents.create(
        name="Ada", language="en", recording=("blob", buffer.getvalue(), "audio/webm")
    )
    assert make_voice(client, "Ada", buffer.getvalue(), given.id).name == "Ada"


def test_the_receipt_covers_the_voice(
    serve, statement: bytes, good_statements: dict[str, Any]
) -> None:
    client = connect_openai(serve())
    make_voice(client, "Ada", statement, consent(client, "Ada", statement).id)
    voice: valle.Voice = voice_folder.load("Ada")
    assert voice.consent["kind"] == "consented"
    assert voice.consent["speaker"] == "Ada"
    assert voice.consent["scope"]["user"] == "the users of this server"
