"""Moving averages of weights, and how checkpoints keep them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch import nn

from valle.training.run_folder import load_checkpoint, write_checkpoint
from valle.training.trainers.average import DECAY, WeightAverage
from valle.training.trainers.loop import run


class LinearTrainer:
    """A weight that each step doubles."""

    peak_rate = 1.0

    def __init__(self) -> None:
        self.linear = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.linear.weight)
        self.modules: dict[str, nn.Module] = {"linear": self.linear}
        self.averaged: tuple[str, ...] = ("linear",)
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.generators: dict[str, object] = {}

    def step(self, number: int, progress: float) -> dict[str, float]:
        with torch.no_grad():
            self.linear.weight.mul_(2.0)
        return {"weight": float(self.linear.weight.detach())}

    def write_samples(self, folder: Path, number: int) -> None:
        pass


def train(folder: Path, steps: int) -> dict[str, dict[str, torch.Tensor]]:
    run(LinearTrainer(), folder, steps=steps, quiet=True)  # type: ignore[arg-type]
    modules: dict[str, dict[str, torch.Tensor]] = load_checkpoint(folder / "checkpoint.pt")[
        "modules"
    ]
    return modules


def test_average_follows_the_weights_and_takes_the_buffers() -> None:
    module = nn.BatchNorm1d(1)
    average = WeightAverage(module)
    with torch.no_grad():
        module.weight.fill_(3.0)
        dict(module.named_buffers())["running_mean"].fill_(5.0)
    average.update(0)
    parameters, buffers = (
        dict(average.module.named_parameters()),
        dict(average.module.named_buffers()),
    )
    assert float(parameters["weight"]) == pytest.approx(1.0 + 0.9 * 2.0)  # a decay of 0.1 at first
    assert float(buffers["running_mean"]) == 5.0
    average.update(1_000_000)
    assert float(parameters["weight"]) == pytest.approx(2.8 + (1.0 - DECAY) * 0.2)
    assert not any(weight.requires_grad for weight in parameters.values())


def test_checkpoint_has_the_average_under_the_plain_name(tmp_path: Path) -> None:
    modules = train(tmp_path, 1)
    assert float(modules["trained_linear"]["weight"]) == 2.0
    assert float(modules["linear"]["weight"]) == pytest.approx(1.9)


def test_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    train(tmp_path / "resumed", 2)
    resumed, whole = train(tmp_path / "resumed", 5), train(tmp_path / "whole", 5)
    for name, weights in whole.items():
        assert torch.equal(weights["weight"], resumed[name]["weight"])
    assert float(whole["trained_linear"]["weight"]) == 32.0


def test_model_without_a_trained_copy_goes_on_from_itself(tmp_path: Path) -> None:
    weights = {"linear": {"weight": torch.full((1, 1), 7.0)}}
    write_checkpoint(tmp_path / "checkpoint.pt", weights, step=0, spent_seconds=0.0)
    modules = train(tmp_path, 1)
    assert float(modules["trained_linear"]["weight"]) == 14.0
    assert float(modules["linear"]["weight"]) == pytest.approx(7.0 + 0.9 * 7.0)
