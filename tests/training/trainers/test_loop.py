"""The training loop: budgets, resuming, interruption, and keeping the last good checkpoint."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch import nn

from valle.errors import UsageError
from valle.training.models.ar import AR
from valle.training.models.nar import NAR
from valle.training.models.sizes import size_named
from valle.training.run_folder import load_checkpoint, save_size, write_checkpoint
from valle.training.trainers import loop, optimization
from valle.training.trainers.loop import PREVIOUS, DivergedError, run
from valle.training.trainers.optimization import (
    language_model_optimizer,
    learning_rate,
    set_learning_rate,
)


class TinyTrainer:
    """A linear model with dropout on random data: it ends elsewhere if one random number differs.

    `signals` are sent to the process itself within the step that they are given for.
    """

    peak_rate = 0.1
    averaged: tuple[str, ...] = ("model",)

    def __init__(self, signals: dict[int, list[int]] | None = None) -> None:
        torch.manual_seed(0)
        self.rng = np.random.default_rng(0)
        self.model = nn.Linear(4, 1)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.modules: dict[str, nn.Module] = {"model": self.model}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"model": self.optimizer}
        self.generators = {"trainer": self.rng}
        self.signals = signals or {}
        self.progress: list[float] = []
        self.sampled: list[int] = []

    def step(self, number: int, progress: float) -> dict[str, float]:
        self.progress.append(progress)
        set_learning_rate(self.optimizer, learning_rate(progress, 0.1))
        data = torch.from_numpy(self.rng.standard_normal((8, 4)).astype(np.float32))
        loss = (self.model(nn.functional.dropout(data, 0.5)) - data.sum(-1, keepdim=True)).square()
        self.optimizer.zero_grad()
        loss.mean().backward()
        for number_of_signal in self.signals.get(number, []):
            os.kill(os.getpid(), number_of_signal)
        self.optimizer.step()
        return {"loss": float(loss.mean().detach())}

    def write_samples(self, folder: Path, number: int) -> None:
        self.sampled.append(number)

    @property
    def weights(self) -> list[float]:
        return [*self.model.weight[0].tolist(), *self.model.bias.tolist()]


def test_steps_limit_a_run(tmp_path: Path) -> None:
    trainer = TinyTrainer()
    assert run(trainer, tmp_path / "run", steps=4, quiet=True) == 4
    assert trainer.progress == [0.0, 0.25, 0.5, 0.75]
    assert trainer.sampled == [4]
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 4
    again = TinyTrainer()
    assert run(again, tmp_path / "run", steps=4, quiet=True) == 4
    assert again.progress == []
    assert again.weights == trainer.weights


def test_minutes_count_all_runs_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    class TimedTrainer(TinyTrainer):
        def step(self, number: int, progress: float) -> dict[str, float]:
            nonlocal now
            now += 10.0
            return super().step(number, progress)

    monkeypatch.setattr(loop, "time", Clock)
    trainer = TimedTrainer()
    assert run(trainer, tmp_path, minutes=1.0, quiet=True) == 6
    assert trainer.progress == pytest.approx([k / 6 for k in range(6)])
    assert load_checkpoint(tmp_path / "checkpoint.pt")["spent_seconds"] == 60.0
    now += 1e6  # time between runs does not count
    more = TimedTrainer()
    assert run(more, tmp_path, minutes=1.5, quiet=True) == 9
    assert more.progress == pytest.approx([60 / 90, 70 / 90, 80 / 90])


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_run_ends_as_if_never_interrupted(tmp_path: Path, which: int) -> None:
    whole = TinyTrainer()
    run(whole, tmp_path / "whole", steps=7, quiet=True)
    first = TinyTrainer({2: [which]})
    with pytest.raises(KeyboardInterrupt):
        run(first, tmp_path / "parts", steps=7, quiet=True)
    assert len(first.progress) == 3  # the step was finished, and no other started
    assert load_checkpoint(tmp_path / "parts" / "checkpoint.pt")["step"] == 3
    second = TinyTrainer()
    assert run(second, tmp_path / "parts", steps=7, quiet=True) == 7
    assert second.weights == whole.weights
    assert first.progress + second.progress == whole.progress


def test_second_signal_interrupts_the_step(tmp_path: Path) -> None:
    trainer = TinyTrainer({1: [signal.SIGTERM, signal.SIGTERM]})
    with pytest.raises(KeyboardInterrupt):
        run(trainer, tmp_path, steps=7, quiet=True)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 1


def test_signal_handlers_are_restored(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run(TinyTrainer(), tmp_path / "a", steps=1, quiet=True)
    with pytest.raises(KeyboardInterrupt):
        run(TinyTrainer({0: [signal.SIGTERM]}), tmp_path / "b", steps=2, quiet=True)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_failing_step_saves_the_steps_before(tmp_path: Path) -> None:
    class FailingTrainer(TinyTrainer):
        def step(self, number: int, progress: float) -> dict[str, float]:
            if number == 2:
                raise RuntimeError("out of memory")
            return super().step(number, progress)

    with pytest.raises(RuntimeError, match="memory"):
        run(FailingTrainer(), tmp_path, steps=5, quiet=True)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 2


def test_checkpoint_is_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(TinyTrainer(), tmp_path, steps=1, quiet=True)

    def fail(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        run(TinyTrainer(), tmp_path, steps=2, quiet=True)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 1


def test_checkpoint_without_generators_is_loaded(tmp_path: Path) -> None:
    trainer = TinyTrainer()
    run(trainer, tmp_path, steps=2, quiet=True)
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    del state["generators"], state["torch_generator"]
    torch.save(state, tmp_path / "checkpoint.pt")
    again = TinyTrainer()
    assert run(again, tmp_path, steps=3, quiet=True) == 3
    assert len(again.progress) == 1


def test_checkpoint_of_an_earlier_model_is_rejected(tmp_path: Path) -> None:
    run(TinyTrainer(), tmp_path / "run", steps=1, quiet=True)
    more = TinyTrainer()
    weights = [*more.model.parameters(), nn.Parameter(torch.zeros(2))]
    more.optimizers["model"] = torch.optim.AdamW(weights, lr=0.1)
    with pytest.raises(UsageError, match="valle import"):
        run(more, tmp_path / "run", steps=2, quiet=True)


def test_metrics_are_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_LOG_EVERY", 2)
    run(TinyTrainer(), tmp_path, steps=5, quiet=True)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split(" ")[1:4] for line in lines] == [
        ["step", "2", "loss"],
        ["step", "4", "loss"],
    ]
    assert any((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize(
    ("minutes", "steps", "message"),
    [
        (None, None, "either"),
        (1.0, 1, "either"),
        (-3.0, None, "--minutes must be above 0"),
        (0.0, None, "--minutes must be above 0"),
        (float("nan"), None, "--minutes must be above 0"),
        (float("inf"), None, "--minutes must be above 0"),
        (None, 0, "--steps must be 1 or more"),
        (None, -1, "--steps must be 1 or more"),
    ],
)
def test_invalid_budget_is_rejected_without_a_checkpoint(
    tmp_path: Path, minutes: float | None, steps: int | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(TinyTrainer(), tmp_path, minutes=minutes, steps=steps)
    assert list(tmp_path.iterdir()) == []


def test_budget_without_a_step_writes_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="more --minutes"):
        run(TinyTrainer(), tmp_path, minutes=1e-12, quiet=True)
    assert not (tmp_path / "checkpoint.pt").exists()


class DivergingTrainer(TinyTrainer):
    """Its loss is NaN at step 4, and its weights are from then on."""

    def step(self, number: int, progress: float) -> dict[str, float]:
        metrics = super().step(number, progress)
        if number == 4:
            with torch.no_grad():
                self.model.weight.fill_(float("nan"))
            return {"loss": float("nan")}
        return metrics


def test_diverged_run_stops_and_keeps_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", -1.0)  # after every step
    with pytest.raises(DivergedError, match="diverged at step 4.*'loss' is nan.*--learning-rate"):
        run(DivergingTrainer(), tmp_path, steps=10, quiet=True)
    assert DivergedError.exit_code == 1
    for name, step in (("checkpoint.pt", 4), (PREVIOUS, 3)):
        state = load_checkpoint(tmp_path / name)
        assert state["step"] == step
        assert all(w.isfinite().all() for w in state["modules"]["model"].values())


def test_diverged_weights_are_never_saved(tmp_path: Path) -> None:
    run(TinyTrainer(), tmp_path, steps=1, quiet=True)
    trainer = TinyTrainer({1: [signal.SIGTERM]})

    def diverge(*_: object) -> None:
        trainer.model.weight.data.fill_(float("inf"))

    trainer.optimizer.register_step_post_hook(diverge)
    with pytest.raises(DivergedError, match=r"model\.weight is not finite"):
        run(trainer, tmp_path, steps=3, quiet=True)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 1


def test_checkpoint_of_other_shapes_is_explained(tmp_path: Path) -> None:
    run(TinyTrainer(), tmp_path, steps=1, quiet=True)
    other = TinyTrainer()
    other.modules["model"] = nn.Linear(6, 1)
    with pytest.raises(UsageError, match="'model'.*size mismatch.*--data"):
        run(other, tmp_path, steps=2, quiet=True)
    other.modules, other.averaged = {"something": nn.Linear(4, 1)}, ("something",)
    with pytest.raises(UsageError, match="another model"):
        run(other, tmp_path, steps=2, quiet=True)


def test_damaged_checkpoint_is_explained(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UsageError, match="damaged"):
        run(TinyTrainer(), tmp_path, steps=2, quiet=True)
    write_checkpoint(tmp_path / "whole.pt", {}, step=1)
    data = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match="damaged"):
        run(TinyTrainer(), tmp_path, steps=2, quiet=True)


def test_missing_checkpoint_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="valle train"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_learning_rate_warms_up_and_decays() -> None:
    rates = [learning_rate(k / 1000, 2.0) for k in range(1001)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(2.0, rel=0.02)
    top = rates.index(max(rates))
    assert 15 <= top <= 21
    steps = np.diff(rates)
    assert (steps[:top] > 0).all()
    assert (steps[21:] < 0).all()
    assert rates[510] == pytest.approx(0.505 * 2.0)  # half-way down the cosine
    assert rates[-1] == pytest.approx(0.02)
    assert learning_rate(1.5, 2.0) == pytest.approx(0.02)  # a budget that was made smaller


@dataclass(frozen=True)
class Size:
    layers: int
    dropout: float = 0.0


def test_size_of_a_trained_run_cannot_change(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    save_size(folder, Size(2))
    save_size(folder, Size(3))  # nothing has been trained yet
    run(TinyTrainer(), folder, steps=1, quiet=True)
    save_size(folder, Size(3, dropout=0.1))
    with pytest.raises(UsageError, match="layers 3, not 2"):
        save_size(folder, Size(2))
    assert json.loads((folder / "size.json").read_text()) == {"layers": 3, "dropout": 0.1}


@pytest.mark.parametrize("model", ["ar", "nar"])
def test_style_embeddings_have_a_higher_rate_and_every_weight_one_group(model: str) -> None:
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
    ("supported", "seconds", "expected"),
    [(True, (1.0, 2.0), True), (True, (2.0, 1.0), False), (False, (1.0, 2.0), False)],
)
def test_bfloat16_is_used_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, supported: bool, seconds: tuple[float, float], expected: bool
) -> None:
    times = dict(zip((torch.bfloat16, torch.float32), seconds, strict=True))
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {"avx512_bf16": supported}, raising=False
    )
    monkeypatch.delenv("VALLE_BFLOAT16", raising=False)
    monkeypatch.setattr(optimization, "_time_product", lambda matrix: times[matrix.dtype])
    optimization._is_bfloat16_faster.cache_clear()
    try:
        with optimization.mixed_precision(torch.device("cpu")):
            assert torch.is_autocast_enabled("cpu") == expected
    finally:
        optimization._is_bfloat16_faster.cache_clear()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_bfloat16_is_forced_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(optimization, "_is_bfloat16_faster", pytest.fail)  # nothing is measured
    for value, enabled in (("0", False), ("1", True)):
        monkeypatch.setenv("VALLE_BFLOAT16", value)
        assert optimization._use_bfloat16(torch.device(device)) == enabled
    monkeypatch.setenv("VALLE_BFLOAT16", "yes")
    with pytest.raises(UsageError, match="VALLE_BFLOAT16 must be 0 or 1"):
        optimization.mixed_precision(torch.device(device))
