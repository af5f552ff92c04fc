"""The training loop that all models share: a budget, checkpoints, logging and interruption.

A trainer defines one step. The loop tells it the progress in [0, 1] (for learning-rate schedules),
writes logs, TensorBoard curves and checkpoints, and stops when its budget of minutes or steps is
spent. The same command resumes an interrupted run; time that was spent counts, and the state of the
random generators is restored, so a run limited by steps ends as if it had never been interrupted.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from valle.errors import Error, UsageError
from valle.training.models.depth_growth import grow_depth
from valle.training.run_folder import CHECKPOINT, load_checkpoint, write_checkpoint
from valle.training.trainers.average import WeightAverage
from valle.training.trainers.process_group import ProcessGroup
from valle.training.trainers.trainer import Trainer

ALONE = ProcessGroup()
_TRAINED = "trained_"  # prefix of the modules of a checkpoint whose average has the plain name
PREVIOUS = "checkpoint.previous.pt"
_LOG_EVERY = 50  # steps
_SAVE_EVERY = 180.0  # seconds


class DivergedError(Error):
    """A loss or a weight became NaN or infinite; the last good checkpoint is kept."""


@dataclass(frozen=True)
class Budget:
    """How long to train, all runs into the same folder together: minutes or steps.

    Raises:
        UsageError: neither or both are given, or the limit is not positive.
    """

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise UsageError("give either --minutes or --steps")
        if self.minutes is not None and not 0.0 < self.minutes < math.inf:
            raise UsageError(f"--minutes must be above 0, not {self.minutes}")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"--steps must be 1 or more, not {self.steps}")

    @property
    def total(self) -> float:
        """Seconds or steps."""
        return 60.0 * self.minutes if self.minutes is not None else float(self.steps or 0)

    @property
    def unit(self) -> str:
        """What `total` counts, for the progress bar."""
        return "s" if self.minutes is not None else "step"

    def spent(self, seconds: float, steps: int) -> float:
        """What counts against `total`."""
        return seconds if self.minutes is not None else float(steps)


def run(  # noqa: PLR0913 - options by keyword
    trainer: Trainer,
    folder: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    quiet: bool = False,
    group: ProcessGroup = ALONE,
) -> int:
    """Train until `minutes` or `steps` are spent, counting all runs into this folder.

    Progress follows whichever limit is given, so the schedule fits the budget.

    Args:
        trainer: what to train; resumed from the folder's checkpoint if there is one.
        folder: of the run.
        minutes: of training.
        steps: of training.
        quiet: no progress bar.
        group: of processes that train together. All run the same steps; the first one's clock
            counts, and it alone writes files.

    Returns:
        The number of steps done.

    Raises:
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM; the checkpoint is written.
        DivergedError: a loss became NaN or infinite; the last good checkpoint is kept.
        UsageError: the budget is invalid, or the checkpoint does not fit the trainer.
    """
    budget = Budget(minutes, steps)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CHECKPOINT
    averages = {name: WeightAverage(trainer.modules[name]) for name in trainer.averaged}
    number, spent = _resume(trainer, averages, path)
    first, initial = number, budget.spent(spent, number)
    log: _Log | _NoLog = _Log(folder, budget, initial, quiet) if group.is_first else _NoLog()
    with _Interrupts() as interrupts, log:
        start = saved = time.monotonic()

        def elapsed() -> float:
            return spent + time.monotonic() - start

        def save(with_samples: bool = False) -> None:
            if group.is_first and number > first:
                save_checkpoint(path, trainer, averages, number, elapsed())
                if with_samples:
                    trainer.write_samples(folder, number)

        try:
            while (done := group.agree(budget.spent(elapsed(), number))) < budget.total:
                metrics = trainer.step(number, done / budget.total)
                _check_finite(metrics, number, path)
                for average in averages.values():
                    average.update(number)
                number += 1
                log.add(number, done, elapsed(), metrics)
                if time.monotonic() - saved > _SAVE_EVERY:
                    save(with_samples=True)
                    saved = time.monotonic()
                if group.any(interrupts.requested):
                    raise KeyboardInterrupt
        except DivergedError:
            raise
        except BaseException:
            save()
            raise
        save(with_samples=True)
    if number == 0:
        raise UsageError("the budget was spent before the first step; give more --minutes")
    return number


def _resume(trainer: Trainer, averages: dict[str, WeightAverage], path: Path) -> tuple[int, float]:
    """Restore a checkpoint, if there is one; returns steps and seconds that were done."""
    if not path.is_file():
        return 0, 0.0
    state = load_checkpoint(path)
    restore(trainer, averages, state)
    return state["step"], state["spent_seconds"]


def save_checkpoint(
    path: Path, trainer: Trainer, averages: dict[str, WeightAverage], number: int, spent: float
) -> None:
    """Write a trainer's checkpoint atomically, and keep the one before as `PREVIOUS`.

    Args:
        path: of the checkpoint.
        trainer: whose state to write.
        averages: of the modules in `trainer.averaged`.
        number: steps done.
        spent: seconds of training.

    Raises:
        DivergedError: a weight is NaN or infinite; the checkpoint on disk stays as it is.
    """
    for name, module in trainer.modules.items():
        for weight_name, weight in module.state_dict().items():
            if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
                raise _diverged(f"the weight {name}.{weight_name}", number, path)
    if path.is_file():
        previous = path.with_name(PREVIOUS)
        previous.unlink(missing_ok=True)
        try:
            os.link(path, previous)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, previous)
    write_checkpoint(
        path,
        _collect_weights(trainer, averages),
        step=number,
        spent_seconds=spent,
        optimizers={name: optimizer.state_dict() for name, optimizer in trainer.optimizers.items()},
        generators={name: rng.bit_generator.state for name, rng in trainer.generators.items()},
        torch_generator=torch.get_rng_state(),
    )


def _collect_weights(
    trainer: Trainer, averages: dict[str, WeightAverage]
) -> dict[str, dict[str, Tensor]]:
    """The weights of all modules, by the names that they have in the checkpoint."""
    weights = {}
    for name, module in trainer.modules.items():
        if name in averages:
            weights[name] = averages[name].module.state_dict()
            weights[_TRAINED + name] = module.state_dict()
        else:
            weights[name] = module.state_dict()
    return weights


def restore(trainer: Trainer, averages: dict[str, WeightAverage], state: dict[str, Any]) -> None:
    """Load a checkpoint's state into the trainer that wrote it, and into its averages.

    A checkpoint by `valle import` has the models only: what only training needs (discriminators,
    optimizers, generators) starts fresh, and the models go on from their averages.

    Raises:
        UsageError: the trainer's model has other weights than the checkpoint.
    """
    modules = state["modules"]
    for name, weights in modules.items():
        if name.removeprefix(_TRAINED) not in trainer.modules:
            raise UsageError(f"the checkpoint is of another model: it has a part {name!r}")
        if name.startswith(_TRAINED):
            continue
        _load_weights(trainer.modules[name], name, modules.get(_TRAINED + name, weights))
        if name in averages:
            _load_weights(averages[name].module, name, weights)
    for name, moments in state.get("optimizers", {}).items():
        try:
            trainer.optimizers[name].load_state_dict(moments)
        except (KeyError, ValueError) as error:
            raise UsageError(
                "the checkpoint is of an earlier version, whose model had other weights: export "
                "it with that version, `valle import` the bundle, and continue from there"
            ) from error
    for name, generator in state.get("generators", {}).items():
        if name in trainer.generators:
            trainer.generators[name].bit_generator.state = generator
    if "torch_generator" in state:
        torch.set_rng_state(state["torch_generator"])


def _load_weights(module: nn.Module, name: str, weights: dict[str, Tensor]) -> None:
    try:
        module.load_state_dict(grow_depth(module, weights))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UsageError(
            f"the checkpoint does not fit this model's part {name!r} ({reason}): give the "
            "--data and --size that the run was started with, or other --runs; to continue "
            "with other corpora, `valle export` the models and `valle import` them"
        ) from error


def _check_finite(metrics: dict[str, float], number: int, path: Path) -> None:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise _diverged(f"{name!r} is {value}", number, path)


def _diverged(what: str, number: int, path: Path) -> DivergedError:
    problem = what if " is " in what else f"{what} is not finite"
    hint = "start again with a lower --learning-rate"
    if path.is_file():
        hint = f"the last good checkpoint is {path}; continue with a lower --learning-rate"
    return DivergedError(f"training diverged at step {number}: {problem}; {hint}")


class _Interrupts:
    """Turns Ctrl-C and SIGTERM into a request to stop after the current step.

    A second signal raises KeyboardInterrupt at once.
    """

    def __enter__(self) -> _Interrupts:
        self.requested = False
        signals = (signal.SIGINT, signal.SIGTERM)
        self._handlers = {number: signal.signal(number, self._handle) for number in signals}
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


class _Log:
    """The progress bar, `log.txt` and TensorBoard curves of a run."""

    def __init__(self, folder: Path, budget: Budget, spent: float, quiet: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self._file = folder / "log.txt"
        self._metrics: dict[str, list[float]] = defaultdict(list)
        self._curves = SummaryWriter(str(folder / "tensorboard"))
        total = round(budget.total)
        self._bar = tqdm(
            total=total,
            initial=min(round(spent), total),
            unit=budget.unit,
            desc=folder.name,
            disable=quiet or None,
        )

    def __enter__(self) -> _Log:
        return self

    def add(self, number: int, done: float, seconds: float, metrics: dict[str, float]) -> None:
        """Record the metrics of step `number`, and write their means from time to time."""
        for name, value in metrics.items():
            self._metrics[name].append(value)
        self._bar.n = min(round(done), self._bar.total)
        if number % _LOG_EVERY:
            return
        means = {name: sum(values) / len(values) for name, values in self._metrics.items()}
        for name, value in means.items():
            self._curves.add_scalar(name, value, number)
        line = " ".join(f"{name} {value:.3f}" for name, value in means.items())
        self._bar.set_postfix_str(f"step {number} {line}")
        with self._file.open("a", encoding="utf-8") as log:
            log.write(f"{seconds:.0f}s step {number} {line}\n")
        self._metrics.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # a full disk must not hide the error before
            self._curves.close()
        self._bar.close()


class _NoLog(contextlib.nullcontext[None]):
    """The log of a process that writes none."""

    def add(self, number: int, done: float, seconds: float, metrics: dict[str, float]) -> None:
        """Record nothing."""
