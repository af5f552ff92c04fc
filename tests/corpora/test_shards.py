"""Preparation in shards: the same bytes whoever does them, however often they are killed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from valle.corpora import shards
from valle.corpora.recordings import decode_shard, prepare_recordings
from valle.corpora.shards import Plan, run_shards
from valle.errors import OutputError, UsageError

RATE = 16_000


def square(number: int) -> bytes:
    """The work of these tests; 13 is bad luck."""
    if number == 13:
        raise UsageError("thirteen")
    if number >= 100:
        os.kill(os.getpid(), signal.SIGKILL)
    return str(number * number).encode()


def plan_of(*numbers: int) -> Plan[int]:
    return Plan([f"{number:03d}.shard" for number in numbers], numbers, square)


@pytest.mark.parametrize("workers", [1, 2])
def test_shards_are_done_in_the_order_of_the_plan(tmp_path: Path, workers: int) -> None:
    (tmp_path / "002.shard").write_bytes(b"done before")
    files = run_shards(plan_of(1, 2, 3), tmp_path, workers, quiet=True)
    assert [file.read_bytes() for file in files] == [b"1", b"done before", b"9"]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_reason_of_a_failure_is_said(tmp_path: Path, workers: int) -> None:
    with pytest.raises(Exception, match="thirteen") as failure:
        run_shards(plan_of(1, 13), tmp_path, workers, quiet=True)
    assert failure.value.exit_code == UsageError.exit_code  # type: ignore[attr-defined]
    assert {path.suffix for path in tmp_path.iterdir()} <= {".shard", ""}


def test_a_shard_that_kills_its_process_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_MAX_LOSSES", 1)  # each try starts two processes
    with pytest.raises(OutputError, match="killed again and again"):
        run_shards(plan_of(1, 100), tmp_path, 2, quiet=True)
    assert not (tmp_path / "100.shard").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"):
        run_shards(plan_of(1), tmp_path / "file" / "shards", 1, quiet=True)


def test_a_failure_that_was_not_written_to_its_end_is_none(tmp_path: Path) -> None:
    """A process may be ended while it writes its reason."""
    for content in (b"", b"2 "):
        (tmp_path / "a.failure").write_bytes(content)
        assert shards._take_failure(tmp_path / "a.failure") is None
    assert shards._take_failure(tmp_path / "a.failure") is None  # it was deleted


def test_two_runs_on_one_folder_are_refused(tmp_path: Path) -> None:
    import filelock

    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(OutputError, match="another process"):
        run_shards(plan_of(1), tmp_path, 1, quiet=True)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings with names of all kinds; every tenth is damaged."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(60):
        name = f"übung {number}\n.wav" if number == 7 else f"{number}.flac"
        if number % 10 == 9:
            (folder / name).write_bytes(b"no sound" * number)
        else:
            samples = rng.uniform(-0.5, 0.5, 20 * RATE).astype(np.float32)
            soundfile.write(folder / name, samples, RATE)
        rows.append({"audio": name, "corpus": "c", "speaker": "s", "text": None, "seconds": 20.0})
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def hash_files(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def test_killed_at_random_gives_the_same_bytes(manifest: Path, tmp_path: Path) -> None:
    tally = prepare_recordings(manifest, tmp_path / "whole", None, workers=1, quiet=True)
    assert (tally.kept, tally.refused) == (54, 6)
    assert tally.seconds_kept + tally.seconds_refused == 60 * 20.0
    command = [sys.executable, "-m", "valle", "prepare", "recordings", str(tmp_path / "killed")]
    command += ["--manifest", str(manifest), "--workers", "2", "-q"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    folder, kills, rng = tmp_path / "killed" / "shards", 0, random.Random(0)
    while True:
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        before = len(list(folder.glob("*.shard")))
        target = before + rng.randint(1, 4)
        while process.poll() is None and len(list(folder.glob("*.shard"))) < target:
            time.sleep(0.002)
        if kills == 2 or process.poll() is not None:
            assert process.wait(timeout=300) == 0
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        assert len(list(folder.glob("*.shard"))) >= before  # nothing that was done is lost
    assert kills
    assert hash_files(tmp_path / "killed") == hash_files(tmp_path / "whole")
    assert not folder.exists()


def test_a_shard_depends_on_its_rows_alone(manifest: Path) -> None:
    rows = [json.loads(line) for line in manifest.read_text().splitlines()[8:11]]
    part = manifest.parent, rows
    assert decode_shard(part) == decode_shard(part)
