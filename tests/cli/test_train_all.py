"""`valle train all`: from prepared recordings to a bundle, in steps that resume."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

from valle.cli import main, train_all
from valle.errors import UsageError
from valle.training.run_folder import load_checkpoint, write_checkpoint

STEPS = 20


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which only passes where a test lets it."""
    now = [0.0]
    monkeypatch.setattr("valle.cli.train_all.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> list[argparse.Namespace]:
    """The commands that ran, checked by the program's own parsers.

    A training takes the time that it is given and leaves a checkpoint; other commands take 10 s.
    """
    ran: list[argparse.Namespace] = []

    def run_command(argv: Sequence[str]) -> None:
        arguments = main.make_parser(argv[0]).parse_args(list(argv[1:]))
        ran.append(arguments)
        if argv[0] != "train":
            clock[0] += 10.0
            return
        checkpoint = arguments.runs / arguments.stage / "checkpoint.pt"
        before = load_checkpoint(checkpoint)["spent_seconds"] if checkpoint.is_file() else 0.0
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(checkpoint, {}, spent_seconds=60.0 * arguments.minutes)
        clock[0] += 60.0 * arguments.minutes - before

    monkeypatch.setattr(main, "run_command", run_command)
    return ran


def parse(folder: Path, *more: object) -> argparse.Namespace:
    options: list[object] = ["all", folder / "bundle", "--data", folder / "speech"]
    options += ["--sentences", folder / "sentences.tsv", "--teacher", folder / "whisper"]
    options += ["--runs", folder / "runs", *more]
    return main.make_parser("train").parse_args([str(word) for word in options])


def finished_steps(folder: Path) -> list[str]:
    return list(json.loads((folder / "runs" / "chain.json").read_text())["seconds"])


def test_chain_takes_its_budget_and_no_more(
    tmp_path: Path, commands: list[argparse.Namespace], clock: list[float]
) -> None:
    train_all.train_all(parse(tmp_path, "--budget", "25m"))
    assert len(commands) == STEPS
    assert len(finished_steps(tmp_path)) == STEPS
    # The last steps are not trainings: they take 10 s whatever is left.
    assert 1500.0 - 15.0 < clock[0] <= 1500.0 + 10.0
    trained = [arguments.stage for arguments in commands if hasattr(arguments, "minutes")]
    assert trained[:3] == ["codec", "listener", "speaker"]
    listener = load_checkpoint(tmp_path / "runs" / "listener" / "checkpoint.pt")
    assert listener["spent_seconds"] > 0.15 * 1500.0  # it is trained twice


def test_short_budgets_add_up(
    tmp_path: Path, commands: list[argparse.Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    finished: list[str] = []
    while len(finished) < STEPS:
        train_all.train_all(parse(tmp_path, "--budget", "15s"))
        previous, finished = finished, finished_steps(tmp_path)
        assert finished[: len(previous)] == previous
        assert len(finished) > len(previous)
        output = capsys.readouterr().out
        assert ("the same command goes on" in output) == (len(finished) < STEPS)
    assert len(commands) == STEPS
    train_all.train_all(parse(tmp_path, "--budget", "15s"))
    assert len(commands) == STEPS  # nothing is left to do


def test_interrupted_training_gets_time_after_what_it_has_had(
    tmp_path: Path, commands: list[argparse.Namespace]
) -> None:
    (tmp_path / "runs" / "codec").mkdir(parents=True)
    write_checkpoint(tmp_path / "runs" / "codec" / "checkpoint.pt", {}, spent_seconds=300.0)
    train_all.train_all(parse(tmp_path, "--budget", "10s"))
    assert 300.0 < 60.0 * commands[0].minutes < 310.0


def test_failed_step_is_repeated(
    tmp_path: Path, commands: list[argparse.Namespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_command = main.run_command

    def fail(argv: Sequence[str]) -> None:
        if argv[:2] == ("prepare", "labels"):
            raise UsageError("no labels")
        run_command(argv)

    monkeypatch.setattr(main, "run_command", fail)
    with pytest.raises(UsageError, match="no labels"):
        train_all.train_all(parse(tmp_path, "--budget", "25m"))
    assert finished_steps(tmp_path)[-1] == "codes"
    monkeypatch.setattr(main, "run_command", run_command)
    train_all.train_all(parse(tmp_path, "--budget", "25m"))
    assert len(commands) == STEPS


def test_dry_run_prints_the_steps_and_does_nothing(
    tmp_path: Path, commands: list[argparse.Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    train_all.train_all(parse(tmp_path, "--budget", "25m", "--dry-run"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == STEPS
    assert os.listdir(tmp_path) == commands == []
    shares = [float(line.partition(" min")[0].split()[-1]) for line in lines]
    assert sum(shares) == pytest.approx(25.0, abs=0.1 * STEPS)


def test_start_keeps_the_codec_and_the_speaker_encoder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_all.train_all(parse(tmp_path, "--budget", "25m", "--start", "some/bundle", "--dry-run"))
    steps = capsys.readouterr().out
    assert steps.startswith("import ")
    assert "train codec" not in steps
    assert "train speaker" not in steps


def test_runs_of_another_chain_are_refused(tmp_path: Path) -> None:
    state = tmp_path / "runs" / "chain.json"
    state.parent.mkdir()
    recipe = {"--data": ["speech"], "--start": None, "--size": "default", "--seed": 7}
    state.write_text(json.dumps({"recipe": recipe, "seconds": {}}))
    with pytest.raises(UsageError, match="--seed 7, not 0"):
        train_all.train_all(parse(tmp_path, "--budget", "1m"))
    state.write_text("{")
    with pytest.raises(UsageError, match="damaged"):
        train_all.train_all(parse(tmp_path, "--budget", "1m"))


@pytest.mark.parametrize(("value", "seconds"), [("25m", 1500.0), ("90s", 90.0), ("1.5h", 5400.0)])
def test_budget_has_a_unit(value: str, seconds: float) -> None:
    assert train_all.parse_budget(value) == seconds


@pytest.mark.parametrize("value", ["25", "m", "0s", "-1m", "1d", "1 m"])
def test_budget_without_a_unit_is_refused(value: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="25m"):
        train_all.parse_budget(value)
