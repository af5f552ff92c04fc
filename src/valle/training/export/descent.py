"""What a bundle says of where its models come from: receipts of speakers, data and its licenses."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from valle.audio_format import SAMPLE_RATE
from valle.bundle.adapter import Adapter
from valle.corpora.store import Store
from valle.errors import UsageError
from valle.files import write_atomically
from valle.training.models.lora import merge_changes
from valle.training.run_folder import CHECKPOINT, load_checkpoint, load_origin

_DATA = "data.json"
_NOT_STATED = "not stated"


def save_data_sources(run: Path, stores: Sequence[Store]) -> None:
    """Note in a run's folder what it is trained on, besides what it was trained on before."""
    totals: defaultdict[tuple[str, str], float] = defaultdict(float)
    for store in stores:
        for utterance in store.utterances:
            key = utterance.corpus, utterance.license or _NOT_STATED
            totals[key] += utterance.samples / SAMPLE_RATE / 3600
    sources = {(corpus, terms): hours for corpus, terms, hours in _load_data_sources(run)} | totals
    run.mkdir(parents=True, exist_ok=True)
    rows = [[corpus, terms, round(hours, 3)] for (corpus, terms), hours in sorted(sources.items())]
    with write_atomically(run / _DATA) as temporary:
        temporary.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def _load_data_sources(run: Path) -> list[tuple[str, str, float]]:
    path = run / _DATA
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [(str(corpus), str(terms), float(hours)) for corpus, terms, hours in rows]
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is damaged ({error}); remove it") from error


def describe_data(runs: Path, adapter: Adapter | None = None) -> str:
    """A section of the model card: the corpora of all runs, with hours and licenses.

    Args:
        runs: that are exported.
        adapter: that is merged into them; None: none.
    """
    sources: dict[tuple[str, str], float] = {}
    for folder in sorted(path for path in runs.iterdir() if path.is_dir()):
        for corpus, terms, hours in _load_data_sources(folder):
            sources[corpus, terms] = max(hours, sources.get((corpus, terms), 0.0))
    origins = {origin.bundle for folder in runs.iterdir() if (origin := load_origin(folder))}
    lines = [f"Continued from the bundle {name}." for name in sorted(origins)]
    if adapter is not None:
        minutes = adapter.info.training.get("minutes_of_speech", "some")
        speakers = len(adapter.info.consents)
        lines.append(
            f"Fine-tuned by the adapter {adapter.info.name}: {minutes} minutes of {speakers} "
            f"speaker{'s' if speakers > 1 else ''}, whose receipts are in `config.json`."
        )
    if sources:
        lines += ["", "| corpus | hours | license |", "|---|---:|---|"]
        lines += [
            f"| {corpus} | {hours:.2f} | {terms} |"
            for (corpus, terms), hours in sorted(sources.items())
        ]
    return "\n".join(["## Training data", "", *lines, ""]) if lines else ""


def collect_consents(runs: Path) -> tuple[dict[str, Any], ...]:
    """The receipts of all bundles that models in a folder of runs were imported from."""
    consents: dict[str, dict[str, Any]] = {}
    for folder in sorted(path for path in runs.iterdir() if path.is_dir()):
        origin = load_origin(folder)
        for receipt in origin.consents if origin is not None else ():
            consents.setdefault(str(receipt.get("id")), receipt)
    return tuple(consents.values())


def merge_adapter(adapter: Adapter, runs: Path, models: Mapping[str, nn.Module]) -> None:
    """Add an adapter to the weights of the models that it was trained for, in place.

    Args:
        adapter: to merge.
        runs: that `valle import` wrote.
        models: loaded from them, by the names of their graphs.

    Raises:
        UsageError: the runs were not imported from the adapter's bundle, or were trained since.
    """
    for name, sha256 in adapter.info.base.items():
        origin = load_origin(runs / name)
        if origin is None or origin.graphs.get(name) != sha256:
            raise UsageError(
                f"the adapter {adapter.info.name!r} was not trained for the models in "
                f"{runs / name}: `valle import` the bundle that it was trained for, and export that"
            )
        if load_checkpoint(runs / name / CHECKPOINT)["step"] > 0 or (runs / "acoustic").is_dir():
            raise UsageError(
                f"the models in {runs} were trained further since they were imported, so an "
                "adapter no longer fits; `valle import` the bundle into other --runs"
            )
        merge_changes(models[name], adapter.changes(name))
