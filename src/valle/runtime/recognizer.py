"""The listener: which phonemes a recording holds, where, and whether they are the ones asked.

A small recogniser with two heads over the same frames. The CTC head says *what* was said and needs
no text; the frame head says *where* each of the given symbols is. Neither knows stress, and every
border (a space, a comma, the ends) is one class to them: a pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats, Ints
from valle.runtime.alignment import Alignment, align_frames, loud_frames
from valle.runtime.check import Check, compare
from valle.text.symbols import BORDERS, PAUSE, UNKNOWN

if TYPE_CHECKING:
    from valle.bundle.bundle import Bundle

CONFIDENT = 0.5  # CTC probability below which a heard phoneme is called unknown
PAUSE_FRAMES = 3  # a shorter silence is a stop's closure, not a pause
COMMA_PAUSE = 10  # frames (0.2 s) from which a heard pause is written as a comma, not a space


@dataclass(frozen=True)
class Heard:
    """What the listener heard: one entry a phoneme or pause, in order."""

    symbols: list[str]
    """Phonemes without stress; "<pause>"; "<unknown>" where the listener is not sure."""
    guesses: list[str]
    """The same with the best guess in the place of every "<unknown>"."""
    frames: Ints
    """[symbols] the frame (of the codec's frame rate) at which each begins to be heard."""
    confidence: Floats
    """[symbols] in 0..1, the highest probability over the frames of each."""


class Listener:
    """The phoneme recogniser of a bundle. All samples are mono float32 at the bundle's rate."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._hop = bundle.config.hop
        self._classes = bundle.config.listener_symbols

    def hear(self, samples: Floats) -> Heard:
        """The phonemes of a recording, without knowing its text (greedy CTC).

        Args:
            samples: [N] float32 at the bundle's sample rate.
        """
        return heard_from(*self._heads(samples), self._classes)

    def ctc(self, samples: Floats) -> Floats:
        """[frames, classes] log-probabilities of the CTC head; samples as for `hear`."""
        return self._heads(samples)[0]

    def align(self, samples: Floats, symbols: Sequence[str]) -> Alignment | None:
        """Find every symbol in a recording.

        Args:
            samples: [N] float32 at the bundle's sample rate.
            symbols: phonemes without stress and borders, as in `valle.text.symbols.SYMBOLS`;
                "<unknown>" takes the frames that its neighbours do not explain.

        Returns:
            None when the recording has fewer frames than the symbols need.
        """
        return align_frames(*self._heads(samples), self._loud(samples), symbols, self._classes)

    def check(self, samples: Floats, symbols: Sequence[str], words: Sequence[str]) -> Check:
        """Compare a recording with what it should say.

        Args:
            samples: [N] float32 at the bundle's sample rate.
            symbols: the asked phonemes and borders, without stress.
            words: one a symbol, the word it belongs to; "" for borders. Neighbouring words that
                are spelled alike are told apart by the border between them.
        """
        ctc, frame = self._heads(samples)
        score = 0.0
        alignment = align_frames(ctc, frame, self._loud(samples), symbols, self._classes)
        spoken = np.array([symbol not in BORDERS for symbol in symbols])
        if alignment is not None and spoken.any():
            score = float(np.mean(np.exp(alignment.score[spoken])))
        return compare(symbols, words, _collapse(ctc, self._classes).symbols, score)

    def _whole(self, samples: Floats) -> Floats:
        return np.pad(np.asarray(samples, np.float32), (0, -len(samples) % self._hop))

    def _loud(self, samples: Floats) -> NDArray[np.bool_]:
        return loud_frames(self._whole(samples), self._hop)

    def _heads(self, samples: Floats) -> tuple[Floats, Floats]:
        padded = self._whole(samples)
        session = self._bundle.session("listener")
        ctc, frame = session.run(["ctc", "frame"], {"waveform": padded[None]})
        return ctc[0], frame[0]


def prompt_symbols(heard: Heard, guesses: bool = False) -> list[str]:
    """What was heard, written as a sentence: "^" first, borders for pauses, "." last.

    Args:
        heard: from `Listener.hear`.
        guesses: keep the listener's best guess where it is not sure, in the place of "<unknown>".
    """
    sentence = ["^"]
    for index, symbol in enumerate(heard.guesses if guesses else heard.symbols):
        if symbol != PAUSE:
            sentence.append(symbol)
        elif sentence[-1] not in BORDERS:
            rest = heard.frames[index + 1 :]
            long = len(rest) > 0 and rest[0] - heard.frames[index] >= COMMA_PAUSE
            sentence.append("," if long else " ")
    if sentence[-1] in BORDERS and len(sentence) > 1:
        sentence.pop()
    return [*sentence, "."]


def _collapse(ctc: Floats, classes: Sequence[str]) -> Heard:
    """Greedy CTC: runs of one class become one symbol, blanks go. ctc: [frames, classes] logs."""
    best = ctc.argmax(-1)
    peak = np.exp(ctc.max(-1))
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    confidence = np.maximum.reduceat(peak, starts) if len(starts) else np.empty(0, np.float32)
    kept = best[starts] != 0
    starts, confidence = starts[kept], confidence[kept].astype(np.float32)
    guesses = [classes[index] for index in best[starts]]
    symbols = [
        UNKNOWN if sure < CONFIDENT and guess != PAUSE else guess
        for guess, sure in zip(guesses, confidence, strict=True)
    ]
    return Heard(symbols, guesses, starts.astype(np.int64), confidence)


def heard_from(ctc: Floats, frame: Floats, classes: Sequence[str]) -> Heard:
    """What both heads [frames, classes] (log-probabilities) heard together.

    The CTC head learns from transcripts, which do not tell where the speaker paused. The frame head
    sees pauses, so each goes between the phonemes that CTC heard before and after its beginning.
    """
    heard = _collapse(ctc, classes)
    silent = (frame.argmax(-1) == classes.index(PAUSE)).astype(np.int8)
    edges = np.diff(silent, prepend=0, append=0)
    entries = [
        entry
        for entry in zip(heard.frames, heard.symbols, heard.guesses, heard.confidence, strict=True)
        if entry[2] != PAUSE
    ]
    for begin, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        if end - begin >= PAUSE_FRAMES:
            sure = np.exp(frame[begin:end].max(-1)).mean()
            entries.append((begin, PAUSE, PAUSE, sure))
    entries.sort(key=lambda entry: entry[0])
    return Heard(
        [symbol for _, symbol, _, _ in entries],
        [guess for _, _, guess, _ in entries],
        np.array([begin for begin, _, _, _ in entries], np.int64),
        np.array([sure for _, _, _, sure in entries], np.float32),
    )
