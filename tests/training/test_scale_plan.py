"""The plan for a large corpus: known answers, and proportions."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

from command_line import expect_success, expect_usage_error
from valle.training.models.ar import AR
from valle.training.models.sizes import SIZES
from valle.training.models.transformer import Block
from valle.training.scale_plan import Assumptions, count_weights, plan_stages, plan_storage


def test_storage_of_the_papers_corpus() -> None:
    storage = plan_storage(60_000)
    assert storage["audio.i16"] == pytest.approx(6912)  # 60,000 h x 3,600 s x 32 kB
    assert storage["codes.npy"] == pytest.approx(172.8)
    assert storage["codes, if they were packed"] == pytest.approx(108)


def test_weights_are_those_of_the_model() -> None:
    size = SIZES["debug"].ar
    model = AR(size, 10)
    matrices = sum(
        weight.numel()
        for block in model.blocks
        if isinstance(block, Block)
        for weight in block.parameters()
        if weight.ndim == 2
    )
    assert count_weights("debug", "ar") == matrices + model.code_head.weight.numel()


def test_everything_grows_with_the_speech() -> None:
    one, two = plan_stages(Assumptions(1000)), plan_stages(Assumptions(2000, gpus=32, cores=128))
    for small, large in zip(one, two, strict=True):
        assert large.core_hours == pytest.approx(2 * small.core_hours)
        assert large.gpu_hours == pytest.approx(2 * small.gpu_hours)
        assert large.days == pytest.approx(small.days)
        assert small.core_hours + small.gpu_hours > 0


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    expect_success("plan", "--hours", 60000, "--gpus", 16)
    text = capsys.readouterr().out
    assert "train ar" in text
    assert "not measured" in text
    expect_success("plan", "--hours", 10, "--json", "--utilization", 0.5)
    plan = json.loads(capsys.readouterr().out)
    assert plan["assumptions"]["utilization"] == 0.5
    assert expect_usage_error(capsys, "plan", "--hours", 0)
