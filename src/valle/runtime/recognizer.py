"""The phoneme recognizer ("listener" in a bundle): transcribes, aligns and checks recordings.

A small network with two heads over the same frames. The CTC head tells which phonemes were spoken,
and needs no text; the frame head tells where each of given symbols is. Neither knows stress, and
all borders (a space, a comma, the ends) are one class to them: a pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from valle.arrays import Bools, Floats, Ints, Samples
from valle.runtime.alignment import Alignment, Posteriors, align_frames, find_loud_frames
from valle.runtime.check import Check, compare
from valle.text.symbols import BORDERS, PAUSE, UNKNOWN

if TYPE_CHECKING:
    from valle.bundle.bundle import Bundle

MIN_CONFIDENCE = 0.5  # CTC probability below which a recognized phoneme becomes "<unknown>"
MIN_PAUSE_FRAMES = 3  # a shorter silence is the closure of a stop, not a pause
COMMA_PAUSE_FRAMES = 10  # 0.2 s, from which a pause is written as a comma rather than a space
_BLANK = 0  # class of the CTC head


@dataclass(frozen=True)
class Recognition:
    """The phonemes and pauses recognized in a recording, in order."""

    symbols: list[str]
    """Phonemes without stress; "<pause>"; "<unknown>" where the recognizer is not sure."""
    guesses: list[str]
    """The same with the best guess in place of every "<unknown>"."""
    frames: Ints
    """[symbols] the codec frame at which each begins to be recognized."""
    confidence: Floats
    """[symbols] 0 to 1, the highest probability over the frames of each."""


class PhonemeRecognizer:
    """The phoneme recognizer of a bundle.

    All samples are [N] mono float32 in [-1, 1] at the bundle's sample rate.

    Attributes:
        sample_rate: In Hz.
        hop: Samples per frame.
        classes: The columns of its posteriors.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.sample_rate = bundle.config.sample_rate
        self.hop = bundle.config.hop
        self.classes = bundle.config.listener_symbols

    def compute_posteriors(self, samples: Samples) -> Posteriors:
        """Run both heads over a recording; the last frame is padded with silence."""
        session = self._bundle.session("listener")
        ctc, frame = session.run(["ctc", "frame"], {"waveform": self._pad(samples)[None]})
        return Posteriors(ctc[0], frame[0], self.classes)

    def transcribe(self, samples: Samples) -> Recognition:
        """Recognize the phonemes of a recording, without its text."""
        return recognize(self.compute_posteriors(samples))

    def align(self, samples: Samples, symbols: Sequence[str]) -> Alignment | None:
        """Align symbols with a recording.

        Args:
            samples: The recording.
            symbols: Phonemes without stress and borders, as in `valle.text.symbols.SYMBOLS`;
                "<unknown>" takes the frames that its neighbors do not explain.

        Returns:
            None if the recording has fewer frames than the symbols need.
        """
        return align_frames(self.compute_posteriors(samples), self.find_loud(samples), symbols)

    def check(self, samples: Samples, symbols: Sequence[str], words: Sequence[str]) -> Check:
        """Compare a recording with the text that it should say.

        Args:
            samples: The recording.
            symbols: The phonemes and borders of the text, without stress.
            words: The word of each symbol; "" for borders. Neighboring words that are spelled
                alike are told apart by the border between them.
        """
        posteriors = self.compute_posteriors(samples)
        alignment = align_frames(posteriors, self.find_loud(samples), symbols)
        is_phoneme = np.array([symbol not in BORDERS for symbol in symbols])
        score = 0.0
        if alignment is not None and is_phoneme.any():
            score = float(np.mean(np.exp(alignment.score[is_phoneme])))
        return compare(symbols, words, _recognize_ctc(posteriors).symbols, score)

    def _pad(self, samples: Samples) -> Samples:
        return np.pad(np.asarray(samples, np.float32), (0, -len(samples) % self.hop))

    def find_loud(self, samples: Samples) -> Bools:
        """Find the frames that are too loud to be a pause, see `find_loud_frames`."""
        return find_loud_frames(self._pad(samples), self.hop)


@dataclass(frozen=True)
class CTCSegments:
    """The segments of greedy CTC decoding, each a run of frames with one most likely class.

    Attributes:
        classes: [segments] never the blank.
        starts: [segments] the first frame.
        ends: [segments] the frame after the last.
    """

    classes: Ints
    starts: Ints
    ends: Ints


def decode_greedy(log_probs: Floats) -> CTCSegments:
    """Decode CTC log-probabilities [frames, classes] greedily; class 0 is the blank.

    The most likely class of each frame is taken, runs of one class are collapsed, and blanks are
    dropped (Graves et al. 2006, section 3.2).
    """
    best = log_probs.argmax(-1)
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    ends = np.append(starts[1:], len(best))
    is_symbol = best[starts] != _BLANK
    starts, ends = starts[is_symbol], ends[is_symbol]
    return CTCSegments(best[starts], starts.astype(np.int64), ends.astype(np.int64))


def recognize(posteriors: Posteriors) -> Recognition:
    """Recognize phonemes with the CTC head, and pauses with the frame head.

    The CTC head is trained on transcripts, which do not tell where the speaker paused. So each
    pause of the frame head is inserted between the phonemes before and after its beginning.
    """
    phonemes = _recognize_ctc(posteriors)
    entries = [
        entry
        for entry in zip(
            phonemes.frames, phonemes.symbols, phonemes.guesses, phonemes.confidence, strict=True
        )
        if entry[2] != PAUSE
    ]
    frame = posteriors.frame
    is_pause = (frame.argmax(-1) == posteriors.classes.index(PAUSE)).astype(np.int8)
    edges = np.diff(is_pause, prepend=0, append=0)
    for begin, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        if end - begin >= MIN_PAUSE_FRAMES:
            confidence = np.exp(frame[begin:end].max(-1)).mean()
            entries.append((begin, PAUSE, PAUSE, confidence))
    entries.sort(key=lambda entry: entry[0])
    return Recognition(
        [symbol for _, symbol, _, _ in entries],
        [guess for _, _, guess, _ in entries],
        np.array([begin for begin, _, _, _ in entries], np.int64),
        np.array([confidence for _, _, _, confidence in entries], np.float32),
    )


def _recognize_ctc(posteriors: Posteriors) -> Recognition:
    """Recognize phonemes with the CTC head alone."""
    segments = decode_greedy(posteriors.ctc)
    probability = np.exp(posteriors.ctc.max(-1))
    confidence = np.array(
        [
            probability[begin:end].max()
            for begin, end in zip(segments.starts, segments.ends, strict=True)
        ],
        np.float32,
    )
    guesses = [posteriors.classes[index] for index in segments.classes]
    symbols = [
        UNKNOWN if probability < MIN_CONFIDENCE and guess != PAUSE else guess
        for guess, probability in zip(guesses, confidence, strict=True)
    ]
    return Recognition(symbols, guesses, segments.starts, confidence)


def format_prompt_symbols(recognition: Recognition, guesses: bool = False) -> list[str]:
    """Write what was recognized as the symbols of a sentence.

    Args:
        recognition: From `PhonemeRecognizer.transcribe`.
        guesses: Use the best guess where the recognizer is not sure, instead of "<unknown>".

    Returns:
        "^", then the phonemes with borders in place of pauses, then ".".
    """
    sentence = ["^"]
    for index, symbol in enumerate(recognition.guesses if guesses else recognition.symbols):
        if symbol != PAUSE:
            sentence.append(symbol)
        elif sentence[-1] not in BORDERS:
            following = recognition.frames[index + 1 :]
            is_long = (
                len(following) > 0
                and following[0] - recognition.frames[index] >= COMMA_PAUSE_FRAMES
            )
            sentence.append("," if is_long else " ")
    if sentence[-1] in BORDERS and len(sentence) > 1:
        sentence.pop()
    return [*sentence, "."]
