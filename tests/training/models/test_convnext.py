"""ConvNeXt blocks: training and run-time forms, causality, and depth growth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from synthetic_corpus import write_corpus
from valle.errors import UsageError
from valle.training.checkpoints import load_listener
from valle.training.models.codec import Codec, CodecSize
from valle.training.models.convnext import CausalConvNeXt, ConvNeXt, ConvNeXtSize
from valle.training.models.depth_growth import grow_depth
from valle.training.models.listener import LISTENER_SIZES, Listener
from valle.training.trainers.listener import ListenerTrainer
from valle.training.trainers.loop import run
from valle.training.trainers.optimization import mixed_precision
from valle.training.trainers.trainer import TrainerContext


@pytest.mark.parametrize("kernel", [3, 9])
@pytest.mark.parametrize("frames", [1, 20])
def test_training_form_equals_run_time_form(kernel: int, frames: int) -> None:
    torch.manual_seed(0)
    block, hidden = ConvNeXt(16, kernel), torch.randn(2, frames, 16)
    with torch.no_grad():
        block.scale.fill_(1.0)
    gradients = []
    for training in (True, False):
        block.train(training).zero_grad()
        made = block(hidden)
        made.square().sum().backward()
        gradients.append((made, [weight.grad.clone() for weight in block.parameters()]))  # type: ignore[union-attr]
    (one, slopes), (other, others) = gradients
    torch.testing.assert_close(one, other, atol=1e-3, rtol=0)
    for slope, wanted in zip(slopes, others, strict=True):
        torch.testing.assert_close(slope, wanted, atol=5e-3 * float(wanted.abs().max()), rtol=0)


def test_convolves_in_fp32_within_mixed_precision() -> None:
    torch.manual_seed(0)
    block, rows = ConvNeXt(16, 3), torch.randn(1, 16, 12, dtype=torch.bfloat16)
    with mixed_precision(torch.device("cpu")):
        assert block._convolve(rows).dtype == torch.float32


def test_causal_block_sees_only_the_past() -> None:
    torch.manual_seed(0)
    block, hidden = CausalConvNeXt(8, 5), torch.randn(1, 10, 8)
    whole, _ = block(hidden, torch.zeros(1, 4, 8))
    hidden[:, 6:] = 0.0
    cut, _ = block(hidden, torch.zeros(1, 4, 8))
    assert torch.equal(whole[:, :6], cut[:, :6])
    assert not torch.allclose(whole[:, 6:], cut[:, 6:])


@torch.no_grad()
def test_grown_model_computes_the_same() -> None:
    torch.manual_seed(0)
    waveform = torch.randn(1, 3200)
    small, large = Listener(ConvNeXtSize(2, 32), 5), Listener(ConvNeXtSize(4, 32), 5)
    large.load_state_dict(grow_depth(large, small.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(small(waveform), large(waveform), strict=True))
    added: Any = large.blocks[3]
    assert added.scale.abs().max() == 0
    assert added.up.weight.std() > 0.01
    codec, deeper = (Codec(CodecSize(1, 16, layers, 16, latent=8)).eval() for layers in (1, 3))
    deeper.load_state_dict(grow_depth(deeper, codec.state_dict()))
    codes = codec.encode(waveform)
    made = []
    for each in (codec, deeper):
        torch.manual_seed(1)  # the same noise
        made.append(each.decode(codes))
    assert torch.equal(*made)
    # A layer with some of its weights missing is not a new layer.
    broken = small.state_dict()
    del broken["blocks.1.up.weight"]
    with pytest.raises(RuntimeError, match=r"blocks\.1\.up\.weight"):
        small.load_state_dict(grow_depth(small, broken))


def test_run_can_resume_with_more_layers_but_not_with_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_corpus(tmp_path / "corpus", {"a": [60], "b": [60]}, words=2)
    sizes = LISTENER_SIZES
    folder = tmp_path / "listener"

    def make_trainer(layers: int) -> ListenerTrainer:
        monkeypatch.setitem(sizes, "debug", ConvNeXtSize(layers, 32))
        return ListenerTrainer(TrainerContext([store], folder, "debug"))

    trainer = make_trainer(1)
    run(trainer, folder, steps=1, quiet=True)
    # As `valle import` writes it: a model without optimizers.
    checkpoint = folder / "checkpoint.pt"
    state = torch.load(checkpoint, weights_only=True)
    torch.save({"modules": state["modules"], "step": 0, "spent_seconds": 0.0}, checkpoint)
    larger = make_trainer(3)
    assert len(load_listener(folder).blocks) == 3  # interrupted before a checkpoint
    run(larger, folder, steps=2, quiet=True)
    block: Any = larger.listener.blocks[2]
    assert block.scale.abs().max() > 0  # it is trained
    with pytest.raises(UsageError, match="layers 3, not 1"):
        make_trainer(1)
