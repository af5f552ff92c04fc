"""Codes predicted by the NAR, and a codec decoder that is trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from synthetic_corpus import write_corpus
from valle.audio_format import HOP
from valle.bundle.bundle import Bundle
from valle.cli.main import main
from valle.corpora.store import Store
from valle.errors import UsageError
from valle.text.symbols import LISTENER_SYMBOLS
from valle.training.data.predicted_codes import write_predicted_codes
from valle.training.data.segments import SegmentSampler
from valle.training.models.listener import LISTENER_SIZES, Listener
from valle.training.models.sizes import NO_CODE
from valle.training.models.speaker import SPEAKER_SIZES, SpeakerEncoder
from valle.training.trainers.codec import CodecTrainer
from valle.training.trainers.loop import run
from valle.training.trainers.trainer import TrainerContext

CLIPS = {"a": [150, 200], "b": [240], "short": [70]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_corpus(tmp_path / "corpus", CLIPS, words=4)


@pytest.fixture
def bundle(debug_bundle: Path) -> Bundle:
    return Bundle.load(debug_bundle, 1)


def predicted_of(store: Store, name: str) -> np.ndarray:
    assert store.predicted is not None
    return next(store.predicted[u.frames] for u in store.utterances if u.id == name)


def test_first_codebook_is_recorded_and_the_others_are_predicted(
    store: Store, bundle: Bundle
) -> None:
    assert store.predicted is None
    count = write_predicted_codes(store, bundle, 30.0, quiet=True)
    store = Store(store.folder)
    assert store.predicted is not None
    assert store.predicted.shape == store.codes.shape
    rows = store.predicted[:, 0] >= 0
    assert rows.sum() == count
    np.testing.assert_array_equal(store.predicted[rows, 0], store.codes[rows, 0])
    chosen = store.predicted[rows, 1:]
    assert chosen.min() >= 0
    assert chosen.max() < NO_CODE
    assert (chosen != store.codes[rows, 1:]).mean() > 0.9
    # Two recordings prompt each other; the end of a single one prompts the part before it.
    assert (predicted_of(store, "a/0")[:, 0] >= 0).all()
    assert (predicted_of(store, "a/1")[:, 0] >= 0).all()
    alone = np.flatnonzero(predicted_of(store, "b/0")[:, 0] >= 0)
    assert alone[0] == 0
    assert 60 <= alone[-1] + 1 == len(alone) <= 240 - 75
    assert (predicted_of(store, "short/0") == -1).all()


def test_seconds_limit_each_speaker(store: Store, bundle: Bundle) -> None:
    write_predicted_codes(store, bundle, seconds=1.6, quiet=True)
    predicted = Store(store.folder).predicted
    assert predicted is not None
    by_name = {u.id: (predicted[u.frames, 0] >= 0).sum() for u in store.utterances}
    assert by_name["a/0"] + by_name["a/1"] == by_name["b/0"] == 80


def test_new_codes_delete_predictions(store: Store, bundle: Bundle) -> None:
    write_predicted_codes(store, bundle, 30.0, quiet=True)
    store.write_codes(np.array(store.codes))
    assert Store(store.folder).predicted is None


def test_corpus_with_too_little_speech_is_rejected(tmp_path: Path, bundle: Bundle) -> None:
    store = write_corpus(tmp_path / "few", {"a": [70]}, words=4)
    with pytest.raises(UsageError, match=r"2\.7 s of clean"):
        write_predicted_codes(store, bundle, 30.0, quiet=True)
    assert store.predicted is None


def test_sampled_segments_match_their_codes(store: Store, bundle: Bundle) -> None:
    assert not SegmentSampler([store], np.random.default_rng(0), 1.0).predicted
    write_predicted_codes(store, bundle, 30.0, quiet=True)
    store = Store(store.folder)
    sampler = SegmentSampler([store], np.random.default_rng(0), 1.0)
    assert len(sampler.predicted) == 2  # speakers
    assert store.predicted is not None
    starts, recorded = set(), 0
    for _ in range(50):
        samples, codes, voice = sampler.sample_predicted()
        assert samples.shape == (50 * HOP,)
        assert codes.shape == (50, 8)
        places = {
            (start, own)
            for own, rows in ((True, store.codes), (False, store.predicted))
            for start in np.flatnonzero((rows == codes[0]).all(1))
            if np.array_equal(codes, rows[start : start + 50])
        }
        ((start, own),) = places
        (place,) = (
            place
            for place, utterance in enumerate(store.utterances)
            if utterance.frames.start <= start < utterance.frames.stop
        )
        speaker = store.utterances[place].speaker
        speakers = [utterance.speaker for utterance in store.utterances]
        (whose,) = np.flatnonzero((store.voices == voice).all(1))
        assert speakers[whose] == speaker
        recorded += own
        sound = store.audio[start * HOP : (start + 50) * HOP].astype(np.float32) / 32768.0
        np.testing.assert_array_equal(samples, sound)
        starts.add(start)
    assert len(starts) > 20
    assert 0 < recorded < 25


def test_decoder_is_trained_on_predicted_codes(
    store: Store, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "codec"
    run(CodecTrainer(TrainerContext([store], folder, "debug")), folder, steps=1, quiet=True)
    write_predicted_codes(store, bundle, 30.0, quiet=True)
    store = Store(store.folder)
    trainer = CodecTrainer(TrainerContext([store], folder, "debug"), keep_codes=True)
    sampled: list[Any] = []
    sample = trainer.segments.sample_predicted

    def sample_and_record() -> Any:
        sampled.append(sample())
        return sampled[-1]

    monkeypatch.setattr(trainer.segments, "sample_predicted", sample_and_record)
    decoded: list[Any] = []
    decode: Any = trainer.codec.decode_latents

    def decode_and_record(*inputs: Any, noise_samples: int) -> Any:
        decoded.append(inputs)
        return decode(*inputs, noise_samples=noise_samples)

    monkeypatch.setattr(trainer.codec, "decode_latents", decode_and_record)
    trainer.step(0, 0.0)
    assert 0 < len(sampled) < trainer.hyperparameters.batch_size
    ((latents, voices),) = decoded
    for _, codes, voice in sampled:
        expected = trainer.codec.quantiser.decode(torch.from_numpy(codes))
        (place,) = (i for i, row in enumerate(latents) if torch.equal(row, expected))
        assert torch.equal(voices[place], torch.from_numpy(voice))
    assert (voices == 0).all(1).sum() == len(latents) - len(
        sampled
    )  # true codes get no speaker embedding
    # A codec whose codes still change is not trained on predictions of other codes.
    fresh = CodecTrainer(TrainerContext([store], tmp_path / "fresh", "debug"))
    monkeypatch.setattr(fresh.segments, "sample_predicted", None)
    fresh.step(0, 0.0)


def test_kept_codes_are_those_of_run_time(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "codec"
    run(CodecTrainer(TrainerContext([store], folder, "debug")), folder, steps=1, quiet=True)
    trainer = CodecTrainer(TrainerContext([store], folder, "debug"), keep_codes=True)
    waveform = torch.randn(2, 10 * HOP, generator=torch.Generator().manual_seed(0))
    latents, commitment, codes = trainer._quantize(waveform, torch.tensor([8, 3]))
    assert commitment is None
    assert torch.equal(codes, trainer.codec.encode(waveform))
    whole, part = codes.clone()
    part[:, 3:] = trainer.codec.quantiser.codebook_size  # no code
    torch.testing.assert_close(latents, trainer.codec.quantiser.decode(torch.stack([whole, part])))


def test_perceptual_losses_compare_with_the_recording(
    store: Store, bundle: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "codec"
    run(CodecTrainer(TrainerContext([store], folder, "debug")), folder, steps=1, quiet=True)
    write_predicted_codes(store, bundle, 30.0, quiet=True)
    perceptual = (
        SpeakerEncoder(SPEAKER_SIZES["debug"]),
        Listener(LISTENER_SIZES["debug"], len(LISTENER_SYMBOLS)),
    )
    before = [{n: w.clone() for n, w in model.state_dict().items()} for model in perceptual]
    stores = [Store(store.folder)]
    context = TrainerContext(stores, folder, "debug")
    plain, trainer = (
        CodecTrainer(context, keep_codes=True, perceptual=models) for models in (None, perceptual)
    )
    generator = torch.Generator().manual_seed(0)
    recorded, other = (torch.randn(2, 16_000, generator=generator) for _ in range(2))
    with torch.no_grad():
        voice = perceptual[0](recorded)
        apart = torch.nn.functional.normalize(voice - perceptual[0](other), dim=-1)

    def loss_of(decoded: torch.Tensor, embedding: torch.Tensor) -> tuple[float, dict[str, float]]:
        metrics: dict[str, float] = {}
        loss = trainer._perceptual_loss(decoded, recorded, embedding, metrics)
        return float(loss), metrics

    loss, same = loss_of(recorded, voice)
    assert loss == pytest.approx(0.0, abs=1e-4)
    assert same == pytest.approx(
        {"similarity": 1.0, "similarity_recorded": 1.0, "content": 0.0}, abs=0.02
    )
    # At least the similarity of the recording: only the content loss is left.
    loss, metrics = loss_of(other, -voice)
    assert metrics["similarity_recorded"] == pytest.approx(-1.0, abs=0.02)
    assert loss == pytest.approx(metrics["content"], abs=1e-4)
    assert loss > 0.1
    # Less than that.
    loss, metrics = loss_of(other, apart)
    unlike = metrics["similarity_recorded"] - metrics["similarity"]
    assert unlike > 0.05
    assert loss == pytest.approx(unlike + metrics["content"], abs=0.01)
    assert "similarity" not in plain.step(0, 0.0)
    metrics = trainer.step(0, 0.0)
    assert -1.0 <= metrics["similarity"] <= 1.0
    assert metrics["content"] > 0.0
    weights = zip(plain.codec.decoder.parameters(), trainer.codec.decoder.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in weights)
    for model, weights_before in zip(perceptual, before, strict=True):
        for name, now in model.state_dict().items():
            assert torch.equal(weights_before[name], now)


def test_command_line(store: Store, debug_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["prepare", "predicted", str(store.folder), "--bundle", str(debug_bundle)]
    assert main([*argv, "--seconds", "2", "-q"]) == 0
    assert "predicted codes of" in capsys.readouterr().out
    assert Store(store.folder).predicted is not None
    assert main([*argv, "--seconds", "0"]) == 2
    assert "--seconds" in capsys.readouterr().err
