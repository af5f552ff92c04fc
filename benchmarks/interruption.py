"""How long an interrupted answer goes on: from the order to silence, and to the end of all work.

    python -m benchmarks.interruption [--repeats 20]

An answer is spoken word by word by `examples/chat.py`, with a player that reads what it is given.
Prints JSON; times are in seconds of a clock on the wall, so run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import valle

EXAMPLE = Path(__file__).parents[1] / "examples" / "chat.py"
PLAYER = f'{sys.executable} -c "import sys; sys.stdin.buffer.read()"'
TEXT = "Once upon a time there was a small village at the foot of a mountain by the sea. " * 4


class Answer:
    """Words, ten in a second."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[str]:
        for word in TEXT.split():
            if self._closed.wait(0.1):
                return
            yield word + " "

    def close(self) -> None:
        self._closed.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    spec = importlib.util.spec_from_file_location("chat", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    chat = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(chat)
    model = valle.load()
    voice = model.enroll("examples/voice.wav", attest="I hold the rights to this voice")
    model.speak("Load all graphs.", voice)
    silence: list[float] = []
    stopped: list[float] = []
    for repeat in range(arguments.repeats):
        answer, player = Answer(), chat.Player(PLAYER, model.sample_rate)
        thread = threading.Thread(target=chat.say, args=(model, voice, answer, player))
        thread.start()
        while not player.heard:
            time.sleep(0.005)
        time.sleep(0.1 * repeat / arguments.repeats)
        ordered = time.perf_counter()
        player.stop()
        player._process.wait()
        silence.append(time.perf_counter() - ordered)
        answer.close()
        thread.join()
        stopped.append(time.perf_counter() - ordered)
    print(
        json.dumps(
            {
                name: {"median": round(median(times), 4), "max": round(max(times), 4)}
                for name, times in (("silence", silence), ("all_work_ended", stopped))
            }
        )
    )


if __name__ == "__main__":
    main()
