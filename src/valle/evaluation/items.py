"""Items of a test list: a text to speak, a prompt to clone, and the ground truth if there is one.

A folder of recordings and the lists that papers publish (`published_lists`) become the same items,
so that one protocol, the sample page and listening tests take all of them.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from valle.arrays import Samples
from valle.audio.whole_recording import read_mono
from valle.errors import UsageError
from valle.evaluation.material import loudest, read_samples
from valle.evaluation.metrics import EVALUATION_RATE

SENTENCES = Path(__file__).with_name("sentences.txt")
"""New sentences for voices that come without any, one per line."""

_AUDIO_ENDINGS = frozenset(".wav .flac .ogg .opus .mp3 .m4a .aac .webm".split())
_MAX_SENTENCES = 10_000
# A key becomes the name of a file, so it can have no separator and cannot be hidden.
_KEY = re.compile(r"\w[\w.+-]{0,120}")


@dataclass(frozen=True)
class Item:
    """One text in one voice."""

    key: str
    """Names its clips: `KEY.wav`."""
    speaker: str
    text: str
    prompt: Path
    prompt_text: str | None = None
    """What the prompt says; None where it is not known."""
    truth: Path | None = None
    """A recording of the speaker saying the text."""
    prompt_seconds: float | None = None
    """Length of the prompt; None takes all of the recording."""
    is_continuation: bool = False
    """Whether the prompt is the beginning of the ground truth, which the model continues."""

    def read_prompt(self) -> Samples:
        """The prompt, mono at 16 kHz: the beginning of a continuation, else the loudest part.

        Raises:
            RecordingError: the recording cannot be read.
        """
        samples = read_samples(self.prompt)
        if self.prompt_seconds is None:
            return samples
        length = round(self.prompt_seconds * EVALUATION_RATE)
        return samples[:length] if self.is_continuation else loudest(samples, length)

    def read_truth(self) -> Samples | None:
        """The ground truth, mono at 16 kHz.

        Raises:
            RecordingError: the recording cannot be read.
        """
        return None if self.truth is None else read_mono(self.truth, EVALUATION_RATE)


def check_items(items: Iterable[Item], source: Path) -> list[Item]:
    """Check the keys, texts and files of a list.

    Raises:
        UsageError: there is no item, two have one key, a key cannot be a file's name, a text is
            empty, or a recording is missing.
    """
    items = list(items)
    if not items:
        raise UsageError(f"{source} lists nothing to speak")
    twice = [key for key, count in Counter(item.key for item in items).items() if count > 1]
    if twice:
        raise UsageError(f"{source} has two items called {twice[0]!r}; their clips would be one")
    for item in items:
        if not _KEY.fullmatch(item.key):
            raise UsageError(
                f"{source}: {item.key!r} cannot name a file; use letters, digits and . _ + -"
            )
        if not item.text.strip():
            raise UsageError(f"{source}: {item.key} has no text")
        for recording in (item.prompt, item.truth):
            if recording is not None and not recording.is_file():
                raise UsageError(f"{source}: {item.key} needs {recording}, which is not a file")
    return items


def select_items(items: Sequence[Item], count: int | None) -> list[Item]:
    """Select `count` items spread evenly over a list; None selects all."""
    if count is None or count >= len(items):
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def select_voices(items: Sequence[Item]) -> list[Item]:
    """One item for each voice of a list: its first."""
    first = {item.speaker: item for item in reversed(items)}
    return [first[name] for name in sorted(first)]


def hash_items(items: Sequence[Item]) -> str:
    """SHA-256 of the keys, texts and recordings of a list: what its figures depend on."""
    digest = hashlib.sha256()
    recordings: dict[Path, str] = {}
    for item in items:
        files = [path for path in (item.prompt, item.truth) if path is not None]
        for path in files:
            if path not in recordings:
                recordings[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        fields = [item.key, item.speaker, item.text, str(item.prompt_seconds)]
        fields += [str(item.is_continuation), *(recordings[path] for path in files)]
        digest.update("\0".join(fields).encode() + b"\n")
    return digest.hexdigest()


def read_folder(folder: Path, sentences: Sequence[str] | None = None) -> list[Item]:
    """Read a folder of voices.

    `NAME.wav` (or flac, ogg, mp3, ...) is the prompt of a voice and `NAME.txt` what it says, if
    known. `NAME/*.wav` with `NAME/*.txt` are more recordings, the ground truth. A voice without any
    speaks new sentences instead.

    Args:
        folder: with at least one recording.
        sentences: new ones for every voice to speak too; None takes those of the package, for
            voices that have no ground truth.

    Raises:
        UsageError: the folder is missing, empty, or has a recording without a transcript.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give one with a recording of each voice")
    prompts = find_recordings(folder)
    if not prompts:
        raise UsageError(f"{folder} has no recording; put one of each voice into it, as NAME.wav")
    items: list[Item] = []
    for prompt in prompts:
        name = _make_key(prompt.stem)
        truths = find_recordings(prompt.with_suffix(""))
        prompt_text = _read_transcript(prompt)
        for recording in truths:
            text = _read_transcript(recording)
            if text is None:
                raise UsageError(f"{recording} has no transcript; write it to {recording.stem}.txt")
            key = f"{name}-{_make_key(recording.stem)}"
            items.append(Item(key, prompt.stem, text, prompt, prompt_text, recording))
        new = read_sentences(SENTENCES) if sentences is None and not truths else sentences or ()
        items += [
            Item(f"{name}-new-{number}", prompt.stem, text, prompt, prompt_text)
            for number, text in enumerate(new, start=1)
        ]
    return check_items(items, folder)


def find_recordings(folder: Path) -> list[Path]:
    """The recordings in a folder, by name; none where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _AUDIO_ENDINGS)


def read_sentences(path: Path) -> list[str]:
    """The sentences of a text file, one per line; lines of `source, tab, sentence` are fine too.

    Raises:
        UsageError: the file is missing, is not text, has no sentence, or more than 10,000.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file in UTF-8") from error
    sentences = [line.rsplit("\t", 1)[-1].strip() for line in lines]
    sentences = [sentence for sentence in sentences if sentence]
    if not 0 < len(sentences) <= _MAX_SENTENCES:
        raise UsageError(f"{path} has {len(sentences)} sentences; give 1 to {_MAX_SENTENCES}")
    return sentences


def _read_transcript(recording: Path) -> str | None:
    path = recording.with_suffix(".txt")
    return " ".join(read_sentences(path)) if path.is_file() else None


def _make_key(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", name).strip(".") or "_"
