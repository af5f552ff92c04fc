"""The benchmark runs on a tiny model, and its tables show the results."""

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

import ar_step
import baselines
import components
import end_to_end
import lengths
import machine
import material
import plot
import process
import pytorch_ar
import report
import valle
from targets import TARGETS
from timing import Lap, interleaved
from valle.training.export.bundle import random_models
from valle.training.models.ar import AR


@pytest.fixture(scope="module")
def tiny(debug_bundle: Path) -> material.Material:
    return material.open_material(debug_bundle, 1)


@pytest.fixture(scope="module")
def ar() -> AR:
    return random_models("debug", 0).ar.eval()


@pytest.fixture(scope="module")
def result(tiny: material.Material, ar: AR) -> dict[str, Any]:
    """Everything that `run.py` measures, once."""
    return {
        "date": "2026-01-02",
        "quick": False,
        "machine": machine.describe(1) | {"load": 0.0},
        "sizes": {
            "default": {
                "bits": {"ar": "fp32"},
                "step": ar_step.measure(tiny, 1),
                "baselines": baselines.measure(tiny, ar, 1),
                "lower_bound": baselines.measure_lower_bound(tiny, 1, 1),
                "components": components.measure(tiny, 1),
                "end_to_end": end_to_end.measure(tiny, 1),
                "process": process.measure(tiny, 1),
                "lengths": lengths.measure(tiny, (1.0, 10.0, 60.0), (2.0, 3.0), 1),
            }
        },
    }


def test_every_target_has_its_figure(result: dict[str, Any]) -> None:
    for target in TARGETS:
        value = target.value(result, "default")
        assert value is not None, target
        assert value > 0, target
        assert target.value(result, "paper") is None


def test_kinds_of_work_add_up_to_a_step(result: dict[str, Any]) -> None:
    step = result["sizes"]["default"]["step"]
    graph = sum(step[f"{part}_ms"] for part in ("attention", "matrices", "other_operators"))
    assert graph == pytest.approx(step["graph_ms"]["wall"], rel=0.02)
    total = graph + step["sampling_and_python_ms"]
    assert total == pytest.approx(step["ms"]["wall"], rel=0.02)


def test_tables_show_which_targets_are_met(result: dict[str, Any], tmp_path: Path) -> None:
    sections = result["sizes"]["default"]
    end_to_end_figures = {**sections["end_to_end"], "rtf": 0.1, "ttfa_ms": 400.0}
    changed = {**result, "sizes": {"default": {**sections, "end_to_end": end_to_end_figures}}}
    table = report.summary_table(changed)
    assert "| RTF, check included | 0.1 (≤ 0.15) |" in table
    assert "| TTFA, warm, ms | 400 (≤ 150, **missed**) |" in table
    assert "Provisional" not in table
    busy = {**changed, "machine": {**result["machine"], "load": 2.0}}
    assert "Provisional" in report.summary_table(busy)
    assert "| end_to_end: ttfa ms | 400 |" in report.full_table(changed)
    plot.save_plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_the_table_of_the_page_is_replaced(
    result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "PERFORMANCE.md"
    page.write_text(report.DOCS.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(report, "DOCS", page)
    report.write_docs(result)
    first = page.read_text(encoding="utf-8")
    assert "2026-01-02" in first
    report.write_docs(result)
    assert page.read_text(encoding="utf-8") == first


def test_the_widest_instructions_are_named() -> None:
    assert machine.widest_instructions(["sse2", "avx2", "avx512f", "avx512_vnni"]) == "AVX-512 VNNI"
    assert machine.widest_instructions(["avx2", "fma"]) == "AVX2"
    assert machine.widest_instructions([]) == "unknown instructions"


def test_jobs_run_in_turn() -> None:
    order: list[str] = []

    def run_slow() -> None:
        order.append("slow")
        time.sleep(0.02)

    def run_own() -> Lap:
        order.append("own")
        return Lap(7.0, 3.0)

    laps = interleaved({"slow": run_slow, "own": run_own}, 3)
    assert order == ["slow", "own"] * 4
    assert laps["slow"].wall >= 0.02
    assert laps["slow"].cpu < 0.02  # asleep: no processor time, however busy the machine is
    assert laps["own"] == Lap(7.0, 3.0)


@torch.no_grad()
def test_the_cached_pytorch_decoder_equals_the_model(tiny: material.Material, ar: AR) -> None:
    rng = np.random.default_rng(0)
    codes = torch.from_numpy(rng.integers(0, 1024, (12, 8)))
    encoded = torch.randn(12, ar.size.width, generator=torch.Generator().manual_seed(0))
    stay = torch.from_numpy(rng.integers(0, 32, 12))
    logits, moves = ar(codes[None], encoded[None], stay[None])
    cached = pytorch_ar.CachedDecoder(ar)
    rows = [cached.rows(codes[:7], encoded[:7], stay[:7], 0)]
    rows += [
        cached.rows(codes[i : i + 1], encoded[i : i + 1], stay[i : i + 1], i) for i in range(7, 12)
    ]
    for row, (code, move) in zip(range(6, 12), rows, strict=True):
        torch.testing.assert_close(code, logits[0, row], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(move, moves[0, row], atol=1e-4, rtol=1e-4)


def test_bytes_of_matrices_by_precision(debug_bundle: Path) -> None:
    """4 bytes per weight, or 1 and a scale per 32 weights, or half a byte and a scale."""
    import onnx

    from valle.bundle.bundle import Bundle
    from valle.bundle.writer import NewGraph, write_bundle
    from valle.training.export.quantization import quantize_blockwise, quantize_weights_int8

    bundle = Bundle.load(debug_bundle)
    ar = bundle.config.ar
    inner, feed, codes = ar.width * ar.width, 4 * ar.width * ar.width, 1024 * ar.width
    weights = inner + ar.layers * (4 * inner + 2 * feed) + codes + 3 * ar.width
    assert ar_step.matrix_bytes(bundle) == (4 * weights, weights)
    graph = bundle.read_graph("ar")
    for change, bytes_each in (
        (quantize_weights_int8, 4.0),
        (lambda proto: quantize_blockwise(proto, 8), 1 + 4 / 32),
        (lambda proto: quantize_blockwise(proto, 4), 0.5 + 4 / 32),
    ):
        proto = onnx.load_from_string(graph)
        change(proto)
        other = debug_bundle.parent / "other"
        write_bundle(other, bundle.config, {"ar": NewGraph(proto.SerializeToString())})
        read, count = ar_step.matrix_bytes(Bundle.load(other))
        assert count == weights
        assert read == pytest.approx(bytes_each * weights, rel=0.1)  # and the biases


def test_prompts_have_the_requested_length(tiny: material.Material) -> None:
    assert isinstance(tiny.model, valle.Model)
    assert tiny.voice.seconds == pytest.approx(material.PROMPT_SECONDS, abs=0.05)
    long = material.enroll_seconds(tiny.model, 9.0)
    assert long.seconds == pytest.approx(9.0, abs=0.05)
