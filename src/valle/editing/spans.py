"""From a change of words to frames: what is cut out of a recording, and what is said instead."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from valle.arrays import Codes, Embedding, Ints
from valle.editing.changes import Change, apply_changes
from valle.errors import RecordingError, TextError
from valle.runtime.transcript import TimedTranscript
from valle.synthesis.acoustic_model import AcousticModel
from valle.synthesis.infilling import MAX_CONTEXT_FRAMES, Context, InfillRequest
from valle.text.phonemes import Phoneme
from valle.text.reading import Reading
from valle.text.segmentation import MAX_PHONEMES, split_sentences
from valle.text.symbols import BORDERS

MIN_PAUSE = 4  # frames of a pause between words that an edit keeps as it was
MIN_OUTSIDE = 5  # frames that a recording must go on before and after an edit
MIN_SCORE = 0.05  # of words, below which they were not heard


@dataclass(frozen=True)
class Span:
    """Frames that are cut out, and the phonemes in their place."""

    start: int
    """The first frame that is cut out."""
    end: int
    """The frame after the last."""
    pause_before: int
    """Frames of the pause that the recording keeps before the span."""
    pause_after: int
    phonemes: list[Phoneme]
    """What is said in their place; empty for a deletion."""
    change: Change


@dataclass(frozen=True)
class _Sound:
    """A symbol of the recording. A word that is not said has none."""

    symbol: str
    stress: int
    word: int
    """Index of its word in the transcript; -1 for a border."""
    start: int
    frames: int


class Timeline:
    """The symbols of a recording, frame by frame."""

    def __init__(self, transcript: TimedTranscript) -> None:
        """Read what `Model.align` has found."""
        self._transcript = transcript
        self._sounds: list[_Sound] = []
        offset = 0
        for timed in transcript.sentences:
            for phoneme, start, frames in zip(
                timed.sentence.phonemes, timed.starts, timed.frames, strict=True
            ):
                border = phoneme.symbol in BORDERS
                again = border and bool(self._sounds) and self._sounds[-1].symbol in BORDERS
                if (frames or border) and not (again and not frames):
                    word = -1 if border else offset + phoneme.word
                    self._sounds.append(
                        _Sound(phoneme.symbol, phoneme.stress, word, int(start), int(frames))
                    )
            offset += len(timed.sentence.words)
        counts = [sound.frames for sound in self._sounds]
        self.frame_symbol: Ints = np.repeat(np.arange(len(counts)), counts)

    def find_spans(self, changes: Sequence[Change], reading: Reading) -> list[Span]:
        """Return the span of each change.

        Raises:
            TextError: Its words were not heard, or what is to be said has no sound.
            RecordingError: The recording does not go on before and after it.
        """
        changes = sorted(changes, key=lambda change: (change.first, change.last))
        new_text, places = apply_changes(self._transcript, changes)
        phonemes = _phonemize(new_text, reading) if any(c.text for c in changes) else []
        spans = []
        for change, place in zip(changes, places, strict=True):
            spoken = _cut_phonemes(phonemes, place, change.text) if change.text else []
            spans.append(self._find_span(change, spoken))
        for before, after in itertools.pairwise(spans):
            if after.start < before.end:
                raise TextError("two changes are about neighboring words; make them one")
        return spans

    def find_gaps(self) -> list[tuple[int, tuple[int, int]]]:
        """Return the pauses between words: the index of the word after each, and its frames."""
        said = [sound for sound in self._sounds if sound.word >= 0]
        return [
            (after.word, (before.start + before.frames, after.start))
            for before, after in itertools.pairwise(said)
            if after.word != before.word and after.start > before.start + before.frames
        ]

    def request(
        self, span: Span, codes: Codes, model: AcousticModel, embedding: Embedding
    ) -> InfillRequest:
        """Return what the models fill in.

        Args:
            span: From `find_spans`.
            codes: Of the frames that `context_frames` returns.
            model: Numbers the symbols.
            embedding: Of the speaker.
        """
        first, last = self.context_frames(span)
        before, after = (
            self._cut_context(slice(low, high), codes[low - first : high - first], model)
            for low, high in ((first, span.start), (span.end, last))
        )
        symbols = [phoneme.symbol for phoneme in span.phonemes]
        stress = [phoneme.stress for phoneme in span.phonemes]
        return InfillRequest(before, model.encode_symbols(symbols, stress), after, embedding)

    def context_frames(self, span: Span) -> tuple[int, int]:
        """Return the first frame of the context before a span, and the end of that after it."""
        return (
            max(0, span.start - MAX_CONTEXT_FRAMES),
            min(len(self.frame_symbol), span.end + MAX_CONTEXT_FRAMES),
        )

    def _cut_context(self, frames: slice, codes: Codes, model: AcousticModel) -> Context:
        at = self.frame_symbol[frames]
        sounds = self._sounds[at[0] : at[-1] + 1] if len(at) else []
        symbols = model.encode_symbols([s.symbol for s in sounds], [s.stress for s in sounds])
        return Context(codes, symbols, at - at[0] if len(at) else at)

    def _find_span(self, change: Change, phonemes: list[Phoneme]) -> Span:
        """Return where a change cuts: between words, and beside a pause rather than within it."""
        end_before, begin, end, begin_after = self._find_edges(change)
        pause_before, pause_after = begin - end_before, begin_after - end
        if end_before <= 0 and begin < MIN_OUTSIDE:
            raise RecordingError(
                "the recording begins with the words to change, and has no sound before them; "
                "change a later word, or record a little more before the first one"
            )
        frames = len(self.frame_symbol)
        if begin_after >= frames and frames - end < MIN_OUTSIDE:
            raise RecordingError(
                "the recording ends with the words to change, and has no sound after them; "
                "change an earlier word, or record a little more after the last one"
            )
        if not phonemes:  # of the pauses on both sides, the longer one stays
            if pause_after >= pause_before:
                return Span(end_before, end, 0, pause_after, [], change)
            return Span(begin, begin_after, pause_before, 0, [], change)
        inserts = change.first == change.last
        keeps_before = pause_before >= MIN_PAUSE and not inserts
        keeps_after = pause_after >= MIN_PAUSE
        if keeps_before:
            phonemes = phonemes[1:]
        if keeps_after:
            phonemes = phonemes[:-1]
        return Span(
            begin if keeps_before else end_before,
            end if keeps_after else begin_after,
            pause_before if keeps_before else 0,
            pause_after if keeps_after else 0,
            phonemes,
            change,
        )

    def _find_edges(self, change: Change) -> tuple[int, int, int, int]:
        """Return, in frames, where the word before ends, the words begin and end, the next begins.

        An insertion has no words: they begin and end where the word before it ends.
        """
        self._check_heard(change)
        said = [sound for sound in self._sounds if sound.word >= 0]
        before = [s.start + s.frames for s in said if s.word < change.first]
        after = [sound.start for sound in said if sound.word >= change.last]
        inside = [sound for sound in said if change.first <= sound.word < change.last]
        end_before = max(before, default=0)
        begin_after = min(after, default=len(self.frame_symbol))
        if change.first == change.last:
            return end_before, end_before, end_before, begin_after
        return end_before, inside[0].start, inside[-1].start + inside[-1].frames, begin_after

    def _check_heard(self, change: Change) -> None:
        words = self._transcript.words
        concerned = words[change.first : change.last] or words[max(0, change.first - 1) :][:1]
        unheard = [word.text for word in concerned if word.start is None]
        if unheard or np.mean([word.score for word in concerned]) < MIN_SCORE:
            shown = " ".join(unheard or [word.text for word in concerned])
            raise TextError(
                f"{shown!r} is in the text, but was not heard in the recording; "
                "give the text that is said in it, word for word"
            )


def _phonemize(text: str, reading: Reading) -> list[Phoneme]:
    """Return the phonemes of all sentences of a text, without two borders in a row."""
    joined: list[Phoneme] = []
    for sentence in split_sentences(text, reading=reading)[0]:
        for phoneme in sentence.phonemes:
            if not (joined and joined[-1].symbol in BORDERS and phoneme.symbol in BORDERS):
                joined.append(phoneme)
    return joined


def _cut_phonemes(phonemes: list[Phoneme], place: tuple[int, int], text: str) -> list[Phoneme]:
    """Return the phonemes of a part of the text, with the border before and after it."""
    inside = [
        index
        for index, phoneme in enumerate(phonemes)
        if phoneme.word >= 0 and phoneme.start < place[1] and phoneme.end > place[0]
    ]
    if not inside:
        raise TextError(f"nothing in {text!r} can be spoken; give words")
    cut = phonemes[inside[0] - 1 : inside[-1] + 2]
    if len(cut) > MAX_PHONEMES:
        raise TextError(
            f"the new words have {len(cut)} sounds, and one edit takes {MAX_PHONEMES}, about 30 "
            "words; insert them in several edits"
        )
    return cut
