"""examples/chat.py: an answer is spoken while it is written, and an interruption ends it."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import valle

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat.py"
WORDS = "The house on the hill behind the village is green and rather old. " * 3
PLAYER = f'{sys.executable} -c "import sys; sys.stdin.buffer.read()"'


@pytest.fixture(scope="module")
def chat() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chat", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Endpoint(ThreadingHTTPServer):
    """A chat endpoint that writes word by word, as fast as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, object]] = []
        self.go_on = threading.Event()
        self.hung_up = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        endpoint = self.server
        assert isinstance(endpoint, Endpoint)
        endpoint.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b': a comment\n\ndata: {"choices": [{"delta": {}}]}\n\n')
        try:
            for index, word in enumerate(WORDS.split()):
                if index == 20:
                    endpoint.go_on.wait(60)
                event = {"choices": [{"delta": {"content": word + " "}}]}
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            endpoint.hung_up.set()

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


def ask(chat: ModuleType, endpoint: Endpoint) -> object:
    url = f"http://127.0.0.1:{endpoint.server_address[1]}/v1"
    return chat.Answer(url, "any", [{"role": "user", "content": "Hello."}])


def test_whole_answer_is_spoken(
    chat: ModuleType,
    endpoint: Endpoint,
    model: valle.Model,
    voice: valle.Voice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat, "AHEAD", 1000.0)  # the player of this test plays nothing
    endpoint.go_on.set()
    said = chat.say(model, voice, ask(chat, endpoint), chat.Player(PLAYER, model.sample_rate))
    assert said.split() == WORDS.replace(".", "").split()
    assert endpoint.asked[0]["stream"] is True


def test_interruption_silences_and_hangs_up(
    chat: ModuleType, endpoint: Endpoint, model: valle.Model, voice: valle.Voice
) -> None:
    player, answer = chat.Player(PLAYER, model.sample_rate), ask(chat, endpoint)
    began = threading.Event()
    play = player.play

    def note(samples: np.ndarray) -> bool:
        result: bool = play(samples)
        began.set()
        return result

    player.play = note
    heard: list[str] = []
    thread = threading.Thread(target=lambda: heard.append(chat.say(model, voice, answer, player)))
    thread.start()
    assert began.wait(60)
    player.stop()
    answer.close()  # type: ignore[attr-defined]
    thread.join(60)  # the endpoint has not gone on
    assert not thread.is_alive()
    assert player._process.poll() is not None
    assert len(heard[0].split()) < 20


def test_refusal_of_the_endpoint_is_shown(chat: ModuleType, endpoint: Endpoint) -> None:
    url = f"http://127.0.0.1:{endpoint.server_address[1]}/v1"

    def refuse(handler: Handler) -> None:
        handler.send_error(404, "no such model")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handler, "do_POST", refuse)
        with pytest.raises(OSError, match="answered 404"):
            chat.Answer(url, "none", [])
