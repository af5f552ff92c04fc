"""Contamination: speakers and texts of a test list that are in training material."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from valle.corpora.split import plain_words
from valle.evaluation.items import Item
from valle.evaluation.material import read_manifests


def find_contamination(items: Sequence[Item], manifests: Sequence[Path]) -> dict[str, Any]:
    """Compare a test list with the manifests of training material.

    Args:
        items: the list.
        manifests: JSONL lists of recordings that a model was trained on.

    Returns:
        `speakers` and `texts` of the list that are in the material; a text is found within a
        longer transcript too, whatever its case and punctuation.

    Raises:
        UsageError: a manifest is missing.
    """
    rows = read_manifests(manifests)
    speakers = {str(row["speaker"]).rpartition("/")[2] for row in rows}
    transcripts = (f" {' '.join(plain_words(row['text']))} " for row in rows if row["text"])
    training = "|".join(transcripts)
    texts = {item.text for item in items if f" {' '.join(plain_words(item.text))} " in training}
    return {
        "manifests": [str(path) for path in manifests],
        "speakers": sorted({item.speaker for item in items} & speakers),
        "texts": sorted(texts),
    }
