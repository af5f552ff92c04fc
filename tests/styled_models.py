"""A corpus, and untrained models that are conditioned on styles, with their bundle."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from synthetic_corpus import write_corpus
from valle.bundle.bundle import Bundle
from valle.corpora.store import Store
from valle.training.export.bundle import Models, export_bundle, random_models

BIN_EDGES = np.arange(35.0).reshape(5, 7)


def make_styled_models() -> Models:
    return dataclasses.replace(random_models("debug", seed=0), style_bin_edges=BIN_EDGES)


def export_styled_bundle(models: Models, folder: Path) -> Bundle:
    export_bundle(folder, "styled", models, "fp32")
    return Bundle.load(folder, threads=1)


def write_two_speakers(folder: Path) -> Store:
    """Write a corpus of two speakers, two utterances each."""
    return write_corpus(folder, {"a": [220, 180], "b": [260, 300]})
