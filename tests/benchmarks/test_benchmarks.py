"""The benchmark runs on a tiny model, and its table says what it found."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")
pytest.importorskip("onnx", reason="needs the extra [train]")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import ar_step  # noqa: E402
import lengths  # noqa: E402
import machine  # noqa: E402
import material  # noqa: E402
import parts  # noqa: E402
import plot  # noqa: E402
import process  # noqa: E402
import pytorch_ar  # noqa: E402
import report  # noqa: E402
import rivals  # noqa: E402
import valle  # noqa: E402
import whole  # noqa: E402
from goals import GOALS  # noqa: E402
from timing import Lap, interleaved  # noqa: E402
from valle.training.export.bundle import random_models  # noqa: E402
from valle.training.models.ar import AR  # noqa: E402


@pytest.fixture(scope="module")
def tiny(debug_bundle: Path) -> material.Material:
    return material.open_material(debug_bundle, 1)


@pytest.fixture(scope="module")
def ar() -> AR:
    return random_models("debug", 0).ar.eval()


@pytest.fixture(scope="module")
def result(tiny: material.Material, ar: AR) -> dict[str, Any]:
    """All that `run.py` measures, once each."""
    return {
        "date": "2026-01-02",
        "quick": False,
        "machine": machine.describe(1) | {"load": 0.0},
        "sizes": {
            "default": {
                "bits": {"ar": "fp32"},
                "step": ar_step.measure(tiny, 1),
                "rivals": rivals.measure(tiny, ar, 1, uncached=True),
                "floor": rivals.floor(tiny, 1, 1),
                "parts": parts.measure(tiny, 1),
                "whole": whole.measure(tiny, 1),
                "process": process.measure(tiny, 1),
                "lengths": lengths.measure(tiny, (1.0, 10.0, 60.0), (2.0, 3.0), 1),
            }
        },
    }


def test_every_goal_has_its_figure(result: dict[str, Any]) -> None:
    for goal in GOALS:
        if goal.size == "default":
            value = goal.found(result)
            assert value is not None and value > 0, goal
        else:
            assert goal.found(result) is None


def test_the_parts_of_a_step_are_the_step(result: dict[str, Any]) -> None:
    step = result["sizes"]["default"]["step"]
    inside = sum(step[f"{part}_ms"] for part in ("attention", "matrices", "other_operators"))
    assert inside == pytest.approx(step["graph_ms"]["wall"], rel=0.02)
    whole = inside + step["sampling_and_python_ms"]
    assert whole == pytest.approx(step["ms"]["wall"], rel=0.02)


def test_the_table_says_what_was_kept_and_what_not(result: dict[str, Any], tmp_path: Path) -> None:
    found = result["sizes"]["default"]["whole"]
    one = {**found, "rtf": 0.1, "first_sound_ms": 400.0}
    sizes = {"default": {**result["sizes"]["default"], "whole": one}}
    table = report.table({**result, "sizes": sizes})
    assert "| RTF, check included | default | ≤ 0.15 | 0.1 | yes |" in table
    assert "| first sound, warm, ms | default | ≤ 150 | 400 | **no** |" in table
    assert "Provisional" not in table
    assert "Provisional" in report.table({**result, "machine": {**result["machine"], "load": 2.0}})
    plot.save_picture(result, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000


def test_the_page_has_a_place_for_the_table(
    result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "PERFORMANCE.md"
    page.write_text(report.DOCS.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(report, "DOCS", page)
    report.write_docs(result)
    once = page.read_text(encoding="utf-8")
    assert "2026-01-02" in once
    report.write_docs(result)
    assert page.read_text(encoding="utf-8") == once  # the table took the place of the table


def test_the_widest_instructions_are_named() -> None:
    assert machine.widest(["sse2", "avx2", "avx512f", "avx512_vnni"]) == "AVX-512 VNNI"
    assert machine.widest(["avx2", "fma"]) == "AVX2"
    assert machine.widest([]) == "unknown instructions"


def test_jobs_take_turns() -> None:
    turns: list[str] = []
    jobs = {
        "slow": lambda: (turns.append("slow"), time.sleep(0.02)),
        "own": lambda: (turns.append("own"), Lap(7.0, 3.0))[1],
    }
    found = interleaved(jobs, 3)
    assert turns == ["slow", "own"] * 4
    assert 0.02 <= found["slow"].wall < 0.5 and found["slow"].cpu < 0.02
    assert found["own"] == Lap(7.0, 3.0)


@torch.no_grad()
def test_the_rival_with_a_cache_is_the_model(tiny: material.Material, ar: AR) -> None:
    """Else its time would be that of something else."""
    rng = np.random.default_rng(0)
    codes = torch.from_numpy(rng.integers(0, 1024, (12, 8)))
    encoded = torch.randn(12, ar.size.width, generator=torch.Generator().manual_seed(0))
    stay = torch.from_numpy(rng.integers(0, 32, 12))
    logits, moves = ar.forward_rows(codes[None], encoded[None], stay[None])
    cached = pytorch_ar.Cached(ar)
    found = [cached.rows(codes[:7], encoded[:7], stay[:7], 0)]
    found += [
        cached.rows(codes[i : i + 1], encoded[i : i + 1], stay[i : i + 1], i) for i in range(7, 12)
    ]
    for row, (code, move) in zip(range(6, 12), found, strict=True):
        torch.testing.assert_close(code, logits[0, row], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(move, moves[0, row], atol=1e-4, rtol=1e-4)


def test_bytes_of_matrices_by_precision(debug_bundle: Path) -> None:
    """Known from the sizes: 4 bytes a weight, or 1 and a scale for 32, or a half and a scale."""
    import onnx

    from valle.bundle.bundle import Bundle
    from valle.bundle.writer import NewGraph, write_bundle
    from valle.training.export.quantization import multiply_in_blocks, store_in_8_bits

    bundle = Bundle.load(debug_bundle)
    ar = bundle.config.ar
    inner, feed, codes = ar.width * ar.width, 4 * ar.width * ar.width, 1024 * ar.width
    weights = inner + ar.layers * (4 * inner + 2 * feed) + codes + 3 * ar.width
    assert ar_step.matrix_bytes(bundle) == (4 * weights, weights)
    graph = bundle.read_graph("ar")
    for change, bytes_each in (
        (store_in_8_bits, 4.0),
        (lambda proto: multiply_in_blocks(proto, 8), 1 + 4 / 32),
        (lambda proto: multiply_in_blocks(proto, 4), 0.5 + 4 / 32),
    ):
        proto = onnx.load_from_string(graph)
        change(proto)
        other = debug_bundle.parent / "other"
        write_bundle(other, bundle.config, {"ar": NewGraph(proto.SerializeToString())})
        read, count = ar_step.matrix_bytes(Bundle.load(other))
        assert count == weights
        assert read == pytest.approx(bytes_each * weights, rel=0.1)  # and the biases


def test_a_text_of_a_wanted_length(tiny: material.Material) -> None:
    assert isinstance(tiny.model, valle.Model)
    assert tiny.voice.seconds == pytest.approx(material.PROMPT_SECONDS, abs=0.05)
    long = material.voice_of(tiny.model, 9.0)
    assert long.seconds == pytest.approx(9.0, abs=0.05)
