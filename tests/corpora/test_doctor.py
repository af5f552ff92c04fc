"""`valle doctor`: planted faults are found, and a good corpus has none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from command_line import expect_success, expect_usage_error
from valle.corpora.doctor import diagnose, find_problems
from valle.corpora.store import Labels, Store, StoreWriter, UtteranceInfo

RATE = 16_000
TEXT = "The boats came home."


def write_store(folder: Path, rows: list[tuple[str, str | None, float, int]]) -> Store:
    """Utterances of a speaker, a transcript, seconds, and the seed of their sound."""
    writer = StoreWriter(folder)
    for number, (speaker, text, seconds, seed) in enumerate(rows):
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE))
        info = UtteranceInfo(f"u{number}", "c", speaker, text, True, license="CC0-1.0")
        writer.add(info, samples.astype(np.float32))
    writer.close()
    return Store(folder)


def test_a_good_corpus_has_no_problems(tmp_path: Path) -> None:
    store = write_store(tmp_path, [("a", TEXT, 2, 1), ("a", TEXT, 3, 2), ("a", None, 4, 3)])
    diagnosis = diagnose([store], ["somebody else"])
    assert find_problems(diagnosis) == []
    report = diagnosis.corpora[str(tmp_path)]
    assert (report.utterances, report.speakers, report.without_text) == (3, 1, 1)
    assert report.seconds == (2.0, 3.0, 4.0)
    assert report.licenses == {"CC0-1.0": pytest.approx(9 / 3600)}


def test_planted_faults_are_found(tmp_path: Path) -> None:
    other = write_store(tmp_path / "other", [("z", TEXT, 2, 7), ("z", TEXT, 2, 8)])
    store = write_store(
        tmp_path / "data",
        [
            ("a", TEXT, 2, 1),
            ("a", "!!!", 2, 2),  # u1: nothing to speak
            ("a", f"{TEXT} \u16a0\u16a0", 2, 3),  # runes are not spoken
            ("a", TEXT, 2, 1),  # u3: u0 again
            ("renamed", TEXT, 2, 8),  # u4: held out, under another name
            ("held", TEXT, 41, 9),  # u5: a speaker that is held out; too long
        ],
    )
    store.write_labels({"u0": Labels(np.array([1]), np.array([0]), np.zeros(100, np.int64))})
    diagnosis = diagnose([store], ["held"], [other])
    place = str(tmp_path / "data")
    assert diagnosis.leaks == [f"{place}: u4", f"{place}: u5"]
    assert diagnosis.copies == [[f"{place}: u0", f"{place}: u3"]]
    report = diagnosis.corpora[place]
    assert report.without_words == ["u1"]
    assert report.unknown == {"\u16a0": 2}
    assert (report.long, report.few) == (1, 2)
    assert report.labeled == pytest.approx(1 / 6)
    problems = "\n".join(find_problems(diagnosis))
    for part in (
        "held out",
        "more than once",
        "no words",
        "not spoken",
        "longer than",
        "no labels",
    ):
        assert part in problems


def test_leaks_end_the_command_with_an_error(
    tmp_path: Path, debug_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "data", [("a", TEXT, 2, 1), ("a", TEXT, 2, 2)])
    expect_success("doctor", tmp_path / "data", "--bundle", debug_bundle, "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["leaks"] == []
    # A recognizer of random weights agrees with no transcript, and that is said.
    assert report["phoneme_error_rate"] > 0.6
    assert len(report["doubtful"]) == 2
    expect_success("doctor", tmp_path / "data")
    assert "no problems were found" in capsys.readouterr().out
    heldout = tmp_path / "heldout.txt"
    heldout.write_text("a\n")
    message = expect_usage_error(capsys, "doctor", tmp_path / "data", "--heldout", heldout)
    assert "2 held-out utterances" in message
