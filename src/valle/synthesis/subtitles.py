"""Subtitles of speech: cues from the exact times of its words, as SubRip (SRT) and WebVTT.

Cues keep the text's own punctuation. They follow the usual rules for subtitles in English (BBC
Subtitle Guidelines; Netflix Timed Text Style Guide): at most two lines of 42 characters and 7 s,
at least 5/6 s, and at most 20 characters per second where the pause after a cue leaves room for it.
A cue begins with its first word. Sentences, then clauses, are kept together.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from valle.synthesis.speech import SpokenMark, SpokenPhoneme, SpokenSentence, SpokenWord

MAX_LINE = 42  # characters
MAX_LINES = 2
MAX_SECONDS = 7.0
MIN_SECONDS = 5 / 6
MAX_RATE = 20.0  # characters per second
MIN_GAP = 1 / 12  # seconds between two cues, two frames of a film

# Costs of ending a cue after a word; a cue of any kind costs 1, so that cues are not too many.
_CUE, _SENTENCE_INSIDE, _CLAUSE, _PHRASE, _TIED = 1.0, 2.5, 1.0, 3.0, 6.0
_LONG_PAUSE, _PAUSE_INSIDE = 1.0, 6.0  # seconds from which a pause inside a cue costs, per second
# Words that belong to what follows them: a line or cue does not end with one if it can be helped.
_TIED_WORDS = frozenset(
    "a an the and or but nor of to in on at by for from with as that this my your his her its our "
    "their is are was were be i we you he she they it not no".split()
)
_CITATION = re.compile(r"\[\d+(?:[,–-]\s?\d+)*\]|\[\^\w+\]")
_TAG = re.compile(r"<[^<>]*>")
_LINK = re.compile(r"\]\([^()\s]*\)?")
_LINE_MARK = re.compile(r"(?:^|(?<=\n))[^\S\n]*(?:[-*•·+]|#{1,6}|>+|\d{1,3}[.)])(?=\s)")
_MARKUP = re.compile(r"[*_`~#|\\^\[\]]+|<|>")
_CLOSERS = "\"'”’»›)]}"


class TimedText(Protocol):
    """What subtitles are made from: a `valle.synthesis.speech.Speech`, or a book without sound."""

    @property
    def phonemes(self) -> list[SpokenPhoneme]:
        """Those of all words; one for each word is enough."""
        ...

    @property
    def words(self) -> list[SpokenWord]:
        """All words in order."""
        ...

    @property
    def sentences(self) -> list[SpokenSentence]:
        """All sentences in order."""
        ...

    @property
    def seconds(self) -> float:
        """The length of the sound."""
        ...


@dataclass(frozen=True)
class CaptionWord:
    """A word with the punctuation around it."""

    text: str
    start: float
    """Seconds."""
    end: float
    """Seconds."""
    glued: bool
    """Whether no space stands between it and the word before it."""
    ends_sentence: bool
    ends_paragraph: bool


@dataclass(frozen=True)
class Cue:
    """What is shown at one time."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    lines: tuple[str, ...]
    speaker: str | None = None
    """Who speaks, where there are several."""

    @property
    def text(self) -> str:
        """The lines, joined by line ends."""
        return "\n".join(self.lines)


def caption_words(speech: TimedText) -> list[CaptionWord]:
    """Return the words of a speech as they are written, with their punctuation and times."""
    spans = {p.start: (p.text_start, p.text_end) for p in speech.phonemes if p.text_end}
    captions: list[CaptionWord] = []
    words = iter(speech.words)
    word = next(words, None)
    for number, sentence in enumerate(speech.sentences):
        timed = []
        while word is not None and word.start < sentence.end:
            timed.append(word)
            word = next(words, None)
        following = speech.sentences[number + 1 : number + 2]
        ends_paragraph = not following or following[0].begins_paragraph
        places = [
            (start - sentence.text_start, end - sentence.text_start)
            for start, end in (spans[word.start] for word in timed)
        ]
        texts = punctuate(sentence.text, places)
        for index, ((text, glued), spoken) in enumerate(zip(texts, timed, strict=True)):
            last = index == len(timed) - 1
            captions.append(
                CaptionWord(
                    text,
                    spoken.start,
                    spoken.end,
                    glued,
                    last and not text.rstrip(_CLOSERS).endswith(","),
                    last and ends_paragraph,
                )
            )
    return captions


def punctuate(source: str, places: Sequence[tuple[int, int]]) -> list[tuple[str, bool]]:
    """Return each word with the signs around it, and whether it is glued to the word before it."""
    texts: list[str] = []
    glued: list[bool] = []
    end = 0
    for start, stop in places:
        before, after, is_glued = _divide_gap(source[end:start])
        if texts:
            texts[-1] += before
        else:
            after, is_glued = before.strip() + after, False
        spelled = source[start:stop].removeprefix("[[").removesuffix("]]")
        texts.append(after + " ".join(spelled.split()))
        glued.append(is_glued)
        end = max(end, stop)
    if texts:
        tail = _strip_markup(source[end:])
        texts[-1] += tail.rstrip() if not tail[:1].isspace() else ""
    return list(zip(texts, glued, strict=True))


def _divide_gap(gap: str) -> tuple[str, str, bool]:
    """Divide what stands between two words into what belongs to the first and to the second."""
    plain = _strip_markup(gap)
    if not plain.strip():
        return "", "", not gap or (plain == "" and not any(map(str.isspace, gap)))
    if not any(map(str.isspace, plain)):
        return plain, "", True
    pieces = re.split(r"\s+", plain)
    middle = "".join(f" {piece}" for piece in pieces[1:-1])
    return pieces[0] + middle, pieces[-1], False


def _strip_markup(gap: str) -> str:
    """Remove Markdown, HTML tags and citation marks."""
    for pattern in (_CITATION, _TAG, _LINK, _LINE_MARK, _MARKUP):
        gap = pattern.sub("", gap)
    return gap


def make_cues(speech: TimedText) -> list[Cue]:
    """Divide a speech into cues."""
    return divide_words(caption_words(speech), speech.seconds)


def divide_words(words: Sequence[CaptionWord], seconds: float) -> list[Cue]:
    """Divide words into cues, by dynamic programming over the places where one may end.

    Args:
        words: In order.
        seconds: When the last cue ends at the latest.
    """
    costs, begins = [0.0], [0]
    for end in range(1, len(words) + 1):
        best, begin_of_best = math.inf, end - 1
        for begin in range(end - 1, -1, -1):
            cost = _cue_cost(words, begin, end)
            if cost is None:
                break
            if costs[begin] + cost < best:
                best, begin_of_best = costs[begin] + cost, begin
        costs.append(best)
        begins.append(begin_of_best)
    borders = [len(words)]
    while borders[-1]:
        borders.append(begins[borders[-1]])
    borders.reverse()
    groups = [words[a:b] for a, b in itertools.pairwise(borders)]
    limits = [group[0].start - MIN_GAP for group in groups[1:]] + [seconds]
    return [_make_cue(group, limit) for group, limit in zip(groups, limits, strict=True)]


def _cue_cost(words: Sequence[CaptionWord], begin: int, end: int) -> float | None:
    """Return the cost of a cue of words[begin:end]; None if it is too long, and so all longer."""
    group = words[begin:end]
    length = sum([len(word.text) + (not word.glued) for word in group]) - (not group[0].glued)
    if len(group) > 1:
        if group[-1].end - group[0].start > MAX_SECONDS:
            return None
        if any(word.ends_paragraph for word in group[:-1]):
            return None
        if length > MAX_LINES * (MAX_LINE + 1):
            return None
        if not _fits(group, length):
            return math.inf
    cost = _CUE + _SENTENCE_INSIDE * sum(word.ends_sentence for word in group[:-1])
    pauses = (later.start - word.end for word, later in itertools.pairwise(group))
    cost += _PAUSE_INSIDE * sum(max(0.0, pause - _LONG_PAUSE) for pause in pauses)
    until = words[end].start - MIN_GAP if end < len(words) else group[-1].end
    seconds = until - group[0].start
    needed = max(MIN_SECONDS, length / MAX_RATE)
    cost += 6.0 * max(0.0, needed - seconds)
    if end < len(words) and not group[-1].ends_sentence:
        cost += _break_cost(group[-1].text)
        cost += 100.0 * words[end].glued
    return cost


def _break_cost(word: str) -> float:
    bare = word.rstrip(_CLOSERS)
    if bare.endswith((",", ";", ":", "—", "–", ".", "!", "?", "…")):
        return _CLAUSE
    return _TIED if bare.lower() in _TIED_WORDS else _PHRASE


def _join(words: Iterable[CaptionWord]) -> str:
    return "".join(
        word.text if index == 0 or word.glued else " " + word.text
        for index, word in enumerate(words)
    )


def _fits(words: Sequence[CaptionWord], length: int) -> bool:
    """Return whether `_break_lines` finds lines that are short enough, without making them.

    `length` is that of all words in one line.
    """
    if length <= MAX_LINE:
        return True
    first = len(words[0].text)
    for word in words[1:]:
        space = 0 if word.glued else 1
        if first <= MAX_LINE and length - first - space <= MAX_LINE:
            return True
        first += space + len(word.text)
    return False


def _break_lines(words: Sequence[CaptionWord]) -> tuple[str, ...]:
    """Break a cue into lines: at punctuation if it can be, else evenly."""
    whole = _join(words)
    if len(whole) <= MAX_LINE or len(words) == 1:
        return (whole,)
    best: tuple[float, tuple[str, ...]] | None = None
    for at in range(1, len(words)):
        lines = (_join(words[:at]), _join(words[at:]))
        excess = sum(max(0, len(line) - MAX_LINE) for line in lines)
        uneven = abs(len(lines[0]) - len(lines[1]))
        cost = 1000.0 * excess + uneven + 4 * _break_cost(words[at - 1].text)
        cost += 200.0 * words[at].glued
        if best is None or cost < best[0]:
            best = (cost, lines)
    assert best is not None
    return best[1]


def _make_cue(words: Sequence[CaptionWord], limit: float) -> Cue:
    """Return the cue of words; it may stay until `limit` seconds if it would be too short."""
    lines = _break_lines(words)
    start, end = words[0].start, words[-1].end
    needed = max(MIN_SECONDS, sum(map(len, lines)) / MAX_RATE)
    return Cue(start, max(end, min(start + needed, limit)), lines)


def to_srt(speech: TimedText) -> str:
    """Return the subtitles of a speech as SubRip (SRT)."""
    return format_srt(make_cues(speech))


def format_srt(cues: Iterable[Cue]) -> str:
    """Return cues as SubRip (SRT)."""
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n"
        for number, cue in enumerate(cues, 1)
    )


def to_vtt(speech: TimedText) -> str:
    """Return the subtitles of a speech as WebVTT."""
    return format_vtt(make_cues(speech))


def format_vtt(cues: Iterable[Cue]) -> str:
    """Return cues as WebVTT, with a voice span (`<v NAME>`) where a cue has a speaker."""
    blocks = []
    for cue in cues:
        voice = f"<v {_escape(cue.speaker)}>" if cue.speaker else ""
        times = f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}"
        blocks.append(f"{times}\n{voice}{_escape(cue.text)}\n")
    return "\n".join(["WEBVTT\n", *blocks])


def to_words(speech: TimedText, marks: Iterable[SpokenMark] = ()) -> str:
    """Return the words of a speech as JSON: a list of objects with `word`, `start` and `end`.

    Among them, in the order of time, are marks: objects with `mark` and `start`.
    """
    words = [_describe_word(word) for word in caption_words(speech)]
    named = [{"mark": mark.name, "start": round(mark.start, 3)} for mark in marks]
    return format_json_lines(heapq.merge(named, words, key=lambda item: float(item["start"])))


def format_words(captions: Iterable[CaptionWord]) -> str:
    """Return words as `to_words` does."""
    return format_json_lines(map(_describe_word, captions))


def _describe_word(word: CaptionWord) -> dict[str, Any]:
    return {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}


def format_json_lines(words: Iterable[dict[str, Any]]) -> str:
    """Return a list in JSON, one object a line."""
    lines = ",\n".join(" " + json.dumps(word, ensure_ascii=False) for word in words)
    return f"[\n{lines}\n]\n"


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
