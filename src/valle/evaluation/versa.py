"""Files for and from VERSA (Shi et al. 2024), whose metrics need models we cannot bring."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from valle.errors import UsageError
from valle.evaluation.items import Item
from valle.files import write_atomically


def write_versa_inputs(folder: Path, items: Sequence[Item], clips: Mapping[str, Path]) -> None:
    """Write Kaldi lists for VERSA's `scorer.py --io kaldi`: `pred.scp`, `gt.scp` and `text`.

    Args:
        folder: that exists.
        items: of the clips.
        clips: the clip of each item, by its key.

    Raises:
        OutputError: a file cannot be written.
    """
    known = [item for item in items if item.key in clips]
    lists = {
        "pred.scp": [f"{item.key} {clips[item.key].resolve()}" for item in known],
        "gt.scp": [f"{item.key} {item.truth.resolve()}" for item in known if item.truth],
        "prompt.scp": [f"{item.key} {item.prompt.resolve()}" for item in known],
        "text": [f"{item.key} {item.text}" for item in known],
    }
    for name, lines in lists.items():
        with write_atomically(folder / name) as part:
            part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_versa_scores(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read VERSA's JSON lines: the mean of every number over the list's clips.

    Args:
        path: what `scorer.py --output_file` wrote.
        keys: of the list.

    Returns:
        `clips`, how many were scored, and `means` by metric.

    Raises:
        UsageError: the file cannot be read, or scores none of the clips.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        scored = {str(row["key"]): row for row in rows}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not output of VERSA: JSON lines with a key each") from error
    known = [scored[key] for key in keys if key in scored]
    if not known:
        raise UsageError(f"{path} scores no clip of this list")
    means = {}
    for name in sorted({name for row in known for name in row}):
        values = [row[name] for row in known if type(row.get(name)) in (int, float)]
        if values:
            means[name] = float(np.mean(values))
    return {"file": str(path), "clips": len(known), "means": means}
