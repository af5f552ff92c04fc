"""Sections of a book: some minutes of it, joined, brought to a level and encoded at once.

A section ends between paragraphs, in silence, and lasts whole frames of the audio format. So the
encoded sections joined are the book: one changed sentence changes one section, and the beginning of
every chapter is known to the sample.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from valle.arrays import Samples
from valle.audio.loudness import normalize_loudness, normalize_rms
from valle.audio.recording import resample
from valle.books.options import ACX, BookOptions
from valle.books.project import BookSentence
from valle.books.spoken import SpokenRecord
from valle.options import MAX_PAUSE
from valle.synthesis.durations import LEAD_FRAMES
from valle.synthesis.model import Model
from valle.trust.spoken import SpokenPrints

MAX_CHARACTERS = 2_000  # about 2.5 minutes, after which a section ends at the next paragraph
MIN_SILENCE = 0.3  # seconds at the end of a section
HEAD = 0.16  # seconds of that pause which are the beginning of the next section
CHAPTER_HEAD = 0.6  # seconds of silence before a chapter; ACX asks for 0.5 to 1
SCENE_FACTOR = 2.0  # of the pause between paragraphs, between scenes
_FADE = 0.005  # seconds at both ends of a sentence, where it is cut
# Amplitude of the noise in pauses, -90 dBFS. Zeros would be alike in all recordings, so that the
# fingerprints of any two with long pauses would agree.
_PAUSE_NOISE = 3e-5
_ACX_RMS, _ACX_PEAK = -20.0, -3.5  # dBFS; half a decibel of room for what MP3 adds


@dataclass(frozen=True)
class SectionSentence:
    """A sentence within a section."""

    sentence: BookSentence
    key: str
    pause: float
    """Seconds of silence between its last word and what follows."""


@dataclass(frozen=True)
class Section:
    """Sentences that are encoded together."""

    chapter: int
    sentences: list[SectionSentence]
    head: float
    """Seconds of silence before the first word."""

    @property
    def key(self) -> str:
        """A hash of what decides its samples, but for the level and the rate."""
        values = [self.head, [(item.key, item.pause) for item in self.sentences]]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class SentenceSound:
    """What is heard of a sentence."""

    samples: Samples
    """[frames * hop] with the watermark, as many frames as it has codes."""
    receipt: str
    """The id of the receipt under which it was spoken."""


@dataclass(frozen=True)
class _Placement:
    """Where the codes of a sentence are in its section, in frames."""

    before: int
    """Silence before them."""
    begin: int
    """The first that is heard."""
    end: int
    """After the last one that is heard."""
    after: int
    """Silence after them."""


@dataclass(frozen=True)
class SectionTimes:
    """When the sentences of a section are spoken, in seconds from its beginning."""

    seconds: float
    offsets: list[float]
    """When the codes of each sentence begin that its words count from."""
    spans: list[tuple[float, float]]
    """From the first word of each sentence to the end of its last one."""


def divide(sentences: Sequence[tuple[BookSentence, str]], options: BookOptions) -> list[Section]:
    """Divide a book into sections.

    Where they end depends on the book's own text alone, so that a sentence that is changed or takes
    longer than before leaves all other sections as they are.

    Args:
        sentences: Each with the key of what was spoken of it.
        options: Its pauses are used.
    """
    sections: list[Section] = []
    for chapter, group in itertools.groupby(sentences, lambda item: item[0].planned.chapter):
        items = list(group)
        draft: list[SectionSentence] = []
        characters, head = 0, CHAPTER_HEAD
        for index, (sentence, key) in enumerate(items):
            following = items[index + 1][0] if index + 1 < len(items) else None
            pause = _choose_pause(sentence, following, options.pause)
            characters += len(sentence.planned.text)
            if following is None:
                pause = max(pause - CHAPTER_HEAD, MIN_SILENCE)
            ends = following is None or (
                characters > MAX_CHARACTERS
                and following.planned.starts_paragraph
                and pause >= MIN_SILENCE + HEAD
            )
            if ends and following is not None:
                pause -= HEAD
            draft.append(SectionSentence(sentence, key, pause))
            if ends:
                sections.append(Section(chapter, draft, head))
                draft, characters, head = [], 0, HEAD
    return sections


def _choose_pause(
    sentence: BookSentence, following: BookSentence | None, pauses: dict[str, float]
) -> float:
    if sentence.pause_after is not None:
        return sentence.pause_after
    if following is None:
        return pauses["chapter"]
    if sentence.planned.ends_scene:
        return min(MAX_PAUSE, SCENE_FACTOR * pauses["paragraph"])
    return pauses["paragraph" if following.planned.starts_paragraph else "sentence"]


class SectionRenderer:
    """Makes the samples of sections of speech from one model."""

    def __init__(self, model: Model, options: BookOptions) -> None:
        self._options = options
        self._rate = model.sample_rate
        self._hop = model.codec.hop
        self._frame_rate = model.frame_rate

    def measure(self, section: Section, records: Sequence[SpokenRecord]) -> SectionTimes:
        """Return when the sentences of a section are spoken.

        Args:
            section: A section.
            records: What was spoken of each of its sentences.
        """
        return self._plan(section, records)[1]

    def render(
        self,
        section: Section,
        records: Sequence[SpokenRecord],
        sounds: Sequence[SentenceSound],
        rate: int,
    ) -> Samples:
        """Return the samples of a section at a rate, at their level.

        Args:
            section: A section.
            records: What was spoken of each of its sentences.
            sounds: The sound of each of its sentences.
            rate: In Hz.
        """
        placements, _ = self._plan(section, records)
        rng = np.random.default_rng(int(section.key, 16))
        parts = []
        # A sentence alone may be too short to be known again.
        with SpokenPrints(self._rate) as prints:
            for sound, placement in zip(sounds, placements, strict=True):
                parts.append(self._place(sound.samples, placement, rng))
                prints.add(sound.receipt, parts[-1])
        samples = resample(np.concatenate(parts), self._rate, rate)
        loudness = self._options.loudness
        if loudness == ACX:
            return normalize_rms(samples, rate, _ACX_RMS, _ACX_PEAK)
        if loudness == "off":
            return samples
        return normalize_loudness(samples, rate, float(loudness))

    def _place(self, samples: Samples, placement: _Placement, rng: np.random.Generator) -> Samples:
        """Return what is heard of a sentence, with the pauses around it."""
        heard = samples[placement.begin * self._hop : placement.end * self._hop].copy()
        fade = np.linspace(0.0, 1.0, round(_FADE * self._rate), dtype=np.float32)[: len(heard)]
        heard[: len(fade)] *= fade
        heard[len(heard) - len(fade) :] *= fade[::-1]
        before, after = (
            rng.standard_normal(frames * self._hop, np.float32) * np.float32(_PAUSE_NOISE)
            for frames in (placement.before, placement.after)
        )
        return np.concatenate([before, heard, after])

    def _plan(
        self, section: Section, records: Sequence[SpokenRecord]
    ) -> tuple[list[_Placement], SectionTimes]:
        """Return where each sentence is placed, and the times."""
        placements: list[_Placement] = []
        offsets: list[float] = []
        spans: list[tuple[float, float]] = []
        at = 0
        head = round(section.head * self._frame_rate)
        for item, record in zip(section.sentences, records, strict=True):
            first, last = self._find_words(record)
            begin = max(0, first - min(head, LEAD_FRAMES))
            before = max(0, head - (first - begin))
            pause = round(item.pause * self._frame_rate)
            is_last = item is section.sentences[-1]
            wanted = pause if is_last else max(0, pause - LEAD_FRAMES)
            end = min(len(record.codes), last + wanted)
            after = max(0, wanted - (end - last))
            offset = at + before - begin
            offsets.append(offset / self._frame_rate)
            spans.append(((offset + first) / self._frame_rate, (offset + last) / self._frame_rate))
            placements.append(_Placement(before, begin, end, after))
            at += before + end - begin + after
            head = LEAD_FRAMES if pause >= LEAD_FRAMES else pause
        return placements, SectionTimes(at / self._frame_rate, offsets, spans)

    def _find_words(self, record: SpokenRecord) -> tuple[int, int]:
        """Return the frames in which the first word begins and the last one ends."""
        if not record.words:
            return 0, len(record.codes)
        return (
            round(record.words[0].start * self._frame_rate),
            round(record.words[-1].end * self._frame_rate),
        )
