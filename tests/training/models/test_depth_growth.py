"""A model that grew deeper computes what it did before, and its new layers are trained."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from valle.training.models.depth_growth import grow_depth
from valle.training.models.nar import NAR, Frames, mask_residual_codebooks
from valle.training.models.phonemes import Conditioning
from valle.training.models.sizes import SIZES


def test_deeper_nar_computes_the_same_and_learns() -> None:
    torch.manual_seed(0)
    size = SIZES["debug"].nar
    shallow = NAR(size, 20).eval()
    deep = NAR(replace(size, layers=size.layers + 2), 20).eval()
    deep.load_state_dict(grow_depth(deep, shallow.state_dict()))
    codes = mask_residual_codebooks(torch.randint(0, 1024, (1, 7, 8)))
    rows = codes, torch.randint(0, 20, (1, 7)), torch.zeros(1, 7, dtype=torch.int64)
    frames = Frames(*rows, torch.arange(7)[None])
    inputs = frames, Conditioning(torch.randn(1, 192)), torch.tensor(1)
    expected, *_ = shallow(*inputs)
    predicted, *_ = deep(*inputs)
    assert torch.equal(predicted, expected)
    predicted.square().sum().backward()
    last = dict(deep.named_parameters())[f"blocks.{size.layers + 1}.feed_out.weight"]
    assert float(last.detach().abs().max()) == 0
    assert last.grad is not None
    assert float(last.grad.abs().max()) > 0
