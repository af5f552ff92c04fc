"""A prepared corpus: one file of samples, one index line per utterance, and label files.

A store is a folder:

- `audio.i16`: all utterances one after another, 16 kHz mono int16, each padded with silence to a
  whole number of codec frames, so that a frame's place follows from a sample's place;
- `utterances.jsonl`: one JSON object per utterance (see `Utterance`);
- `codes.npy` [all frames, codebooks] int16 and `voices.npy` [utterances, 192] float32, written by
  `valle prepare codes`; `labels.npz`, by `valle prepare labels`; `styles.npz`, by
  `valle prepare styles`; `predicted.npy` [all frames, codebooks] int16, by
  `valle prepare predicted`.

Everything is memory-mapped, so that a store larger than memory costs nothing to open.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.audio_format import HOP
from valle.errors import OutputError, UsageError
from valle.files import write_atomically

_LABELED_BY = "labeled_by.json"
_FULL_SCALE = 32768.0  # int16 value of full scale


@dataclass(frozen=True)
class UtteranceInfo:
    """What a store keeps about an utterance apart from its samples.

    Attributes:
        id: unique in the store.
        corpus: where it is from.
        speaker: who speaks.
        text: the transcript, if there is one.
        waveform_is_clean: false where a lossy coder shaped the waveform: the codec is never trained
            on it.
        is_synthetic: whether a TTS engine spoke it.
        license: under which it may be used, if that is known.
    """

    id: str
    corpus: str
    speaker: str
    text: str | None
    waveform_is_clean: bool
    is_synthetic: bool = False
    license: str | None = None


@dataclass(frozen=True)
class StoreOptions:
    """How much generated speech is written to a store.

    Attributes:
        minutes: of speech.
        seed: of what is sampled.
        quiet: no progress bar.
    """

    minutes: float
    seed: int = 0
    quiet: bool = False


@dataclass(frozen=True)
class Utterance:
    """One recording in a store. `offset` and `samples` count samples; both are multiples of HOP."""

    id: str
    corpus: str
    speaker: str
    offset: int
    samples: int
    text: str | None
    # False where a lossy coder shaped the waveform: the codec is never trained on it
    waveform_is_clean: bool
    is_synthetic: bool = False
    license: str | None = None

    @property
    def frames(self) -> slice:
        """The utterance's rows in `codes` and `frame_symbol`."""
        return slice(self.offset // HOP, (self.offset + self.samples) // HOP)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Utterance:
        """An utterance from its line in the index.

        Raises:
            TypeError: the line has other fields than an utterance.
        """
        if "made" in row:  # an index from before the field was renamed
            row = {**row, "is_synthetic": row["made"]}
            del row["made"]
            if row["is_synthetic"] and str(row["corpus"]).startswith("made-"):
                row["corpus"] = "synthetic-" + row["corpus"].removeprefix("made-")
        return cls(**row)


@dataclass(frozen=True)
class Labels:
    """The phonemes of one utterance and their times.

    `symbols`, `stress` [symbols] are ids of `valle.text.symbols.SYMBOLS` and 0, 1 or 2;
    `frame_symbol` [frames] is the index into `symbols` that each codec frame is at.
    """

    symbols: NDArray[np.int64]
    stress: NDArray[np.int64]
    frame_symbol: NDArray[np.int64]


class Store:
    """A prepared corpus, opened for reading.

    Raises:
        UsageError: the folder is not a store, or its index is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        index = self.folder / "utterances.jsonl"
        if not index.is_file():
            raise UsageError(f"{folder} is not a prepared corpus; run `valle prepare` first")
        self.utterances: list[Utterance] = []
        with index.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    self.utterances.append(Utterance.from_row(json.loads(line)))
                except (ValueError, TypeError, AttributeError) as error:
                    raise UsageError(
                        f"{index}, line {number} is damaged ({error}); prepare this corpus again"
                    ) from error
        self.audio = np.memmap(self.folder / "audio.i16", dtype=np.int16, mode="r")

    def waveform(self, utterance: Utterance) -> NDArray[np.float32]:
        """The samples of an utterance, float32 in [-1, 1]."""
        return self.samples(utterance.offset, utterance.offset + utterance.samples)

    def samples(self, start: int, end: int) -> NDArray[np.float32]:
        """Samples [start, end) of the whole store, float32 in [-1, 1]."""
        return self.audio[start:end].astype(np.float32) / _FULL_SCALE

    @cached_property
    def codes(self) -> NDArray[np.int16]:
        """Codec codes of all frames [frames, codebooks].

        Raises:
            UsageError: `valle prepare labels` has not written them yet.
        """
        path = self.folder / "codes.npy"
        if not path.is_file():
            raise UsageError(f"{self.folder} has no codes; run `valle prepare codes` first")
        codes: NDArray[np.int16] = np.load(path, mmap_mode="r", allow_pickle=False)
        return codes

    @cached_property
    def labels(self) -> dict[str, Labels]:
        """Labels by utterance id; utterances that could not be aligned are absent.

        Raises:
            UsageError: `valle prepare labels` has not written them yet.
        """
        path = self.folder / "labels.npz"
        if not path.is_file():
            raise UsageError(f"{self.folder} has no labels; run `valle prepare labels` first")
        with np.load(path, allow_pickle=False) as arrays:
            ids, starts = arrays["ids"], arrays["starts"]
            symbols, stress = arrays["symbols"], arrays["stress"]
            frame_symbol = arrays["frame_symbol"]
        frames_by_id = {utterance.id: utterance.frames for utterance in self.utterances}
        labels = {}
        for row, name in enumerate(ids.tolist()):
            span = slice(starts[row], starts[row + 1])
            labels[name] = Labels(
                symbols[span].astype(np.int64),
                stress[span].astype(np.int64),
                frame_symbol[frames_by_id[name]].astype(np.int64),
            )
        return labels

    @cached_property
    def voices(self) -> NDArray[np.float32]:
        """Speaker embedding of each utterance [utterances, 192], in their order.

        Raises:
            UsageError: `valle prepare codes` has not written them yet.
        """
        path = self.folder / "voices.npy"
        if not path.is_file():
            raise UsageError(
                f"{self.folder} has no speaker embeddings; run `valle prepare codes` first"
            )
        voices: NDArray[np.float32] = np.load(path, allow_pickle=False)
        return voices

    @cached_property
    def styles(self) -> tuple[NDArray[np.float16], NDArray[np.float64]] | None:
        """Prosody features of each frame and the edges of the style bins.

        [frames, 3] (see `valle.audio.prosody`) and [5, 7]. None if `valle prepare styles` has not
        written them; they are optional.
        """
        path = self.folder / "styles.npz"
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["features"], arrays["borders"]

    @cached_property
    def predicted(self) -> NDArray[np.int16] | None:
        """Codes that the NAR predicted [frames, codebooks], -1 in frames without a prediction.

        None if `valle prepare predicted` has not written them.
        """
        path = self.folder / "predicted.npy"
        if not path.is_file():
            return None
        predicted: NDArray[np.int16] = np.load(path, mmap_mode="r", allow_pickle=False)
        return predicted

    @property
    def labeled_by(self) -> dict[str, str]:
        """SHA-256 of each model that codes, embeddings and labels are of; {} if not known."""
        try:
            hashes = json.loads((self.folder / _LABELED_BY).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # missing, or damaged: everything is computed again
            return {}
        return hashes if isinstance(hashes, dict) else {}

    def write_labeled_by(self, hashes: dict[str, str]) -> None:
        """Note which models codes, embeddings and labels are of, once all of them are written."""
        with write_atomically(self.folder / _LABELED_BY) as temporary:
            temporary.write_text(json.dumps(hashes), encoding="utf-8")

    def write_styles(self, features: NDArray[np.float16], bin_edges: NDArray[np.float64]) -> None:
        """Write prosody features [all frames, 3] and bin edges [5, 7] atomically."""
        temporary = self.folder / "styles.tmp.npz"
        np.savez(temporary, features=features, borders=bin_edges)
        temporary.replace(self.folder / "styles.npz")

    def write_voices(self, voices: NDArray[np.float32]) -> None:
        """Write speaker embeddings [utterances, 192] atomically."""
        self._write("voices", voices)

    def write_codes(self, codes: NDArray[np.int16]) -> None:
        """Write codes [all frames, codebooks] atomically.

        Predictions that were made from the previous codes are deleted: they no longer apply.
        """
        (self.folder / "predicted.npy").unlink(missing_ok=True)
        self._write("codes", codes)

    def write_predicted(self, predicted: NDArray[np.int16]) -> None:
        """Write the NAR's codes [all frames, codebooks] atomically."""
        self._write("predicted", predicted)

    def _write(self, name: str, rows: NDArray[np.generic]) -> None:
        (self.folder / _LABELED_BY).unlink(missing_ok=True)
        temporary = self.folder / f"{name}.tmp.npy"
        np.save(temporary, rows)
        temporary.replace(self.folder / f"{name}.npy")

    def write_labels(self, labels: dict[str, Labels]) -> None:
        """Write labels by utterance id atomically."""
        (self.folder / _LABELED_BY).unlink(missing_ok=True)
        frame_symbol = np.full(len(self.audio) // HOP, -1, dtype=np.int16)
        frames_by_id = {utterance.id: utterance.frames for utterance in self.utterances}
        for name, label in labels.items():
            frame_symbol[frames_by_id[name]] = label.frame_symbol
        empty = np.zeros(0, np.int16)
        lengths = [len(label.symbols) for label in labels.values()]
        temporary = self.folder / "labels.tmp.npz"
        np.savez(
            temporary,
            ids=np.array(list(labels), dtype=np.str_),
            starts=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
            symbols=np.concatenate([empty, *(x.symbols.astype(np.int16) for x in labels.values())]),
            stress=np.concatenate([empty, *(x.stress.astype(np.int16) for x in labels.values())]),
            frame_symbol=frame_symbol,
        )
        temporary.replace(self.folder / "labels.npz")


class StoreWriter:
    """Writes a store utterance by utterance; readers do not see it before `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._audio = (self.folder / "audio.tmp").open("wb")
        except OSError as error:
            raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
        self._utterances: list[Utterance] = []
        self._offset = 0

    def add(self, info: UtteranceInfo, samples: NDArray[np.float32]) -> Utterance:
        """Append one utterance, 16 kHz float32 in [-1, 1]; its end is padded to a whole frame."""
        return self.append(info, to_stored_samples(samples))

    def append(self, info: UtteranceInfo, stored: NDArray[np.int16]) -> Utterance:
        """Append one utterance whose samples are as `to_stored_samples` returns them."""
        stored.tofile(self._audio)
        utterance = Utterance(offset=self._offset, samples=len(stored), **asdict(info))
        self._offset += len(stored)
        self._utterances.append(utterance)
        return utterance

    def __len__(self) -> int:
        """How many utterances were added."""
        return len(self._utterances)

    def close(self) -> None:
        """Move the samples into place, then the index that makes the folder a store.

        Raises:
            UsageError: nothing was added.
        """
        self._audio.close()
        if not self._utterances:
            (self.folder / "audio.tmp").unlink()
            raise UsageError(f"no utterance is left for {self.folder}: there is nothing to prepare")
        # The files of an earlier store in this folder do not match the new samples.
        derived = ("codes.npy", "labels.npz", "voices.npy", "styles.npz", "predicted.npy")
        for name in ("utterances.jsonl", _LABELED_BY, *derived):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / "audio.tmp").replace(self.folder / "audio.i16")
        index = self.folder / "utterances.tmp"
        with index.open("w", encoding="utf-8", errors="backslashreplace") as out:
            for utterance in self._utterances:
                out.write(json.dumps(asdict(utterance), ensure_ascii=False) + "\n")
        index.replace(self.folder / "utterances.jsonl")


def to_stored_samples(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples in [-1, 1] as a store keeps them, padded with silence to a whole frame."""
    padded = np.pad(samples, (0, -len(samples) % HOP))
    # The scale that `waveform` reads with, so that 16-bit recordings are stored unchanged.
    return np.clip(np.rint(padded * _FULL_SCALE), -32768, 32767).astype(np.int16)


def by_speaker(utterances: list[Utterance]) -> dict[str, list[Utterance]]:
    """Group utterances by speaker, in their order."""
    groups: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault(utterance.speaker, []).append(utterance)
    return groups


def split_into_batches(items: list[Utterance], size: int) -> Iterator[list[Utterance]]:
    """Split utterances into consecutive batches of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
