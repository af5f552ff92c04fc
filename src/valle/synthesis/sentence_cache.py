"""Codes of sentences on disk, so that a text that was spoken before need not be spoken again.

A sentence is found by a hash of all that determines its codes: the models, the voice, the phonemes,
the options, the seed. So a run that was interrupted goes on where it stopped, and to change or redo
one sentence costs that sentence alone. It holds codes and no text, is readable by its owner only,
and forgets what was not used for a month.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from valle.arrays import Codes, Ints
from valle.files import data_folder, write_atomically
from valle.runtime.check import Check
from valle.synthesis.utterance import Utterance

MAX_BYTES = 64 << 20  # about 10,000 sentences
MAX_AGE = 30 * 86_400.0  # seconds since the last use
_ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class CachedSentence:
    """The codes of a sentence, in the blocks that they were generated in, and its check.

    Blocks are kept because samples that are decoded in other blocks differ in their last bits.
    """

    blocks: list[tuple[Codes, Ints]]
    """Codes [frames, codebooks], and [frames] the index of each frame's symbol."""
    check: Check


class SentenceCache:
    """A folder of sentences. Whatever fails there is as if it were empty."""

    def __init__(self, folder: Path | None = None) -> None:
        """Use a folder; None for `cache` in the user's data folder."""
        self.folder = data_folder() / "cache" if folder is None else folder

    def load(self, key: str) -> CachedSentence | None:
        """Return the sentence with a key, or None."""
        path = self._path(key)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                splits = np.cumsum(arrays["lengths"])[:-1]
                codes = np.split(arrays["codes"].astype(np.int64), splits)
                symbols = np.split(arrays["frame_symbol"].astype(np.int64), splits)
                fields = json.loads(str(arrays["check"]))
            os.utime(path)
            fields |= {name: tuple(fields[name]) for name in ("missing", "repeated")}
            check = Check(**fields)
        except (OSError, EOFError, LookupError, TypeError, ValueError, *_ARCHIVE_ERRORS):
            return None
        return CachedSentence(list(zip(codes, symbols, strict=True)), check)

    def store(self, key: str, sentence: CachedSentence) -> None:
        """Keep a sentence."""
        if not sentence.blocks:
            return
        data = io.BytesIO()
        np.savez_compressed(
            data,
            lengths=np.array([len(codes) for codes, _ in sentence.blocks]),
            codes=np.concatenate([codes for codes, _ in sentence.blocks]).astype(np.int32),
            frame_symbol=np.concatenate([s for _, s in sentence.blocks]).astype(np.int32),
            check=np.array(json.dumps(dataclasses.asdict(sentence.check))),
        )
        with contextlib.suppress(Exception):  # a full disk, for example, costs only the cache
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            with write_atomically(self._path(key)) as temporary:
                temporary.chmod(0o600)
                temporary.write_bytes(data.getvalue())

    def prune(self) -> None:
        """Remove what was not used for `MAX_AGE`, and the oldest beyond `MAX_BYTES`."""
        total, oldest = 0, time.time() - MAX_AGE
        with contextlib.suppress(OSError):
            found = [(path.stat(), path) for path in self.folder.glob("*.npz")]
            for status, path in sorted(found, key=lambda pair: -pair[0].st_mtime):
                total += status.st_size
                if total > MAX_BYTES or status.st_mtime < oldest:
                    path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"


def cache_key(utterance: Utterance, *context: object) -> str:
    """Return a hash of an utterance and of what else determines its codes.

    Args:
        utterance: Of its text, only the words count, which the check names.
        context: The models, the voice and the options, as values with an exact `repr`.
    """
    values = (
        context,
        [word.text for word in utterance.sentence.words],
        [phoneme.word for phoneme in utterance.sentence.phonemes],
        utterance.target_frames,
        *(["timed"] if utterance.is_timed else []),
        utterance.sampling,
        utterance.seed,
        utterance.index if utterance.place is None else utterance.place,
        utterance.attempt,
    )
    digest = hashlib.sha256(repr(values).encode("utf-8", "surrogatepass"))
    symbols = utterance.symbols
    arrays = [symbols.ids, symbols.stress, symbols.borders, utterance.expected_frames]
    if utterance.style is not None:
        arrays.append(utterance.style)
    for array in arrays:
        digest.update(repr((array.shape, str(array.dtype))).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
