"""How each line of a text will be read: its words, pauses, phonemes, and what is skipped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from valle.text.delivery import DirectedText
from valle.text.notations import parse_text
from valle.text.passages import read_passage
from valle.text.reading import Reading, make_reading
from valle.text.segmentation import Sentence
from valle.text.tokens import Skipped

PAUSE = "|"
_LANGUAGE = "en-us"
_TAG = re.compile(r"\[[^\[\]\n]+\]")
_STRESS = ("", "ˌ", "ˈ")


@dataclass
class LineReading:
    """How a line will be read."""

    text: str
    spoken: str
    """The words; "|" is a pause."""
    phonemes: str
    """IPA with stress marks; words are apart by a space, "|" is a pause."""
    skipped: list[dict[str, str]] = field(default_factory=list)
    """Parts that are not spoken: `text` and `why`."""

    def describe(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def phonemize(
    text: str, plain: bool = False, lexicon: str | Path | Mapping[str, str] | None = None
) -> list[LineReading]:
    """Return how a text will be read, line by line.

    The text is read as a whole: a word that is hyphenated at the end of a line counts to the line
    in which it begins. Tags in brackets are directions, and listed with what is not spoken.

    Args:
        text: Any Unicode string.
        plain: Whether tags and marks of Markdown and HTML are text too.
        lexicon: A lexicon's file, or words and their respelling or IPA.

    Raises:
        TextError: A tag in brackets is unknown, or its value is wrong.
        UsageError: The lexicon cannot be read, or has a wrong pronunciation.
    """
    reading = make_reading(plain, lexicon)
    directed = parse_text(text, plain)
    sentences, skipped = _read_sentences(directed, reading)
    words = [word for sentence in sentences for word in _read_words(sentence)]
    lines: list[LineReading] = []
    start = 0
    at = skip = 0
    for line in text.splitlines(keepends=True):
        end = start + len(line)
        spoken: list[str] = []
        phonemes: list[str] = []
        while at < len(words) and words[at][0] < end:
            spoken += words[at][1]
            phonemes += words[at][2]
            at += 1
        parts: list[Skipped] = []
        while skip < len(skipped) and skipped[skip].start < end:
            parts.append(skipped[skip])
            skip += 1
        if line.strip():
            why = [{"text": part.text, "why": part.why} for part in parts]
            lines.append(
                LineReading(line.rstrip("\r\n"), " ".join(spoken), " ".join(phonemes), why)
            )
        start = end
    return lines


def _read_sentences(
    directed: DirectedText, reading: Reading
) -> tuple[list[Sentence], list[Skipped]]:
    """Return the sentences of all passages, and what is not spoken, in order."""
    sentences: list[Sentence] = []
    skipped = list(_find_tags(directed))
    for passage in directed.passages:
        for segment in read_passage(passage, _LANGUAGE, reading):
            skipped += segment.skipped
            sentence = segment.sentence
            if sentence is None:
                continue
            if segment.pause_after == 0.0 and sentence.phonemes[-1].word < 0:
                sentence = replace(sentence, phonemes=sentence.phonemes[:-1])  # it goes on
            sentences.append(sentence)
    return sentences, sorted(skipped, key=lambda part: part.start)


def _find_tags(directed: DirectedText) -> Iterator[Skipped]:
    """Yield the tags, which stand between the passages."""
    end = 0
    spans = [(p.start, p.start + len(p.text)) for p in directed.passages if p.text]
    for start, following in [*spans, (len(directed.text), 0)]:
        for tag in _TAG.finditer(directed.text, end, start):
            yield Skipped(tag.start(), tag.end(), tag[0], "a direction")
        end = following


def _read_words(sentence: Sentence) -> list[tuple[int, list[str], list[str]]]:
    """Return for each word its start, what is spoken and its IPA, with the pause after it."""
    ipa = [""] * len(sentence.words)
    pauses = [False] * len(sentence.words)
    last = -1
    for phoneme in sentence.phonemes:
        if phoneme.word >= 0:
            ipa[phoneme.word] += _STRESS[phoneme.stress] + phoneme.symbol
            last = phoneme.word
        elif phoneme.symbol == " " and last >= 0:
            ipa[last] += " "
        elif last >= 0:
            pauses[last] = True
    return [
        (
            word.start,
            [word.spoken, *([PAUSE] if pause else [])],
            [sounds.strip(), *([PAUSE] if pause else [])],
        )
        for word, sounds, pause in zip(sentence.words, ipa, pauses, strict=True)
    ]
