"""Adaptive s-norm: the cohort graph against the formula, impostors, and `valle cohort`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from valle.bundle.bundle import Bundle
from valle.bundle.writer import NewGraph, write_bundle
from valle.cli.main import main
from valle.consent.as_norm import GRAPH, MIN_COHORT_COSINE, compute_as_norm
from valle.training.export.cohort import NEAREST, build_cohort_graph

SIZE = 192
Voices = NDArray[np.float64]


def unit(rows: Voices) -> Voices:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def speakers(count: int, seed: int = 0) -> tuple[dict[str, Voices], Voices]:
    """Make three embeddings of each speaker, around a common direction; and the true directions."""
    rng = np.random.default_rng(seed)
    centers = unit(unit(rng.normal(size=(count, SIZE))) + 2.0 * np.eye(SIZE)[0])
    std = np.linspace(0.003, 0.02, SIZE)  # within a speaker, different in each dimension
    embeddings = unit(centers[:, None] + std * rng.normal(size=(count, 3, SIZE)))
    return {str(index): voices for index, voices in enumerate(embeddings)}, centers


@pytest.fixture
def bundle(debug_bundle: Path, tmp_path: Path) -> Bundle:
    original = Bundle.load(debug_bundle)
    graphs = {GRAPH: build_cohort_graph(speakers(60)[0])}
    return write_bundle(tmp_path / "bundle", original.config, graphs)


def test_score_equals_the_formula(bundle: Bundle) -> None:
    known, _ = speakers(60)
    means = unit(np.stack([voices.mean(axis=0) for voices in known.values()]))
    within = np.mean([np.cov(voices.T) for voices in known.values()], axis=0)
    within += 0.1 * np.trace(within) / SIZE * np.eye(SIZE)
    projection = np.linalg.cholesky(np.linalg.inv(within))
    others, _ = speakers(62)
    voices = np.stack([others["60"][0], others["61"][0]])
    projected, impostors = (
        unit((rows - means.mean(axis=0)) @ projection) for rows in (voices, means)
    )
    expected = 0.0
    for row in projected:
        nearest = np.sort(impostors @ row)[-NEAREST:]
        expected += (projected[0] @ projected[1] - nearest.mean()) / nearest.std() / 2
    first, second = voices.astype(np.float32)
    score = compute_as_norm(bundle, first, second)
    assert score == pytest.approx(expected, rel=0.02)  # weights in half precision
    assert compute_as_norm(bundle, second, first) == pytest.approx(score)


def test_target_trials_score_above_non_target_trials(bundle: Bundle) -> None:
    voices = [rows.astype(np.float32) for rows in speakers(80)[0].values()][60:]
    targets = [compute_as_norm(bundle, rows[0], rows[1]) for rows in voices]
    non_targets = [
        compute_as_norm(bundle, rows[0], after[0])
        for rows, after in zip(voices, [*voices[1:], voices[0]], strict=True)
    ]
    assert None not in targets
    assert None not in non_targets
    assert min(filter(None, targets)) > max(filter(None, non_targets))


def test_recordings_unlike_the_cohort_have_no_score(bundle: Bundle, debug_bundle: Path) -> None:
    rng = np.random.default_rng(3)
    far = unit(rng.normal(size=(1, SIZE)) - np.eye(SIZE)[0])[0].astype(np.float32)
    (near, *_), *_ = speakers(60)[0].values()
    known = near.astype(np.float32)
    assert compute_as_norm(bundle, known, known) is not None
    assert compute_as_norm(bundle, far, far) is None
    assert compute_as_norm(bundle, known, far) is None
    assert compute_as_norm(bundle, known, np.full(SIZE, np.nan, np.float32)) is None
    assert compute_as_norm(Bundle.load(debug_bundle), known, known) is None  # it has no cohort
    assert MIN_COHORT_COSINE > 0.48


def test_cohort_command_adds_the_graph_to_a_bundle(
    debug_bundle: Path, tmp_path: Path, babble: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = Bundle.load(debug_bundle)
    graphs = ["speaker", "listener"]
    hashes = {name: before.config.graphs[name].sha256 for name in graphs}
    folder = tmp_path / "own"
    folder.mkdir()
    for file in debug_bundle.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "MODEL_CARD.md").write_text("what it is")
    rows = []
    for speaker in range(31):
        for turn in range(2):
            audio = f"{speaker}-{turn}.wav"
            samples = np.roll(babble, 1000 * speaker)[: 32_000 + 100 * turn] * 0.5
            soundfile.write(tmp_path / audio, samples, 16_000)
            row = {"audio": audio, "corpus": "test", "speaker": str(speaker), "text": None}
            rows.append(row | {"seconds": 2.0})
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    heldout = tmp_path / "heldout.txt"
    heldout.write_text("0\n")
    words = ["cohort", str(folder), "--manifest", str(manifest), "--heldout", str(heldout), "-q"]
    assert main(words) == 0, capsys.readouterr().err
    assert "30 speakers" in capsys.readouterr().out
    after = Bundle.load(folder)
    after.verify()
    assert GRAPH in after.config.graphs
    assert GRAPH not in before.config.graphs
    assert {name: after.config.graphs[name].sha256 for name in graphs} == hashes
    assert (folder / "MODEL_CARD.md").read_text() == "what it is"
    heldout.write_text("0\n1\n")
    assert main(words) == 2
    assert "30 speakers" in capsys.readouterr().err
    assert main([*words, "--per-speaker", "1"]) == 2


def test_cohort_takes_the_part_that_a_row_names(
    debug_bundle: Path, tmp_path: Path, babble: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """All rows are about one long file, which begins with silence for those that say so."""
    folder = tmp_path / "own"
    shutil.copytree(debug_bundle, folder)
    silence = np.zeros(3 * 16_000, np.float32)
    soundfile.write(tmp_path / "long.wav", np.concatenate([silence, *[babble * 0.5] * 20]), 16_000)
    row = {"audio": "long.wav", "corpus": "test", "text": None, "seconds": 2.0}
    starts = [(f"{speaker}", 3.0 + 0.5 * speaker) for speaker in range(30)]
    later = [(speaker, start + 0.27) for speaker, start in starts]
    manifest = tmp_path / "manifest.jsonl"
    words = ["cohort", str(folder), "--manifest", str(manifest), "-q"]

    def write(places: list[tuple[str, float]]) -> None:
        rows = [row | {"speaker": speaker, "start": start} for speaker, start in places]
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))

    write([*starts, *later])
    assert main(words) == 0, capsys.readouterr().err
    assert "30 speakers" in capsys.readouterr().out
    write([*starts, *later, ("silent", 0.5)])  # one speaker without sound
    assert main(words) == 0, capsys.readouterr().err
    write([*starts[1:], *later[1:], ("silent", 0.5)])
    assert main(words) == 2
    write([*starts, *starts])
    assert main(words) == 2
    assert "copies" in capsys.readouterr().err
    write(starts)  # one recording of each
    assert main(words) == 2
    assert "two recordings of some" in capsys.readouterr().err


def test_export_keeps_the_cohort_of_the_same_speaker_encoder(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra [train]")
    from valle.training.export.bundle import export_bundle, random_models

    folder, models = tmp_path / "bundle", random_models("debug", seed=0)
    export_bundle(folder, "one", models)
    made = Bundle.load(folder)
    assert GRAPH not in made.config.graphs
    graphs = {
        name: NewGraph(made.read_graph(name), g.precision) for name, g in made.config.graphs.items()
    }
    kept = build_cohort_graph(speakers(60)[0])
    write_bundle(folder, made.config, graphs | {GRAPH: kept})

    export_bundle(folder, "two", models)
    again = Bundle.load(folder)
    assert again.config.name == "two"
    assert again.read_graph(GRAPH) == kept.model
    export_bundle(folder, "three", random_models("debug", seed=1))
    assert GRAPH not in Bundle.load(folder).config.graphs
