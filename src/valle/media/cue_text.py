"""The text of a subtitle as it is spoken: without tags, sounds, music notes and names of speakers.

Subtitles for the deaf and hard of hearing (SDH) describe sounds in brackets, name speakers in
capitals with a colon, and mark music by notes. Two speakers in one cue have a dash each.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from dataclasses import dataclass

_OVERRIDES = re.compile(r"\{[^{}]*\}")
_DRAWING_SCALE = re.compile(r"\\p(\d+)")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]*)>")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<\d[\d:.]*>|</>")
_IPA = re.compile(r"\[\[.*?\]\]", re.DOTALL)
_BRACKETS = re.compile(r"\[[^\[\]]*\]")
_PARENTHESES = re.compile(r"\(([^()]*)\)")
_MUSIC = re.compile(r"[♪♫♬♩🎵🎶]")
_HASHED = re.compile(r"^\s*#.*#\s*$")
_DASH = re.compile(r"^\s*[-‐‑–—]+\s*(?=\S)")
_CHEVRONS = re.compile(r"^\s*>{2,3}\s*")
_PREFIX = re.compile(
    r"^\s*([^\W\d_][\w .'’&#-]{0,39}?)\s*:\s+(?=\S)|^\s*([^\W\d_][\w .'’&#-]{0,39}?)\s*:\s*$"
)
_HAS_WORD = re.compile(r"\w")


@dataclass(frozen=True)
class SpokenLine:
    """What one speaker says in a cue."""

    text: str
    """On one line."""
    speaker: str | None


@dataclass(frozen=True)
class CleanedText:
    """The text of a cue, divided into what is spoken and what is not."""

    lines: list[SpokenLine]
    """One per speaker; empty if nothing is spoken."""
    left_out: list[str]
    """Sounds, music and drawings, as they are written."""
    shown: str
    """What a viewer reads: without tags, with its line ends."""


def clean_cue(
    text: str, speaker: str | None = None, known_speakers: Collection[str] = ()
) -> CleanedText:
    r"""Divide the text of a cue into what each speaker says.

    Args:
        text: With the tags of SubRip, WebVTT or ASS; lines end with a line feed or ASS's `\N`.
        speaker: Who speaks, if the file says so elsewhere (ASS's `Name`).
        known_speakers: Names that count before a colon even if they are not in capitals.
    """
    text, drawings = _remove_overrides(text)
    left_out = ["a drawing"] * drawings
    voices: list[SpokenLine] = []
    shown: list[str] = []
    for part, voice in _split_voices(text, speaker):
        plain = html.unescape(_TAG.sub("", part)).replace("\xa0", " ").replace("\u200b", "")
        rows = [row.strip() for row in plain.split("\n") if row.strip()]
        shown += rows
        voices += _read_rows(rows, voice, known_speakers, left_out)
    return CleanedText(voices, left_out, "\n".join(shown))


def _remove_overrides(text: str) -> tuple[str, int]:
    """Remove ASS's override blocks, and the drawings that they begin; also count these."""
    pieces, drawings, drawing, position = [], 0, False, 0
    for block in [*_OVERRIDES.finditer(text), None]:
        piece = text[position : block.start() if block else len(text)]
        if not drawing:
            pieces.append(piece)
        if block is None:
            break
        position = block.end()
        for scale in _DRAWING_SCALE.findall(block[0]):
            drawing = scale.strip("0") != ""
            drawings += drawing
    joined = "".join(pieces)
    return re.sub(r"\\[Nn]", "\n", joined).replace("\\h", " "), drawings


def _split_voices(text: str, speaker: str | None) -> list[tuple[str, str | None]]:
    """Divide a text at WebVTT's voice tags."""
    pieces = _VOICE.split(text)
    parts = [(pieces[0], speaker)] if pieces[0].strip() else []
    for name, part in zip(pieces[1::2], pieces[2::2], strict=True):
        parts.append((part, html.unescape(name).strip() or speaker))
    return parts


def _read_rows(
    rows: list[str], speaker: str | None, known: Collection[str], left_out: list[str]
) -> list[SpokenLine]:
    """Return what is spoken in the rows of a cue; what is not goes to `left_out`."""
    joined = _remove_sounds("\n".join(rows), left_out)
    if _is_song(joined):
        left_out.append(" ".join(joined.split()))
        return []
    voices: list[tuple[str | None, list[str]]] = []
    rows = [row for row in joined.split("\n") if row.strip()]
    dashes = sum(bool(_DASH.match(row)) for row in rows)
    for row in rows:
        if _is_music(row):
            left_out.append(row.strip())
            continue
        changes = bool(_CHEVRONS.match(row)) or (dashes > 1 and bool(_DASH.match(row)))
        row = _DASH.sub("", _CHEVRONS.sub("", row), count=1)
        name, row = _split_prefix(row, known)
        if not voices or changes or name is not None:
            voices.append((name or speaker, []))
        voices[-1][1].append(row.strip())
    spoken = ((name, " ".join(" ".join(said).split())) for name, said in voices)
    return [SpokenLine(text, name) for name, text in spoken if _HAS_WORD.search(text)]


def _remove_sounds(text: str, left_out: list[str]) -> str:
    """Remove what is in brackets, and parentheses that describe a sound or name a speaker.

    IPA in double brackets stays. Parentheses inside a sentence stay too: they are spoken, unless
    they are in capitals.
    """
    ipa: list[str] = []

    def keep(match: re.Match[str]) -> str:
        ipa.append(match[0])
        return f"\0{len(ipa) - 1}\0"

    def leave_out(match: re.Match[str]) -> str:
        left_out.append(" ".join(match[0].split()))
        return " "

    def leave_out_sound(match: re.Match[str]) -> str:
        before = text[: match.start()].rpartition("\n")[2].strip(" -‐‑–—>")
        after = text[match.end() :].partition("\n")[0].strip(" .!?,:")
        inside = match[1]
        is_sound = not before or inside.upper() == inside
        if not _HAS_WORD.search(inside) or is_sound or (not after and inside.lower() == inside):
            return leave_out(match)
        return match[0]

    text = _IPA.sub(keep, text)
    text = _BRACKETS.sub(leave_out, text)
    text = _PARENTHESES.sub(leave_out_sound, text)
    text = re.sub(r"^(\s*[-‐‑–—>]*\s*):\s+", r"\1", text, flags=re.MULTILINE)  # of "[MAN]: Hello"
    return re.sub("\0(\\d+)\0", lambda match: ipa[int(match[1])], text)


def _is_music(row: str) -> bool:
    return bool(_MUSIC.search(row) or _HASHED.match(row))


def _is_song(rows: str) -> bool:
    """Whether several rows stand between one pair of notes."""
    ends = rows.strip()[:1], rows.strip()[-1:]
    return all(end and _MUSIC.match(end) for end in ends) or ends == ("#", "#")


def _split_prefix(row: str, known: Collection[str]) -> tuple[str | None, str]:
    """Split `NAME: text`; the name is in capitals, or known."""
    match = _PREFIX.match(row)
    if match is None:
        return None, row
    name = " ".join((match[1] or match[2]).split())
    capitals = name.upper() == name and sum(map(str.isalpha, name)) > 1
    if not capitals and name.casefold() not in {other.casefold() for other in known}:
        return None, row
    return name, row[match.end() :]
