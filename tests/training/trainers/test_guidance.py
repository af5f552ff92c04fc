"""Learning to speak as if guided: what is aimed at, and that it is come nearer to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from made_corpus import write_corpus  # noqa: E402
from valle.cli.main import main  # noqa: E402
from valle.corpora.store import Store  # noqa: E402
from valle.errors import UsageError  # noqa: E402
from valle.training.checkpoints import load_ar  # noqa: E402
from valle.training.data.examples import Example, ExampleSource  # noqa: E402
from valle.training.run_folder import write_checkpoint  # noqa: E402
from valle.training.trainers.ar import ARJob, ar_batch, ar_outputs  # noqa: E402
from valle.training.trainers.guidance import divergence, guidance_of, guided, keep_teacher  # noqa: E402


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("corpus")
    return write_corpus(folder, {"a": [150, 200], "b": [180, 220]})


def begun(corpus: Store, run: Path) -> None:
    """A run as `valle import` writes it, of a model that listens to voice and prompt."""
    job = ARJob([corpus], [1.0], run, "debug", "cpu", 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in job.ar.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    write_checkpoint(run / "checkpoint.pt", {"ar": job.ar.state_dict()}, step=0, spent_seconds=0.0)


def prompted_by(source: ExampleSource) -> Example:
    while True:
        example = source.example((75, 150), (60, 100), 1.0)
        if 0 < example.prefix == example.frames:
            return example


def test_guided_probabilities() -> None:
    prompted, anybody = torch.tensor([[1.0, 0.0, 0.0]] * 3), torch.tensor([[0.0, 0.0, 2.0]] * 3)
    found = guided(prompted, anybody, torch.tensor([0.0, 1.0, 2.0]))
    wanted = torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, -2.0], [3.0, 0.0, -4.0]]).softmax(-1)
    torch.testing.assert_close(found, wanted)
    assert found.sum(-1).tolist() == pytest.approx([1, 1, 1])


def test_divergence_is_that_of_kullback_and_leibler() -> None:
    wanted = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    logits = torch.log(torch.tensor([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]))
    found = divergence(logits, wanted)
    expected = [0.5 * np.log(2) - 0.25 * np.log(2), np.log(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(divergence(torch.log(wanted + 1e-12), wanted), 0.0, atol=1e-6)


def test_anybody_is_read_alone(corpus: Store, tmp_path: Path) -> None:
    """What is said unprompted does not depend on the prompt, and differs from what follows one."""
    begun(corpus, tmp_path / "ar")
    ar = load_ar(tmp_path / "ar")
    source = ARJob([corpus], [1.0], tmp_path / "ar", "debug", "cpu", 0, infilling=0.0).examples
    one, other = prompted_by(source), prompted_by(source)
    swapped = Example(other.context, one.target, other.prefix, one.style)
    alone = [each.unprompted() for each in (one, swapped)]
    assert all(each.frames == each.prefix == 0 for each in alone)
    assert not alone[0].context[0].voice.any()
    with torch.no_grad():
        logits, _ = ar_outputs(ar, ar_batch(alone, torch.device("cpu")))
        prompted, _ = ar_outputs(ar, ar_batch([one], torch.device("cpu")))
    torch.testing.assert_close(logits[0], logits[1])
    own = prompted[0, one.frames :]
    assert (own - logits[0, : len(own)]).abs().max() > 0.01


def test_a_middle_is_not_guided(corpus: Store, tmp_path: Path) -> None:
    source = ARJob([corpus], [1.0], tmp_path, "debug", "cpu", 0).examples
    assert guidance_of([prompted_by(source), source.middle(60)], 1.5).tolist() == [1.5, 0.0]


def test_a_model_learns_what_its_guided_self_would_say(corpus: Store, tmp_path: Path) -> None:
    run = tmp_path / "ar"
    begun(corpus, run)
    job = ARJob([corpus], [1.0], run, "debug", "cpu", 0, infilling=0.0, guidance=3.0)
    job.ar.load_state_dict(load_ar(run).state_dict())
    job.ar.eval()  # no dropout: one batch, again and again
    examples = [prompted_by(job.examples) for _ in range(2)]
    optimizer = torch.optim.Adam(job.ar.parameters(), lr=1e-2)
    found = []
    for _ in range(60):
        loss, _, figures = job.losses(examples)
        found.append(figures["divergence"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found[0] > 0.05  # guided it speaks otherwise
    assert found[-1] < 0.4 * found[0]
    before, after = load_ar(run / "teacher").state_dict(), job.teacher.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)  # who teaches stays


def test_only_a_model_as_it_was_imported_is_taught(corpus: Store, tmp_path: Path) -> None:
    run = tmp_path / "ar"
    with pytest.raises(UsageError, match="valle import"):
        keep_teacher(run, 1.0)
    begun(corpus, run)
    for strength in (-1.0, 0.0, 11.0, float("nan")):
        with pytest.raises(UsageError, match="--guidance"):
            keep_teacher(run, strength)
    assert keep_teacher(run, 1.0) == run / "teacher"
    with pytest.raises(UsageError, match="guidance of 1.0"):
        keep_teacher(run, 2.0)
    job = ARJob([corpus], [1.0], run, "debug", "cpu", 0)
    write_checkpoint(run / "checkpoint.pt", {"ar": job.ar.state_dict()}, step=5, spent_seconds=1.0)
    assert keep_teacher(run, 1.0) == run / "teacher"  # it goes on
    (run / "teacher" / "strength.txt").unlink()
    with pytest.raises(UsageError, match="valle import"):
        keep_teacher(run, 1.0)


def test_guidance_is_for_the_ar(
    corpus: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--runs", str(tmp_path), "--size", "debug", "--steps", "1", "-q")
    argv = ["train", "speaker", "--data", str(corpus.folder), *common, "--guidance", "1"]
    assert main(argv) == 2
    assert "--guidance is for the AR" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--guidance must be above 0"):
        ARJob([corpus], [1.0], tmp_path / "ar", "debug", "cpu", 0, guidance=0.0)
