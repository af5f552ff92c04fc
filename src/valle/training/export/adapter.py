"""`valle train adapt`: fine-tune a bundle on some speech, and keep the change as an adapter."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from valle.audio_format import SAMPLE_RATE
from valle.bundle.adapter import Adapter, AdapterInfo
from valle.bundle.bundle import Bundle
from valle.corpora.store import Store, by_speaker
from valle.training.data.labels import write_alignments, write_codes, write_voices
from valle.training.export.adapter_check import choose_parts
from valle.training.export.import_bundle import import_bundle, load_language_models
from valle.training.trainers.adaptation import (
    AdaptationOptions,
    AdaptedModel,
    AdapterTrainer,
    Report,
)
from valle.training.trainers.objectives import (
    ARObjective,
    LanguageModelObjective,
    NARObjective,
)

_LABELING_GRAPHS = ("codec_encoder", "speaker", "listener")


def label_corpora(bundle: Bundle, stores: Sequence[Store], workers: int, quiet: bool) -> None:
    """Write codes, speaker embeddings and labels of a bundle's models, where others' are.

    Raises:
        BundleError: a graph does not have the weights of a model of this program.
    """
    hashes = {name: bundle.graph_hash(name) for name in _LABELING_GRAPHS}
    stale = [store for store in stores if store.labeled_by != hashes]
    if not stale:
        return
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        import_bundle(bundle, runs)
        for store in stale:
            write_codes(store, runs / "codec", workers, quiet)
            write_voices(store, runs / "speaker", workers, quiet)
            write_alignments(store, runs / "listener", workers, quiet)
            store.write_labeled_by(hashes)


def collect_speech(stores: Sequence[Store]) -> dict[str, NDArray[np.float32]]:
    """All samples of each speaker at 16 kHz, in the order of the corpora."""
    parts: dict[str, list[NDArray[np.float32]]] = {}
    for store in stores:
        for speaker, utterances in by_speaker(store.utterances).items():
            parts.setdefault(speaker, []).extend(map(store.waveform, utterances))
    return {speaker: np.concatenate(waveforms) for speaker, waveforms in parts.items()}


def train_adapter(
    bundle: Bundle,
    stores: Sequence[Store],
    info: Mapping[str, Any],
    options: AdaptationOptions,
    report: Report,
) -> Adapter:
    """Train an adapter of a bundle's AR and NAR.

    Args:
        bundle: the base.
        stores: with the bundle's codes and labels, see `label_corpora`.
        info: the adapter's `name` and `consents`.
        options: of the training.
        report: called after every round.

    Returns:
        The best round of each model, without models that it did not improve.

    Raises:
        UsageError: there is too little speech, or no round is better than the base.
        BundleError: a graph does not have the weights of a model of this program.
    """
    device = torch.device(options.device)
    ar, nar = load_language_models(bundle)
    objectives: dict[str, LanguageModelObjective] = {
        "ar": ARObjective(ar.to(device), device),
        "nar": NARObjective(nar.to(device), device),
    }
    style = bundle.config.style
    bin_edges = None if style is None else np.array(style.borders)
    adapted = {
        name: AdapterTrainer(objective, name, stores, options, bin_edges).train(report)
        for name, objective in objectives.items()
    }
    seconds = sum(u.samples for store in stores for u in store.utterances) / SAMPLE_RATE
    training = {
        "bundle": bundle.config.name,
        "minutes_of_speech": round(seconds / 60, 1),
        "corpora": [store.folder.name for store in stores],
        "rank": options.rank,
        "rounds": {name: _describe(model) for name, model in adapted.items()},
    }
    parts = {name: model.matrices for name, model in adapted.items() if model.improved}
    chosen, measured = choose_parts(bundle, parts, stores)
    return Adapter(
        AdapterInfo(
            **info,
            base={name: bundle.graph_hash(name) for name in chosen},
            training=training | measured,
        ),
        {key: matrix for name in chosen for key, matrix in parts[name].items()},
    )


def _describe(model: AdaptedModel) -> dict[str, float]:
    return {
        "epochs": model.epochs,
        "all_epochs": model.all_epochs,
        "base_loss": round(model.base_loss, 4),
        "best_loss": round(model.best_loss, 4),
    }
