"""Measure how fast valle is: `make bench`, or `python benchmarks/run.py`.

Prints tables, and writes all figures as JSON. Everything is measured in one run, and what is
compared runs in turn. Needs `valle[train]` (and `valle[plot]` for the plot, `valle[bench]` for one
baseline).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import ar_step
import baselines
import components
import end_to_end
import lengths
import machine
import plot
import process
import report
from material import open_material
from valle.bundle.session import count_processors
from valle.files import temporary_data_folder
from valle.text.symbols import SYMBOLS
from valle.training.export.bundle import export_bundle, random_models
from valle.training.models.ar import AR
from valle.training.models.sizes import SIZES

SPEECH = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)  # seconds
PROMPTS = (3.0, 5.0, 10.0, 15.0)  # seconds


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--quick", action="store_true", help="the default size only, few repeats: a minute"
    )
    parser.add_argument(
        "--sizes", help="default, paper or debug, separated by commas (default: default,paper)"
    )
    parser.add_argument(
        "--bundle", type=Path, help="bundle of the default size (default: the built-in one)"
    )
    parser.add_argument(
        "--threads", type=int, help="threads of every component (default: one per core)"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/bench.json"))
    parser.add_argument("--write-docs", action="store_true", help="write table and plot into docs/")
    arguments = parser.parse_args()
    sizes = (arguments.sizes or ("default" if arguments.quick else "default,paper")).split(",")
    if unknown := set(sizes) - set(SIZES):
        parser.error(f"unknown size {', '.join(sorted(unknown))}; choose from {', '.join(SIZES)}")
    threads = arguments.threads or count_processors()
    torch.set_num_threads(threads)
    result: dict[str, Any] = {
        "date": report.today(),
        "quick": arguments.quick,
        "machine": machine.describe(threads),
        "sizes": {},
    }
    # Voices and the ledger of the benchmark stay out of the user's data folder.
    with temporary_data_folder():
        for size in sizes:
            with _bundle(size, arguments.bundle) as (folder, model):
                result["sizes"][size] = _measure(
                    size, folder, model, arguments.threads, arguments.quick
                )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(report.summary_table(result), report.full_table(result), sep="\n\n")
    if arguments.write_docs:
        report.write_docs(result)
        plot.save_plot(result)


@contextlib.contextmanager
def _bundle(size: str, given: Path | None) -> Iterator[tuple[Path | None, AR]]:
    """The folder of a size's bundle (None: the built-in one), and its AR in PyTorch.

    Other sizes have random weights, which are as fast as trained ones.
    """
    if size == "default":
        torch.manual_seed(0)
        yield given, AR(SIZES[size].ar, len(SYMBOLS)).eval()
        return
    with tempfile.TemporaryDirectory() as folder:
        models = random_models(size, 0)
        model = models.ar
        export_bundle(Path(folder) / size, size, models, "w4a8" if size == "paper" else "w8a8")
        del models
        yield Path(folder) / size, model


def _measure(
    size: str, folder: Path | None, model: AR, threads: int | None, quick: bool
) -> dict[str, Any]:
    large = size == "paper"
    repeats = 2 if quick else 3 if large else 7
    _log(f"{size}: loading the bundle and a voice")
    material = open_material(folder, threads)
    graphs = material.model.bundle.config.graphs
    result: dict[str, Any] = {
        "bits": {name: graph.precision for name, graph in graphs.items() if name in ("ar", "nar")}
    }
    _log(f"{size}: AR step")
    result["step"] = ar_step.measure(material, repeats)
    _log(f"{size}: baselines")
    result["baselines"] = baselines.measure(material, model, min(repeats, 3))
    result["lower_bound"] = baselines.measure_lower_bound(
        material, threads or count_processors(), repeats
    )
    _log(f"{size}: components")
    result["components"] = components.measure(material, repeats)
    _log(f"{size}: end to end")
    result["end_to_end"] = end_to_end.measure(material, min(repeats, 3 if large else 5))
    _log(f"{size}: processes")
    result["process"] = process.measure(material, 1 if quick else 3)
    if not quick:
        _log(f"{size}: lengths")
        speech = tuple(s for s in SPEECH if s <= 10.0) if large else SPEECH
        result["lengths"] = lengths.measure(material, speech, PROMPTS, 1 if large else 3)
    return result


def _log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
