"""The comparisons of codecs and of forms of the AR run on a tiny corpus."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import ablations
import codec_choices
from synthetic_corpus import write_corpus
from valle.corpora.store import Store
from valle.text.symbols import SYMBOLS
from valle.training.data.examples import ExampleSource
from valle.training.models.ar import AR
from valle.training.models.sizes import ARSize
from valle.training.trainers.ar import collate_examples
from valle.training.trainers.codec import CodecTrainer
from valle.training.trainers.loop import save_checkpoint
from valle.training.trainers.trainer import TrainerContext

SPEAKERS = [f"speaker {number}" for number in range(40)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, {speaker: [120, 150] for speaker in SPEAKERS}, words=4)
    return folder


@pytest.mark.parametrize("form", ["pointer", "both", "prefix", "grouped"])
def test_no_form_sees_the_codes_that_it_predicts(corpus: Path, form: str) -> None:
    torch.manual_seed(0)
    ar = AR(ARSize(2, 4, 64, 128, 0.0), len(SYMBOLS))
    model = ablations.FORMS[form](ar).eval()
    source = ExampleSource([Store(corpus)], [1.0], seed=0)
    batch = collate_examples(
        [source.example((30, 60), (50, 100), 0.7) for _ in range(3)], torch.device("cpu")
    )
    frame = 51
    other = dict(batch)
    for name, place in (("codes", frame), ("inputs", frame + 1)):
        other[name] = batch[name].clone()
        other[name][:, place, 0] = (batch[name][:, place, 0] + 1) % 1024
    with torch.no_grad():
        before, after = model(batch), model(other)
    assert before.shape == (*batch["codes"].shape[:2], 1024)
    torch.testing.assert_close(before[:, : frame + 1], after[:, : frame + 1])
    assert (before[:, frame + 1 :] != after[:, frame + 1 :]).any()


def test_speakers_are_held_out_at_every_speed(corpus: Path, tmp_path: Path) -> None:
    faster = tmp_path / "faster"
    write_corpus(faster, {f"{speaker}@1.1": [120] for speaker in SPEAKERS}, words=4)
    held_out = {u.speaker for u in ablations._part(corpus, held_out=True).utterances}
    training = ablations._part(faster, held_out=False)
    assert 0 < len(held_out) < len(SPEAKERS) / 4
    assert {u.speaker.removesuffix("@1.1") for u in training.utterances} == set(SPEAKERS) - held_out
    assert len(training.voices) == len(training.utterances)
    rows = {u.id: row for row, u in enumerate(Store(faster).utterances)}
    for utterance, voice in zip(training.utterances, training.voices, strict=True):
        np.testing.assert_array_equal(voice, Store(faster).voices[rows[utterance.id]])


def test_ablations_run(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trainer = CodecTrainer(TrainerContext([Store(corpus)], tmp_path / "codec"))
    save_checkpoint(tmp_path / "codec" / "checkpoint.pt", trainer, {}, 0, 0.0)
    arguments = ["--speech", corpus, "--speeds", corpus, "--synthetic", corpus, "--runs", tmp_path]
    chosen = ["--only", "full", "--only", "two frames per step"]
    monkeypatch.setattr(ablations, "_PROMPT", (30, 60))
    monkeypatch.setattr(ablations, "_TARGET", (50, 100))
    monkeypatch.setattr(ablations, "_TEST_BATCHES", 2)
    words = [*map(str, arguments), *chosen, "--steps", "2", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["ablations.py", *words])
    ablations.main()
    results = json.loads(capsys.readouterr().out)
    assert list(results) == ["full", "two frames per step"]
    for figures in results.values():  # random codes
        assert all(abs(nats - np.log(1024)) < 1.5 for nats in figures.values())


@pytest.mark.slow
def test_codecs_are_compared(corpus: Path) -> None:
    for package in ("resemblyzer", "speechmos", "pesq", "pystoi"):
        pytest.importorskip(package, reason="needs the extra [eval]")
    words = ["--codec-steps", "2", "--ar-steps", "2", "--hours", "0.01", "--test", "2"]
    names = ["--only", "37.5 Hz", "--only", "50 Hz, phoneme loss"]
    script = ROOT / "benchmarks" / "codec_choices.py"
    run = subprocess.run(
        [sys.executable, script, "--data", corpus, *words, *names],
        capture_output=True,
        text=True,
        check=True,
    )
    results = json.loads(run.stdout)
    assert [results[name]["hop"] for name in results] == [424, 320]
    for figures in results.values():
        # Noise through a codec that has learned nothing.
        assert abs(figures["STOI"]) < 0.3
        assert 1 <= figures["PESQ"] < 2
        assert 1 <= figures["first codebook, perplexity"] <= 1024
        assert 0 <= figures["phoneme accuracy of sampled codes"] <= 1


def test_choices_have_similar_bit_rates() -> None:
    rates = {
        name: 16000 / choice.hop * choice.codebooks * 10
        for name, choice in codec_choices.CHOICES.items()
    }
    alike = [rate for name, rate in rates.items() if "codebooks" not in name]
    assert max(alike) / min(alike) < 1.12
    assert all(choice.hop % choice.step == 0 for choice in codec_choices.CHOICES.values())
