"""Test lists in the forms that papers publish.

- `seed`: `meta.lst` of seed-tts-eval (Anastassiou et al. 2024): `key|prompt text|prompt|text`, and
  optionally `|ground truth`; recordings relative to the list.
- `f5`: the LibriSpeech-PC list of F5-TTS (Chen et al. 2024): tab-separated prompt utterance, its
  duration and transcript, and the same three of the utterance to speak.
- `librispeech`: LibriSpeech's own folders, utterances of 4 to 10 s (Wang et al. 2023, VALL-E).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from valle.errors import RecordingError, UsageError
from valle.evaluation.items import Item, check_items
from valle.evaluation.material import PROMPT_SECONDS

TASKS = ("cross", "continual", "utterance")
"""Of `librispeech`: 3 s of another utterance as the prompt; the utterance's own first 3 s,
continued; and another whole utterance (Chen et al. 2024, VALL-E 2)."""
_SHORTEST, _LONGEST = 4.0, 10.0  # seconds of an utterance of the paper's subset


@dataclass(frozen=True)
class _Utterance:
    name: str
    path: Path
    text: str

    @property
    def speaker(self) -> str:
        return self.name.partition("-")[0]


def read_seed_list(path: Path) -> list[Item]:
    """Read a list in the format of seed-tts-eval.

    Raises:
        UsageError: the list or a recording is missing, or a line has too few fields.
    """
    items = []
    for number, line in _read_lines(path):
        fields = [field.strip() for field in line.split("|")]
        if len(fields) not in (4, 5):
            raise UsageError(
                f"{path}, line {number}: {len(fields)} fields between |, not the 4 or 5 of "
                "key|prompt text|prompt|text|ground truth"
            )
        key, prompt_text, prompt, text = fields[:4]
        truth = path.parent / fields[4] if fields[4:] and fields[4] else None
        key = key.removesuffix(".wav")
        speaker = Path(prompt).stem
        items.append(Item(key, speaker, text, path.parent / prompt, prompt_text or None, truth))
    return check_items(items, path)


def read_f5_list(path: Path, librispeech: Path) -> list[Item]:
    """Read the LibriSpeech-PC list of F5-TTS.

    Args:
        path: the list.
        librispeech: the folder `test-clean`.

    Raises:
        UsageError: the list or a recording is missing, or a line has other fields.
    """
    items = []
    for number, line in _read_lines(path):
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 6:
            raise UsageError(
                f"{path}, line {number}: {len(fields)} fields between tabs, not the 6 of prompt, "
                "duration, transcript, utterance, duration, text"
            )
        prompt, _, prompt_text, utterance, _, text = fields
        paths = [_find_utterance(librispeech, name) for name in (prompt, utterance)]
        speaker = utterance.partition("-")[0]
        items.append(Item(utterance, speaker, text, paths[0], prompt_text, paths[1]))
    return check_items(items, path)


def read_librispeech(folder: Path, task: str = "cross", seed: int = 0) -> list[Item]:
    """Read the utterances of 4 to 10 s of a folder of LibriSpeech.

    Args:
        folder: such as `LibriSpeech/test-clean`.
        task: one of `TASKS`.
        seed: of the choice of another utterance as the prompt.

    Raises:
        UsageError: the folder has no such utterances.
        RecordingError: a recording cannot be read.
    """
    by_speaker: dict[str, list[_Utterance]] = {}
    for transcripts in sorted(folder.glob("*/*/*.trans.txt")):
        for _, line in _read_lines(transcripts):
            name, _, text = line.partition(" ")
            path = transcripts.with_name(f"{name}.flac")
            if path.is_file() and _SHORTEST <= _read_duration(path) <= _LONGEST:
                utterance = _Utterance(name, path, text.strip())
                by_speaker.setdefault(utterance.speaker, []).append(utterance)
    items = [
        item
        for speaker, utterances in by_speaker.items()
        for item in _make_items(speaker, utterances, task, seed)
    ]
    return check_items(items, folder)


def _make_items(speaker: str, utterances: list[_Utterance], task: str, seed: int) -> Iterator[Item]:
    # Seeded by the speaker's name, so that a part of the corpus has the prompts that all of it has.
    rng = random.Random(f"{seed} {speaker}")
    for utterance in utterances:
        if task == "continual":
            yield Item(
                utterance.name, speaker, utterance.text, utterance.path, None, utterance.path,
                prompt_seconds=PROMPT_SECONDS, is_continuation=True,
            )  # fmt: skip
            continue
        others = [other for other in utterances if other is not utterance]
        if others:
            prompt = rng.choice(others)
            seconds = PROMPT_SECONDS if task == "cross" else None
            yield Item(
                utterance.name, speaker, utterance.text, prompt.path, prompt.text, utterance.path,
                prompt_seconds=seconds,
            )  # fmt: skip


def _read_duration(path: Path) -> float:
    """Seconds of a recording, from its header.

    Raises:
        RecordingError: it cannot be read.
    """
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.LibsndfileError, OSError) as error:
        raise RecordingError(f"{path} cannot be read ({error}); copy it again") from error


def _find_utterance(librispeech: Path, name: str) -> Path:
    speaker, _, rest = name.partition("-")
    return librispeech / speaker / rest.partition("-")[0] / f"{name}.flac"


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list that hold anything, with their numbers from 1.

    Raises:
        UsageError: the file cannot be read, or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a list in UTF-8") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line
