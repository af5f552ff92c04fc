"""The mean of runs: of every weight, of runs that fit one another, and nothing replaced."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

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


def written(folder: Path, stage: str, model: nn.Module) -> None:
    """A run that has trained for a while: beside its model it has what only training needs."""
    folder.mkdir(parents=True)
    (folder / "size.json").write_text(json.dumps(asdict(model.size)))
    modules = {stage: model.state_dict(), "other": {"weight": torch.ones(1)}}
    write_checkpoint(folder / "checkpoint.pt", modules, step=9, spent_seconds=60.0)


def ar_run(folder: Path, seed: int, size: str = "debug") -> AR:
    torch.manual_seed(seed)
    ar = AR(size_named(size).ar, len(SYMBOLS))
    written(folder, "ar", ar)
    return ar


def test_mean_of_every_weight(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in "abc"]
    models = [ar_run(run, seed).state_dict() for seed, run in enumerate(runs)]
    borders = np.arange(35.0).reshape(5, 7)
    for run in runs:
        save_bin_edges(run, borders)
    expect_success("average", tmp_path / "mean" / "ar", *runs)
    mean = load_ar(tmp_path / "mean" / "ar").state_dict()
    for name, weight in mean.items():
        wanted = (models[0][name] + models[1][name] + models[2][name]) / 3
        torch.testing.assert_close(weight, wanted, msg=name)
    assert not torch.equal(mean["code_head.weight"], models[0]["code_head.weight"])
    kept = load_bin_edges(tmp_path / "mean" / "ar")
    assert kept is not None
    assert np.array_equal(kept, borders)
    state = load_checkpoint(tmp_path / "mean" / "ar" / "checkpoint.pt")
    assert (state["step"], state["spent_seconds"], list(state["modules"])) == (0, 0.0, ["ar"])


def test_counters_and_switches_are_the_first_ones(tmp_path: Path) -> None:
    runs = tmp_path / "one", tmp_path / "two"
    codecs = [random_models("debug", seed=seed).codec for seed in (0, 1)]
    for run, codec, started in zip(runs, codecs, (True, False), strict=True):
        codec.quantiser.started.fill_(started)
        written(run, "codec", codec)
    assert average_runs(runs, tmp_path / "mean") == "codec"
    mean = load_codec(tmp_path / "mean")
    assert bool(mean.quantiser.started)
    assert mean.quantiser.started.dtype == torch.bool
    wanted = (codecs[0].decoder.input.weight + codecs[1].decoder.input.weight) / 2
    torch.testing.assert_close(mean.decoder.input.weight, wanted)


@pytest.mark.parametrize("count", [2, 3, 6, 7])
def test_what_all_runs_have_alike_stays_to_the_bit(tmp_path: Path, count: int) -> None:
    """Of codecs whose decoders alone learnt, codes stay what they were."""
    runs = [tmp_path / str(number) for number in range(count)]
    codec = random_models("debug", seed=0).codec
    for number, run in enumerate(runs):
        with torch.no_grad():
            codec.decoder.input.weight += number
        written(run, "codec", codec)
    average_runs(runs, tmp_path / "mean")
    mean, last = load_codec(tmp_path / "mean").state_dict(), codec.state_dict()
    changed = [name for name, weight in mean.items() if not torch.equal(weight, last[name])]
    assert changed == ["decoder.input.weight"]


def test_runs_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, mean = tmp_path / "one", tmp_path / "two", tmp_path / "mean"
    ar_run(one, 0)
    ar_run(two, 1)
    assert "two runs" in expect_usage_error(capsys, "average", mean, one)
    assert "no checkpoint" in expect_usage_error(capsys, "average", mean, one, tmp_path / "none")
    ar_run(tmp_path / "large", 2, "default")
    assert "sizes" in expect_usage_error(capsys, "average", mean, one, tmp_path / "large")
    written(tmp_path / "codec", "codec", random_models("debug", seed=0).codec)
    assert "codec" in expect_usage_error(capsys, "average", mean, one, tmp_path / "codec")
    save_bin_edges(one, np.zeros((5, 7)))
    assert "borders" in expect_usage_error(capsys, "average", mean, one, two)
    save_bin_edges(two, np.ones((5, 7)))
    assert "borders" in expect_usage_error(capsys, "average", mean, one, two)
    assert not mean.exists()
    save_bin_edges(two, np.zeros((5, 7)))
    expect_success("average", mean, one, two)
    before = (mean / "checkpoint.pt").read_bytes()
    with pytest.raises(OutputError, match="mean"):
        average_runs([one, two], mean)
    assert (mean / "checkpoint.pt").read_bytes() == before
