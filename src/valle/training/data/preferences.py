"""Sentences that the AR spoke several times, with how well words and voice were recognized.

`valle prepare preferences` writes a folder of them, one `.npz` file each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Codes, Embedding, Ints
from valle.errors import UsageError
from valle.files import write_atomically
from valle.training.data.examples import Example, Segment


@dataclass(frozen=True)
class PreferenceGroup:
    """One sentence in one voice, K candidates of it.

    Attributes:
        prompt_codes: [P, codebooks] of the voice's recording.
        prompt_symbols: [Q] ids of what it says.
        prompt_stress: [Q], 0 to 2.
        prompt_path: [P] indices into `prompt_symbols`.
        voice: [192], its speaker embedding.
        symbols: [S] ids of the sentence.
        stress: [S], 0 to 2.
        words: [S] the word that each symbol belongs to, -1 for pauses and punctuation.
        frames: [K] how many frames each candidate has.
        codes: [sum of frames, codebooks] of all candidates, one after another.
        path: [sum of frames] indices into `symbols`.
        scores: [K, words] log probability of each word by a recognizer, 0 at best.
        similarities: [K] cosine similarity to the voice by the speaker encoder, -1 to 1.
    """

    prompt_codes: Codes
    prompt_symbols: Ints
    prompt_stress: Ints
    prompt_path: Ints
    voice: Embedding
    symbols: Ints
    stress: Ints
    words: Ints
    frames: Ints
    codes: Codes
    path: Ints
    scores: NDArray[np.float32]
    similarities: NDArray[np.float32]

    def examples(self) -> list[Example]:
        """The candidates as the AR trains on them."""
        prompt = Segment(
            self.prompt_codes.astype(np.int64),
            self.prompt_symbols,
            self.prompt_stress,
            self.prompt_path,
            self.voice,
            None,
        )
        return [
            Example.after(
                prompt,
                Segment(
                    self.codes[rows].astype(np.int64),
                    self.symbols,
                    self.stress,
                    self.path[rows],
                    self.voice,
                    len(self.symbols),
                ),
            )
            for rows in self._rows()
        ]

    def frame_words(self) -> list[Ints]:
        """The word that each frame of a candidate belongs to, [frames] of each candidate.

        Pauses belong to the word before them; frames before the first word have -1.
        """
        frame_words = []
        for rows in self._rows():
            words = self.words[self.path[rows]]
            last_with_word = np.maximum.accumulate(np.where(words >= 0, np.arange(len(words)), -1))
            frame_words.append(np.where(last_with_word >= 0, words[last_with_word], -1))
        return frame_words

    def _rows(self) -> list[slice]:
        ends = np.cumsum(self.frames).tolist()
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def save(self, path: Path) -> None:
        """Write it to a file, which appears when it is complete."""
        with write_atomically(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **vars(self))

    @classmethod
    def load(cls, path: Path) -> PreferenceGroup:
        """Read it.

        Raises:
            UsageError: the file is not one of these.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**{field.name: arrays[field.name] for field in fields(cls)})
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise UsageError(
                f"{path} is damaged ({error}); remove it, and `valle prepare preferences` writes "
                "another one"
            ) from error


def read_preferences(folders: Sequence[Path]) -> list[PreferenceGroup]:
    """All groups of several folders.

    Raises:
        UsageError: a folder has none, or a file is damaged.
    """
    groups = []
    for folder in folders:
        paths = sorted(folder.glob("*.npz"))
        if not paths:
            raise UsageError(
                f"{folder} has no preferences; `valle prepare preferences` writes them"
            )
        groups += [PreferenceGroup.load(path) for path in paths]
    return groups
