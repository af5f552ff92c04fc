"""The training loop that every model shares: time-boxed, resumable, watched.

A job says what one step is; the loop gives it the progress in [0, 1] (for learning-rate schedules),
writes TensorBoard figures and checkpoints, and stops by itself when its minutes are over. A stopped
run goes on where it was when the same command is given again; what was spent counts, and random
numbers go on too, so that by steps it ends as if it had never been stopped.
"""

from __future__ import annotations

import math
import signal
import time
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from valle.errors import UsageError
from valle.training.models.convnext import grown
from valle.training.run_folder import load_checkpoint, write_checkpoint

_LOG_EVERY = 50  # steps between figures
_STYLE_TIMES = 10.0  # the learning rate of styles, in that of all other weights
_SAVE_EVERY = 180.0  # seconds between checkpoints


class Job(Protocol):
    """What the loop trains. Its modules, optimizers and generators are saved and restored."""

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    generators: dict[str, np.random.Generator]
    peak_rate: float  # the highest learning rate of the run

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One step of training; returns figures to watch."""
        ...

    def sample(self, folder: Path, number: int) -> None:
        """Write something to look at or listen to; called at every checkpoint."""
        ...


def learning_rate(progress: float, peak: float, warmup: float = 0.02) -> float:
    """Linear rise over the first `warmup` of the run, then half a cosine down to a hundredth."""
    if progress < warmup:
        return peak * (progress / warmup + 0.01)
    along = (progress - warmup) / (1.0 - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(along, 1.0))))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of all weights; a group that has a number of `times` learns so much faster."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("times", 1.0)


def language_model_optimizer(model: nn.Module, rate: float) -> torch.optim.AdamW:
    """AdamW for the AR and the NAR.

    The inputs of styles begin at zero, mostly in a model that knows all else already and goes on
    with small steps: they take larger ones.
    """
    styles = [weight for name, weight in model.named_parameters() if "style." in name]
    others = [weight for name, weight in model.named_parameters() if "style." not in name]
    groups = [{"params": others, "times": 1.0}, {"params": styles, "times": _STYLE_TIMES}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), weight_decay=0.05)


def mixed_precision(device: torch.device) -> torch.autocast:
    """A context in which matrix products are done in bfloat16, where that is faster."""
    return torch.autocast(
        device.type, torch.bfloat16, enabled=device.type != "cpu" or _bfloat16_pays()
    )


@lru_cache(maxsize=1)
def _bfloat16_pays() -> bool:
    """Whether this processor multiplies faster in bfloat16 than in fp32.

    One without the instructions emulates them, ten times slower. Of those that have them, some do
    twice as much in them, and some less: so it is tried, in a tenth of a second.
    """
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if not capabilities.get("avx512_bf16"):
        return False
    square = torch.ones(768, 768)
    return _quickest(square.bfloat16()) < _quickest(square)


def _quickest(square: Tensor) -> float:
    """Seconds that the product of a matrix with itself takes at best."""
    found = []
    for _ in range(8):
        begun = time.perf_counter()
        square @ square
        found.append(time.perf_counter() - begun)
    return min(found)


def save_checkpoint(path: Path, job: Job, number: int, spent: float) -> None:
    """Write a job's checkpoint whole or not at all."""
    write_checkpoint(
        path,
        {name: module.state_dict() for name, module in job.modules.items()},
        step=number,
        spent_seconds=spent,
        optimizers={name: optimizer.state_dict() for name, optimizer in job.optimizers.items()},
        generators={name: rng.bit_generator.state for name, rng in job.generators.items()},
        torch_generator=torch.get_rng_state(),
    )


def restore(job: Job, state: dict[str, Any]) -> None:
    """Put a checkpoint's state into the job that wrote it.

    A checkpoint that `valle import` wrote has the models alone: what only training needs (a
    discriminator, optimizers, generators) then begins anew.

    Raises:
        UsageError: the job's model has other weights than the one that the checkpoint is of.
    """
    for name, weights in state["modules"].items():
        module = job.modules[name]
        module.load_state_dict(grown(module, weights))
    for name, moments in state.get("optimizers", {}).items():
        try:
            job.optimizers[name].load_state_dict(moments)
        except ValueError as error:
            raise UsageError(
                "the checkpoint is of an earlier version, whose model had other weights: export "
                "it by that version, `valle import` the bundle, and train on from there"
            ) from error
    for name, generator in state.get("generators", {}).items():
        job.generators[name].bit_generator.state = generator
    if "torch_generator" in state:
        torch.set_rng_state(state["torch_generator"])


def run(
    job: Job,
    folder: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    quiet: bool = False,
) -> int:
    """Train until `minutes` (all runs into this folder together) or `steps` are over.

    Returns the number of steps done. Progress follows whichever limit is given; the schedule of a
    run therefore fits its box.

    Raises:
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM; the checkpoint is written.
        UsageError: neither limit, or both, were given.
    """
    if (minutes is None) == (steps is None):
        raise UsageError("give either --minutes or --steps")
    from torch.utils.tensorboard import SummaryWriter

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint.pt"
    number, spent = 0, 0.0
    if path.is_file():
        state = load_checkpoint(path)
        restore(job, state)
        number, spent = state["step"], state["spent_seconds"]
    writer = SummaryWriter(str(folder / "tensorboard"))
    total = 60.0 * minutes if minutes is not None else float(steps or 0)
    done = spent if minutes is not None else float(number)
    bar = tqdm(
        total=round(total),
        initial=min(round(done), round(total)),
        unit="s" if minutes is not None else "step",
        desc=folder.name,
        disable=quiet or None,
    )
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            raise KeyboardInterrupt
        stopping = True

    # Ctrl-C, or SIGTERM for a run in the background: the step is finished and its state kept.
    # Asked again, it does not wait for the step.
    before = {which: signal.signal(which, stop) for which in (signal.SIGINT, signal.SIGTERM)}
    begun, saved = time.monotonic(), time.monotonic()
    sums: dict[str, list[float]] = defaultdict(list)

    def elapsed() -> float:
        return spent + time.monotonic() - begun

    try:
        while True:
            done = elapsed() if minutes is not None else float(number)
            if done >= total:
                break
            for name, value in job.step(number, done / total).items():
                sums[name].append(value)
            number += 1
            bar.n = min(round(done), bar.total)
            if number % _LOG_EVERY == 0:
                means = {name: sum(values) / len(values) for name, values in sums.items()}
                for name, value in means.items():
                    writer.add_scalar(name, value, number)
                line = " ".join(f"{name} {value:.3f}" for name, value in means.items())
                bar.set_postfix_str(f"step {number} {line}")
                with (folder / "log.txt").open("a", encoding="utf-8") as log:
                    log.write(f"{elapsed():.0f}s step {number} {line}\n")
                sums.clear()
            if time.monotonic() - saved > _SAVE_EVERY:
                save_checkpoint(path, job, number, elapsed())
                job.sample(folder, number)
                saved = time.monotonic()
            if stopping:
                raise KeyboardInterrupt
    finally:
        save_checkpoint(path, job, number, elapsed())
        bar.close()
        writer.close()
        for which, handler in before.items():
            signal.signal(which, handler)
    job.sample(folder, number)
    return number
