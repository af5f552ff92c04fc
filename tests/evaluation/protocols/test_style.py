"""Rank correlation, and requested styles on a model of random weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import valle
from valle.evaluation.material import Speaker
from valle.evaluation.protocols import style


def test_spearman_of_known_ranks() -> None:
    assert style.spearman([1, 2, 3, 4], [10, 20, 30, 1000]) == pytest.approx(1.0)
    assert style.spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    # With ties: as by scipy.stats.spearmanr.
    assert style.spearman([1, 2, 2, 3], [1, 3, 2, 4]) == pytest.approx(0.9486832981)
    assert np.isnan(style.spearman([1, 2, 3], [5, 5, 5]))


def test_every_class_of_every_style_is_requested(tmp_path: Path, babble: np.ndarray) -> None:
    export = pytest.importorskip("valle.training.export.bundle", reason="needs the extra [train]")
    models = dataclasses.replace(
        export.random_models("debug", 0), style_bin_edges=np.arange(35.0).reshape(5, 7)
    )
    export.export_bundle(tmp_path / "styled", "styled", models, "fp32")
    model = valle.load(tmp_path / "styled", threads=1)
    trials = list(style.run_trials(model, [Speaker("s", "c", babble, ())], seed=0))
    assert [trial.requested for trial in trials] == [*range(1, 9)] * 10
    summary = style.summarize(trials)
    assert list(summary["styles"]) == ["pitch", "pitch_range", "energy", "rate", "tilt"]
    assert len(style.table(summary).splitlines()) == 6


def test_styles_are_compared_within_a_voice_and_sentence() -> None:
    """Another sentence may be higher or lower in all classes; every voice counts as one."""
    trials = [
        style.Trial("pitch", speaker, sentence, requested, 10.0 * sentence + sign * requested)
        for speaker, sign in (("a", 1.0), ("b", -1.0))
        for sentence in range(2)
        for requested in range(1, 9)
    ]
    unmeasured = style.Trial("pitch", "a", 2, 1, None)
    both = style.summarize([*trials, unmeasured])["styles"]["pitch"]
    assert both["clips"] == 32
    assert both["within_voices"]["value"] == pytest.approx(0.0)
    first = style.summarize(trials[:16])["styles"]["pitch"]
    assert first["within_voices"]["value"] == pytest.approx(1.0)
    assert first["pooled"] < 0.7


def test_a_bundle_without_styles_is_refused(model: valle.Model) -> None:
    with pytest.raises(valle.UsageError, match="without styles"):
        next(style.run_trials(model, [], seed=0))
