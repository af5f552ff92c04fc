"""Reading subtitles: SubRip (SRT), WebVTT, and ASS or SSA, as what is to be spoken when.

The contents of a file say what it is; its name does not count. ASS is read by pysubs2 (extra
`media`). SubRip and WebVTT are read here: pysubs2 takes the identifiers of WebVTT's cues for text,
drops a last line that is a number, and reads negative times as positive.

Nothing is dropped silently: `Subtitles.notes` has all that was repaired or is not spoken.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from valle.errors import TextError, UsageError
from valle.files import write_atomically
from valle.media.cue_text import clean_cue

_MAX_BYTES = 64 << 20
_TIME = r"(-?)(?:(\d{1,5}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_TIMES = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_VTT_BLOCK = re.compile(r"^(?:NOTE|STYLE|REGION)\b")
_INSTALL = "`pip install 'valle[media]'`, or `pip install '.[media]'` in a checkout"


@dataclass(frozen=True)
class Cue:
    """What one speaker says at one time."""

    number: int
    """Of the cue in its file, from 1."""
    part: int
    """From 0: several speakers in one cue have a part each, one after the other."""
    start: float
    """Seconds."""
    end: float
    """Seconds; above `start`."""
    text: str
    """What is spoken, on one line."""
    speaker: str | None
    shown: str
    """What a viewer reads, with its line ends."""

    @property
    def label(self) -> str:
        """The number, with the part where there are several: `12` or `12.2`."""
        return f"{self.number}.{self.part + 1}" if self.part else str(self.number)


@dataclass(frozen=True)
class CueNote:
    """What was repaired in a cue, or why something of it is not spoken."""

    number: int
    """Of the cue in its file, from 1; 0 for the whole file."""
    message: str

    def __str__(self) -> str:
        return f"cue {self.number}: {self.message}" if self.number else self.message


@dataclass(frozen=True)
class Subtitles:
    """The cues of a file in the order of their times."""

    cues: list[Cue]
    notes: list[CueNote]


@dataclass(frozen=True)
class _Event:
    """A cue as it is in the file."""

    number: int
    start: float
    end: float
    text: str
    speaker: str | None = None


def read_subtitles(path: str | Path, known_speakers: Collection[str] = ()) -> Subtitles:
    """Read a file of subtitles.

    Args:
        path: SubRip, WebVTT, ASS or SSA, in UTF-8, UTF-16 or Windows-1252.
        known_speakers: Names that count before a colon even if they are not in capitals.

    Raises:
        TextError: The file cannot be read, is not one of these, or nothing in it is spoken.
        UsageError: It is ASS, and pysubs2 is not installed.
    """
    text, notes = _decode(path)
    if "[Script Info]" in text[:4096] or re.search(r"^\[V4\+? Styles\]", text, re.MULTILINE):
        events = _read_ass(path, text, notes)
    else:
        events = _read_blocks(text)
    if not events:
        raise TextError(
            f"{path} has no cue: it is not SubRip (SRT), WebVTT or ASS, or it is empty; a cue has "
            "a line like 00:00:01,000 --> 00:00:03,000"
        )
    cues = _make_cues(_repair(events, notes), known_speakers, notes)
    if not cues:
        raise TextError(f"nothing in {path} is spoken: {_summarize(notes)}")
    return Subtitles(cues, notes)


def to_srt(cues: Iterable[tuple[float, float, str]]) -> str:
    """Return cues of (start, end, text) as SubRip; the times are in seconds."""
    return "\n".join(
        f"{number}\n{format_time(start)} --> {format_time(end)}\n{text}\n"
        for number, (start, end, text) in enumerate(cues, 1)
    )


def write_srt(
    path: str | Path, cues: Iterable[tuple[float, float, str]], overwrite: bool = True
) -> None:
    """Write cues of (start, end, text) as SubRip.

    Raises:
        OutputError: The file cannot be written.
        FileExistsError: It exists, and `overwrite` is False.
    """
    with write_atomically(path, overwrite) as temporary:
        temporary.write_text(to_srt(cues), encoding="utf-8")


def format_time(seconds: float, point: str = ",") -> str:
    """Return a time as SubRip writes it, or WebVTT with `point` "."."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _decode(path: str | Path) -> tuple[str, list[CueNote]]:
    try:
        if Path(path).stat().st_size > _MAX_BYTES:
            raise TextError(f"{path} is over 64 MiB, too large for subtitles")
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TextError(f"cannot read the subtitles {path}: {reason}") from error
    notes: list[CueNote] = []
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace")
    else:
        if b"\0" in data[:4096]:
            raise TextError(
                f"{path} is not a text file; give subtitles as SubRip (SRT), WebVTT or ASS"
            )
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", "replace")
            notes.append(CueNote(0, f"{path} is not UTF-8; it was read as Windows-1252"))
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", ""), notes


def _read_blocks(text: str) -> list[_Event]:
    """Read SubRip or WebVTT: a line with times, and the lines after it.

    A cue ends before an empty line that is followed by another cue's head, so that a cue of SubRip
    may have empty lines, as some have.
    """
    lines = text.split("\n")
    heads = [index for index, line in enumerate(lines) if _TIMES.match(line)]
    is_vtt = text.lstrip().startswith("WEBVTT")
    events = []
    for number, head in enumerate(heads):
        match = _TIMES.match(lines[head])
        assert match is not None
        end = len(lines)
        if number + 1 < len(heads):
            end = heads[number + 1]
            # The identifier of the next cue: it follows an empty line, unless this cue is empty.
            if end - 1 > head and lines[end - 1].strip():
                apart = not lines[end - 2].strip() or end - 2 == head
                end -= apart or lines[end - 1].strip() == str(number + 2)
        body = lines[head + 1 : end]
        if is_vtt:
            body = _take_block(body)
        start, stop = _to_seconds(match.groups()[:5]), _to_seconds(match.groups()[5:])
        events.append(_Event(number + 1, start, stop, "\n".join(body).strip()))
    return events


def _take_block(lines: Sequence[str]) -> list[str]:
    """Return the lines before the first empty one; comments and styles of WebVTT come after it."""
    body: list[str] = []
    for line in lines:
        if not line.strip() or _VTT_BLOCK.match(line):
            break
        body.append(line)
    return body


def _to_seconds(groups: Sequence[str | None]) -> float:
    sign, hours, minutes, seconds, fraction = groups
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return (-1 if sign else 1) * (whole + float(f"0.{fraction or 0}"))


def _read_ass(path: str | Path, text: str, notes: list[CueNote]) -> list[_Event]:
    try:
        import pysubs2
    except ImportError:
        raise UsageError(
            f"{path} is ASS; reading it needs the extra `media` ({_INSTALL})"
        ) from None
    try:
        file = pysubs2.SSAFile.from_string(text, format_="ass")
    except (pysubs2.Pysubs2Error, ValueError, LookupError) as error:
        raise TextError(f"{path} cannot be read as ASS: {error}") from error
    events = []
    for number, event in enumerate(file, 1):
        if event.is_comment:
            continue
        if event.effect.strip().lower() == "fx":  # the syllables of karaoke, made from a comment
            notes.append(CueNote(number, "an effect of karaoke, not spoken"))
            continue
        speaker = event.name.strip() or None
        events.append(_Event(number, event.start / 1000, event.end / 1000, event.text, speaker))
    return events


def _repair(events: Iterable[_Event], notes: list[CueNote]) -> list[_Event]:
    """Return the events by their start, each with a positive length where that is possible."""
    kept: list[_Event] = []
    for event in events:
        if kept and event.start < kept[-1].start:
            notes.append(CueNote(event.number, "begins before the cue above it; sorted by time"))
        if max(event.start, event.end) <= 0 and event.start < 0:
            notes.append(CueNote(event.number, "is before the beginning, at a negative time"))
            continue
        if event.start < 0:
            notes.append(CueNote(event.number, "begins at a negative time; taken as 0"))
            event = replace(event, start=0.0)
        kept.append(event)
    kept.sort(key=lambda event: (event.start, event.number))
    starts = [event.start for event in kept]
    repaired = []
    for event, following in zip(kept, [*kept[1:], None], strict=True):
        if event.end <= event.start:
            how = "ends before it begins" if event.end < event.start else "has no length"
            place = bisect.bisect_right(starts, event.start)
            later = starts[place : place + 1]
            end = min([event.start + _estimate_seconds(event.text), *later])
            notes.append(CueNote(event.number, f"{how}; taken to end at {format_time(end)}"))
            event = replace(event, end=end)
        elif following and event.start < following.start < event.end:
            notes.append(
                CueNote(event.number, f"overlaps cue {following.number}; it ends where that begins")
            )
            event = replace(event, end=following.start)
        repaired.append(event)
    return repaired


def _estimate_seconds(text: str) -> float:
    return max(0.5, len(clean_cue(text).shown) / 15.0)


def _make_cues(events: Sequence[_Event], known: Collection[str], notes: list[CueNote]) -> list[Cue]:
    """Return what is spoken; events that begin together, and several speakers, take turns."""
    cues: list[Cue] = []
    groups: list[list[_Event]] = []
    for event in events:
        if groups and groups[-1][0].start == event.start:
            notes.append(
                CueNote(event.number, f"begins together with cue {groups[-1][0].number}; after it")
            )
            groups[-1].append(event)
        else:
            groups.append([event])
    for index, group in enumerate(groups):
        spoken = []
        for event in group:
            cleaned = clean_cue(event.text, event.speaker, known)
            if cleaned.left_out:
                what = ", ".join(cleaned.left_out)
                notes.append(CueNote(event.number, f"not spoken: {what}"))
            elif not cleaned.lines:
                notes.append(CueNote(event.number, "is empty"))
            spoken += [(event, part, line) for part, line in enumerate(cleaned.lines)]
        start, end = group[0].start, max(event.end for event in group)
        if index + 1 < len(groups):
            end = min(end, groups[index + 1][0].start)
        total = sum(len(line.text) for _, _, line in spoken)
        said = 0
        for event, part, line in spoken:
            begin = start + (end - start) * said / total
            said += len(line.text)
            stop = start + (end - start) * said / total
            shown = clean_cue(event.text).shown if len(spoken) == 1 else line.text
            cues.append(Cue(event.number, part, begin, stop, line.text, line.speaker, shown))
    return cues


def _summarize(notes: Sequence[CueNote]) -> str:
    shown = "; ".join(map(str, notes[:5]))
    return f"{shown}; and {len(notes) - 5} more" if len(notes) > 5 else shown or "it has no text"
