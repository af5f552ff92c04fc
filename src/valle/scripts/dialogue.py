"""A spoken script: its turns one after the other, or overlapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from valle.scripts.script import Script
from valle.synthesis.speech import Speech
from valle.synthesis.subtitles import (
    Cue,
    caption_words,
    format_json_lines,
    format_srt,
    format_vtt,
    make_cues,
)

_LEAD = 0.04  # seconds of silence before the first word that belong to a turn


@dataclass(frozen=True)
class SpokenTurn:
    """A turn, cut out of the speech."""

    speaker: str
    speech: Speech
    """Its times count from its own beginning."""
    start: float
    """Seconds: where it begins in the dialogue."""


@dataclass(frozen=True)
class Dialogue:
    """A spoken script."""

    turns: list[SpokenTurn]
    speech: Speech
    """All of it."""

    def to_srt(self) -> str:
        """Return subtitles in the format SubRip (SRT)."""
        return format_srt(self._cues())

    def to_vtt(self) -> str:
        """Return subtitles in the format WebVTT, each with its speaker."""
        return format_vtt(self._cues())

    def to_words(self) -> str:
        """Return the words with their speakers and times, as a list in JSON."""
        words = [
            {
                "word": word.text,
                "start": round(word.start + turn.start, 3),
                "end": round(word.end + turn.start, 3),
                "speaker": turn.speaker,
            }
            for turn in self.turns
            for word in caption_words(turn.speech)
        ]
        return format_json_lines(sorted(words, key=lambda word: float(str(word["start"]))))

    def _cues(self) -> list[Cue]:
        cues = [
            replace(
                cue,
                start=cue.start + turn.start,
                end=cue.end + turn.start,
                speaker=turn.speaker,
            )
            for turn in self.turns
            for cue in make_cues(turn.speech)
        ]
        return sorted(cues, key=lambda cue: cue.start)


def make_dialogue(whole: Speech, script: Script, no_code: int) -> Dialogue:
    """Return a spoken script, in which turns overlap as it says.

    Args:
        whole: The speech of all turns, one after the other.
        script: What it says.
        no_code: Stands for the codes of frames in which several speak at once.
    """
    turns = split_turns(whole, script)
    if not any(turn.overlap for turn in script.turns):
        return Dialogue(turns, whole)
    return Dialogue(turns, mix_turns(turns, whole, no_code))


def split_turns(speech: Speech, script: Script) -> list[SpokenTurn]:
    """Return the turns of a spoken script, each where its overlap puts it.

    Args:
        speech: All of the script's text.
        script: Turns in which nothing can be spoken are left out.
    """
    groups = [
        [s for s in speech.sentences if start <= s.text_start < end] for start, end in script.spans
    ]
    spoken = [(turn, group) for turn, group in zip(script.turns, groups, strict=True) if group]
    hop = len(speech.audio) // max(1, len(speech.codes))
    cuts = [0, *(_find_cut(speech, group[0].start, hop) for _, group in spoken[1:])]
    cuts.append(len(speech.codes))
    turns: list[SpokenTurn] = []
    delay = 0.0  # of a turn, against where it was spoken
    for index, (turn, group) in enumerate(spoken):
        if turn.overlap and turns:
            before = spoken[index - 1][1]
            wanted = before[-1].end + delay - turn.overlap
            earliest = before[0].start + delay
            frames = round((max(wanted, earliest) - group[0].start) * speech.sample_rate / hop)
            delay = frames * hop / speech.sample_rate
        shift = round(delay * speech.sample_rate / hop)
        # The silence that would be before the dialogue is left out: the words stay where they are.
        first = max(cuts[index], -shift)
        part = _cut(speech, first, cuts[index + 1], hop)
        turns.append(SpokenTurn(turn.speaker, part, (first + shift) * hop / speech.sample_rate))
    return turns


def mix_turns(turns: Sequence[SpokenTurn], whole: Speech, no_code: int) -> Speech:
    """Return the dialogue as one speech.

    Args:
        turns: From `split_turns`.
        whole: The speech that they were cut from.
        no_code: Stands for the codes of frames in which several speak at once.
    """
    hop = len(whole.audio) // max(1, len(whole.codes))
    rate = whole.sample_rate
    starts = [round(turn.start * rate / hop) for turn in turns]
    frames = max(s + len(t.speech.codes) for s, t in zip(starts, turns, strict=True))
    audio = np.zeros(frames * hop, np.float32)
    codes = np.full((frames, whole.codes.shape[1]), no_code, np.int64)
    counts = np.zeros(frames, np.int64)
    for start, turn in zip(starts, turns, strict=True):
        span = slice(start, start + len(turn.speech.codes))
        audio[span.start * hop : span.stop * hop] += turn.speech.audio
        codes[span] = turn.speech.codes
        counts[span] += 1
    codes[counts != 1] = no_code
    peak = float(np.abs(audio).max(initial=0.0))
    parts = [_shift(t.speech, s * hop / rate) for s, t in zip(starts, turns, strict=True)]
    return replace(
        whole,
        audio=audio / peak if peak > 1.0 else audio,
        codes=codes,
        words=sorted((word for part in parts for word in part.words), key=lambda w: w.start),
        phonemes=sorted((p for part in parts for p in part.phonemes), key=lambda p: p.start),
        sentences=[sentence for part in parts for sentence in part.sentences],
    )


def _find_cut(speech: Speech, start: float, hop: int) -> int:
    """Return the frame at which a turn whose first word begins at `start` seconds is cut off."""
    return max(0, round((start - _LEAD) * speech.sample_rate / hop))


def _cut(speech: Speech, begin: int, end: int, hop: int) -> Speech:
    """Return the frames from `begin` to `end` of a speech."""
    since, until = begin * hop / speech.sample_rate, end * hop / speech.sample_rate

    def belongs(start: float) -> bool:
        return since - 1e-6 <= start < until - 1e-6

    part = replace(
        speech,
        audio=speech.audio[begin * hop : end * hop],
        codes=speech.codes[begin:end],
        words=[word for word in speech.words if belongs(word.start)],
        phonemes=[phoneme for phoneme in speech.phonemes if belongs(phoneme.start)],
        sentences=[sentence for sentence in speech.sentences if belongs(sentence.start)],
        skipped=[],
    )
    return _shift(part, -since)


def _shift(speech: Speech, seconds: float) -> Speech:
    """Return a speech whose times are later by some seconds."""
    return replace(
        speech,
        words=[w._replace(start=w.start + seconds, end=w.end + seconds) for w in speech.words],
        phonemes=[
            p._replace(start=p.start + seconds, end=p.end + seconds) for p in speech.phonemes
        ],
        sentences=[
            replace(s, start=s.start + seconds, end=s.end + seconds) for s in speech.sentences
        ],
    )
