"""`valle train all`: every step from prepared recordings to a finished bundle, within a budget.

The steps are commands of this program. Each takes its share of the time that is left when it
begins, so that what a preparation does not need goes to the steps after it. `chain.json` in the
folder of the runs lists the finished steps: the same command, with a budget of its own, goes on
with the first one that is not. A training that was stopped continues from its checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from pathlib import Path

from valle.cli.arguments import (
    add_corpora,
    add_quiet,
    add_runs,
    add_seed,
    add_sentences,
    add_teacher,
    add_workers,
    nonempty,
    path,
)
from valle.cli.train_device import add_device
from valle.cli.train_steps import make_steps
from valle.errors import UsageError
from valle.files import write_atomically
from valle.training.models.sizes import SIZES
from valle.training.run_folder import CHECKPOINT, load_checkpoint

_STATE = "chain.json"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_LEAST_SECONDS = 1.0  # of a training


def train_all_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle train all`."""
    parser.add_argument("bundle", type=path, metavar="BUNDLE", help="where to write the bundle")
    add_corpora(parser, "recordings that `valle prepare recordings` wrote")
    parser.add_argument(
        "--budget",
        type=parse_budget,
        required=True,
        metavar="TIME",
        help="how long this call may take, such as 25m, 90s or 4h",
    )
    add_sentences(parser)
    add_teacher(parser, "that the acoustic stage and the preferences learn from")
    parser.add_argument(
        "--start",
        type=nonempty,
        metavar="BUNDLE",
        help="continue the models of this bundle, which keeps its codec's codes and its speaker "
        "encoder (default: train all models from random weights)",
    )
    add_runs(parser, "folder of the models, and of the list of finished steps")
    parser.add_argument(
        "--size", choices=list(SIZES), default="default", help="model size (default: %(default)s)"
    )
    add_device(parser)
    add_workers(parser, "processes for preparation, and threads for training", os.cpu_count() or 1)
    add_seed(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print the steps with their shares of the budget"
    )
    add_quiet(parser, "show no progress bars")


def train_all(arguments: argparse.Namespace) -> None:
    """Run the unfinished steps of the chain until the budget is spent.

    Args:
        arguments: of the command line.

    Raises:
        UsageError: the runs belong to a chain with other options.
        Error: that of the step that failed; those before it stay finished.
    """
    from valle.cli import main  # which imports this module by name

    steps = make_steps(arguments)
    state = _State(arguments.runs / _STATE, _recipe(arguments))
    if arguments.dry_run:
        total = sum(step.share for step in steps)
        for step in steps:
            minutes = arguments.budget / 60 * step.share / total
            finished = "finished" if step.name in state.finished else f"{minutes:6.1f} min"
            print(f"{step.name:<22} {finished:>10}  valle {' '.join(step.command)}")
        return
    deadline = time.monotonic() + arguments.budget
    waiting = [step for step in steps if step.name not in state.finished]
    for index, step in enumerate(waiting):
        left = deadline - time.monotonic()
        if left <= 0.0:
            print(
                f"the budget is spent before {step.name!r}: {len(steps) - len(waiting) + index} of "
                f"{len(steps)} steps are finished; the same command goes on from there"
            )
            return
        seconds = left * step.share / sum(other.share for other in waiting[index:])
        print(f"[{len(steps) - len(waiting) + index + 1}/{len(steps)}] {step.name}", flush=True)
        started = time.monotonic()
        command = step.command
        if step.stage is not None:
            total_seconds = _spent(step.run) + max(seconds, _LEAST_SECONDS)
            command = (*command, "--minutes", repr(total_seconds / 60.0))
        main.run_command(command)
        state.finish(step.name, time.monotonic() - started)
    print(f"{arguments.bundle}: all {len(steps)} steps are finished")


def parse_budget(value: str) -> float:
    """Seconds of a duration such as 25m."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", value)
    if match is None or not (seconds := float(match[1]) * _UNITS[match[2]]):
        raise argparse.ArgumentTypeError(f"must be a time such as 25m, 90s or 4h, not {value!r}")
    return seconds


def _spent(run: Path) -> float:
    """Seconds of training that a run's checkpoint counts."""
    checkpoint = run / CHECKPOINT
    return float(load_checkpoint(checkpoint)["spent_seconds"]) if checkpoint.is_file() else 0.0


def _recipe(arguments: argparse.Namespace) -> dict[str, object]:
    """The options that the models depend on; folders by name, since machines differ."""
    return {
        "--data": [folder.name for folder in arguments.data],
        "--start": arguments.start,
        "--size": arguments.size,
        "--seed": arguments.seed,
    }


class _State:
    """The finished steps of a chain, on disk."""

    def __init__(self, file: Path, recipe: dict[str, object]) -> None:
        self._file = file
        self._recipe = recipe
        self.finished: dict[str, float] = {}
        """Seconds that each finished step took, by its name."""
        if not file.is_file():
            return
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            earlier, self.finished = dict(state["recipe"]), dict(state["seconds"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{file} is damaged ({error}); remove it to start again") from error
        for option, value in recipe.items():
            if earlier.get(option) != value:
                raise UsageError(
                    f"{file.parent} belongs to a chain with {option} {earlier.get(option)}, not "
                    f"{value}; give the same, or other --runs"
                )

    def finish(self, name: str, seconds: float) -> None:
        """Note a step as finished."""
        self.finished[name] = round(seconds, 1)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        state = {"recipe": self._recipe, "seconds": self.finished}
        with write_atomically(self._file) as temporary:
            temporary.write_text(json.dumps(state, indent=1), encoding="utf-8")
