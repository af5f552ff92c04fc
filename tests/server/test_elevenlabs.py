"""`/v1/text-to-speech` and its WebSockets: sound, times of characters, and what is refused."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

from valle.registry import keys
from valle.server.elevenlabs.alignment import TextAligner
from valle.server.elevenlabs.sockets import MOST_CONTEXTS
from valle.synthesis.speech import SpokenWord

TEXT = "Hello there. This is the second sentence."
SPEAK = "/v1/text-to-speech/Babble"
SOCKET = f"{SPEAK}/stream-input?output_format=pcm_16000"
MULTI = f"{SPEAK}/multi-stream-input?output_format=pcm_16000"


def speak(client: TestClient, route: str = "", text: str = TEXT, **fields: object):
    return client.post(f"{SPEAK}{route}", json={"text": text, **fields})


def wait_until_idle(engine) -> None:
    limit = time.monotonic() + 60
    while engine.count() and time.monotonic() < limit:
        time.sleep(0.05)
    assert engine.count() == 0


def receive_until_final(socket) -> list[dict]:
    messages: list[dict] = []
    while not (messages and messages[-1].get("isFinal")):
        messages.append(socket.receive_json())
    return messages


def join_audio(messages: list[dict]) -> bytes:
    return b"".join(base64.b64decode(message.get("audio") or "") for message in messages)


def join_words(messages: list[dict], absolute: bool = False) -> list[tuple[str, float]]:
    """Words and the times of their beginnings in seconds, added up as Pipecat does.

    To it a word has ended once there is a space.
    """
    words, word, begin, clock = [], "", 0.0, 0
    for message in messages:
        times = message.get("alignment")
        if not times:
            continue
        assert times == message["normalizedAlignment"]
        starts, lengths = times["charStartTimesMs"], times["charDurationsMs"]
        for char, start in zip(times["chars"], starts, strict=True):
            if char == " ":
                words += [(word, begin)] if word else []
                word = ""
            else:
                begin = begin if word else (clock + start) / 1000
                word += char
        clock += 0 if absolute else starts[-1] + lengths[-1]
    assert not word
    return words


def test_whole_and_streamed_speech_are_the_same(client: TestClient) -> None:
    answer = speak(client)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
    whole = speak(client, "?output_format=pcm_24000").content
    assert speak(client, "/stream?output_format=pcm_24000").content == whole
    openai = {"model": "tts-1", "voice": "Babble", "input": TEXT, "response_format": "pcm"}
    assert client.post("/v1/audio/speech", json=openai).content == whole
    timed = speak(client, "/with-timestamps?output_format=pcm_24000").json()
    assert base64.b64decode(timed["audio_base64"]) == whole


def test_characters_have_their_times(client: TestClient) -> None:
    timed = speak(client, "/with-timestamps?output_format=pcm_16000").json()
    times = timed["alignment"]
    assert "".join(times["characters"]) == TEXT
    starts, ends = (times[f"character_{side}_times_seconds"] for side in ("start", "end"))
    assert starts == sorted(starts)
    assert all(start <= end for start, end in zip(starts, ends, strict=True))
    seconds = len(base64.b64decode(timed["audio_base64"])) / 2 / 16_000
    assert ends[-1] == pytest.approx(seconds, abs=1e-3)
    lines = [
        json.loads(line) for line in speak(client, "/stream/with-timestamps").text.splitlines()
    ]
    assert len(lines) > 2
    characters = [c for line in lines if line["alignment"] for c in line["alignment"]["characters"]]
    assert "".join(characters) == TEXT


def test_times_are_those_of_the_words(client: TestClient) -> None:
    openai = {"model": "tts-1", "voice": "Babble", "input": TEXT, "stream_format": "sse"}
    answer = client.post("/v1/audio/speech", json=openai | {"timestamps": True})
    events = [json.loads(line[6:]) for line in answer.text.split("\n") if line]
    words = [word for event in events for word in event.get("words", ())]
    times = speak(client, "/with-timestamps").json()["alignment"]
    position = 0
    for word in words:
        position = TEXT.index(word["word"], position)
        start = times["character_start_times_seconds"][position]
        position += len(word["word"])
        end = times["character_end_times_seconds"][position - 1]
        assert (start, end) == pytest.approx((word["start"], word["end"]), abs=2e-3)
    assert len(words) == 7


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.sampled_from(" ,.-")), min_size=1
    )
)
def test_alignments_hold_each_character_once(parts: list[tuple[str, str]]) -> None:
    text = " ".join(word + mark for word, mark in parts)
    aligner = TextAligner(text)
    found = [
        aligner.align([SpokenWord(word, number + 0.25, number + 0.75)])
        for number, (word, _) in enumerate(parts)
    ]
    found.append(aligner.finish(len(parts)))
    known = [alignment for alignment in found if alignment is not None]
    assert "".join(c for alignment in known for c in alignment.characters) == text
    times = [t for a in known for pair in zip(a.starts, a.ends, strict=True) for t in pair]
    assert times == sorted(times)


def test_a_word_that_is_spelled_in_another_way_costs_no_other_its_time() -> None:
    aligner = TextAligner("It is 5 pm.")
    words = [("It", 0.0, 0.1), ("five", 0.3, 0.5), ("pm", 0.6, 0.8)]
    alignment = aligner.align([SpokenWord(*word) for word in words])
    assert alignment is not None
    assert "".join(alignment.characters) == "It is 5 pm."
    assert alignment.starts[alignment.characters.index("p")] == 0.6


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/text-to-speech/Nobody", {"text": TEXT}, 404, "voice_not_found"),
        (SPEAK, {"text": " "}, 400, "invalid_text"),
        (SPEAK, {}, 400, "invalid_request"),
        (SPEAK, {"text": TEXT, "model_id": "dall-e"}, 404, "model_not_found"),
        (SPEAK, {"text": TEXT, "voice_settings": {"speed": 9}}, 400, "invalid_request"),
        (f"{SPEAK}?output_format=midi_1", {"text": TEXT}, 400, "invalid_request"),
        (f"{SPEAK}/stream?output_format=pcm_11111", {"text": TEXT}, 400, "invalid_request"),
    ],
)
def test_what_is_refused_is_refused_in_elevenlabs_form(
    client: TestClient, path: str, body: dict, status: int, code: str
) -> None:
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.json()["detail"]["status"]) == (status, code)
    assert answer.json()["detail"]["message"]


def test_voices_are_listed(client: TestClient) -> None:
    (voice,) = client.get("/v1/voices").json()["voices"]
    assert client.get("/v2/voices").json()["total_count"] == 1
    assert (voice["name"], voice["is_owner"]) == ("Babble", True)
    assert client.get(f"/v1/voices/{voice['voice_id']}").json() == voice
    assert client.get("/v1/voices/Nobody").json()["detail"]["status"] == "voice_not_found"
    by_id = client.post(f"/v1/text-to-speech/{voice['voice_id']}", json={"text": TEXT})
    assert by_id.content == speak(client).content


@pytest.mark.parametrize("parts", [[TEXT], list(TEXT)], ids=["at once", "by character"])
def test_text_is_spoken_while_it_is_written(client: TestClient, parts: list[str]) -> None:
    with client.websocket_connect(SOCKET) as socket:
        socket.send_json({"text": " ", "voice_settings": {"stability": 0.5}})
        for part in parts:
            socket.send_json({"text": part})
        socket.send_json({"text": ""})
        messages = receive_until_final(socket)
        assert socket.receive() == {"type": "websocket.close", "code": 1000, "reason": ""}
    assert join_audio(messages) == speak(client, "?output_format=pcm_16000").content
    assert [word for word, _ in join_words(messages)] == TEXT.split()


def test_sound_comes_before_the_end_of_the_text(client: TestClient) -> None:
    with client.websocket_connect(SOCKET) as socket:
        socket.send_json({"text": "The first part ", "flush": True})
        assert base64.b64decode(socket.receive_json()["audio"])
        socket.send_json({"text": "and the rest."})
        socket.send_json({"text": ""})
        words = join_words([{}, *receive_until_final(socket)])
    assert [word for word, _ in words][-3:] == ["and", "the", "rest."]


def test_times_count_as_each_client_reads_them(client: TestClient) -> None:
    times = {}
    for query, absolute in (("", False), ("&sync_alignment=true", True)):
        with client.websocket_connect(SOCKET + query) as socket:
            for text in (TEXT, ""):
                socket.send_json({"text": text})
            times[absolute] = join_words(receive_until_final(socket), absolute)
    assert times[False] == times[True]
    seconds = speak(client, "/with-timestamps").json()["alignment"]
    starts = seconds["character_start_times_seconds"]
    word, begin = times[True][3]
    assert word == "is"
    assert begin == pytest.approx(starts[TEXT.index(" is ") + 1], abs=2e-3)


def test_speed_is_that_of_the_voice_settings(client: TestClient) -> None:
    lengths = []
    for settings in (None, {"speed": 2.0}):
        with client.websocket_connect(SOCKET) as socket:
            socket.send_json({"text": " ", "voice_settings": settings})
            for text in (TEXT, ""):
                socket.send_json({"text": text})
            lengths.append(len(join_audio(receive_until_final(socket))))
    assert lengths[1] < 0.8 * lengths[0]


@pytest.mark.parametrize(
    ("path", "messages", "code"),
    [
        (SOCKET.replace("Babble", "Nobody"), [], "voice_not_found"),
        (f"{SPEAK}/stream-input?output_format=midi_1", [], "invalid_request"),
        (f"{SPEAK}/multi-stream-input?seed=-1", [], "invalid_request"),
        (SOCKET, [{"text": 3}], "invalid_request"),
        (SOCKET, [[]], "invalid_json"),
        (MULTI, ["x"], "invalid_json"),
        (SOCKET, [{"text": "x" * 200_000}], "invalid_text"),
        (SOCKET, [{"text": "🎉🎉"}, {"text": ""}], "invalid_text"),
    ],
)
def test_a_socket_says_what_it_refuses(
    client: TestClient, path: str, messages: list, code: str
) -> None:
    with client.websocket_connect(path) as socket:
        for message in messages:
            socket.send_json(message)
        error = socket.receive_json()
        assert (error["error"], error["code"]) == (code, 1008)
        closed = socket.receive()
        assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
        assert error["message"].startswith(closed["reason"])


def test_a_socket_takes_its_key_with_the_first_message(client: TestClient) -> None:
    database = client.app.state.services.registry.database  # type: ignore[attr-defined]
    secret, _ = keys.create_key(database, "test", ("speak",), None)
    silent, _ = keys.create_key(database, "silent", ("jobs",), None)
    for path in (SOCKET, MULTI):
        cases = [
            (None, "missing_api_key"),
            ("no", "invalid_api_key"),
            (silent, "insufficient_scope"),
        ]
        for key, code in cases:
            with client.websocket_connect(path) as socket:
                socket.send_json({"text": " ", "xi_api_key": key})
                assert socket.receive_json()["error"] == code
    client.app.state.services.options = client.app.state.services.options.model_copy(  # type: ignore[attr-defined]
        update={"allow_attested": True}
    )
    for fields, headers in (({"xi_api_key": secret}, {}), ({}, {"xi-api-key": secret})):
        with client.websocket_connect(SOCKET, headers=headers) as socket:
            socket.send_json({"text": " ", **fields})
            for text in (TEXT, ""):
                socket.send_json({"text": text})
            assert join_audio(receive_until_final(socket))


def test_contexts_are_spoken_side_by_side(client: TestClient) -> None:
    texts = {"one": TEXT, "two": "Another text, which is spoken at the same time."}
    with client.websocket_connect(MULTI) as socket:
        socket.send_json({"text": ""})
        for name in texts:
            socket.send_json({"text": " ", "context_id": name})
        for name, text in texts.items():
            socket.send_json({"text": text, "context_id": name})
            socket.send_json({"text": "", "context_id": name})
            socket.send_json({"context_id": name, "flush": True})
            socket.send_json({"context_id": name, "close_context": True})
        messages, final = [], 0
        while final < 2:
            messages.append(socket.receive_json())
            final += bool(messages[-1]["isFinal"])
        socket.send_json({"close_socket": True})
        assert socket.receive()["code"] == 1000
    for name, text in texts.items():
        own = [message for message in messages if message["contextId"] == name]
        assert own[-1]["isFinal"]
        assert [word for word, _ in join_words(own)] == text.split()
        assert join_audio(own) == speak(client, "?output_format=pcm_16000", text).content


def test_closing_a_context_before_it_is_flushed_stops_it(client: TestClient) -> None:
    engine = client.app.state.services.engine  # type: ignore[attr-defined]
    long = "This is a sentence that goes on. " * 100
    with client.websocket_connect(MULTI) as socket:
        for name, flush in (("talk", False), ("done", True)):
            socket.send_json({"text": long, "context_id": name, "flush": flush})
            assert socket.receive_json()["audio"]
            for _ in range(1 + flush):  # a second one stops what the first let end
                socket.send_json({"context_id": name, "close_context": True})
            messages = receive_until_final(socket)
            assert len(join_audio(messages)) / 2 / 16_000 < 60
            # The same name may begin again.
            socket.send_json({"text": TEXT, "context_id": name, "flush": True})
            socket.send_json({"context_id": name, "close_context": True})
            words = join_words(receive_until_final(socket))
            assert [word for word, _ in words] == TEXT.split()
        wait_until_idle(engine)


def test_in_auto_mode_each_message_is_spoken_at_once(client: TestClient) -> None:
    """As Pipecat sends the sentences of a reply: without spaces, and without a flush."""
    sentences = ["Hello there.", "This is the second sentence."]
    with client.websocket_connect(f"{MULTI}&auto_mode=true") as socket:
        socket.send_json({"text": " ", "context_id": "one"})
        messages: list[dict] = []
        for sentence in sentences:
            socket.send_json({"text": sentence, "context_id": "one"})
            last = sentence.rpartition(" ")[2]
            while last not in "".join(
                char for m in messages if m["alignment"] for char in m["alignment"]["chars"]
            ):
                messages.append(socket.receive_json())  # to its last word
                assert not messages[-1]["isFinal"], "it was spoken only once nothing more came"
        socket.send_json({"context_id": "one", "flush": True})
        socket.send_json({"context_id": "one", "close_context": True})
        messages += receive_until_final(socket)
    assert [word for word, _ in join_words(messages)] == " ".join(sentences).split()


def test_in_auto_mode_a_context_is_interrupted_too(client: TestClient) -> None:
    with client.websocket_connect(f"{MULTI}&auto_mode=true") as socket:
        long = "This is a sentence that goes on. " * 100
        socket.send_json({"text": long, "context_id": "one"})
        assert socket.receive_json()["audio"]
        socket.send_json({"context_id": "one", "close_context": True})
        assert len(join_audio(receive_until_final(socket))) / 2 / 16_000 < 60
        wait_until_idle(client.app.state.services.engine)  # type: ignore[attr-defined]


def test_a_context_that_fails_leaves_the_others(client: TestClient) -> None:
    with client.websocket_connect(MULTI) as socket:
        for name, text in (("bad", "🎉🎉"), ("long", "x" * 200_000), ("good", TEXT)):
            socket.send_json({"text": text, "context_id": name, "flush": True})
            socket.send_json({"context_id": name, "close_context": True})
            messages = receive_until_final(socket)
            assert {message["contextId"] for message in messages} == {name}
            assert bool(join_audio(messages)) == (name == "good")
            assert ("message" in messages[-1]) == (name != "good")


def test_text_is_charged_when_it_is_written(connect, stored_voice: str) -> None:
    """Not at its end, by when a caller would have had all of it spoken."""
    client = connect(seconds_per_minute=60)
    with client.websocket_connect(MULTI) as socket:
        socket.send_json({"text": " ", "context_id": "a"})
        for _ in range(100):
            socket.send_json({"text": "This sentence goes on and on. ", "context_id": "a"})
        while "error" not in (message := socket.receive_json()):
            pass
        assert message["error"] == "rate_limit_exceeded"
        socket.send_json({"close_socket": True})
    services = client.app.state.services
    wait_until_idle(services.engine)
    # What was not spoken is given back.
    with client.websocket_connect(MULTI) as socket:
        socket.send_json({"text": TEXT, "context_id": "b"})
        socket.send_json({"context_id": "b", "close_context": True})
        while not (message := socket.receive_json()).get("isFinal"):
            pass
        assert message.get("error") is None


def test_open_contexts_are_limited_and_end_when_nothing_is_heard(client: TestClient) -> None:
    with client.websocket_connect(f"{MULTI}&inactivity_timeout=1") as socket:
        for number in range(MOST_CONTEXTS + 1):
            socket.send_json({"text": " ", "context_id": str(number)})
        error = socket.receive_json()
        assert (error["contextId"], error["error"]) == (str(MOST_CONTEXTS), "too_many_contexts")
        ended = {socket.receive_json()["contextId"] for _ in range(MOST_CONTEXTS)}
        assert len(ended) == MOST_CONTEXTS


@pytest.mark.parametrize("path", [SOCKET, MULTI], ids=["one", "several"])
def test_a_client_who_leaves_ends_its_speech(serve, stored_voice: str, path: str) -> None:
    connecting = pytest.importorskip("websockets.sync.client")
    server = serve()
    with connecting.connect(server.url.replace("http", "ws") + path) as socket:
        socket.send(json.dumps({"text": "This goes on and on. " * 120, "context_id": "a"}))
        assert json.loads(socket.recv())["audio"]
        assert server.app.state.services.engine.count() == 1
    wait_until_idle(server.app.state.services.engine)
