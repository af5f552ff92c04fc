"""Measure how fast valle is: `make bench`, or `python benchmarks/run.py`.

Prints a table, and writes all figures as JSON. Everything is taken in one run; what is compared
takes turns. Needs `valle[train]` (and `valle[plot]` for the picture, `valle[bench]` for one rival).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# No voice that the user keeps is touched, nor anything entered where the user would find it.
_HOME = tempfile.TemporaryDirectory()
os.environ["VALLE_HOME"] = _HOME.name

import torch  # noqa: E402

import ar_step  # noqa: E402
import lengths  # noqa: E402
import machine  # noqa: E402
import parts  # noqa: E402
import plot  # noqa: E402
import process  # noqa: E402
import report  # noqa: E402
import rivals  # noqa: E402
import whole  # noqa: E402
from material import open_material  # noqa: E402
from valle.bundle.session import count_processors  # noqa: E402
from valle.text.symbols import SYMBOLS  # noqa: E402
from valle.training.export.bundle import export_bundle, random_models  # noqa: E402
from valle.training.models.ar import AR  # noqa: E402
from valle.training.models.sizes import SIZES  # noqa: E402

SPEECH = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)  # seconds
PROMPTS = (3.0, 5.0, 10.0, 15.0)  # seconds


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--quick", action="store_true", help="under a minute: few repeats, no paper"
    )
    parser.add_argument("--sizes", help="default, paper or debug, with commas (default,paper)")
    parser.add_argument("--bundle", type=Path, help="for `default`, instead of the packaged one")
    parser.add_argument("--threads", type=int, help="of every part (default: one for each core)")
    parser.add_argument("--output", type=Path, default=Path("runs/bench.json"))
    parser.add_argument("--write-docs", action="store_true", help="table and picture into docs/")
    arguments = parser.parse_args()
    sizes = (arguments.sizes or ("default" if arguments.quick else "default,paper")).split(",")
    if unknown := set(sizes) - set(SIZES):
        parser.error(
            f"no size is called {', '.join(sorted(unknown))}; there are {', '.join(SIZES)}"
        )
    threads = arguments.threads or count_processors()
    torch.set_num_threads(threads)
    result: dict[str, Any] = {
        "date": report.today(),
        "quick": arguments.quick,
        "machine": machine.describe(threads),
        "sizes": {},
    }
    for size in sizes:
        with _bundle(size, arguments.bundle) as (folder, model):
            result["sizes"][size] = _measure(
                size, folder, model, arguments.threads, threads, arguments.quick
            )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(report.table(result))
    if arguments.write_docs:
        report.write_docs(result)
        plot.save_picture(result)


@contextlib.contextmanager
def _bundle(size: str, given: Path | None) -> Iterator[tuple[Path | None, AR]]:
    """The folder of a size's bundle, and its AR in PyTorch. Random weights are as fast as others;
    the default size is measured as it is in the package."""
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
    size: str, folder: Path | None, model: AR, given: int | None, threads: int, quick: bool
) -> dict[str, Any]:
    large = size == "paper"
    repeats = 2 if quick else 3 if large else 7
    _say(f"{size}: reading the bundle and a voice")
    material = open_material(folder, given)
    graphs = material.model.bundle.config.graphs
    found: dict[str, Any] = {
        "bits": {name: graph.precision for name, graph in graphs.items() if name in ("ar", "nar")}
    }
    _say(f"{size}: the AR's step")
    found["step"] = ar_step.measure(material, repeats)
    _say(f"{size}: beside others")
    found["rivals"] = rivals.measure(material, model, min(repeats, 3), uncached=True)
    found["floor"] = rivals.floor(material, threads, repeats)
    _say(f"{size}: the parts")
    found["parts"] = parts.measure(material, repeats)
    _say(f"{size}: the whole")
    found["whole"] = whole.measure(material, min(repeats, 3 if large else 5))
    _say(f"{size}: processes")
    found["process"] = process.measure(material, 1 if quick else 3)
    if not quick:
        _say(f"{size}: lengths")
        spoken = tuple(s for s in SPEECH if s <= 10.0) if large else SPEECH
        found["lengths"] = lengths.measure(material, spoken, PROMPTS, 1 if large else 3)
    return found


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
