"""Captions of a recording or film: the words of its script, when they are said.

Only what is said is captioned. Cues follow the rules of `valle.synthesis.subtitles`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from valle.errors import TextError, UsageError
from valle.files import write_atomically
from valle.runtime.transcript import TimedTranscript, TranscriptWord
from valle.synthesis.source_text import SourceText, WrittenSentence
from valle.synthesis.subtitles import (
    CaptionWord,
    Cue,
    divide_words,
    format_srt,
    format_vtt,
    format_words,
    punctuate,
)

DOUBTFUL_SCORE = 0.1  # of words, below which a script may not be what is said


@dataclass(frozen=True)
class Captions:
    """The words of a transcript that are said, as they are written."""

    words: list[CaptionWord]
    left_out: list[TranscriptWord]
    """Words that are not said."""
    seconds: float
    """Length of the recording."""
    score: float
    """0 to 1, the mean probability of what is said."""

    @property
    def cues(self) -> list[Cue]:
        """What is shown when."""
        return divide_words(self.words, max(self.seconds, self.words[-1].end))

    def to_srt(self) -> str:
        """Return SubRip (SRT)."""
        return format_srt(self.cues)

    def to_vtt(self) -> str:
        """Return WebVTT."""
        return format_vtt(self.cues)

    def to_words(self) -> str:
        """Return a list in JSON of objects with `word`, `start` and `end`."""
        return format_words(self.words)

    def to_ass(self) -> str:
        """Return ASS in which each word lights up when it is said (karaoke).

        Raises:
            UsageError: pysubs2 is not installed.
        """
        return _format_karaoke(self.cues, self.words)


WRITERS: dict[str, Callable[[Captions], str]] = {
    ".srt": Captions.to_srt,
    ".vtt": Captions.to_vtt,
    ".ass": Captions.to_ass,
    ".json": Captions.to_words,
}
"""What makes the contents of a file with each ending."""


def make_captions(transcript: TimedTranscript) -> Captions:
    """Return the captions of a transcript from `valle.Model.align`.

    Raises:
        TextError: Nothing of it is said in the recording.
    """
    source = SourceText(transcript.text)
    written: list[WrittenSentence] = []
    for timed in transcript.sentences:
        previous_end = written[-1].end if written else None
        written.append(source.locate(timed.sentence, previous_end))
    words: list[CaptionWord] = []
    left_out: list[TranscriptWord] = []
    spoken = transcript.words
    by_sentence: dict[int, list[TranscriptWord]] = {}
    for word in spoken:
        by_sentence.setdefault(word.sentence, []).append(word)
    for number, sentence in enumerate(written):
        ends_paragraph = number + 1 == len(written) or written[number + 1].begins_paragraph
        of_sentence = by_sentence.get(number, [])
        words += _write_words(sentence, of_sentence, ends_paragraph)
        left_out += [word for word in of_sentence if word.start is None]
    scores = [word.score for word in spoken if word.start is not None]
    if not scores:
        raise TextError(
            "no word of the script was heard in the recording; give the text that is said in it"
        )
    return Captions(words, left_out, transcript.seconds, sum(scores) / len(scores))


def check_caption_name(target: str | Path) -> str:
    """Return the ending of a name, in small letters.

    Raises:
        UsageError: It is none of `WRITERS`.
    """
    ending = Path(target).suffix.lower()
    if ending not in WRITERS:
        raise UsageError(
            f"{target} ends with {ending or 'nothing'}; captions are written as "
            + ", ".join(WRITERS)
        )
    return ending


def write_captions_file(captions: Captions, target: Path, overwrite: bool = True) -> None:
    """Write captions; the ending of the name is the format, one of `WRITERS`.

    Raises:
        UsageError: The ending is unknown, or pysubs2 is needed for it and not installed.
        OutputError: The file cannot be written.
        FileExistsError: It exists, and `overwrite` is False.
    """
    contents = WRITERS[check_caption_name(target)](captions)
    with write_atomically(target, overwrite) as temporary:
        temporary.write_text(contents, encoding="utf-8")


def _write_words(
    sentence: WrittenSentence, words: Sequence[TranscriptWord], ends_paragraph: bool
) -> list[CaptionWord]:
    """Return the words of a sentence that are said, with the punctuation around them."""
    places = [(word.text_start - sentence.start, word.text_end - sentence.start) for word in words]
    texts = punctuate(sentence.text, places)
    said = [
        (text, glued, word.start, word.end)
        for (text, glued), word in zip(texts, words, strict=True)
        if word.start is not None and word.end is not None
    ]
    return [
        CaptionWord(
            text,
            start,
            end,
            glued and index > 0,
            ends_sentence=index == len(said) - 1,
            ends_paragraph=index == len(said) - 1 and ends_paragraph,
        )
        for index, (text, glued, start, end) in enumerate(said)
    ]


def _format_karaoke(cues: Sequence[Cue], words: Sequence[CaptionWord]) -> str:
    try:
        import pysubs2
    except ImportError:
        raise UsageError(
            "writing ASS needs the extra `media`: pip install 'valle[media]'"
        ) from None
    file = pysubs2.SSAFile()
    style = file.styles["Default"]
    style.primarycolor = pysubs2.Color(255, 220, 90)  # of words that were said
    style.secondarycolor = pysubs2.Color(255, 255, 255)  # of words to come
    file.info["WrapStyle"] = "2"  # lines break where the text says so
    remaining = list(words)
    for cue in cues:
        pieces, moment = [], cue.start
        for line in cue.lines:
            left, parts = line, []
            while left.strip() and remaining:
                word = remaining.pop(0)
                length = len(left) - len(left.lstrip()) + len(word.text)
                # What is between two words belongs to the first: it lights up until the next.
                following = remaining[0].start if remaining else word.end
                until = min(max(word.end, following), cue.end)
                text = left[:length].replace("{", "(").replace("}", ")")
                if word.start > moment:
                    parts.append(f"{{\\k{_centiseconds(moment, word.start)}}}")
                begin = max(moment, word.start)
                parts.append(f"{{\\k{_centiseconds(begin, until)}}}{text}")
                left, moment = left[length:], max(begin, until)
            pieces.append("".join(parts) + left)
        event = pysubs2.SSAEvent(round(cue.start * 1000), round(cue.end * 1000))
        event.text = "\\N".join(pieces)
        file.append(event)
    return str(file.to_string("ass"))


def _centiseconds(start: float, end: float) -> int:
    """Return a length so that rounding does not add up: both ends are rounded."""
    return round(end * 100) - round(start * 100)
