"""Perceptual losses: zero for the recording itself, blind to what is to be ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.models.listener import LISTENER_SIZES, Listener
from valle.training.models.whisper import load_whisper_encoder
from valle.training.trainers.intelligibility import (
    IGNORE_INDEX,
    IntelligibilityLoss,
    PhonemeHeadHyperparameters,
    PhonemeHeads,
)
from whisper_files import write_whisper

FEW_STEPS = PhonemeHeadHyperparameters(steps=40, batch_size=256, rate=5e-3)
VOWEL, SPACE, END = (SYMBOLS.index(symbol) for symbol in ("ə", " ", "."))


@pytest.fixture(scope="module")
def loss(tmp_path_factory: pytest.TempPathFactory) -> IntelligibilityLoss:
    torch.manual_seed(0)
    encoder = load_whisper_encoder(write_whisper(tmp_path_factory.mktemp("whisper")))
    listener = Listener(LISTENER_SIZES["debug"], len(LISTENER_SYMBOLS))
    return IntelligibilityLoss(encoder, listener, FEW_STEPS)


def test_heads_learn_what_features_say() -> None:
    torch.manual_seed(0)
    targets = torch.randint(0, 4, (2000,))
    centers = 3 * torch.randn(4, 16)
    informative = 5 + centers[targets] + torch.randn(2000, 16)
    heads = PhonemeHeads(16, 2, FEW_STEPS)
    assert heads.fit([informative, informative], targets) > 0.95
    assert heads.fit([torch.randn(2000, 16)] * 2, targets) < 0.4
    assert not any(weight.requires_grad for weight in heads.parameters())


def test_recording_is_at_no_distance_from_itself_at_any_level(loss: IntelligibilityLoss) -> None:
    recorded = 0.1 * torch.randn(2, 20 * 320)
    symbols = torch.full((2, 20), VOWEL)
    same = loss(recorded, recorded, symbols)
    assert float(same["features"]) == pytest.approx(0.0, abs=1e-4)
    other = loss(0.1 * torch.randn(2, 20 * 320), recorded, symbols)
    assert float(other["features"]) > 0.02
    louder = loss(4 * recorded, 4 * recorded, symbols)
    assert float(louder["phonemes"]) == pytest.approx(float(same["phonemes"]), rel=0.02)


def test_ignored_frames_do_not_count_and_borders_are_one_class(loss: IntelligibilityLoss) -> None:
    recorded = 0.1 * torch.randn(1, 20 * 320)
    symbols = torch.full((1, 20), VOWEL)
    partial = symbols.clone()
    partial[:, 10:] = IGNORE_INDEX
    whole, half = loss(recorded, recorded, symbols), loss(recorded, recorded, partial)
    assert float(whole["phonemes"]) != pytest.approx(float(half["phonemes"]), rel=1e-5)
    assert float(whole["listener"]) != pytest.approx(float(half["listener"]), rel=1e-5)
    space = loss(recorded, recorded, torch.full((1, 20), SPACE))
    end = loss(recorded, recorded, torch.full((1, 20), END))
    assert float(space["phonemes"]) == float(end["phonemes"])
    assert float(space["phonemes"]) != float(whole["phonemes"])


def test_gradient_reaches_the_waveform_from_every_loss(loss: IntelligibilityLoss) -> None:
    recorded = 0.1 * torch.randn(1, 20 * 320)
    for name in ("features", "phonemes", "listener"):
        generated = (recorded + 0.05 * torch.randn_like(recorded)).requires_grad_()
        loss(generated, recorded, torch.full((1, 20), VOWEL))[name].backward()
        assert generated.grad is not None
        assert float(generated.grad.abs().sum()) > 0, name


def test_heads_are_trained_on_known_frames_of_recordings(
    loss: IntelligibilityLoss, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    batches = []
    for _ in range(8):  # noise is one phoneme, silence another
        symbols = torch.randint(0, 2, (4, 1)).expand(-1, 20) * (VOWEL - SPACE) + SPACE
        loud = (symbols == VOWEL).float().repeat_interleave(320, 1)
        symbols = torch.where(torch.arange(20) < 2, IGNORE_INDEX, symbols)
        batches.append((loud * 0.1 * torch.randn(4, 20 * 320) + 1e-3, symbols))
    assert loss.fit_heads(batches) > 0.95
