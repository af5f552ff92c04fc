"""Which words of a transcript change: found by their spelling, or by a new transcript."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from valle.errors import TextError
from valle.runtime.transcript import TimedTranscript, TranscriptWord
from valle.text.segmentation import split_sentences

_SHOWN = 8  # places that an error names
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True)
class Change:
    """Words `first` up to `last` (not included) of a transcript become `text`.

    Where both are equal, words are inserted before word `first`; an empty text deletes.
    """

    first: int
    last: int
    text: str


def replace_words(
    transcript: TimedTranscript, old: str, new: str, occurrence: int | None = None
) -> Change:
    """Return the change that replaces words.

    Args:
        transcript: From `Model.align`.
        old: Words that follow each other in it; case and punctuation do not matter.
        new: What is said in their place.
        occurrence: Which of several places is meant, from 1.

    Raises:
        TextError: They do not occur, or in several places, or there is nothing in their place.
    """
    if not _split_words(new):
        raise TextError("the replacement is empty; to remove words, give them to --delete")
    first, last = _find_words(transcript, old, occurrence)
    if _split_words(old) == _split_words(new):
        raise TextError(f"{old!r} and {new!r} are the same words; there is nothing to change")
    return Change(first, last, new.strip())


def delete_words(transcript: TimedTranscript, old: str, occurrence: int | None = None) -> Change:
    """Return the change that removes words. Arguments and errors are as for `replace_words`."""
    return Change(*_find_words(transcript, old, occurrence), "")


def insert_words(
    transcript: TimedTranscript, new: str, after: str, occurrence: int | None = None
) -> Change:
    """Return the change that adds words after others.

    Raises:
        TextError: `new` is empty, or `after` does not occur, or in several places.
    """
    if not _split_words(new):
        raise TextError("there are no words to insert; give at least one")
    _, last = _find_words(transcript, after, occurrence)
    return Change(last, last, new.strip())


def compare_transcripts(transcript: TimedTranscript, new_text: str) -> list[Change]:
    """Return the changes that turn a transcript into another one, word by word.

    Raises:
        TextError: The new one has no words, or the same ones.
    """
    new = [word for sentence in split_sentences(new_text)[0] for word in sentence.words]
    old_spelling = [normalize_word(word.text) for word in transcript.words]
    new_spelling = [normalize_word(word.text) for word in new]
    matcher = difflib.SequenceMatcher(None, old_spelling, new_spelling, autojunk=False)
    changes = [
        Change(first, last, new_text[new[begin].start : new[end - 1].end] if end > begin else "")
        for kind, first, last, begin, end in matcher.get_opcodes()
        if kind != "equal"
    ]
    if not changes:
        raise TextError("the new transcript has the same words as the recording; change some")
    return changes


def apply_changes(
    transcript: TimedTranscript, changes: Sequence[Change]
) -> tuple[str, list[tuple[int, int]]]:
    """Return the text after changes, and where each change's words are in it, in characters.

    Args:
        transcript: From `Model.align`.
        changes: In the order of the text, none within another.

    Raises:
        TextError: Two of them overlap.
    """
    words, parts, spans = transcript.words, [], []
    position = length = 0
    for change in changes:
        if change.first < change.last:
            start, end = words[change.first].text_start, words[change.last - 1].text_end
        else:
            start = end = words[change.first - 1].text_end if change.first else 0
        if start < position:
            raise TextError("two changes are about the same words; make them one")
        inserted = change.text
        before = " " if inserted and start == end and start else ""
        after = " " if inserted and start == end and not start else ""
        parts += [transcript.text[position:start], before, inserted, after]
        begin = length + start - position + len(before)
        spans.append((begin, begin + len(inserted)))
        length = begin + len(inserted) + len(after)
        position = end
    return "".join([*parts, transcript.text[position:]]), spans


def _find_words(
    transcript: TimedTranscript, wanted: str, occurrence: int | None
) -> tuple[int, int]:
    """Return the place of words in a transcript: the first of them, and the one after the last."""
    spelling = _split_words(wanted)
    if not spelling:
        raise TextError("there are no words to look for; write them as the transcript does")
    words = transcript.words
    known = [normalize_word(word.text) for word in words]
    count = len(spelling)
    places = [at for at in range(len(known) - count + 1) if known[at : at + count] == spelling]
    if not places:
        raise TextError(f"{wanted!r} is not in the text{_suggest(spelling, known, words)}")
    if occurrence is None and len(places) > 1:
        raise TextError(
            f"{wanted!r} occurs {len(places)} times: {_list_places(words, places, count)}; "
            "choose one with --occurrence"
        )
    if occurrence is not None and not 1 <= occurrence <= len(places):
        raise TextError(
            f"--occurrence {occurrence}: {wanted!r} occurs {len(places)} times: "
            f"{_list_places(words, places, count)}"
        )
    first = places[(occurrence or 1) - 1]
    return first, first + count


def _suggest(spelling: list[str], known: list[str], words: Sequence[TranscriptWord]) -> str:
    """Return a hint at the first word that the text does not have, or at their order."""
    for word in spelling:
        if word not in known:
            close = difflib.get_close_matches(word, known, n=1)
            hint = f"; did you mean {words[known.index(close[0])].text!r}?" if close else ""
            return hint or f": it does not have {word!r}"
    return "; these words do not follow each other"


def _list_places(words: Sequence[TranscriptWord], places: Sequence[int], count: int) -> str:
    """Return where words occur, with their times and neighbors."""
    shown = []
    for number, at in enumerate(places[:_SHOWN], start=1):
        start = words[at].start
        time = "not heard" if start is None else f"{start:.2f} s"
        context = " ".join(word.text for word in words[max(0, at - 2) : at + count + 2])
        shown.append(f"{number} at {time} ({context})")
    return ", ".join(shown) + (", ..." if len(places) > _SHOWN else "")


def _split_words(text: str) -> list[str]:
    return [word for word in map(normalize_word, text.split()) if word]


def normalize_word(word: str) -> str:
    """Return a word as it is compared: without its case and the punctuation around it."""
    return _EDGES.sub("", word.casefold().replace("\u2019", "'"))
