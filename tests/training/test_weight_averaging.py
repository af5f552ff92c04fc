"""Weight averaging of training runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch import nn

from command_line import expect_success, expect_usage_error
from valle.errors import OutputError
from valle.text.symbols import SYMBOLS
from valle.training.checkpoints import load_ar, load_codec
from valle.training.export.bundle import random_models
from valle.training.models.ar import AR
from valle.training.models.sizes import size_named
from valle.training.run_folder import (
    load_bin_edges,
    load_checkpoint,
    save_bin_edges,
    write_checkpoint,
)
from valle.training.weight_averaging import average_runs


def write_run(folder: Path, stage: str, model: nn.Module) -> None:
    """Write a run that has trained for a while, with a module that only training needs."""
    folder.mkdir(parents=True)
    (folder / "size.json").write_text(json.dumps(asdict(cast(Any, model.size))))
    modules = {stage: model.state_dict(), "other": {"weight": torch.ones(1)}}
    write_checkpoint(folder / "checkpoint.pt", modules, step=9, spent_seconds=60.0)


def write_ar_run(folder: Path, seed: int, size: str = "debug") -> AR:
    torch.manual_seed(seed)
    ar = AR(size_named(size).ar, len(SYMBOLS))
    write_run(folder, "ar", ar)
    return ar


def test_every_weight_is_averaged(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in "abc"]
    models = [write_ar_run(run, seed).state_dict() for seed, run in enumerate(runs)]
    bin_edges = np.arange(35.0).reshape(5, 7)
    for run in runs:
        save_bin_edges(run, bin_edges)
    expect_success("average", tmp_path / "mean" / "ar", *runs)
    mean = load_ar(tmp_path / "mean" / "ar").state_dict()
    for name, weight in mean.items():
        wanted = (models[0][name] + models[1][name] + models[2][name]) / 3
        torch.testing.assert_close(weight, wanted, msg=name)
    assert not torch.equal(mean["code_head.weight"], models[0]["code_head.weight"])
    kept = load_bin_edges(tmp_path / "mean" / "ar")
    assert kept is not None
    assert np.array_equal(kept, bin_edges)
    state = load_checkpoint(tmp_path / "mean" / "ar" / "checkpoint.pt")
    assert (state["step"], state["spent_seconds"], list(state["modules"])) == (0, 0.0, ["ar"])


def test_integer_buffers_come_from_the_first_run(tmp_path: Path) -> None:
    runs = tmp_path / "one", tmp_path / "two"
    codecs = [random_models("debug", seed=seed).codec for seed in (0, 1)]
    for run, codec, started in zip(runs, codecs, (True, False), strict=True):
        codec.quantiser.started.fill_(started)
        write_run(run, "codec", codec)
    assert average_runs(runs, tmp_path / "mean") == "codec"
    mean = load_codec(tmp_path / "mean")
    assert bool(mean.quantiser.started)
    assert mean.quantiser.started.dtype == torch.bool
    wanted = (codecs[0].decoder.input.weight + codecs[1].decoder.input.weight) / 2
    torch.testing.assert_close(mean.decoder.input.weight, wanted)


@pytest.mark.parametrize("count", [2, 3, 6, 7])
def test_equal_weights_stay_equal_to_the_bit(tmp_path: Path, count: int) -> None:
    """Codes do not change when only the decoders of the codecs differ."""
    runs = [tmp_path / str(number) for number in range(count)]
    codec = random_models("debug", seed=0).codec
    for number, run in enumerate(runs):
        with torch.no_grad():
            codec.decoder.input.weight += number
        write_run(run, "codec", codec)
    average_runs(runs, tmp_path / "mean")
    mean, last = load_codec(tmp_path / "mean").state_dict(), codec.state_dict()
    changed = [name for name, weight in mean.items() if not torch.equal(weight, last[name])]
    assert changed == ["decoder.input.weight"]


def test_incompatible_runs_are_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, mean = tmp_path / "one", tmp_path / "two", tmp_path / "mean"
    write_ar_run(one, 0)
    write_ar_run(two, 1)
    assert "two runs" in expect_usage_error(capsys, "average", mean, one)
    assert "no checkpoint" in expect_usage_error(capsys, "average", mean, one, tmp_path / "none")
    write_ar_run(tmp_path / "large", 2, "default")
    assert "sizes" in expect_usage_error(capsys, "average", mean, one, tmp_path / "large")
    write_run(tmp_path / "codec", "codec", random_models("debug", seed=0).codec)
    assert "codec" in expect_usage_error(capsys, "average", mean, one, tmp_path / "codec")
    save_bin_edges(one, np.zeros((5, 7)))
    assert "style bins" in expect_usage_error(capsys, "average", mean, one, two)
    save_bin_edges(two, np.ones((5, 7)))
    assert "style bins" in expect_usage_error(capsys, "average", mean, one, two)
    assert not mean.exists()
    save_bin_edges(two, np.zeros((5, 7)))
    expect_success("average", mean, one, two)
    before = (mean / "checkpoint.pt").read_bytes()
    with pytest.raises(OutputError, match="mean"):
        average_runs([one, two], mean)
    assert (mean / "checkpoint.pt").read_bytes() == before
