"""Training by several processes: the same losses as one, and an order that survives restarts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from hypothesis import given
from hypothesis import strategies as st

from command_line import expect_success, expect_usage_error
from parallel_training import make_trainer
from synthetic_corpus import write_corpus
from valle.errors import UsageError
from valle.training.data.epochs import EpochOrder
from valle.training.export.bundle import debug_bundle
from valle.training.run_folder import CHECKPOINT, load_checkpoint
from valle.training.trainers.loop import run
from valle.training.trainers.parallel import ParallelOptions

STEPS = 50


@pytest.fixture(autouse=True)
def fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in fp32: sums in another order round otherwise, which bfloat16 shows."""
    monkeypatch.setenv("VALLE_BFLOAT16", "0")


@given(
    count=st.integers(1, 200),
    batch_size=st.integers(1, 32),
    seed=st.integers(0, 5),
    steps=st.integers(1, 40),
)
def test_every_utterance_comes_once_per_epoch(
    count: int, batch_size: int, seed: int, steps: int
) -> None:
    lengths = np.random.default_rng(seed).integers(1, 500, count)
    order = EpochOrder(lengths, batch_size, seed)
    places = [place for step in range(steps) for place in order.batch(step)]
    assert len(places) == steps * batch_size
    assert len(set(places)) == len(places)
    assert [epoch for epoch, _ in places] == [n // count for n in range(len(places))]
    whole = len(places) // count
    for epoch in range(whole):
        indices = sorted(index for e, index in places if e == epoch)
        assert indices == list(range(count))
    # A restart anywhere, without what came before.
    assert EpochOrder(lengths, batch_size, seed).batch(steps - 1) == places[-batch_size:]


def test_batches_have_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(100, 1500, 20_000)
    order = EpochOrder(lengths, 32, seed=0)
    batches = [[lengths[index] for _, index in order.batch(step)] for step in range(600)]
    padded = sum(len(batch) * max(batch) for batch in batches)
    assert 1 - sum(map(sum, batches)) / padded < 0.03
    firsts = [batch[0] for batch in batches]
    assert abs(np.corrcoef(firsts[:-1], firsts[1:])[0, 1]) < 0.2  # not from short to long


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, {name: [40, 130, 180, 220] for name in "abcde"}, words=4)
    return folder


@pytest.mark.parametrize("stage", ["ar", "nar"])
def test_parts_of_a_step_add_up_to_it(corpus: Path, tmp_path: Path, stage: str) -> None:
    whole = make_trainer(corpus, tmp_path / "whole", stage)
    parts = make_trainer(
        corpus, tmp_path / "parts", stage, ParallelOptions(batch_size=8, accumulation=8)
    )
    for number in range(10):
        expected, actual = whole.step(number, 0.1), parts.step(number, 0.1)
        assert actual == pytest.approx(expected, abs=1e-4)


def test_a_continued_run_is_the_unbroken_one(corpus: Path, tmp_path: Path) -> None:
    unbroken = make_trainer(corpus, tmp_path / "unbroken", "ar")
    run(unbroken, tmp_path / "unbroken", steps=6, quiet=True)
    broken = make_trainer(corpus, tmp_path / "broken", "ar")
    # The schedule follows the budget, so only a run with the same budget has the same steps.
    step = broken.step

    def stop(number: int, progress: float) -> dict[str, float]:
        if number == 3:
            raise KeyboardInterrupt
        return step(number, progress)

    broken.step = stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(broken, tmp_path / "broken", steps=6, quiet=True)
    run(make_trainer(corpus, tmp_path / "broken", "ar"), tmp_path / "broken", steps=6, quiet=True)
    expected, actual = (
        load_checkpoint(tmp_path / name / CHECKPOINT)["modules"] for name in ("unbroken", "broken")
    )
    for module, weights in expected.items():
        for name, weight in weights.items():
            torch.testing.assert_close(actual[module][name], weight, atol=1e-6, rtol=0)


def test_another_order_is_refused(corpus: Path, tmp_path: Path) -> None:
    run(make_trainer(corpus, tmp_path, "ar"), tmp_path, steps=1, quiet=True)
    with pytest.raises(UsageError, match="--batch-size 8, not 4"):
        make_trainer(corpus, tmp_path, "ar", ParallelOptions(batch_size=4))
    with pytest.raises(UsageError, match="multiple of 3"):
        make_trainer(corpus, tmp_path / "new", "ar", ParallelOptions(8, accumulation=3))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with a codec."""
    folder = tmp_path_factory.mktemp("codec")
    debug_bundle(folder / "bundle")
    expect_success("import", folder / "bundle", "--runs", folder / "runs")
    for stage in ("ar", "nar"):
        (folder / "runs" / stage / CHECKPOINT).unlink()
    return folder / "runs"


def start(*command: object, processes: int = 2) -> list[subprocess.Popen[str]]:
    """Start Python as the processes of a group, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]


@pytest.mark.slow
def test_two_processes_train_as_one(corpus: Path, tmp_path: Path) -> None:
    one = {}
    for stage in ("ar", "nar"):
        trainer = make_trainer(corpus, tmp_path / "one" / stage, stage)
        one[stage] = [trainer.step(number, number / STEPS) for number in range(STEPS)]
    first, second = start(Path(__file__).with_name("parallel_worker.py"), corpus, tmp_path, STEPS)
    output, errors = first.communicate(timeout=600)
    assert first.returncode == second.wait(timeout=600) == 0, errors + second.communicate()[1]
    two = json.loads(output)
    for stage, losses in one.items():
        assert len(two[stage]) == STEPS
        for expected, actual in zip(losses, two[stage], strict=True):
            assert actual == pytest.approx(expected, abs=1e-4)
        assert sum(losses[-1].values()) < sum(losses[0].values())


def train_forever(corpus: Path, runs: Path, folder: Path) -> list[subprocess.Popen[str]]:
    """Two processes that have begun to train an AR."""
    os.symlink(runs / "codec", folder / "codec")
    options = ["--data", corpus, "--runs", folder, "--size", "debug", "--device", "cpu"]
    options += ["--threads", 1, "--batch-size", 8, "--steps", 1_000_000, "-q"]
    processes = start("-m", "valle", "train", "ar", *options)
    log = folder / "ar" / "log.txt"
    while not log.is_file() and all(process.poll() is None for process in processes):
        time.sleep(0.1)
    return processes


def test_a_signal_to_one_stops_all_with_a_checkpoint(
    corpus: Path, runs: Path, tmp_path: Path
) -> None:
    processes = train_forever(corpus, runs, tmp_path)
    processes[1].send_signal(signal.SIGTERM)
    for process in processes:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 130, errors
    assert load_checkpoint(tmp_path / "ar" / CHECKPOINT)["step"] >= 50  # the first line of the log


def test_a_lost_process_is_reported(corpus: Path, runs: Path, tmp_path: Path) -> None:
    first, second = train_forever(corpus, runs, tmp_path)
    second.kill()
    second.communicate(timeout=600)
    _, errors = first.communicate(timeout=600)
    assert first.returncode == 1
    assert "process 0 of 2 lost another one" in errors
    assert load_checkpoint(tmp_path / "ar" / CHECKPOINT)["step"] >= 50


def test_options_that_do_not_fit_are_refused(
    corpus: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ("--data", corpus, "--runs", runs, "--steps", 1, "--size", "debug", "--device", "cpu")
    batch = ("--batch-size", 8)
    message = expect_usage_error(capsys, "train", "ar", *train, *batch, "--share", 1)
    assert "once per epoch" in message
    message = expect_usage_error(capsys, "train", "ar", *train, *batch, "--guidance", 0.5)
    assert "--guidance" in message
    message = expect_usage_error(capsys, "train", "ar", *train, "--accumulation", 2)
    assert "goes with --batch-size" in message
