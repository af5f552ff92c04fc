"""Clips that are evaluated already, kept in a file, so that a broken-off evaluation goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from valle.errors import OutputError
from valle.evaluation.comparison import read_clip
from valle.evaluation.report import Clip
from valle.files import write_atomically

Key = tuple[str, str, int | None]
"""Item, row and seed of a clip."""


class ClipStore:
    """Evaluated clips of one evaluation, appended to a file line by line.

    The file belongs to its settings: with others, for example another model, it is begun again.

    Args:
        path: the file, `*.clips.jsonl`; made where there is none.
        settings: what determines the figures, as `json` can write it.

    Raises:
        OutputError: the file cannot be read or written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        canonical = json.dumps(settings, sort_keys=True, default=str)
        header = json.dumps({"settings": hashlib.sha256(canonical.encode()).hexdigest()})
        self.path = path
        self._clips: dict[Key, Clip] = {}
        try:
            lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
            if lines and lines[0] == header:
                # The last line of a run that was killed may be half-written.
                complete = lines[1:-1]
                for line in complete:
                    clip = read_clip(json.loads(line))
                    self._clips[clip.key, clip.row, clip.seed] = clip
                lines = [header, *complete]
            else:
                lines = [header]
            with write_atomically(path) as part:
                part.write_text("\n".join(lines) + "\n", encoding="utf-8")
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise OutputError(f"{path} is damaged ({error!r}); delete it to begin again") from error

    def __len__(self) -> int:
        return len(self._clips)

    def get(self, key: Key) -> Clip | None:
        """The clip of an item, row and seed, if it is evaluated already."""
        return self._clips.get(key)

    def add(self, clip: Clip) -> None:
        """Keep a clip.

        Raises:
            OutputError: the file cannot be written.
        """
        self._clips[clip.key, clip.row, clip.seed] = clip
        try:
            self._file.write(json.dumps(asdict(clip)) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error

    def close(self, remove: bool = False) -> None:
        """Close the file, and remove it where its report is written."""
        self._file.close()
        if remove:
            self.path.unlink(missing_ok=True)
