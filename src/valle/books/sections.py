"""Sections of a book: some minutes of it, decoded, watermarked and brought to a level at once.

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

from valle.arrays import Codes, Samples
from valle.audio.loudness import normalize_loudness, normalize_rms
from valle.audio.recording import resample
from valle.books.options import ACX, BookOptions
from valle.books.project import BookSentence
from valle.books.spoken import SpokenRecord
from valle.options import MAX_PAUSE
from valle.synthesis.durations import LEAD_FRAMES
from valle.synthesis.model import Model
from valle.trust import ledger
from valle.trust.spoken import SpokenPrints
from valle.voices.voice import Voice
from valle.watermark.embed import Payload, WatermarkEmbedder

MAX_CHARACTERS = 2_000  # about 2.5 minutes, after which a section ends at the next paragraph
MIN_SILENCE = 0.3  # seconds at the end of a section
HEAD = 0.16  # seconds of that pause which are the beginning of the next section
CHAPTER_HEAD = 0.6  # seconds of silence before a chapter; ACX asks for 0.5 to 1
SCENE_FACTOR = 2.0  # of the pause between paragraphs, between scenes
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
    """Sentences that are decoded and encoded together."""

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
    """Makes the samples of sections with one model."""

    def __init__(self, model: Model, options: BookOptions) -> None:
        self._model = model
        self._options = options
        self._frame_rate = model.frame_rate
        self._silence: dict[int, Codes] = {}

    def measure(self, section: Section, records: Sequence[SpokenRecord]) -> SectionTimes:
        """Return when the sentences of a section are spoken.

        Args:
            section: A section.
            records: What was spoken of each of its sentences.
        """
        return self._plan(section, records)[1]

    def render(
        self, section: Section, records: Sequence[SpokenRecord], voices: Sequence[Voice], rate: int
    ) -> Samples:
        """Return the samples of a section at a rate, watermarked and at their level.

        Args:
            section: A section.
            records: What was spoken of each of its sentences.
            voices: The voice of each sentence.
            rate: In Hz.
        """
        pieces, _ = self._plan(section, records)
        parts = []
        runs = itertools.groupby(zip(pieces, voices, strict=True), lambda pair: id(pair[1]))
        for _, group in runs:
            run = list(group)
            codes = np.concatenate([part for part, _ in run])
            parts.append(self._decode(codes, run[0][1]))
        samples = resample(np.concatenate(parts), self._model.sample_rate, rate)
        loudness = self._options.loudness
        if loudness == ACX:
            return normalize_rms(samples, rate, _ACX_RMS, _ACX_PEAK)
        if loudness == "off":
            return samples
        return normalize_loudness(samples, rate, float(loudness))

    def _decode(self, codes: Codes, voice: Voice) -> Samples:
        owner_key = ledger.get_signing_key().derive_watermark_key()
        payload = Payload.for_receipt(owner_key, voice.consent["id"])
        codec = self._model.codec
        stream = codec.stream(
            self._model.embedding(voice), WatermarkEmbedder(codec.sample_rate, owner_key, payload)
        )
        blocks = np.split(codes, range(1500, len(codes), 1500))
        samples = np.concatenate([*map(stream.feed, blocks), stream.finish()])
        # A sentence alone may be too short to be known again.
        with SpokenPrints(codec.sample_rate) as prints:
            prints.add(voice.consent["id"], samples)
        return samples

    def _plan(
        self, section: Section, records: Sequence[SpokenRecord]
    ) -> tuple[list[Codes], SectionTimes]:
        """Return the codes of each sentence with the silence around it, and the times."""
        pieces: list[Codes] = []
        offsets: list[float] = []
        spans: list[tuple[float, float]] = []
        at = 0
        head = round(section.head * self._frame_rate)
        for item, record in zip(section.sentences, records, strict=True):
            first, last = self._find_words(record)
            begin = max(0, first - min(head, LEAD_FRAMES))
            before = self._find_silence(max(0, head - (first - begin)))
            pause = round(item.pause * self._frame_rate)
            is_last = item is section.sentences[-1]
            wanted = pause if is_last else max(0, pause - LEAD_FRAMES)
            end = min(len(record.codes), last + wanted)
            after = self._find_silence(max(0, wanted - (end - last)))
            piece = np.concatenate([before, record.codes[begin:end], after])
            offset = at + len(before) - begin
            offsets.append(offset / self._frame_rate)
            spans.append(((offset + first) / self._frame_rate, (offset + last) / self._frame_rate))
            pieces.append(piece)
            at += len(piece)
            head = LEAD_FRAMES if pause >= LEAD_FRAMES else pause
        return pieces, SectionTimes(at / self._frame_rate, offsets, spans)

    def _find_words(self, record: SpokenRecord) -> tuple[int, int]:
        """Return the frames in which the first word begins and the last one ends."""
        if not record.words:
            return 0, len(record.codes)
        return (
            round(record.words[0].start * self._frame_rate),
            round(record.words[-1].end * self._frame_rate),
        )

    def _find_silence(self, frames: int) -> Codes:
        """Return the codes of some frames of silence; they are the same whenever it is called."""
        if frames not in self._silence:
            silence = np.zeros(frames * self._model.codec.hop, np.float32)
            self._silence[frames] = self._model.codec.encode(silence)
        return self._silence[frames]
