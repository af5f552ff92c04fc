"""Guidance distillation: its target, and that training approaches it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from synthetic_corpus import write_corpus
from valle.corpora.store import Store
from valle.errors import UsageError
from valle.training.checkpoints import load_ar
from valle.training.data.examples import Example, ExampleSource
from valle.training.run_folder import write_checkpoint
from valle.training.trainers.ar import ARTrainer, collate_examples, predict_batch
from valle.training.trainers.guidance import (
    guidance_scales,
    guided_probabilities,
    kl_divergence,
    save_teacher,
)
from valle.training.trainers.trainer import TrainerContext


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("corpus")
    return write_corpus(folder, {"a": [150, 200], "b": [180, 220]})


def context_of(corpus: Store, run: Path) -> TrainerContext:
    return TrainerContext([corpus], run, "debug")


def write_initial_run(corpus: Store, run: Path) -> None:
    """Write a run as `valle import` does, of a model that depends on voice and prompt."""
    trainer = ARTrainer(context_of(corpus, run))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in trainer.ar.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    write_checkpoint(
        run / "checkpoint.pt", {"ar": trainer.ar.state_dict()}, step=0, spent_seconds=0.0
    )


def sample_prompted(source: ExampleSource) -> Example:
    while True:
        example = source.example((75, 150), (60, 100), 1.0)
        if 0 < example.prefix == example.frames:
            return example


def test_guided_probabilities() -> None:
    conditional, unconditional = (
        torch.tensor([[1.0, 0.0, 0.0]] * 3),
        torch.tensor([[0.0, 0.0, 2.0]] * 3),
    )
    probabilities = guided_probabilities(conditional, unconditional, torch.tensor([0.0, 1.0, 2.0]))
    expected = torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, -2.0], [3.0, 0.0, -4.0]]).softmax(-1)
    torch.testing.assert_close(probabilities, expected)
    assert probabilities.sum(-1).tolist() == pytest.approx([1, 1, 1])


def test_kl_divergence_of_known_distributions() -> None:
    target = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    logits = torch.log(torch.tensor([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]))
    divergence = kl_divergence(logits, target)
    expected = [0.5 * np.log(2) - 0.25 * np.log(2), np.log(2)]
    np.testing.assert_allclose(divergence, expected, rtol=1e-6)
    np.testing.assert_allclose(kl_divergence(torch.log(target + 1e-12), target), 0.0, atol=1e-6)


def test_unconditional_logits_are_independent_of_the_prompt(corpus: Store, tmp_path: Path) -> None:
    write_initial_run(corpus, tmp_path / "ar")
    ar = load_ar(tmp_path / "ar")
    source = ARTrainer(context_of(corpus, tmp_path / "ar"), infilling=0.0).examples
    first, second = sample_prompted(source), sample_prompted(source)
    swapped = Example(second.context, first.target, second.prefix, first.style)
    alone = [example.unconditional() for example in (first, swapped)]
    assert all(example.frames == example.prefix == 0 for example in alone)
    assert not alone[0].context[0].voice.any()
    with torch.no_grad():
        logits, _ = predict_batch(ar, collate_examples(alone, torch.device("cpu")))
        prompted, _ = predict_batch(ar, collate_examples([first], torch.device("cpu")))
    torch.testing.assert_close(logits[0], logits[1])
    target = prompted[0, first.frames :]
    assert (target - logits[0, : len(target)]).abs().max() > 0.01


def test_infilling_is_not_guided(corpus: Store, tmp_path: Path) -> None:
    source = ARTrainer(context_of(corpus, tmp_path)).examples
    examples = [sample_prompted(source), source.infilling_example(60)]
    assert guidance_scales(examples, 1.5).tolist() == [1.5, 0.0]


def test_training_approaches_the_guided_teacher(corpus: Store, tmp_path: Path) -> None:
    run = tmp_path / "ar"
    write_initial_run(corpus, run)
    trainer = ARTrainer(context_of(corpus, run), infilling=0.0, guidance=3.0)
    trainer.ar.load_state_dict(load_ar(run).state_dict())
    trainer.ar.eval()  # no dropout: the same batch in every step
    examples = [sample_prompted(trainer.examples) for _ in range(2)]
    optimizer = torch.optim.Adam(trainer.ar.parameters(), lr=1e-2)
    divergences = []
    for _ in range(60):
        loss, _, metrics = trainer.losses(examples)
        divergences.append(metrics["divergence"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert divergences[0] > 0.05  # guidance makes a difference
    assert divergences[-1] < 0.4 * divergences[0]
    assert trainer.teacher is not None
    before, after = load_ar(run / "teacher").state_dict(), trainer.teacher.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)  # the teacher is frozen


def test_only_an_imported_model_can_be_a_teacher(corpus: Store, tmp_path: Path) -> None:
    run = tmp_path / "ar"
    with pytest.raises(UsageError, match="valle import"):
        save_teacher(run, 1.0)
    write_initial_run(corpus, run)
    for strength in (-1.0, 0.0, 11.0, float("nan")):
        with pytest.raises(UsageError, match="--guidance"):
            save_teacher(run, strength)
    assert save_teacher(run, 1.0) == run / "teacher"
    with pytest.raises(UsageError, match="--guidance 1.0"):
        save_teacher(run, 2.0)
    trainer = ARTrainer(context_of(corpus, run))
    write_checkpoint(
        run / "checkpoint.pt", {"ar": trainer.ar.state_dict()}, step=5, spent_seconds=1.0
    )
    assert save_teacher(run, 1.0) == run / "teacher"  # a resumed run
    (run / "teacher" / "strength.txt").unlink()
    with pytest.raises(UsageError, match="valle import"):
        save_teacher(run, 1.0)


def test_invalid_guidance_is_rejected(corpus: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--guidance must be above 0"):
        ARTrainer(context_of(corpus, tmp_path / "ar"), guidance=0.0)
