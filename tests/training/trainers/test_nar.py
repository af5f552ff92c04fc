"""The training loss of the NAR is that of its predictions at run time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from synthetic_corpus import write_corpus
from valle.bundle.bundle import Bundle
from valle.runtime.nar import NAR, FrameInputs
from valle.training.data.examples import Example, Segment
from valle.training.export.bundle import export_bundle, random_models
from valle.training.trainers.nar import NARTrainer
from valle.training.trainers.trainer import TrainerContext


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> NARTrainer:
    folder = tmp_path_factory.mktemp("nar")
    corpus = write_corpus(folder / "corpus", {"a": [150, 200, 120], "b": [180, 220], "c": [210]})
    trainer = NARTrainer(TrainerContext([corpus], folder / "run", "debug"), infilling=0.5)
    trainer.nar.load_state_dict(random_models("debug", 0).nar.state_dict())
    trainer.nar.eval()  # no dropout
    return trainer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> NAR:
    folder = tmp_path_factory.mktemp("bundle")
    export_bundle(folder, "debug", random_models("debug", 0), "fp32")
    return NAR(Bundle.load(folder, threads=1))


def concatenate_rows(segments: list[Segment]) -> list[np.ndarray]:
    at = [(p.codes, p.symbols[p.frame_symbol], p.stress[p.frame_symbol]) for p in segments]
    return [np.concatenate(column) for column in zip(*at, strict=True)]


def sample_examples(trainer: NARTrainer, count: int) -> list[Example]:
    return [trainer.examples.example((40, 60), (30, 60), 0.5) for _ in range(count)]


def measure_errors(running: NAR, example: Example, tables: np.ndarray) -> tuple[float, float]:
    """Squared error of the prediction at run time of a target, and the squared target."""
    prompt = running.prefill(
        FrameInputs(*concatenate_rows([*example.context])), example.context[0].voice
    )
    codes, symbols, stress = concatenate_rows([example.target])
    alone = codes.copy()
    alone[:, 1:] = 1024
    inputs = running._inputs(prompt, FrameInputs(alone, symbols, stress), 1)
    (vector,) = running._run(("vector",), inputs)
    wanted = sum(tables[book][codes[:, book]] for book in range(1, 8))
    return float(np.square(vector[0] - wanted).sum()), float(np.square(wanted).sum())


def test_loss_is_that_of_predictions_at_run_time(
    trainer: NARTrainer, running: NAR, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALLE_BFLOAT16", "0")  # the run-time graph computes in fp32
    examples = sample_examples(trainer, 6)
    assert len({len(example.context) for example in examples}) == 2  # infilling among them
    assert len({example.frames for example in examples}) > 3  # so that some rows are padded
    tables = trainer.nar.tables.numpy()
    off, wanted = np.sum([measure_errors(running, example, tables) for example in examples], axis=0)
    with torch.no_grad():
        assert float(trainer.loss(examples)[0]) == pytest.approx(off / wanted, rel=1e-4)


def test_half_of_the_speaker_embeddings_are_dropped_but_no_prompts(trainer: NARTrainer) -> None:
    examples = sample_examples(trainer, 300)
    known = np.mean([example.context[0].voice.any() for example in examples])
    assert known == pytest.approx(0.5, abs=0.1)
    assert all(example.frames for example in examples)


def test_training_step_keeps_dropout_on(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", {"a": [150, 200]})
    trainer = NARTrainer(TrainerContext([corpus], tmp_path / "run", "debug"))
    trainer.step(0, 0.5)
    assert trainer.nar.training
