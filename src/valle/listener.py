"""The listener: which phonemes a recording holds, where, and whether they are the ones asked.

A small recogniser with two heads over the same frames. The CTC head says *what* was said and needs
no text; the frame head says *where* each of the given symbols is. Neither knows stress, and every
border (a space, a comma, the ends) is one class to them: a pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from valle.text import BORDERS, SYMBOLS, UNKNOWN

if TYPE_CHECKING:
    from valle.bundle import Bundle

BLANK = "<blank>"
PAUSE = "<pause>"
LISTENER_SYMBOLS: tuple[str, ...] = (
    BLANK,
    PAUSE,
    *(symbol for symbol in SYMBOLS if symbol != UNKNOWN and symbol not in BORDERS),
)
CONFIDENT = 0.5  # CTC probability below which a heard phoneme is called unknown
PAUSE_FRAMES = 3  # a shorter silence is a stop's closure, not a pause
COMMA_PAUSE = 10  # frames (0.2 s) from which a heard pause is written as a comma, not a space

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

_IMPOSSIBLE = -1e30
_PAUSE_PRIOR, _LOUD_PAUSE = 3.0, 4.0  # nats
_NO_PEAK = -5.0  # CTC log-probabilities are clipped here: most frames are blank and say nothing
_LOWEST = -1e4  # log-probabilities are clipped here, so that a path of any length stays comparable


def viterbi(
    log_probs: NDArray[np.floating[Any]],
    symbol_classes: NDArray[np.integer[Any]],
    optional: NDArray[np.bool_],
) -> IntArray | None:
    """The best monotonic alignment of a sequence of symbols with frames.

    Every frame is at one symbol; from frame to frame it stays, goes on to the next symbol, or skips
    one optional symbol. The first and the last symbol may be skipped too where they are optional.
    Every other symbol gets at least one frame.

    Args:
        log_probs: [frames, classes], natural logarithms.
        symbol_classes: [symbols], the class (column of log_probs) of each symbol.
        optional: [symbols], True where a symbol may have no frame (a border).

    Returns:
        [frames] int64, the index of the symbol at each frame, or None when there are fewer frames
        than the symbols need (or no frame or no symbol at all).
    """
    frames, symbols = len(log_probs), len(symbol_classes)
    if frames == 0 or symbols == 0:
        return None
    emission = np.maximum(np.asarray(log_probs, np.float64), _LOWEST)[:, symbol_classes]
    may_skip = np.full(symbols, _IMPOSSIBLE)  # added to a score that arrives two symbols further
    may_skip[2:][optional[1:-1]] = 0.0

    score = np.full(symbols, _IMPOSSIBLE)
    score[0] = emission[0, 0]
    if symbols > 1 and optional[0]:
        score[1] = emission[0, 1]
    # Padded by two impossible symbols in front, so that "one back" and "two back" are plain views.
    padded = np.full(symbols + 2, _IMPOSSIBLE)
    stay, advance, skip = padded[2:], padded[1:-1], padded[:-2]
    skipped, best = np.empty(symbols), np.empty(symbols)
    moved, jumped = np.zeros((frames, symbols), bool), np.zeros((frames, symbols), bool)
    stay[:] = score
    for t in range(1, frames):
        np.add(skip, may_skip, out=skipped)
        np.greater(advance, stay, out=moved[t])
        np.maximum(advance, stay, out=best)
        np.greater(skipped, best, out=jumped[t])
        np.maximum(skipped, best, out=best)
        np.add(best, emission[t], out=stay)

    last = symbols - 1
    if symbols > 1 and optional[last] and stay[last - 1] > stay[last]:
        last -= 1
    if stay[last] <= _IMPOSSIBLE / 2:
        return None
    path = np.empty(frames, np.int64)
    for t in range(frames - 1, -1, -1):
        path[t] = last
        last -= 2 if jumped[t, last] else int(moved[t, last])
    return path


def phoneme_error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Edits that turn `hypothesis` into `reference`, as a share of the phonemes of `reference`.

    Borders, pauses and blanks count in neither. 0 is perfect; more than 1 is possible.
    """
    wanted, heard = _spoken(reference), _spoken(hypothesis)
    return float(_edit_table(wanted, heard)[-1, -1]) / max(1, len(wanted))


@dataclass(frozen=True)
class Heard:
    """What the listener heard: one entry a phoneme or pause, in order."""

    symbols: list[str]
    """Phonemes without stress; "<pause>"; "<unknown>" where the listener is not sure."""
    guesses: list[str]
    """The same with the best guess in the place of every "<unknown>"."""
    frames: IntArray
    """[symbols] the frame (of the codec's frame rate) at which each begins to be heard."""
    confidence: FloatArray
    """[symbols] in 0..1, the highest probability over the frames of each."""


@dataclass(frozen=True)
class Alignment:
    """Where each of the given symbols is in a recording."""

    frame_symbol: IntArray
    """[frames] the index of the symbol at each frame; it never decreases."""
    score: FloatArray
    """[symbols] mean log-probability over the frames of each; 0 for a border without a frame."""


@dataclass(frozen=True)
class Check:
    """How well an output matches what was asked."""

    phoneme_error_rate: float
    """Edits as a share of the asked phonemes; 0 is perfect."""
    missing: tuple[str, ...]
    """Words of which (nearly) nothing was heard. Words of a single phoneme are left out: one lost
    sound is more often the listener's mistake than the speaker's."""
    doubled: tuple[str, ...]
    """Words heard twice in a row."""
    worst: str
    """The word with the largest share of wrong phonemes; "" when all are right."""
    score: float
    """0..1, the mean probability of the asked phonemes where they were aligned."""
    phonemes: int
    """How many phonemes were asked."""

    @property
    def passed(self) -> bool:
        """False when a word is lost or doubled.

        Single wrong phonemes do not count: a listener that itself hears two of five amiss would
        have every sentence said again.
        """
        return not (self.missing or self.doubled)

    @classmethod
    def joined(cls, checks: Sequence[Check]) -> Check | None:
        """One check for sentences that follow each other; None when there is none."""
        if not checks:
            return None
        share = np.array([check.phonemes for check in checks]) / sum(c.phonemes for c in checks)
        return cls(
            float(share @ [check.phoneme_error_rate for check in checks]),
            tuple(word for check in checks for word in check.missing),
            tuple(word for check in checks for word in check.doubled),
            max(checks, key=lambda check: check.phoneme_error_rate).worst,
            float(share @ [check.score for check in checks]),
            sum(check.phonemes for check in checks),
        )


class Listener:
    """The phoneme recogniser of a bundle. All samples are mono float32 at the bundle's rate."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._hop = bundle.config.hop
        self._classes = bundle.config.listener_symbols

    def hear(self, samples: FloatArray) -> Heard:
        """The phonemes of a recording, without knowing its text (greedy CTC).

        Args:
            samples: [N] float32 at the bundle's sample rate.
        """
        return heard_from(*self._heads(samples), self._classes)

    def ctc(self, samples: FloatArray) -> FloatArray:
        """[frames, classes] log-probabilities of the CTC head; samples as for `hear`."""
        return self._heads(samples)[0]

    def align(self, samples: FloatArray, symbols: Sequence[str]) -> Alignment | None:
        """Find every symbol in a recording.

        Args:
            samples: [N] float32 at the bundle's sample rate.
            symbols: phonemes without stress and borders, as in `valle.text.SYMBOLS`; "<unknown>"
                takes the frames that its neighbours do not explain.

        Returns:
            None when the recording has fewer frames than the symbols need.
        """
        return align_frames(*self._heads(samples), self._loud(samples), symbols, self._classes)

    def check(self, samples: FloatArray, symbols: Sequence[str], words: Sequence[str]) -> Check:
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

    def _whole(self, samples: FloatArray) -> FloatArray:
        return np.pad(np.asarray(samples, np.float32), (0, -len(samples) % self._hop))

    def _loud(self, samples: FloatArray) -> NDArray[np.bool_]:
        return loud_frames(self._whole(samples), self._hop)

    def _heads(self, samples: FloatArray) -> tuple[FloatArray, FloatArray]:
        padded = self._whole(samples)
        session = self._bundle.session("listener")
        ctc, frame = session.run(["ctc", "frame"], {"waveform": padded[None]})
        return ctc[0], frame[0]


def compare(
    symbols: Sequence[str], words: Sequence[str], heard: Sequence[str], score: float
) -> Check:
    """Compare asked symbols (with the word of each) with heard ones; see `Listener.check`."""
    wanted, spans = _by_word(symbols, words)
    got = _spoken(heard)
    matched, where = _edit_path(wanted, got)
    missing, doubled, worst, worst_share = [], [], "", 0.0
    for word, start, end in spans:
        length = end - start
        hits = where[start:end] >= 0
        wrong = float(1.0 - matched[start:end].mean())
        if length > 1 and hits.sum() <= length / 3:
            missing.append(word)
        # Everything heard between the neighbouring words belongs to this word.
        before, after = where[:start], where[end:]
        low = int(before.max(initial=-1)) + 1
        high = int(after[after >= 0].min(initial=len(got)))
        around = got[low:high]
        if length > 1 and len(around) >= 1.6 * length:
            phonemes = wanted[start:end]
            once = _edit_table(phonemes, around)[-1, -1]
            twice = _edit_table(phonemes + phonemes, around)[-1, -1]
            if twice < once and twice <= 2 * length / 3:
                doubled.append(word)
                wrong = max(wrong, 1.0)
        if wrong > worst_share:
            worst, worst_share = word, wrong
    error_rate = phoneme_error_rate(wanted, got)
    return Check(error_rate, tuple(missing), tuple(doubled), worst, score, len(wanted))


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


def _collapse(ctc: FloatArray, classes: Sequence[str]) -> Heard:
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


def heard_from(ctc: FloatArray, frame: FloatArray, classes: Sequence[str]) -> Heard:
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


def loud_frames(samples: FloatArray, hop: int) -> NDArray[np.bool_]:
    """[N / hop] True for frames too loud to be a pause of this recording; N a multiple of hop.

    The limit lies between the levels of its softest and its loudest twentieth, nearer the softest.
    """
    if not len(samples):
        return np.zeros(0, bool)
    power = np.square(samples.reshape(-1, hop)).mean(-1)
    level = 10.0 * np.log10(power + 1e-8)
    soft, loud = np.percentile(level, 5), np.percentile(level, 95)
    return np.asarray(level > soft + 0.45 * (loud - soft))


def align_frames(
    ctc: FloatArray,
    frame: FloatArray,
    loud: NDArray[np.bool_],
    symbols: Sequence[str],
    classes: Sequence[str],
) -> Alignment | None:
    """Align symbols with what the two heads [frames, classes] (log-probabilities) heard.

    The frame head knows how long a sound lasts, the CTC head which of two like sounds it is: where
    CTC is sure of a phoneme, the path has to pass through it there. Pauses are by far the most
    frequent class, so that an unclear sound looks most like a pause: their share is taken out (as
    recognisers divide by priors), and a loud frame is hardly one. None when there are fewer frames
    than the symbols need.
    """
    frame = frame.copy()
    frame[:, classes.index(PAUSE)] -= _PAUSE_PRIOR + _LOUD_PAUSE * loud
    # An unknown sound explains every frame half as well as the best phoneme does: it takes what
    # its neighbours do not explain, and no more.
    anything = frame[:, 2:].max(-1, keepdims=True) - np.log(2.0, dtype=np.float32)
    log_probs = np.concatenate([frame, anything], axis=-1)
    optional = np.array([symbol in BORDERS for symbol in symbols], bool)
    columns = {symbol: column for column, symbol in enumerate(classes)}
    columns |= dict.fromkeys(BORDERS, columns[PAUSE])
    column = np.array([columns.get(symbol, len(classes)) for symbol in symbols], np.int64)
    peaks = np.maximum(np.concatenate([ctc, ctc[:, 2:].max(-1, keepdims=True)], -1), _NO_PEAK)
    path = viterbi(log_probs + peaks, column, optional)
    if path is None:
        return None
    each = log_probs[np.arange(len(path)), column[path]]
    count = np.bincount(path, minlength=len(symbols))
    total = np.bincount(path, weights=each, minlength=len(symbols))
    return Alignment(path, (total / np.maximum(count, 1)).astype(np.float32))


def _spoken(symbols: Sequence[str]) -> list[str]:
    return [s for s in symbols if s not in BORDERS and s not in (PAUSE, BLANK)]


def _by_word(
    symbols: Sequence[str], words: Sequence[str]
) -> tuple[list[str], list[tuple[str, int, int]]]:
    """The phonemes alone, and of each word its text and its span among them."""
    phonemes: list[str] = []
    spans: list[tuple[str, int, int]] = []
    inside = False
    for symbol, word in zip(symbols, words, strict=True):
        if symbol in BORDERS:
            inside = False
            continue
        phonemes.append(symbol)
        if inside and spans[-1][0] == word:
            spans[-1] = (word, spans[-1][1], len(phonemes))
        else:
            spans.append((word, len(phonemes) - 1, len(phonemes)))
        inside = True
    return phonemes, spans


def _edit_table(reference: Sequence[str], hypothesis: Sequence[str]) -> IntArray:
    """[len(reference)+1, len(hypothesis)+1] edit distances between all beginnings."""
    names: dict[str, int] = {}
    ref = np.array([names.setdefault(s, len(names)) for s in reference], np.int64)
    hyp = np.array([names.setdefault(s, len(names)) for s in hypothesis], np.int64)
    columns = np.arange(len(hyp) + 1)
    table = np.empty((len(ref) + 1, len(hyp) + 1), np.int64)
    table[0] = columns
    for i, symbol in enumerate(ref, start=1):
        row = table[i - 1] + 1
        np.minimum(row[1:], table[i - 1, :-1] + (hyp != symbol), out=row[1:])
        # Insertions run along the row: row[j] = min over k <= j of row[k] + (j - k).
        table[i] = np.minimum.accumulate(row - columns) + columns
    return table


def _edit_path(
    reference: Sequence[str], hypothesis: Sequence[str]
) -> tuple[NDArray[np.bool_], IntArray]:
    """One best alignment: which reference symbols match, and their places there (-1: deleted)."""
    table = _edit_table(reference, hypothesis)
    matched = np.zeros(len(reference), bool)
    where = np.full(len(reference), -1, np.int64)
    i, j = len(reference), len(hypothesis)
    while i > 0 and j > 0:
        same = reference[i - 1] == hypothesis[j - 1]
        if table[i, j] == table[i - 1, j - 1] + (not same):
            i, j = i - 1, j - 1
            matched[i], where[i] = same, j
        elif table[i, j] == table[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return matched, where
