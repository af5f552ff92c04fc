"""Streams begin early, are made only as far ahead as needed, and do not disturb each other."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

import httpx

from valle.server.engine import AHEAD_SECONDS
from valle.server.speaking import TextFeed

LONG = "This is a sentence that goes on. " * 400
SPEECH = {"model": "tts-1", "voice": "Babble", "response_format": "pcm"}


def open_stream(port: int, text: str) -> socket.socket:
    """Send a request, and return the connection without reading the answer."""
    body = json.dumps(SPEECH | {"input": text}).encode()
    connection = socket.create_connection(("127.0.0.1", port))
    head = (
        "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def speak(url: str, text: str = "Hello there.") -> bytes:
    answer = httpx.post(f"{url}/v1/audio/speech", json=SPEECH | {"input": text}, timeout=60)
    assert answer.status_code == 200
    return answer.content


def wait_until_idle(engine) -> None:
    for _ in range(200):
        if engine.count() == 0:
            return
        time.sleep(0.05)
    raise TimeoutError("speech goes on after its client left")


def test_speech_begins_before_the_text_is_spoken(serve, stored_voice: str) -> None:
    server = serve()
    metrics = server.app.state.services.metrics
    with open_stream(server.port, LONG) as connection:
        connection.settimeout(60)
        received = b""
        while received.count(b"\r\n") < 12:
            received += connection.recv(4096)
        made = metrics.speech_seconds._value.get()
        assert b"200 OK" in received
        assert 0 < made < 60, "the text takes ten times as long"


def test_a_slow_reader_holds_up_nobody_and_no_memory(serve, stored_voice: str) -> None:
    server = serve()
    services = server.app.state.services
    expected = speak(server.url)
    with open_stream(server.port, LONG) as connection:
        connection.settimeout(60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(3):
            assert connection.recv(1000)
            assert speak(server.url) == expected
        (ticket,) = services.engine._tickets
        for _ in range(100):
            if not ticket.is_ready and not ticket.running:
                break
            time.sleep(0.05)
        # What lies in the buffers of the two sockets counts as taken: 4 MB at most.
        assert ticket.made - ticket.taken < AHEAD_SECONDS + 5
    wait_until_idle(services.engine)


def test_clients_who_leave_are_noticed_and_their_neighbors_are_not_touched(
    serve, stored_voice: str
) -> None:
    server = serve()
    services = server.app.state.services
    text = "This one stays to the end. " * 6
    expected = speak(server.url, text)
    heard: list[bytes] = []
    staying = [
        threading.Thread(target=lambda: heard.append(speak(server.url, text))) for _ in range(3)
    ]
    for thread in staying:
        thread.start()
    for _ in range(10):
        with open_stream(server.port, LONG) as connection:
            connection.settimeout(60)
            assert connection.recv(100)
    for thread in staying:
        thread.join()
    assert heard == [expected] * 3
    wait_until_idle(services.engine)
    assert services.metrics.cancelled._value.get() >= 10
    assert services.loader.get()._pipeline.acoustic_model._ar._batch._requests == [] or all(
        request.is_unwanted
        for request in services.loader.get()._pipeline.acoustic_model._ar._batch._requests
    )


def test_a_client_who_leaves_before_a_whole_answer_stops_it(serve, stored_voice: str) -> None:
    server = serve()
    with pytest.raises(httpx.TimeoutException):
        httpx.post(
            f"{server.url}/v1/audio/speech",
            json=SPEECH | {"input": LONG, "stream": False},
            timeout=httpx.Timeout(30, read=0.5),
        )
    wait_until_idle(server.app.state.services.engine)


def test_a_text_is_fed_while_it_is_written() -> None:
    feed = TextFeed()
    read: list[str] = []
    thread = threading.Thread(target=lambda: read.extend(feed))
    thread.start()
    for part in ("One", " character", "", " at"):
        feed.feed(part)
    feed.flush()
    feed.close()
    feed.feed("too late")
    feed.close()
    thread.join(5)
    assert "".join(read) == "One character at[pause:0s]"


def test_a_flush_takes_no_pause_from_between_sentences(model, voice) -> None:
    seconds = {}
    for flushes in (False, True):
        feed = TextFeed()
        for sentence in ("Hello there. ", "This is the second sentence. "):
            feed.feed(sentence)
            if flushes:
                feed.flush()
        feed.close()
        seconds[flushes] = sum(piece.seconds for piece in model.stream(feed, voice, retries=0))
    assert seconds[True] == pytest.approx(seconds[False], abs=0.02)
