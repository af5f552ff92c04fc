"""When each sentence and word of a book is spoken, and what is made of it: subtitles, chapters."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from valle.books.muxing import ChapterMark
from valle.books.project import BookSentence
from valle.books.sections import Section, SectionTimes
from valle.books.spoken import SpokenRecord
from valle.runtime.check import Check
from valle.synthesis import subtitles
from valle.synthesis.speech import SpokenPhoneme, SpokenSentence, SpokenWord

_NO_CHECK = Check(0.0, (), (), "", 1.0, 0)


@dataclass(frozen=True)
class TimedSentence:
    """A sentence, and when it is spoken in its book."""

    sentence: BookSentence
    start: float
    """Seconds: the beginning of its first word."""
    end: float
    words: list[tuple[float, float, int, int]]
    """Start and end in seconds, and where the word begins and ends in the sentence's text."""


@dataclass(frozen=True)
class Timeline:
    """A whole book in time, in the form that the makers of subtitles take.

    The fields after the first have the meaning that they have in `valle.synthesis.speech.Speech`.
    """

    timed: list[TimedSentence]
    seconds: float
    phonemes: list[SpokenPhoneme]
    words: list[SpokenWord]
    sentences: list[SpokenSentence]


def time_sentences(
    section: Section, records: Sequence[SpokenRecord], times: SectionTimes, start: float
) -> list[TimedSentence]:
    """Return the sentences of a section that begins at `start` seconds of its book."""
    timed = []
    for item, record, offset, span in zip(
        section.sentences, records, times.offsets, times.spans, strict=True
    ):
        shift = start + offset
        words = [
            (word.start + shift, word.end + shift, word.text_start, word.text_end)
            for word in record.words
        ]
        timed.append(TimedSentence(item.sentence, start + span[0], start + span[1], words))
    return timed


def make_timeline(timed: Sequence[TimedSentence], seconds: float) -> Timeline:
    """Return the timeline of a book that lasts `seconds`."""
    phonemes: list[SpokenPhoneme] = []
    words: list[SpokenWord] = []
    sentences: list[SpokenSentence] = []
    for each in timed:
        text = " ".join(each.sentence.text.split())
        for start, end, text_start, text_end in each.words:
            phonemes.append(SpokenPhoneme("", 0, start, end, text_start, text_end))
            words.append(SpokenWord(text[text_start:text_end], start, end))
        sentences.append(
            SpokenSentence(
                number=each.sentence.number,
                count=len(timed),
                text=text,
                text_start=0,
                begins_paragraph=each.sentence.planned.starts_paragraph,
                start=each.start,
                end=each.end,
                check=_NO_CHECK,
            )
        )
    return Timeline(list(timed), seconds, phonemes, words, sentences)


def describe_chapters(_timeline: Timeline, marks: Sequence[ChapterMark]) -> str:
    """Return the chapters as Podcasting 2.0 has them (`chapters.json`, version 1.2)."""
    chapters = [
        {"startTime": round(mark.start, 3), "title": mark.title, "endTime": round(mark.end, 3)}
        for mark in marks
    ]
    content = {"version": "1.2.0", "chapters": chapters}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


CAPTIONS: dict[str, tuple[str, Callable[[Timeline, Sequence[ChapterMark]], str]]] = {
    "srt": (".srt", lambda timeline, _marks: subtitles.to_srt(timeline)),
    "vtt": (".vtt", lambda timeline, _marks: subtitles.to_vtt(timeline)),
    "words": (".words.json", lambda timeline, _marks: subtitles.to_words(timeline)),
    "chapters_json": (".chapters.json", describe_chapters),
}
"""The ending of each kind of file beside the audio, and what makes it."""
