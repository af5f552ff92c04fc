"""Talk with a chat model: its answer is spoken while it is still writing it.

    python examples/chat.py --url http://localhost:11434/v1 --model llama3.2 --voice Ada

Any endpoint that speaks OpenAI's chat completions with `stream` will do: llama.cpp, Ollama, vLLM,
LM Studio or OpenAI itself (the key is read from OPENAI_API_KEY). A new line typed while it speaks
interrupts it at once; only what was heard stays in the conversation. Sound goes to `aplay`, or to
the player that --player names, which must read raw 16-bit samples from standard input.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import queue
import shlex
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import IO

import numpy as np

import valle
from valle.synthesis.model import find_voice

PLAYER = "aplay -q -t raw -f S16_LE -c 1 -r {rate} --buffer-time=200000 -"
AHEAD = 1.0  # seconds of sound that are given to the player before they are heard


class Answer:
    """The answer of a chat model, as it is written. Closing it stops the model."""

    def __init__(self, url: str, model: str, messages: list[dict[str, str]]) -> None:
        parts = urllib.parse.urlsplit(url)
        secure = parts.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = connect(parts.netloc, timeout=60)
        body = json.dumps({"model": model, "messages": messages, "stream": True})
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        path = parts.path.rstrip("/") + "/chat/completions"
        self._connection.request("POST", path, body, headers)
        self._socket = self._connection.sock
        self._response = self._connection.getresponse()
        if self._response.status != 200:
            message = self._response.read(500).decode("utf-8", "replace")
            raise OSError(f"{url} answered {self._response.status}: {message}")

    def __iter__(self) -> Iterator[str]:
        for line in self._response:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            choices = json.loads(data).get("choices") or [{}]
            if text := choices[0].get("delta", {}).get("content"):
                yield text

    def close(self) -> None:
        """Hang up, also while another thread waits for the next word."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()


class Player:
    """A player of raw samples. Stopping it silences it at once."""

    def __init__(self, command: str, rate: int) -> None:
        self._process = subprocess.Popen(
            shlex.split(command.format(rate=rate)), stdin=subprocess.PIPE
        )
        self._rate = rate
        self._given = 0.0  # seconds
        self._began: float | None = None
        self._stopped = threading.Event()

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopped.is_set()

    @property
    def heard(self) -> float:
        """Seconds that have been heard."""
        if self._began is None:
            return 0.0
        return min(self._given, time.monotonic() - self._began)

    def play(self, samples: np.ndarray) -> bool:
        """Play samples; returns False once it was stopped."""
        while self._given - self.heard > AHEAD:  # so that little is made in vain
            if self._stopped.wait(0.02):
                return False
        data = (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return False
        self._began = self._began or time.monotonic()
        self._given += len(samples) / self._rate
        return not self._stopped.is_set()

    def stop(self) -> None:
        """Be silent, now."""
        self._stopped.set()
        self._process.kill()

    def finish(self) -> None:
        """Wait until all was heard."""
        assert self._process.stdin is not None
        if not self._stopped.is_set():
            self._process.stdin.close()
        self._process.wait()


def say(model: valle.Model, voice: valle.Voice, answer: Answer, player: Player) -> str:
    """Speak an answer while it is written; returns what of it was heard."""
    words: list[tuple[str, float]] = []
    gain = model.stream_gain(voice)
    stream = model.stream(iter(answer), voice)
    try:
        for piece in stream:
            words += [(word.word, word.start) for word in piece.words]
            if not player.play(piece.audio * np.float32(gain)):
                break
    except (OSError, http.client.HTTPException, AttributeError, ValueError):
        if not player.stopped:  # the interruption has closed the connection
            raise
    heard = player.heard
    player.finish()
    if not player.stopped:
        heard = float("inf")
    return " ".join(word for word, start in words if start < heard)


def read_lines(source: IO[str], lines: queue.Queue[str | None]) -> None:
    """Put each line that is typed into a queue, and None at the end."""
    for line in source:
        lines.put(line.strip())
    lines.put(None)


def talk(arguments: argparse.Namespace) -> None:
    """Read a line, speak the answer, until the input ends."""
    model = valle.load()
    voice = find_voice(arguments.voice)
    messages = [{"role": "system", "content": arguments.system}]
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=read_lines, args=(sys.stdin, lines), daemon=True).start()
    print("Type something. A line typed while it speaks interrupts it.", file=sys.stderr)
    line = lines.get()
    while line is not None:
        messages.append({"role": "user", "content": line})
        answer = Answer(arguments.url, arguments.model, messages)
        player = Player(arguments.player, model.sample_rate)
        heard: list[str] = []
        speaking = threading.Thread(
            target=lambda a=answer, p=player, h=heard: h.append(say(model, voice, a, p))
        )
        speaking.start()
        line = None
        while speaking.is_alive() and line is None:
            try:
                line = lines.get(timeout=0.02)
            except queue.Empty:
                continue
            if line is None:
                break
            player.stop()  # first the silence, then the rest
            answer.close()
        speaking.join()
        answer.close()
        print("".join(heard), flush=True)
        messages.append({"role": "assistant", "content": "".join(heard)})
        line = line if line is not None else lines.get()


def main() -> None:
    """Parse the command line, and talk."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://localhost:11434/v1", help="the endpoint")
    parser.add_argument("--model", required=True, help="the chat model's name")
    parser.add_argument("--voice", required=True, help="a saved voice, or a voice file")
    parser.add_argument("--player", default=PLAYER, help="{rate} is the sample rate in Hz")
    parser.add_argument("--system", default="Answer in a few plain spoken sentences.")
    talk(parser.parse_args())


if __name__ == "__main__":
    main()
