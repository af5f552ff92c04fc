"""What became of each cue: when it is spoken, how fast, and what to shorten."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valle.arrays import Floats
from valle.dubbing.fitting import Placement, Slot
from valle.dubbing.speaking import CueSpeech
from valle.media.subtitles import Cue, CueNote

PEAKS_PER_SECOND = 50
_MAX_TEXT = 60  # characters
_SPILLED = 0.01  # seconds after the end of a cue that count
_EXCESS, _LATE = 0.005, 0.02  # seconds


@dataclass(frozen=True)
class DubbedCue:
    """A cue as it is spoken in the film."""

    cue: Cue
    slot: Slot
    placement: Placement
    speech: CueSpeech
    voice: str
    """The name of the voice."""
    rate: float
    """How many times as fast as the voice speaks by itself, compression included."""

    @property
    def excess(self) -> float:
        """Seconds that it is too long for its slot and the gap after it, at the fastest; 0 if not.

        A cue that is only late, because the one before it is too long, is not too long itself.
        """
        room = self.slot.limit - self.slot.start
        over = self.placement.end - self.placement.start - room
        return over if over > _EXCESS else 0.0

    @property
    def shorten(self) -> tuple[int, int] | None:
        """Syllables and characters that its text is too long; None if it fits."""
        if not self.excess:
            return None
        share = self.excess / (self.placement.end - self.placement.start)
        syllables = math.ceil(share * max(1, self.speech.syllables))
        return syllables, math.ceil(share * len(self.cue.text))

    @property
    def spilled(self) -> float:
        """Seconds that it runs into the gap after it."""
        over = self.placement.end - self.slot.end
        return over if over > _SPILLED else 0.0

    def describe(self) -> dict[str, Any]:
        """Return all as plain values that `json` can write."""
        syllables, characters = self.shorten or (0, 0)
        return {
            "cue": self.cue.label,
            "text": self.cue.text,
            "speaker": self.cue.speaker,
            "voice": self.voice,
            "cue_start": round(self.slot.start, 3),
            "cue_end": round(self.slot.end, 3),
            "start": round(self.placement.start, 3),
            "end": round(self.placement.end, 3),
            "rate": round(self.rate, 3),
            "compression": round(self.placement.compression, 3),
            "spilled": round(self.spilled, 3),
            "late": round(self.placement.late, 3),
            "fits": not self.excess,
            "excess": round(self.excess, 3),
            "shorten_syllables": syllables,
            "shorten_characters": characters,
            "missing": list(self.speech.missing),
            "repeated": list(self.speech.repeated),
        }


@dataclass(frozen=True)
class DubResult:
    """A film that was dubbed."""

    path: Path
    seconds: float
    """Length of the film."""
    loudness: float
    """LUFS that the speech has."""
    cues: list[DubbedCue]
    notes: list[CueNote]
    """What was repaired in the subtitles, or is not spoken."""
    left_out: list[str]
    """Streams of the film that were not copied."""
    peaks: Floats
    """[N] the highest level of the speech, 0 to 1, in each 1 / `PEAKS_PER_SECOND` s."""

    @property
    def too_long(self) -> list[DubbedCue]:
        """The cues that do not fit."""
        return [dubbed for dubbed in self.cues if dubbed.excess]

    @property
    def late(self) -> list[DubbedCue]:
        """The cues that begin late, because one before them is too long."""
        return [dubbed for dubbed in self.cues if dubbed.placement.late > _LATE]

    def describe(self) -> dict[str, Any]:
        """Return all as plain values that `json` can write."""
        return {
            "file": str(self.path),
            "seconds": round(self.seconds, 3),
            "loudness": round(self.loudness, 2),
            "cues": [dubbed.describe() for dubbed in self.cues],
            "notes": [str(note) for note in self.notes],
            "left_out": self.left_out,
        }

    def to_cues(self) -> list[tuple[float, float, str]]:
        """Return (start, end, text) of subtitles with the times of the speech.

        A cue begins with its speech, and stays as long as it did, or until its speech has ended.
        """
        starts = [dubbed.placement.start for dubbed in self.cues]
        limits = [*starts[1:], math.inf]
        return [
            (
                start,
                max(dubbed.placement.end, min(dubbed.slot.end, limit)),
                dubbed.cue.shown,
            )
            for dubbed, start, limit in zip(self.cues, starts, limits, strict=True)
        ]


def describe_result(result: DubResult, limit: int = 10) -> list[str]:
    """Return what a user should know, in lines: notes, what is too long, what was not heard."""
    lines = [str(note) for note in result.notes[:limit]]
    if len(result.notes) > limit:
        lines.append(f"and {len(result.notes) - limit} more notes on cues; --json lists all")
    lines += result.left_out
    lines += [_describe_too_long(dubbed) for dubbed in result.too_long[:limit]]
    if len(result.too_long) > limit:
        lines.append(f"and {len(result.too_long) - limit} more are too long; --json lists all")
    unheard = [d for d in result.cues if d.speech.missing or d.speech.repeated]
    lines += [_describe_unheard(dubbed) for dubbed in unheard[:limit]]
    if unheard:
        redo = " ".join(f"--redo {dubbed.cue.number}" for dubbed in unheard[:limit])
        lines.append(f"to speak those again and nothing else, add {redo} --force to the command")
    fast = sum(dubbed.rate > 1.02 for dubbed in result.cues)
    spilled = sum(dubbed.spilled > 0 for dubbed in result.cues)
    lines.append(
        f"{len(result.cues)} cues spoken: {fast} faster than usual, {spilled} run into the gap "
        f"after them, {len(result.too_long)} too long, {len(result.late)} late because of those"
    )
    return lines


def _describe_too_long(dubbed: DubbedCue) -> str:
    syllables, characters = dubbed.shorten or (0, 0)
    return (
        f"cue {dubbed.cue.label} is too long by {dubbed.excess:.1f} s even at "
        f"{dubbed.rate:.2f} times the usual rate; shorten it by {syllables} "
        f"syllable{'s' * (syllables > 1)}, about {characters} characters: "
        f"{_shorten(dubbed.cue.text)}"
    )


def _describe_unheard(dubbed: DubbedCue) -> str:
    missing, repeated = dubbed.speech.missing, dubbed.speech.repeated
    what = [f"missing {', '.join(map(repr, missing))}"] * bool(missing)
    what += [f"repeated {', '.join(map(repr, repeated))}"] * bool(repeated)
    text = _shorten(dubbed.cue.text)
    return f"cue {dubbed.cue.label} was not understood ({'; '.join(what)}): {text}"


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1].rstrip() + "…"
