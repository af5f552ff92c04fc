"""Folders of recordings as people have them: what is spoken in each file, and by whom.

Each layout is a function that finds its recordings in a folder, or nothing if the folder is laid
out differently. The first that finds any is used.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from valle.errors import UsageError

AUDIO = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif", ".au", ".w64"})
"""Endings of the files that are taken to be recordings."""
_BESIDE = (".txt", ".lab", ".normalized.txt", ".original.txt")
_MICROPHONE = re.compile(r"_mic\d$")


@dataclass(frozen=True)
class Found:
    """A recording that a layout names.

    Attributes:
        audio: the file, which may be missing.
        text: what is said in it; None if that is not known.
        speaker: None if the layout does not say.
    """

    audio: Path
    text: str | None = None
    speaker: str | None = None


@dataclass(frozen=True)
class Layout:
    """How a kind of corpus is laid out.

    Attributes:
        name: of the layout, and of the corpus if it is a published one.
        license: of the published corpus; None for folders of one's own.
        find: yields the recordings of a folder.
    """

    name: str
    license: str | None
    find: Callable[[Path], Iterator[Found]]


def find_recordings(folder: Path, layout: str | None = None) -> tuple[Layout, list[Found]]:
    """Find the recordings of a folder.

    Args:
        folder: to search.
        layout: the name of its layout; None: the first that fits.

    Returns:
        The layout, and the recordings in the order of their names.

    Raises:
        UsageError: the folder is missing or has no recordings, or a table in it is malformed.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    for candidate in LAYOUTS:
        if layout not in (None, candidate.name):
            continue
        found = sorted(candidate.find(folder), key=lambda one: str(one.audio))
        if found:
            return candidate, found
    wanted = f" laid out as {layout}" if layout else ""
    raise UsageError(
        f"{folder} has no recordings{wanted}: files that end with {', '.join(sorted(AUDIO))}"
    )


def list_audio(folder: Path) -> list[Path]:
    """All files below a folder that are named as recordings, except hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO and not path.name.startswith(".") and not path.is_dir()
    )


def _find_common_voice(folder: Path) -> Iterator[Found]:
    """Common Voice: tables with `client_id`, `path` and `sentence`, recordings in clips/."""
    tables = sorted(folder.glob("*.tsv"))
    validated = [table for table in tables if table.name == "validated.tsv"]
    seen = set()
    for table in validated or tables:
        for row in _read_table(table, "\t"):
            if not {"client_id", "path", "sentence"} <= row.keys() or row["path"] in seen:
                continue
            seen.add(row["path"])
            yield Found(folder / "clips" / row["path"], row["sentence"], row["client_id"])


def _find_librispeech(folder: Path) -> Iterator[Found]:
    """LibriSpeech: SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt, a line of id and text each."""
    for transcripts in sorted(folder.rglob("*.trans.txt")):
        for line in _read_text(transcripts).splitlines():
            name, _, text = line.strip().partition(" ")
            if name:
                audio = _find_with_ending(transcripts.parent, name)
                yield Found(audio or transcripts.parent / name, text, name.partition("-")[0])


def _find_libritts(folder: Path) -> Iterator[Found]:
    """LibriTTS: SPEAKER/CHAPTER/NAME.wav, with NAME.normalized.txt next to it."""
    for transcript in sorted(folder.rglob("*.normalized.txt")):
        audio = transcript.with_name(transcript.name.removesuffix(".normalized.txt") + ".wav")
        yield Found(audio, _read_text(transcript).strip(), transcript.name.partition("_")[0])


def _find_vctk(folder: Path) -> Iterator[Found]:
    """VCTK: wav48*/SPEAKER/NAME[_mic1].*, and txt/SPEAKER/NAME.txt."""
    if not (folder / "txt").is_dir():
        return
    for top in sorted(folder.glob("wav*")):
        for audio in list_audio(top):
            if audio.stem.endswith("_mic2"):  # the same speech by another microphone
                continue
            name = _MICROPHONE.sub("", audio.stem)
            transcript = folder / "txt" / audio.parent.name / f"{name}.txt"
            text = _read_text(transcript).strip() if transcript.is_file() else None
            yield Found(audio, text, audio.parent.name)


def _find_metadata(folder: Path) -> Iterator[Found]:
    """A metadata.csv: LJSpeech's id|text|normalized text, or F5's with a header audio_file|text."""
    table = folder / "metadata.csv"
    if not table.is_file():
        return
    for number, line in enumerate(_read_text(table).splitlines(), 1):
        cells = line.split("|")
        if number == 1 and cells[0].strip() in ("audio_file", "file", "file_name", "audio"):
            continue
        if not line.strip():
            continue
        if len(cells) < 2:
            raise UsageError(
                f"{table}, line {number}: a line is a file name and its text with | between them"
            )
        yield Found(_locate(folder, cells[0].strip()), cells[-1].strip() or cells[1].strip())


def _find_jsonl(folder: Path) -> Iterator[Found]:
    """JSONL tables with `audio` (or `audio_filepath`), `text` and `speaker`.

    What `valle prepare manifest` itself has written into the folder is not one of them.
    """
    for table in sorted(folder.glob("*.jsonl")):
        if table.name.endswith(".refused.jsonl"):
            continue
        for number, line in enumerate(_read_text(table).splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if {"corpus", "sha256"} <= row.keys():
                    break  # a manifest
                audio = row.get("audio") or row["audio_filepath"]
                text, speaker = row.get("text"), row.get("speaker")
                if not isinstance(text, str | None):
                    raise ValueError(f'"text" is {text!r}')
                if row.get("start") or row.get("offset"):
                    raise ValueError("a part of a recording, which valle prepare recordings takes")
                yield Found(_locate(folder, str(audio)), text, speaker and str(speaker))
            except (ValueError, AttributeError, KeyError, RecursionError) as error:
                raise UsageError(
                    f"{table}, line {number}: not an object with audio and text ({error})"
                ) from error


def _find_folder(folder: Path) -> Iterator[Found]:
    """Recordings with or without a transcript of the same name next to them (.txt or .lab).

    The speaker is the first folder below; of files that lie in the folder itself it is not known.
    """
    for audio in list_audio(folder):
        transcripts = (audio.with_name(audio.stem + ending) for ending in _BESIDE)
        transcript = next((path for path in transcripts if path.is_file()), None)
        parts = audio.relative_to(folder).parts
        yield Found(
            audio,
            None if transcript is None else _read_text(transcript).strip(),
            parts[0] if len(parts) > 1 else None,
        )


def _locate(folder: Path, name: str) -> Path:
    """The recording that a table names: with or without its ending, in the folder or in wavs/."""
    for base in (folder, folder / "wavs"):
        exact = base / name
        if exact.suffix.lower() in AUDIO and exact.is_file():
            return exact
        if (found := _find_with_ending(base, name)) is not None:
            return found
    return folder / name


def _find_with_ending(folder: Path, name: str) -> Path | None:
    """The recording in a folder that has a name without its ending; None if there is none."""
    paths = (folder / f"{name}{ending}" for ending in sorted(AUDIO))
    return next((path for path in paths if path.is_file()), None)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as UTF-8 text: {error}") from error


def _read_table(path: Path, delimiter: str) -> Iterator[dict[str, str]]:
    lines = _read_text(path).splitlines()
    try:
        for row in csv.DictReader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE):
            yield {key: value for key, value in row.items() if key and isinstance(value, str)}
    except csv.Error as error:  # a field of more than 128 KiB
        raise UsageError(f"{path} cannot be read as a table: {error}") from error


LAYOUTS = (
    Layout("common-voice", "CC0-1.0", _find_common_voice),
    Layout("librispeech", "CC-BY-4.0", _find_librispeech),
    Layout("libritts", "CC-BY-4.0", _find_libritts),
    Layout("vctk", "CC-BY-4.0", _find_vctk),
    Layout("metadata.csv", None, _find_metadata),
    Layout("jsonl", None, _find_jsonl),
    Layout("folder", None, _find_folder),
)
"""All layouts, the more particular ones first."""
