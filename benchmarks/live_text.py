"""Text that comes word by word: when the first audio is there, and whether the sound ever stops.

    python -m benchmarks.live_text [--rate 5] [--voice FILE] [--texts N]

Words come at a fixed rate on a clock that is simulated: it goes on by the processor time that the
synthesis takes, and by waiting for the next word. So other work on the machine counts little. A
player starts with the first piece. Prints JSON; times are in seconds.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import valle

ATTEST = "I hold the rights to this voice"
WORD_AWAITED = 4  # the delay of the first audio counts from this word
TEXTS = [
    "I can see why you ask that. The short answer is that it depends on the weather, the season, "
    "and how much time you have got left before the shops close for the night.",
    "Sure, here are three ideas for a quick dinner. You could fry some rice with vegetables and an "
    "egg. You could also warm up a soup and toast the bread from yesterday.",
    "The train to Boston leaves at 7:45 from platform 3, and it arrives at noon. If you miss it, "
    "the next one leaves an hour later, but then you have to change in New Haven.",
    "Once upon a time there was a small village at the foot of a mountain where nobody had ever "
    "seen the sea, although everybody knew a song about it and sang it every evening.",
    "Yes, I have read your letter twice. It is well written, though the second paragraph repeats "
    "what the first one says. Would you like me to make it shorter for you?",
]


class SimulatedClock:
    """Goes on by the processor time of this process, and by what is waited for."""

    def __init__(self) -> None:
        self._waited = 0.0
        self._begin = time.process_time()

    def now(self) -> float:
        return time.process_time() - self._begin + self._waited

    def wait_until(self, when: float) -> None:
        self._waited += max(0.0, when - self.now())


def measure(model: valle.Model, voice: valle.Voice, text: str, rate: float) -> dict[str, float]:
    """Speak one text whose words come at `rate` per second."""
    clock = SimulatedClock()
    arrived: list[float] = []

    def write() -> Iterator[str]:
        for index, word in enumerate(re.findall(r"\S+\s*", text)):
            clock.wait_until(index / rate)
            arrived.append(clock.now())
            yield word

    pieces: list[tuple[float, valle.Speech]] = []
    for piece in model.stream(write(), voice):
        pieces.append((clock.now(), piece))
    begin, first = pieces[0]
    speech = valle.Speech.join([piece for _, piece in pieces])
    gaps, heard_until = [0.0], begin
    for when, piece in pieces:
        gaps.append(when - heard_until)
        heard_until = max(heard_until, when) + piece.seconds
    fourth = (WORD_AWAITED - 1) / rate
    return {
        "first_audio": begin - fourth,
        "first_word": begin - fourth + speech.sentences[0].start,
        "first_piece_seconds": first.seconds,
        "longest_gap": max(gaps),
        "words_per_second_spoken": len(speech.words) / speech.seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=5.0, help="words per second")
    parser.add_argument("--voice", type=Path, default=Path("examples/voice.wav"))
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    model = valle.load(threads=1)  # processor time is then the time that is waited
    voice = model.enroll(arguments.voice, attest=ATTEST)
    measure(model, voice, TEXTS[0], arguments.rate)  # loads all graphs
    rows = [
        measure(model, voice, text, arguments.rate)
        for text in TEXTS
        for _ in range(arguments.repeats)
    ]
    result = {
        name: {
            "median": round(median(r[name] for r in rows), 3),
            "max": round(max(r[name] for r in rows), 3),
        }
        for name in rows[0]
    }
    print(json.dumps({"rate": arguments.rate, "texts": len(TEXTS)} | result))


if __name__ == "__main__":
    main()
