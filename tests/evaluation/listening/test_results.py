from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from valle.errors import UsageError
from valle.evaluation.listening.results import (
    COLUMNS,
    Answer,
    bootstrap_two_ways,
    evaluate_answers,
    read_answers,
    read_key,
    table,
)

KEY = {
    "test": "t",
    "kind": "cmos",
    "clips": {"c1": ("i", "ours"), "c2": ("i", "theirs")},
}


def write_answers(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    return path


def test_the_second_is_rated_against_the_first_whatever_the_order(tmp_path: Path) -> None:
    path = write_answers(
        tmp_path / "a.csv",
        "t,cmos,1,aa,1,0,1,c1,c2,2,9.0",  # ours came second: 2 better
        "t,cmos,2,bb,1,0,1,c2,c1,-1,9.0",  # theirs came second: 1 worse
    )
    outcome = evaluate_answers(read_answers([path, path], KEY), "cmos")
    (result,) = outcome.results
    assert (result.name, result.figure.value) == ("ours over theirs", 1.5)
    assert (result.ratings, result.listeners) == (2, 2)  # the file given twice counts once
    assert "ours over theirs" in table(outcome)
    assert outcome.as_csv().splitlines()[1].startswith('"ours over theirs",1.5000,')


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("t,cmos,1,aa,1,0,1,c1,c2,4,9.0", "not on the scale"),
        ("t,cmos,1,aa,1,0,1,c1,c2,nan,9.0", "not on the scale"),
        ("t,cmos,1,aa,1,0,1,c9,c2,1,9.0", "line 2"),
        ("t,cmos,1,aa,1,x,1,c1,c2,1,9.0", "line 2"),
        ("other,cmos,1,aa,1,0,1,c1,c2,1,9.0", "another test"),
        ("t,cmos", "another test|not an answer"),
    ],
)
def test_wrong_lines_are_refused(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read_answers([write_answers(tmp_path / "a.csv", row)], KEY)


def test_files_without_answers_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"a,b\n1,2\n", b"\xff\xfe\x00"):
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(UsageError):
            read_answers([tmp_path / "a.csv"], KEY)
    with pytest.raises(UsageError, match="no answer in"):
        read_answers([write_answers(tmp_path / "b.csv")], KEY)


def test_listeners_who_miss_the_hidden_reference_are_left_out() -> None:
    good = [Answer("good", t, f"i{t}", "reference", "reference", 95.0, 0) for t in range(6)]
    bad = [Answer("bad", t, f"i{t}", "reference", "reference", 40.0, 0) for t in range(6)]
    rest = [Answer(s, 0, "i0", "ours", "reference", 60.0, 1) for s in ("good", "bad")]
    outcome = evaluate_answers(good + bad + rest, "mushra")
    assert set(outcome.excluded) == {"bad"}
    assert {result.name: result.ratings for result in outcome.results} == {
        "reference": 6,
        "ours": 1,
    }


def test_intervals_cover_the_mean_of_all_listeners_and_items() -> None:
    rng = np.random.default_rng(1)
    covered, trials = 0, 200
    for _ in range(trials):
        people, things = rng.normal(0, 0.5, 24), rng.normal(0, 0.5, 20)
        ratings = [
            (str(person), str(thing), people[person] + things[thing] + rng.normal(0, 0.5))
            for person in range(24)
            for thing in range(20)
        ]
        figure = bootstrap_two_ways(ratings)
        covered += figure.low <= 0.0 <= figure.high
    assert covered / trials >= 0.90  # the two-way bootstrap is conservative, never far below


def test_keys_of_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text('{"test": "t", "kind": "abx", "clips": {}}')
    with pytest.raises(UsageError, match="is not a key"):
        read_key(key)
