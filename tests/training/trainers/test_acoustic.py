"""The NAR is trained through the decoder; the decoder and the recognizers are not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from torch import Tensor, nn

from synthetic_corpus import voiced_corpus
from valle.errors import UsageError
from valle.training.checkpoints import load_acoustic, load_codec, load_nar
from valle.training.export.bundle import ExportOptions, Models, export_runs, random_models
from valle.training.models.codec import CODEC_SIZES
from valle.training.models.listener import LISTENER_SIZES
from valle.training.models.quantizer import residual_codes, residual_vectors
from valle.training.models.sizes import SIZES
from valle.training.models.speaker import SPEAKER_SIZES
from valle.training.run_folder import save_size, write_checkpoint
from valle.training.trainers.acoustic import AcousticHyperparameters, AcousticTrainer
from valle.training.trainers.intelligibility import PhonemeHeadHyperparameters
from valle.training.trainers.loop import run
from valle.training.trainers.residual_prediction import frame_rows
from valle.training.trainers.trainer import TrainerContext
from whisper_files import write_whisper

FEW_STEPS = PhonemeHeadHyperparameters(steps=5)
FAST = AcousticHyperparameters(batch_size=2, head_batches=2, head_refreshes=1, heads=FEW_STEPS)

WITH_DECODER = dataclasses.replace(FAST, train_decoder=True)


def write_runs(folder: Path) -> Models:
    """Runs of random models of the smallest size."""
    models = random_models("debug", 0)
    sizes: dict[str, Any] = {
        "codec": CODEC_SIZES["debug"],
        "listener": LISTENER_SIZES["debug"],
        "speaker": SPEAKER_SIZES["debug"],
        "ar": SIZES["debug"].ar,
        "nar": SIZES["debug"].nar,
    }
    for stage, size in sizes.items():
        module = getattr(models, stage)
        save_size(folder / stage, size)
        write_checkpoint(
            folder / stage / "checkpoint.pt",
            {stage: module.state_dict()},
            step=0,
            spent_seconds=0.0,
        )
    return models


def make_trainer(folder: Path, hyperparameters: AcousticHyperparameters = FAST) -> AcousticTrainer:
    corpus = folder / "corpus"
    store = voiced_corpus(corpus, seed=0)
    return AcousticTrainer(
        TrainerContext([store], folder / "acoustic", "debug"),
        runs=folder,
        teacher=write_whisper(folder / "whisper"),
        infilling=0.3,
        hyperparameters=hyperparameters,
    )


def weight_of(nar: nn.Module) -> Tensor:
    return dict(nar.named_parameters())["output.weight"]


@pytest.fixture
def trainer(tmp_path: Path) -> AcousticTrainer:
    write_runs(tmp_path)
    return make_trainer(tmp_path)


def test_step_trains_the_nar_alone(trainer: AcousticTrainer) -> None:
    frozen = {
        name: [value.clone() for value in module.state_dict().values()]
        for name, module in (("codec", trainer.codec), ("speaker", trainer.speaker))
    }
    before = trainer.nar.output.weight.detach().clone()
    metrics = trainer.step(0, 0.5)
    assert all(np.isfinite(value) for value in metrics.values())
    assert {"features", "phonemes", "listener", "spectral", "speaker"} <= metrics.keys()
    assert not torch.equal(trainer.nar.output.weight, before)
    for name, module in (("codec", trainer.codec), ("speaker", trainer.speaker)):
        after = module.state_dict().values()
        assert all(torch.equal(*pair) for pair in zip(frozen[name], after, strict=True)), name
    assert all(weight.grad is None for weight in trainer.intelligibility.parameters())


def test_same_batch_again_and_again_is_learned(tmp_path: Path) -> None:
    write_runs(tmp_path)
    trainer = make_trainer(tmp_path, AcousticHyperparameters(batch_size=2, corruption_prob=0.0))
    examples = trainer._sample_examples()
    optimizer = torch.optim.Adam(trainer.nar.parameters(), lr=3e-3)
    spectral = []
    for _ in range(20):
        losses = trainer.losses(examples, 0.5)
        optimizer.zero_grad()
        (losses["spectral"] + losses["commitment"]).backward()
        optimizer.step()
        spectral.append(float(losses["spectral"].detach()))
    assert spectral[-1] < 0.93 * spectral[0]


def test_vectors_are_quantized_as_each_codebook_finds_best(trainer: AcousticTrainer) -> None:
    tables = trainer.nar.tables[1:]
    vectors = torch.randn(50, trainer.size.latent)
    quantized = trainer._quantize(vectors)
    exact = residual_vectors(tables, torch.randint(0, 1024, (5, 7)))
    greedy = (vectors - quantized).square().sum()
    searched = (vectors - residual_vectors(tables, residual_codes(tables, vectors))).square().sum()
    assert searched <= greedy * 1.001 < vectors.square().sum()
    assert quantized.shape == vectors.shape
    assert exact.shape == (5, trainer.size.latent)


def test_corruption_replaces_first_codes_by_similar_ones(tmp_path: Path) -> None:
    write_runs(tmp_path)
    settings = AcousticHyperparameters(corruption_prob=1.0, max_corruption=1.0, similarity=0.05)
    trainer = make_trainer(tmp_path, settings)
    table = trainer.nar.tables[0]
    distances, shares = [], []
    for example in (e for _ in range(5) for e in trainer._sample_examples()):
        codes, symbols, _ = frame_rows((example.target,))
        corrupted, same_symbols, _ = trainer._corrupt((codes, symbols, symbols))
        assert np.array_equal(corrupted[:, 1:], codes[:, 1:])
        assert np.array_equal(same_symbols, symbols)
        changed = corrupted[:, 0] != codes[:, 0]
        shares.append(changed.mean())
        pair = table[corrupted[changed, 0]], table[codes[changed, 0]]
        distances.append(torch.dist(*pair).square().item() / max(changed.sum(), 1))
    assert 0.0 < np.mean(shares) < 1.0
    assert np.mean(distances) < torch.cdist(table, table).square().mean()


def test_decoder_learns_with_discriminators_and_keeps_its_codes(tmp_path: Path) -> None:
    write_runs(tmp_path)
    trainer = make_trainer(tmp_path, WITH_DECODER)
    before = {name: value.clone() for name, value in trainer.codec.state_dict().items()}
    metrics = trainer.step(0, 0.5)
    assert {"adversarial", "feature_matching", "discriminator"} <= metrics.keys()
    assert all(np.isfinite(value) for value in metrics.values())
    changed = {
        name for name, value in trainer.codec.state_dict().items() if (value != before[name]).any()
    }
    assert "decoder.output.weight" in changed
    assert all(name.startswith("decoder.") for name in changed)


def test_recordings_are_decoded_from_their_own_codes_without_a_voice(tmp_path: Path) -> None:
    write_runs(tmp_path)
    settings = dataclasses.replace(WITH_DECODER, recorded_share=1.0)
    trainer = make_trainer(tmp_path, settings)
    seen = []
    decode = trainer.codec.decode_latents

    def record(latents: Tensor, voice: Tensor, noise_samples: int) -> Tensor:
        seen.append((latents, voice))
        return decode(latents, voice, noise_samples)

    trainer.codec.decode_latents = record  # type: ignore[method-assign, assignment]
    examples = trainer._sample_examples()
    trainer.losses(examples, 0.5)
    ((latents, voice),) = seen
    assert not voice.any()
    codes = torch.from_numpy(examples[0].target.codes)
    past = trainer.hyperparameters.past_frames
    expected = residual_vectors(trainer.nar.tables, codes)
    torch.testing.assert_close(latents[0, past : past + len(codes)], expected)


def test_trained_decoder_is_exported(tmp_path: Path) -> None:
    write_runs(tmp_path)
    run(make_trainer(tmp_path, WITH_DECODER), tmp_path / "acoustic", steps=1, quiet=True)
    nar, codec = load_acoustic(tmp_path)
    original = load_codec(tmp_path / "codec")
    assert torch.equal(nar.output.weight, load_nar(tmp_path / "acoustic").output.weight)
    assert torch.equal(codec.quantiser.tables, original.quantiser.tables)
    assert not torch.equal(codec.decoder.output.weight, original.decoder.output.weight)
    (tmp_path / "acoustic" / "checkpoint.pt").unlink()
    _, codec = load_acoustic(tmp_path)
    assert torch.equal(codec.decoder.output.weight, original.decoder.output.weight)


def test_run_resumes_and_its_average_is_exported(tmp_path: Path) -> None:
    write_runs(tmp_path)
    trainer = make_trainer(tmp_path)
    run(trainer, tmp_path / "acoustic", steps=1, quiet=True)
    resumed = make_trainer(tmp_path)
    assert run(resumed, tmp_path / "acoustic", steps=2, quiet=True) == 2
    loaded = load_nar(tmp_path / "acoustic")
    assert not torch.equal(loaded.output.weight, weight_of(resumed.nar))  # the average
    export_runs(tmp_path, tmp_path / "bundle", "b", ExportOptions("fp32"))
    with_nar = (tmp_path / "bundle" / "nar.onnx").read_bytes()
    (tmp_path / "acoustic" / "checkpoint.pt").unlink()
    export_runs(tmp_path, tmp_path / "other", "b", ExportOptions("fp32"))
    assert with_nar != (tmp_path / "other" / "nar.onnx").read_bytes()


def test_missing_teacher_is_named(tmp_path: Path) -> None:
    write_runs(tmp_path)
    store = voiced_corpus(tmp_path / "corpus", seed=0)
    with pytest.raises(UsageError, match="no Whisper model at"):
        AcousticTrainer(
            TrainerContext([store], tmp_path / "acoustic", "debug"),
            runs=tmp_path,
            teacher=tmp_path / "nowhere",
        )
