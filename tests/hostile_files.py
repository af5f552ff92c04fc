"""Runs commands on hostile bundles and recordings, for the tests and for the benchmark of them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from confined import Confined, run_confined
from hostile_bundles import write_hostile_bundles
from hostile_recordings import write_hostile_recordings


def run_bundles(
    folder: Path, good: Path, voice: Path, safety: Path, leave_out: Collection[str] = ()
) -> list[Confined]:
    """Speak with every hostile bundle.

    Args:
        folder: Where to work; it must not exist.
        good: A bundle to damage.
        voice: A voice file to speak with, signed by the key in `safety`.
        safety: The folder of the key and ledger.
        leave_out: Parts of the names of cases.
    """
    files, runs = _make_folders(folder)
    cases = [
        (name, ["speak", "So be it.", "--voice", voice, "--bundle", path, "--threads", "1"])
        for name, path in write_hostile_bundles(files, good).items()
        if not any(part in name for part in leave_out)
    ]
    return run_confined(runs, cases, safety)


def run_recordings(
    folder: Path, bundle: Path, safety: Path, leave_out: Collection[str] = ()
) -> list[Confined]:
    """Enroll every hostile recording.

    Args:
        folder: Where to work; it must not exist.
        bundle: The bundle to enroll with.
        safety: The folder of the key and ledger.
        leave_out: Parts of the names of cases.
    """
    files, runs = _make_folders(folder)
    words = ["--name", "Hostile", "--i-hold-the-rights", "--bundle", bundle, "--threads", "1"]
    cases = [
        (name, ["enroll", path, *words])
        for name, path in write_hostile_recordings(files).items()
        if not any(part in name for part in leave_out)
    ]
    return run_confined(runs, cases, safety)


def _make_folders(folder: Path) -> tuple[Path, Path]:
    files, runs = folder / "files", folder / "runs"
    files.mkdir(parents=True)
    runs.mkdir()
    return files, runs
