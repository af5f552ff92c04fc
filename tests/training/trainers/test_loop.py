"""The training loop: it stops where told, goes on as if never stopped, and keeps what it has."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from torch import nn  # noqa: E402

from valle.errors import UsageError  # noqa: E402
from valle.training.models.ar import AR  # noqa: E402
from valle.training.models.nar import NAR  # noqa: E402
from valle.training.models.sizes import size_named  # noqa: E402
from valle.training.run_folder import keep_size, load_checkpoint  # noqa: E402
from valle.training.trainers import loop  # noqa: E402
from valle.training.trainers.loop import (  # noqa: E402
    language_model_optimizer,
    learning_rate,
    run,
    set_learning_rate,
)


class TinyJob:
    """A linear model with dropout on random data: it ends elsewhere if one random number differs.

    `signals` are sent to the process itself within the step that they are given for.
    """

    def __init__(self, signals: dict[int, list[int]] | None = None) -> None:
        torch.manual_seed(0)
        self.rng = np.random.default_rng(0)
        self.model = nn.Linear(4, 1)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.modules: dict[str, nn.Module] = {"model": self.model}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"model": self.optimizer}
        self.generators = {"job": self.rng}
        self.signals = signals or {}
        self.progress: list[float] = []
        self.sampled: list[int] = []

    def step(self, number: int, progress: float) -> dict[str, float]:
        self.progress.append(progress)
        loop.set_learning_rate(self.optimizer, learning_rate(progress, 0.1))
        data = torch.from_numpy(self.rng.standard_normal((8, 4)).astype(np.float32))
        loss = (self.model(nn.functional.dropout(data, 0.5)) - data.sum(-1, keepdim=True)).square()
        self.optimizer.zero_grad()
        loss.mean().backward()
        for each in self.signals.get(number, []):
            os.kill(os.getpid(), each)
        self.optimizer.step()
        return {"loss": float(loss.mean().detach())}

    def sample(self, folder: Path, number: int) -> None:
        self.sampled.append(number)

    @property
    def weights(self) -> list[float]:
        return [*self.model.weight[0].tolist(), *self.model.bias.tolist()]


def test_stops_by_steps(tmp_path: Path) -> None:
    job = TinyJob()
    assert run(job, tmp_path / "run", steps=4, quiet=True) == 4
    assert job.progress == [0.0, 0.25, 0.5, 0.75]
    assert job.sampled == [4]
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 4
    again = TinyJob()
    assert run(again, tmp_path / "run", steps=4, quiet=True) == 4
    assert again.progress == [] and again.weights == job.weights


def test_stops_by_minutes_of_all_runs_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    class TimedJob(TinyJob):
        def step(self, number: int, progress: float) -> dict[str, float]:
            nonlocal now
            now += 10.0
            return super().step(number, progress)

    monkeypatch.setattr(loop, "time", Clock)
    job = TimedJob()
    assert run(job, tmp_path, minutes=1.0, quiet=True) == 6
    assert job.progress == pytest.approx([k / 6 for k in range(6)])
    assert load_checkpoint(tmp_path / "checkpoint.pt")["spent_seconds"] == 60.0
    now += 1e6  # time between runs does not count
    more = TimedJob()
    assert run(more, tmp_path, minutes=1.5, quiet=True) == 9
    assert more.progress == pytest.approx([60 / 90, 70 / 90, 80 / 90])


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_ends_as_if_never_stopped(tmp_path: Path, which: int) -> None:
    whole = TinyJob()
    run(whole, tmp_path / "whole", steps=7, quiet=True)
    first = TinyJob({2: [which]})
    with pytest.raises(KeyboardInterrupt):
        run(first, tmp_path / "parts", steps=7, quiet=True)
    assert len(first.progress) == 3  # the step was finished, no other begun
    assert load_checkpoint(tmp_path / "parts" / "checkpoint.pt")["step"] == 3
    second = TinyJob()
    assert run(second, tmp_path / "parts", steps=7, quiet=True) == 7
    assert second.weights == whole.weights
    assert first.progress + second.progress == whole.progress


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    job = TinyJob({1: [signal.SIGTERM, signal.SIGTERM]})
    with pytest.raises(KeyboardInterrupt):
        run(job, tmp_path, steps=7, quiet=True)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 1


def test_signals_are_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run(TinyJob(), tmp_path / "a", steps=1, quiet=True)
    with pytest.raises(KeyboardInterrupt):
        run(TinyJob({0: [signal.SIGTERM]}), tmp_path / "b", steps=2, quiet=True)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_failing_step_keeps_what_there_is(tmp_path: Path) -> None:
    class FailingJob(TinyJob):
        def step(self, number: int, progress: float) -> dict[str, float]:
            if number == 2:
                raise RuntimeError("out of memory")
            return super().step(number, progress)

    with pytest.raises(RuntimeError, match="memory"):
        run(FailingJob(), tmp_path, steps=5, quiet=True)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 2


def test_a_checkpoint_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(TinyJob(), tmp_path, steps=1, quiet=True)

    def fail(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        run(TinyJob(), tmp_path, steps=2, quiet=True)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 1


def test_checkpoints_without_generators_still_load(tmp_path: Path) -> None:
    job = TinyJob()
    run(job, tmp_path, steps=2, quiet=True)
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    del state["generators"], state["torch_generator"]
    torch.save(state, tmp_path / "checkpoint.pt")
    again = TinyJob()
    assert run(again, tmp_path, steps=3, quiet=True) == 3
    assert len(again.progress) == 1


def test_a_checkpoint_of_an_earlier_model_is_refused(tmp_path: Path) -> None:
    run(TinyJob(), tmp_path / "run", steps=1, quiet=True)
    more = TinyJob()
    weights = [*more.model.parameters(), nn.Parameter(torch.zeros(2))]
    more.optimizers["model"] = torch.optim.AdamW(weights, lr=0.1)
    with pytest.raises(UsageError, match="valle import"):
        run(more, tmp_path / "run", steps=2, quiet=True)


def test_figures_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_LOG_EVERY", 2)
    run(TinyJob(), tmp_path, steps=5, quiet=True)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split(" ")[1:4] for line in lines] == [
        ["step", "2", "loss"],
        ["step", "4", "loss"],
    ]
    assert any((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("box", [{}, {"minutes": 1.0, "steps": 1}])
def test_one_limit_is_needed(tmp_path: Path, box: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="either"):
        run(TinyJob(), tmp_path, **box)


def test_no_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="valle train"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_the_rate_rises_and_falls() -> None:
    rates = [learning_rate(k / 1000, 2.0) for k in range(1001)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(2.0, rel=0.02)
    top = rates.index(max(rates))
    assert 15 <= top <= 21
    steps = np.diff(rates)
    assert (steps[:top] > 0).all() and (steps[21:] < 0).all()
    assert rates[510] == pytest.approx(0.505 * 2.0)  # half-way down the cosine
    assert rates[-1] == pytest.approx(0.02)
    assert learning_rate(1.5, 2.0) == pytest.approx(0.02)  # a box that was made smaller


@dataclass(frozen=True)
class Shape:
    layers: int
    dropout: float = 0.0


def test_a_run_keeps_its_size(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    keep_size(folder, Shape(2))
    keep_size(folder, Shape(3))  # nothing was trained yet
    run(TinyJob(), folder, steps=1, quiet=True)
    keep_size(folder, Shape(3, dropout=0.1))
    with pytest.raises(UsageError, match="layers 3, not 2"):
        keep_size(folder, Shape(2))
    assert json.loads((folder / "size.json").read_text()) == {"layers": 3, "dropout": 0.1}


@pytest.mark.parametrize("model", ["ar", "nar"])
def test_styles_take_larger_steps_and_every_weight_is_in_one_group(model: str) -> None:
    size = size_named("debug")
    module: nn.Module = AR(size.ar, 40) if model == "ar" else NAR(size.nar, 40)
    optimizer = language_model_optimizer(module, 1.0)
    set_learning_rate(optimizer, 1e-3)
    rates = {
        id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]
    }
    assert len(rates) == sum(len(group["params"]) for group in optimizer.param_groups)
    for name, weight in module.named_parameters():
        assert rates.pop(id(weight)) == pytest.approx(1e-2 if "style" in name else 1e-3)
    assert not rates


@pytest.mark.parametrize(
    ("known", "seconds", "taken"),
    [(True, (1.0, 2.0), True), (True, (2.0, 1.0), False), (False, (1.0, 2.0), False)],
)
def test_bfloat16_is_taken_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, known: bool, seconds: tuple[float, float], taken: bool
) -> None:
    times = dict(zip((torch.bfloat16, torch.float32), seconds, strict=True))
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {"avx512_bf16": known}, raising=False
    )
    monkeypatch.setattr(loop, "_quickest", lambda square: times[square.dtype])
    loop._bfloat16_pays.cache_clear()
    try:
        with loop.mixed_precision(torch.device("cpu")):
            assert torch.is_autocast_enabled("cpu") == taken
    finally:
        loop._bfloat16_pays.cache_clear()
