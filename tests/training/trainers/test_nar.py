"""What the NAR is trained to say is what it says when it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from synthetic_corpus import write_corpus  # noqa: E402
from valle.bundle.bundle import Bundle  # noqa: E402
from valle.runtime.nar import NAR, FrameInputs  # noqa: E402
from valle.training.data.examples import Example, Segment  # noqa: E402
from valle.training.export.bundle import export_bundle, random_models  # noqa: E402
from valle.training.trainers.nar import NARTrainer  # noqa: E402


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> NARTrainer:
    folder = tmp_path_factory.mktemp("nar")
    corpus = write_corpus(folder / "corpus", {"a": [150, 200, 120], "b": [180, 220], "c": [210]})
    job = NARTrainer([corpus], [1.0], folder / "run", "debug", "cpu", 0, infilling=0.5)
    job.nar.load_state_dict(random_models("debug", 0).nar.state_dict())
    job.nar.eval()  # no dropout
    return job


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> NAR:
    folder = tmp_path_factory.mktemp("bundle")
    export_bundle(folder, "debug", random_models("debug", 0), "fp32")
    return NAR(Bundle.load(folder, threads=1))


def rows(pieces: list[Segment]) -> list[np.ndarray]:
    at = [(p.codes, p.symbols[p.frame_symbol], p.stress[p.frame_symbol]) for p in pieces]
    return [np.concatenate(column) for column in zip(*at, strict=True)]


def drawn(job: NARTrainer, count: int) -> list[Example]:
    return [job.examples.example((40, 60), (30, 60), 0.5) for _ in range(count)]


def apart(running: NAR, example: Example, tables: np.ndarray) -> tuple[float, float]:
    """How far off what running says of an example's target is, and how much there is to be said."""
    prompt = running.prefill(FrameInputs(*rows([*example.context])), example.context[0].voice)
    codes, symbols, stress = rows([example.target])
    alone = codes.copy()
    alone[:, 1:] = 1024
    inputs = running._inputs(prompt, FrameInputs(alone, symbols, stress), 1)
    (vector,) = running._run(("vector",), inputs)
    wanted = sum(tables[book][codes[:, book]] for book in range(1, 8))
    return float(np.square(vector[0] - wanted).sum()), float(np.square(wanted).sum())


def test_the_loss_is_that_of_what_running_says(job: NARTrainer, running: NAR) -> None:
    examples = drawn(job, 6)
    assert len({len(example.context) for example in examples}) == 2  # middles among them
    assert len({example.frames for example in examples}) > 3  # so that some rows are padded
    tables = job.nar.tables.numpy()
    off, wanted = np.sum([apart(running, example, tables) for example in examples], axis=0)
    with torch.no_grad():
        assert float(job.loss(examples)[0]) == pytest.approx(off / wanted, rel=1e-4)


def test_half_of_the_voices_are_withheld_and_no_prompt_is(job: NARTrainer) -> None:
    examples = drawn(job, 300)
    known = np.mean([example.context[0].voice.any() for example in examples])
    assert known == pytest.approx(0.5, abs=0.1)
    assert all(example.frames for example in examples)


def test_training_goes_on_with_dropout(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", {"a": [150, 200]})
    job = NARTrainer([corpus], [1.0], tmp_path / "run", "debug", "cpu", 0)
    job.step(0, 0.5)
    assert job.nar.training
