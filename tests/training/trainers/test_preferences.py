"""Preference optimization of the AR: its loss, and what training changes and keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from preference_groups import make_group
from synthetic_corpus import write_corpus
from valle.corpora.store import Store
from valle.errors import UsageError
from valle.training.run_folder import write_checkpoint
from valle.training.trainers.ar import ARTrainer
from valle.training.trainers.preferences import PreferenceTrainer, preference_loss
from valle.training.trainers.trainer import TrainerContext


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_corpus(tmp_path_factory.mktemp("corpus"), {"a": [150, 200], "b": [180, 220]})


def make_trainer(corpus: Store, run: Path) -> PreferenceTrainer:
    context = TrainerContext([corpus], run, "debug")
    start = ARTrainer(context)
    write_checkpoint(
        run / "checkpoint.pt", {"ar": start.ar.state_dict()}, step=0, spent_seconds=0.0
    )
    trainer = PreferenceTrainer(context, [make_group(0), make_group(1)])
    trainer.ar.load_state_dict(start.ar.state_dict())
    return trainer


def test_loss_of_known_ratios() -> None:
    # Candidate 0 says the first word better, by 1; 1 the second, by 5; the third does not count.
    scores = torch.tensor([[0.0, -5.0, -1.0], [-1.0, 0.0, -1.1]])
    ratios = torch.tensor([[2.0, 1.0, 9.0], [-1.0, 0.0, 0.0]])
    loss, agreement = preference_loss(ratios, scores, 0.5, (0.3, 3.0))
    toward, away = np.log1p(np.exp(-1.5)), np.log1p(np.exp(0.5))
    assert float(loss) == pytest.approx((toward * 1.0 + away * 3.0) / 4.0, rel=1e-6)
    assert agreement == 0.5


def test_loss_at_the_reference_is_that_of_a_coin() -> None:
    loss, agreement = preference_loss(
        torch.zeros(2, 1), torch.tensor([[0.0], [-1.0]]), 0.2, (0.3, 3.0)
    )
    assert float(loss) == pytest.approx(np.log(2.0))
    assert agreement == 0.0


def test_candidates_that_are_alike_teach_nothing() -> None:
    ratios = torch.ones(2, 3, requires_grad=True)
    loss, agreement = preference_loss(ratios, torch.zeros(2, 3), 0.2, (0.3, 3.0))
    loss.backward()
    assert float(loss.detach()) == agreement == 0.0
    assert ratios.grad is not None
    assert not ratios.grad.any()


def test_similarity_decides_where_words_are_alike(corpus: Store, tmp_path: Path) -> None:
    alike = replace(make_group(), scores=np.zeros((3, 3), np.float32))
    trainer = make_trainer(corpus, tmp_path)
    trainer.groups = [alike]
    assert trainer.step(0, 0.5)["preference"] == 0.0
    trainer.groups = [replace(alike, similarities=np.array([0.8, 0.9, 0.7], np.float32))]
    assert trainer.step(1, 0.5)["preference"] == pytest.approx(np.log(2.0), rel=0.1)


def test_training_prefers_the_better_candidates(corpus: Store, tmp_path: Path) -> None:
    trainer = make_trainer(corpus, tmp_path)
    before = {name: weight.clone() for name, weight in trainer.reference.state_dict().items()}
    first = trainer.step(0, 0.5)
    assert first["preference"] == pytest.approx(np.log(2.0), rel=1e-3)
    assert first["divergence"] == pytest.approx(0.0, abs=1e-3)
    metrics = [trainer.step(number, 0.3) for number in range(1, 12)]
    assert metrics[-1]["preference"] < 0.9 * np.log(2.0)
    assert metrics[-1]["agreement"] > 0.6
    for name, weight in trainer.reference.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0.0, atol=0.0)


def test_preferences_need_a_trained_model(corpus: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="valle import"):
        PreferenceTrainer(TrainerContext([corpus], tmp_path, "debug"), [make_group()])


def test_a_resumed_run_keeps_its_reference(corpus: Store, tmp_path: Path) -> None:
    trainer = make_trainer(corpus, tmp_path)
    reference = (tmp_path / "reference" / "checkpoint.pt").read_bytes()
    write_checkpoint(
        tmp_path / "checkpoint.pt", {"ar": trainer.ar.state_dict()}, step=7, spent_seconds=1.0
    )
    PreferenceTrainer(TrainerContext([corpus], tmp_path, "debug"), [make_group()])
    assert (tmp_path / "reference" / "checkpoint.pt").read_bytes() == reference
