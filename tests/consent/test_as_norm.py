"""The cohort: its graph against the formula, what it says of strangers, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from valle.bundle.bundle import Bundle
from valle.bundle.writer import NewGraph, write_bundle
from valle.cli.main import main
from valle.consent import as_norm as running
from valle.consent.as_norm import GRAPH, over_strangers
from valle.training.export.cohort import NEAREST, cohort_graph

SIZE = 192
Voices = NDArray[np.float64]


def unit(rows: Voices) -> Voices:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def speakers(count: int, seed: int = 0) -> tuple[dict[str, Voices], Voices]:
    """Three embeddings of each, around a direction that all share; and those directions."""
    rng = np.random.default_rng(seed)
    own = unit(unit(rng.normal(size=(count, SIZE))) + 2.0 * np.eye(SIZE)[0])
    spread = np.linspace(0.003, 0.02, SIZE)  # what varies within a speaker is not alike everywhere
    said = unit(own[:, None] + spread * rng.normal(size=(count, 3, SIZE)))
    return {str(index): voices for index, voices in enumerate(said)}, own


@pytest.fixture
def bundle(debug_bundle: Path, tmp_path: Path) -> Bundle:
    made = Bundle.load(debug_bundle)
    graphs = {GRAPH: cohort_graph(speakers(60)[0])}
    return write_bundle(tmp_path / "bundle", made.config, graphs)


def test_the_score_is_that_of_the_formula(bundle: Bundle) -> None:
    known, _ = speakers(60)
    means = unit(np.stack([voices.mean(axis=0) for voices in known.values()]))
    within = np.mean([np.cov(voices.T) for voices in known.values()], axis=0)
    within += 0.1 * np.trace(within) / SIZE * np.eye(SIZE)
    turn = np.linalg.cholesky(np.linalg.inv(within))
    others, _ = speakers(62)
    voices = np.stack([others["60"][0], others["61"][0]])
    turned, strangers = (unit((rows - means.mean(axis=0)) @ turn) for rows in (voices, means))
    expected = 0.0
    for row in turned:
        nearest = np.sort(strangers @ row)[-NEAREST:]
        expected += (turned[0] @ turned[1] - nearest.mean()) / nearest.std() / 2
    one, other = voices.astype(np.float32)
    found = over_strangers(bundle, one, other)
    assert found == pytest.approx(expected, rel=0.02)  # weights in half precision
    assert over_strangers(bundle, other, one) == pytest.approx(found)


def test_one_voice_stands_out_and_two_do_not(bundle: Bundle) -> None:
    voices = [rows.astype(np.float32) for rows in speakers(80)[0].values()][60:]
    own = [over_strangers(bundle, rows[0], rows[1]) for rows in voices]
    others = [
        over_strangers(bundle, rows[0], after[0])
        for rows, after in zip(voices, [*voices[1:], voices[0]], strict=True)
    ]
    assert None not in own and None not in others
    assert min(score for score in own if score) > max(score for score in others if score)


def test_nothing_is_said_of_recordings_like_none_of_the_cohort(
    bundle: Bundle, debug_bundle: Path
) -> None:
    rng = np.random.default_rng(3)
    far = unit(rng.normal(size=(1, SIZE)) - np.eye(SIZE)[0])[0].astype(np.float32)
    (near, *_), *_ = speakers(60)[0].values()
    known = near.astype(np.float32)
    assert over_strangers(bundle, known, known) is not None
    assert over_strangers(bundle, far, far) is None
    assert over_strangers(bundle, known, far) is None
    assert over_strangers(bundle, known, np.full(SIZE, np.nan, np.float32)) is None
    assert over_strangers(Bundle.load(debug_bundle), known, known) is None  # it has no cohort
    assert running.KNOWN_LIMIT > 0.48


def test_the_command_adds_it_to_a_bundle(
    debug_bundle: Path, tmp_path: Path, babble: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = Bundle.load(debug_bundle)
    graphs = ["speaker", "listener"]
    kept = {name: before.config.graphs[name].sha256 for name in graphs}
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
            rows.append({"audio": audio, "speaker": str(speaker), "text": None, "seconds": 2.0})
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    heldout = tmp_path / "heldout.txt"
    heldout.write_text("0\n")
    words = ["cohort", str(folder), "--manifest", str(manifest), "--heldout", str(heldout), "-q"]
    assert main(words) == 0, capsys.readouterr().err
    assert "30 speakers" in capsys.readouterr().out
    after = Bundle.load(folder)
    after.verify()
    assert GRAPH in after.config.graphs and GRAPH not in before.config.graphs
    assert {name: after.config.graphs[name].sha256 for name in graphs} == kept
    assert (folder / "MODEL_CARD.md").read_text() == "what it is"
    heldout.write_text("0\n1\n")
    assert main(words) == 2 and "30 speakers" in capsys.readouterr().err
    assert main([*words, "--each", "1"]) == 2


def test_an_export_keeps_the_cohort_of_its_own_speaker_encoder(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra [train]")
    from valle.training.export.bundle import export_bundle, random_models

    folder, models = tmp_path / "bundle", random_models("debug", seed=0)
    export_bundle(folder, "one", models)
    made = Bundle.load(folder)
    assert GRAPH not in made.config.graphs
    graphs = {
        name: NewGraph(made.read_graph(name), g.precision) for name, g in made.config.graphs.items()
    }
    kept = cohort_graph(speakers(60)[0])
    write_bundle(folder, made.config, graphs | {GRAPH: kept})

    export_bundle(folder, "two", models)
    again = Bundle.load(folder)
    assert again.config.name == "two" and again.read_graph(GRAPH) == kept.model
    export_bundle(folder, "three", random_models("debug", seed=1))
    assert GRAPH not in Bundle.load(folder).config.graphs
