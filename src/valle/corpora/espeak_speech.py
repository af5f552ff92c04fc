"""Speech by espeak-ng with phoneme times, in voices with arbitrary parameters."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from valle.errors import Error
from valle.text.phonemes import parse_ipa

_FORMANTS = 9  # numbered 0 to 8 in a voice file
_LONG = frozenset("iː ɑː ɔː uː ɜː eɪ aɪ ɔɪ aʊ oʊ".split())  # get more time when a unit is split
_UNVOICED_STOPS = frozenset("p t k tʃ".split())
_CLOSURE_STEP = 0.005  # seconds
_CLOSURE_DEPTH = 10 ** (-30 / 20)  # a closure is 30 dB below the peak of the sound before


class EspeakError(Exception):
    """espeak-ng could not speak a text with a voice; other texts or voices may work."""


class EspeakEndedError(Error):
    """The process of espeak-ng has ended: it was killed, or the machine is out of memory."""


@dataclass(frozen=True)
class EspeakVoice:
    """One of espeak-ng's variants with changed parameters.

    Attributes:
        variant: the variant's name.
        formants: [9] factors on its formant frequencies.
        widths: [9] factors on its formant bandwidths.
        pitch: factor on its pitch in hertz.
        lengths: [8] factors on the durations by kind of stress.
        pitch_range: 0 to 100; 50 is that of the variant.
        rate: words per minute.
    """

    variant: str
    formants: tuple[float, ...]
    widths: tuple[float, ...]
    pitch: float
    lengths: tuple[float, ...]
    pitch_range: int
    rate: int


@dataclass(frozen=True)
class Sound:
    """A phoneme from `start` to `end` seconds; a pause has the empty symbol."""

    symbol: str
    start: float
    end: float


def voice_file(voice: EspeakVoice) -> str:
    """The text of a voice file: American English, the variant and its changes.

    Raises:
        EspeakError: this espeak-ng has no such variant.
    """
    language, variant = _data("lang/gmw/en-US"), _data(f"voices/!v/{voice.variant}")
    pitch = [82.0, 118.0]  # the default of espeak-ng
    formants = {number: [100.0, 100.0, 100.0] for number in range(_FORMANTS)}
    lengths = [140.0, 120.0, 190.0, 170.0, 0.0, 0.0, 255.0, 300.0]
    lines = []
    for line in variant.splitlines():
        words = line.split("//")[0].split("#")[0].split()
        # The stress lengths of a variant often fit its author's language, not American English.
        if not words or words[0] in ("language", "name", "stressLength", "stressAdd", "speed"):
            continue
        numbers = [float(word) for word in words[1:] if _is_number(word)]
        if words[0] == "pitch" and len(numbers) == 2:
            pitch = numbers
        elif words[0] == "formant" and numbers and int(numbers[0]) in formants:
            values = numbers[1:4]
            formants[int(numbers[0])][: len(values)] = values
        else:
            lines.append(" ".join(words))
    lines.append("pitch " + " ".join(str(round(hertz * voice.pitch)) for hertz in pitch))
    for number, (frequency, height, width) in formants.items():
        frequency, width = frequency * voice.formants[number], width * voice.widths[number]
        lines.append(f"formant {number} {round(frequency)} {round(height)} {round(width)}")
    scaled = (length * factor for length, factor in zip(lengths, voice.lengths, strict=True))
    lines.append("stressLength " + " ".join(str(round(length)) for length in scaled))
    return "\n".join([language, *lines]) + "\n"


def _is_number(word: str) -> bool:
    return word.lstrip("+-").isdigit()


@lru_cache(maxsize=256)
def _data(name: str) -> str:
    path = Path(espeakng_loader.get_data_path()) / name
    if not path.is_file():
        raise EspeakError(f"espeak-ng has no {name}")
    return path.read_text(encoding="utf-8", errors="replace")


class Espeak:
    """espeak-ng in a separate process; use it in a `with` block, from one thread."""

    def __init__(self) -> None:
        # Started by its path: it imports nothing of this package, so it starts quickly.
        program = Path(__file__).with_name("espeak_worker.py")
        library, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(library), str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Espeak:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def speak(
        self, text: str, voice: EspeakVoice, seed: int = 0
    ) -> tuple[NDArray[np.float32], int, list[Sound]]:
        """Speak a text; the same arguments give the same samples.

        Returns:
            Samples [N] in [-1, 1], their rate, and the phonemes and pauses in order.

        Raises:
            EspeakError: espeak-ng could not speak this text with this voice.
            EspeakEndedError: its process has ended; a new one may go on.
        """
        request = {
            "voice": voice_file(voice),
            "rate": voice.rate,
            "range": voice.pitch_range,
            "seed": seed,
            "text": text,
        }
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise EspeakEndedError(
                "the process of espeak-ng ended before it had spoken; is there enough memory?"
            )
        head: dict[str, Any] = json.loads(line)
        if "error" in head:
            raise EspeakError(head["error"])
        wave = np.frombuffer(stdout.read(head["bytes"]), np.int16).astype(np.float32) / 32768.0
        return wave, head["rate"], _sounds(head["events"], wave, head["rate"])


def _sounds(
    events: list[tuple[str, int, str]], wave: NDArray[np.float32], rate: int
) -> list[Sound]:
    """Convert espeak-ng's events to timed phonemes; a stop starts with its closure."""
    starts: list[tuple[int, list[str]]] = []
    word: int | None = None
    for kind, sample, ipa in events:
        if kind == "word":
            word = sample
            continue
        symbols = [symbol for symbol, _ in parse_ipa(ipa)]
        before = starts[-1][1] if starts else None
        if not symbols and before == []:
            continue  # the pause goes on
        if symbols and before and word is None and symbols[0] == before[-1] == "ɹ":
            symbols = symbols[1:]  # "ʊɹ ɹ" (insurance) has one r, as in a text's phonemes
            if not symbols:
                continue
        # A word that starts with a stop begins before its first phoneme, with the closure.
        starts.append((sample if word is None or not symbols else min(word, sample), symbols))
        word = None if symbols else word
    sounds: list[Sound] = []
    ends = [begin for begin, _ in starts[1:]] + [len(wave)]
    for (begin, symbols), end in zip(starts, ends, strict=True):
        if symbols and sounds and sounds[-1].symbol and symbols[0] in _UNVOICED_STOPS:
            begin = _closure(wave, rate, round(sounds[-1].start * rate), begin)
            last = sounds[-1]
            sounds[-1] = Sound(last.symbol, last.start, begin / rate)
        parts = symbols or [""]
        weights = np.array([1.5 if symbol in _LONG else 1.0 for symbol in parts])
        edges = begin + np.concatenate([[0.0], np.cumsum(weights / weights.sum())]) * (end - begin)
        sounds += [
            Sound(symbol, float(start) / rate, float(stop) / rate)
            for symbol, start, stop in zip(parts, edges[:-1], edges[1:], strict=True)
        ]
    return sounds


def _closure(wave: NDArray[np.float32], rate: int, before: int, begin: int) -> int:
    """Find the start of a stop's closure, the silence at the end of the sound `before`..`begin`.

    Within a word, espeak-ng counts the closure as part of the sound before it; at most half of that
    sound is reassigned.
    """
    step = int(_CLOSURE_STEP * rate)
    quiet = _CLOSURE_DEPTH * float(np.abs(wave[before:begin]).max(initial=0.0))
    while begin - step > (before + begin) // 2 and np.abs(wave[begin - step : begin]).max() < quiet:
        begin -= step
    return begin
