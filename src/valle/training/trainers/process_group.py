"""The processes that train one model together, as `torchrun` starts them.

Without `torchrun` there is one process, and nothing here does anything.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from valle.errors import Error, UsageError

_TIMEOUT = timedelta(minutes=10)  # a process that is silent for so long has failed
_LOST = ("gloo", "connection", "nccl", "socket", "timed out", "peer")
"""Words of PyTorch's messages about a process that no longer answers."""


class ProcessLostError(Error):
    """Another process of the training ended or no longer answers."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that train together.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes checkpoints and logs."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether a flag is set in any process."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(float(flag))) > 0)

    def agree(self, value: float) -> float:
        """The first process's value, in all of them: clocks differ."""
        if self.size == 1:
            return value
        shared = torch.tensor(value if self.is_first else 0.0, dtype=torch.float64)
        return float(self.sum(shared))


def is_started_by_torchrun() -> bool:
    """Whether this process is one of a group."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


def local_device(device: str) -> str:
    """The device of this process: of several GPUs, the one with its number on this machine."""
    if device == "cuda" and is_started_by_torchrun():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return device


@contextlib.contextmanager
def open_process_group(device: str) -> Iterator[ProcessGroup]:
    """Join the group that `torchrun` started, if it did.

    Args:
        device: of this process, see `local_device`.

    Raises:
        UsageError: the environment of `torchrun` is incomplete.
        ProcessLostError: another process failed; its own message says why.
    """
    if not is_started_by_torchrun():
        yield ProcessGroup()
        return
    # Collectives on the CPU, for counts and flags, go through gloo wherever the gradients go.
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(backend, timeout=_TIMEOUT)
    except (ValueError, RuntimeError) as error:
        raise UsageError(
            f"this process cannot join the others: {error}; start all of them with torchrun"
        ) from error
    group = ProcessGroup(dist.get_rank(), dist.get_world_size())
    try:
        yield group
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in _LOST):
            raise
        raise ProcessLostError(
            f"process {group.rank} of {group.size} lost another one, whose own message says why; "
            "start the same command again: it goes on from the last checkpoint"
        ) from error
    finally:
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()
