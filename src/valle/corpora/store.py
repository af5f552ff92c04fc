"""The prepared form of a corpus: one file of samples, one line an utterance, labels beside them.

A store is a folder:

- `audio.i16`: all utterances one after another, 16 kHz mono int16, each padded with silence to a
  whole number of codec frames, so that a frame's place follows from a sample's place;
- `utterances.jsonl`: one JSON object an utterance (see `Utterance`);
- `codes.npy` [all frames, codebooks] int16 and `voices.npy` [utterances, 192] float32, written by
  `valle prepare codes`; `labels.npz`, by `valle prepare labels`; `styles.npz`, by
  `valle prepare styles`.

Everything is memory-mapped, so that a store larger than memory costs nothing to open.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from valle.errors import UsageError

SAMPLE_RATE = 16_000
HOP = 320  # samples a codec frame: 50 frames a second at 16 kHz


@dataclass(frozen=True)
class Utterance:
    """One recording in a store. `offset` and `samples` count samples; both are multiples of HOP."""

    id: str
    corpus: str
    speaker: str
    offset: int
    samples: int
    text: str | None
    # False where a lossy coder shaped the waveform: never teaches the codec
    waveform_is_clean: bool
    made: bool = False

    @property
    def frames(self) -> slice:
        """The utterance's rows in `codes` and `frame_symbol`."""
        return slice(self.offset // HOP, (self.offset + self.samples) // HOP)


@dataclass(frozen=True)
class Labels:
    """What is said in one utterance, and when.

    `symbols`, `stress` [symbols] are ids of `valle.text.symbols.SYMBOLS` and 0, 1 or 2;
    `frame_symbol` [frames] is the index into `symbols` that each codec frame is at.
    """

    symbols: NDArray[np.int64]
    stress: NDArray[np.int64]
    frame_symbol: NDArray[np.int64]


class Store:
    """A prepared corpus, opened for reading.

    Raises:
        UsageError: the folder holds no store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        index = self.folder / "utterances.jsonl"
        if not index.is_file():
            raise UsageError(f"{folder} holds no prepared corpus; run `valle prepare` first")
        with index.open(encoding="utf-8") as lines:
            self.utterances = [Utterance(**json.loads(line)) for line in lines]
        self.audio = np.memmap(self.folder / "audio.i16", dtype=np.int16, mode="r")

    def waveform(self, utterance: Utterance) -> NDArray[np.float32]:
        """The samples of an utterance, float32 in [-1, 1]."""
        return self.samples(utterance.offset, utterance.offset + utterance.samples)

    def samples(self, start: int, end: int) -> NDArray[np.float32]:
        """Samples [start, end) of all, float32 in [-1, 1]."""
        return self.audio[start:end].astype(np.float32) / 32768.0

    @cached_property
    def codes(self) -> NDArray[np.int16]:
        """Codec codes of all frames [frames, codebooks].

        Raises:
            UsageError: the store has not been labelled yet.
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
            UsageError: the store has not been labelled yet.
        """
        path = self.folder / "labels.npz"
        if not path.is_file():
            raise UsageError(f"{self.folder} has no labels; run `valle prepare labels` first")
        with np.load(path, allow_pickle=False) as arrays:
            ids, starts = arrays["ids"], arrays["starts"]
            symbols, stress = arrays["symbols"], arrays["stress"]
            frame_symbol = arrays["frame_symbol"]
        spans = {u.id: u.frames for u in self.utterances}
        found = {}
        for row, name in enumerate(ids.tolist()):
            span = slice(starts[row], starts[row + 1])
            found[name] = Labels(
                symbols[span].astype(np.int64),
                stress[span].astype(np.int64),
                frame_symbol[spans[name]].astype(np.int64),
            )
        return found

    @cached_property
    def voices(self) -> NDArray[np.float32]:
        """Speaker embedding of each utterance [utterances, 192], in their order.

        Raises:
            UsageError: `valle prepare codes` has not written them yet.
        """
        path = self.folder / "voices.npy"
        if not path.is_file():
            raise UsageError(f"{self.folder} has no voices; run `valle prepare codes` first")
        voices: NDArray[np.float32] = np.load(path, allow_pickle=False)
        return voices

    @cached_property
    def styles(self) -> tuple[NDArray[np.float16], NDArray[np.float64]] | None:
        """What `valle.audio.prosody` measured in each frame [frames, 3], and the borders [5, 7] of
        classes.

        None where `valle prepare styles` has not written them: a corpus will do without.
        """
        path = self.folder / "styles.npz"
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["features"], arrays["borders"]

    @cached_property
    def spoken(self) -> NDArray[np.int16] | None:
        """Codes as the NAR has them [frames, codebooks], -1 where it has said nothing; None where
        `valle prepare spoken` has not written them."""
        path = self.folder / "spoken.npy"
        if not path.is_file():
            return None
        spoken: NDArray[np.int16] = np.load(path, mmap_mode="r", allow_pickle=False)
        return spoken

    def write_styles(self, features: NDArray[np.float16], borders: NDArray[np.float64]) -> None:
        """Put features [all frames, 3] and borders [5, 7] beside the samples, whole or not."""
        temporary = self.folder / "styles.tmp.npz"
        np.savez(temporary, features=features, borders=borders)
        temporary.replace(self.folder / "styles.npz")

    def write_voices(self, voices: NDArray[np.float32]) -> None:
        """Put speaker embeddings [utterances, 192] beside the samples, whole or not at all."""
        self._write("voices", voices)

    def write_codes(self, codes: NDArray[np.int16]) -> None:
        """Put codes [all frames, codebooks] beside the samples, whole or not at all; what the NAR
        made of other codes is no longer true."""
        (self.folder / "spoken.npy").unlink(missing_ok=True)
        self._write("codes", codes)

    def write_spoken(self, spoken: NDArray[np.int16]) -> None:
        """Put the NAR's codes [all frames, codebooks] beside the samples, whole or not at all."""
        self._write("spoken", spoken)

    def _write(self, name: str, rows: NDArray[np.generic]) -> None:
        temporary = self.folder / f"{name}.tmp.npy"
        np.save(temporary, rows)
        temporary.replace(self.folder / f"{name}.npy")

    def write_labels(self, labels: dict[str, Labels]) -> None:
        """Put labels by utterance id beside the samples, whole or not at all."""
        frame_symbol = np.full(len(self.audio) // HOP, -1, dtype=np.int16)
        spans = {u.id: u.frames for u in self.utterances}
        for name, label in labels.items():
            frame_symbol[spans[name]] = label.frame_symbol
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
    """Writes a store utterance by utterance; readers see nothing of it before `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._audio = (self.folder / "audio.tmp").open("wb")
        self._lines: list[Utterance] = []
        self._offset = 0

    def add(
        self,
        name: str,
        corpus: str,
        speaker: str,
        samples: NDArray[np.float32],
        text: str | None,
        *,
        waveform_is_clean: bool,
        made: bool = False,
    ) -> Utterance:
        """Append one utterance, 16 kHz float32 in [-1, 1]; pads its end to a whole frame."""
        padded = np.pad(samples, (0, -len(samples) % HOP))
        # The scale that `waveform` reads with: 16-bit recordings stay what they are.
        np.clip(np.rint(padded * 32768.0), -32768, 32767).astype(np.int16).tofile(self._audio)
        utterance = Utterance(
            name, corpus, speaker, self._offset, len(padded), text, waveform_is_clean, made
        )
        self._offset += len(padded)
        self._lines.append(utterance)
        return utterance

    def close(self) -> None:
        """Finish: rename the samples, then the index that makes the folder a store.

        Raises:
            UsageError: nothing was added.
        """
        self._audio.close()
        if not self._lines:
            (self.folder / "audio.tmp").unlink()
            raise UsageError(f"nothing was kept for {self.folder}: there is nothing to prepare")
        # A store that was here ends first: all that lies beside its samples fits no others.
        beside = ("codes.npy", "labels.npz", "voices.npy", "styles.npz", "spoken.npy")
        for old in ("utterances.jsonl", *beside):
            (self.folder / old).unlink(missing_ok=True)
        (self.folder / "audio.tmp").replace(self.folder / "audio.i16")
        index = self.folder / "utterances.tmp"
        with index.open("w", encoding="utf-8") as out:
            for line in self._lines:
                out.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
        index.replace(self.folder / "utterances.jsonl")


def by_speaker(utterances: list[Utterance]) -> dict[str, list[Utterance]]:
    """Utterances grouped by speaker, in their order."""
    groups: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault(utterance.speaker, []).append(utterance)
    return groups


def batches_of(items: list[Utterance], size: int) -> Iterator[list[Utterance]]:
    """Consecutive groups of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
