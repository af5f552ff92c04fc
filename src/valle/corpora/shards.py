"""Long work in shards: parts of a plan, done by several processes, each part wholly or not at all.

The plan is made first, and is the same whenever it is made. Shards are files whose names and bytes
depend on the plan alone. A process that is killed loses the shard it was at and nothing else; the
same call goes on with the shards that are missing. Which process does which shard does not matter,
so the work could be spread over machines that share a folder.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Generic, TypeVar

import filelock
from tqdm import tqdm

from valle.errors import Error, OutputError
from valle.files import sweep_temporary_files

Part = TypeVar("Part")

_POLL_SECONDS = 0.5
_MAX_LOSSES = 3  # processes lost in a row without a finished shard


@dataclass(frozen=True)
class Plan(Generic[Part]):
    """What is to be done.

    Attributes:
        names: of the shards' files; each depends on all that its bytes depend on.
        parts: of each shard, what `work` takes.
        work: computes the bytes of a shard; a function at the top of a module.
    """

    names: Sequence[str]
    parts: Sequence[Part]
    work: Callable[[Part], bytes]


class _WorkerError(Error):
    """The work on a shard failed."""


def run_shards(plan: Plan[Part], folder: Path, workers: int, quiet: bool = False) -> list[Path]:
    """Do all shards of a plan that are not there yet.

    Args:
        plan: of the work.
        folder: of the shards, for this plan alone.
        workers: processes; with 1 the work is done in this one.
        quiet: no progress bar.

    Returns:
        The files of all shards, in the order of the plan.

    Raises:
        OutputError: another process works on this folder, the disk is full, or processes are killed
            again and again.
        Error: what `work` raises.
    """
    lock = filelock.FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise OutputError(
            f"another process prepares {folder.parent}: wait for it, or give another folder"
        ) from None
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    with (
        lock,
        tqdm(
            total=len(plan.names), desc=folder.parent.name, unit="shard", disable=quiet or None
        ) as bar,
    ):
        sweep_temporary_files(folder)
        bar.update(len(plan.names) - len(_missing(plan, folder)))
        if workers == 1:
            for index in _missing(plan, folder):
                _do_shard(plan, folder, index)
                bar.update()
        else:
            _run_processes(plan, folder, workers, bar)
    return [folder / name for name in plan.names]


def _missing(plan: Plan[Part], folder: Path) -> list[int]:
    done = set(os.listdir(folder))
    return [index for index, name in enumerate(plan.names) if name not in done]


def _do_shard(plan: Plan[Part], folder: Path, index: int) -> None:
    """Compute one shard; its file appears when its bytes are on the disk."""
    data = plan.work(plan.parts[index])
    temporary = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / plan.names[index])
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _run_processes(plan: Plan[Part], folder: Path, workers: int, bar: tqdm[object]) -> None:
    """Let processes do what is missing, and replace those that are killed."""
    losses, left = 0, _missing(plan, folder)
    while left:
        processes = [
            _start(plan, folder, share) for n in range(workers) if (share := left[n::workers])
        ]
        try:
            while any(process.is_alive() for process, _ in processes):
                wait([process.sentinel for process, _ in processes], _POLL_SECONDS)
                time.sleep(_POLL_SECONDS / 10)  # a process that has ended is ready at once
                bar.n = len(plan.names) - len(_missing(plan, folder))
                bar.refresh()
                if any(process.exitcode not in (None, 0) for process, _ in processes):
                    break
        finally:
            for process, _ in processes:
                process.terminate()
                process.join()
            failures = [_take_failure(failure) for _, failure in processes]
        for error in failures:
            if error is not None:
                raise error
        before, left = left, _missing(plan, folder)
        losses = losses + 1 if len(left) == len(before) else 0
        if losses == _MAX_LOSSES:
            raise OutputError(
                f"processes that prepare {folder.parent} are killed again and again; is there "
                "enough memory and disk space? The same command, with fewer --workers, goes on"
            )


def _start(plan: Plan[Part], folder: Path, indices: list[int]) -> tuple[BaseProcess, Path]:
    """Start a process on some shards; if its work fails, it writes the reason into a file."""
    failure = folder / f".{secrets.token_hex(8)}.failure"
    share = Plan([plan.names[i] for i in indices], [plan.parts[i] for i in indices], plan.work)
    process = get_context("spawn").Process(
        target=_do_share, args=(share, folder, failure), daemon=True
    )
    process.start()
    return process, failure


def _do_share(share: Plan[Part], folder: Path, failure: Path) -> None:
    try:
        for index in range(len(share.names)):
            _do_shard(share, folder, index)
    except Error as error:
        failure.write_text(f"{error.exit_code} {error}", encoding="utf-8")
    except KeyboardInterrupt:
        pass


def _take_failure(failure: Path) -> Error | None:
    """Return the error in a file and delete it; None if there is none, or it is half-written."""
    try:
        code, _, message = failure.read_text(encoding="utf-8").partition(" ")
        failure.unlink()
    except OSError:
        return None
    if not message:
        return None
    error = _WorkerError(message)
    error.exit_code = int(code)
    return error
