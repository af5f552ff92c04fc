"""What the trainers share: learning-rate schedule, optimizer of the language models, precision."""

from __future__ import annotations

import math
import os
import time
from functools import lru_cache

import torch
from torch import Tensor, nn

from valle.errors import UsageError

_STYLE_RATE = 10.0  # learning rate of the style embeddings, relative to that of all other weights
_FINAL_RATE = 0.01  # learning rate at both ends of the schedule, relative to the peak


def learning_rate(progress: float, peak: float, warmup: float = 0.02) -> float:
    """Linear warm-up over the first `warmup` of the run, then cosine decay to 1% of the peak.

    Args:
        progress: share of the run's budget that is spent, 0 to 1.
        peak: the highest learning rate.
        warmup: share of the budget, 0 to 1.
    """
    if progress < warmup:
        return peak * (progress / warmup + _FINAL_RATE)
    decayed = min((progress - warmup) / (1.0 - warmup), 1.0)
    cosine = 0.5 * (1.0 + math.cos(math.pi * decayed))
    return peak * (_FINAL_RATE + (1.0 - _FINAL_RATE) * cosine)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups, scaled by a group's `times` if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("times", 1.0)  # "times" is a key of existing checkpoints


def language_model_optimizer(model: nn.Module, rate: float) -> torch.optim.AdamW:
    """AdamW for the AR and the NAR.

    The style embeddings start at zero, usually in a model that is otherwise trained and continues
    with a low learning rate, so their rate is higher.
    """
    styles = [weight for name, weight in model.named_parameters() if "style." in name]
    others = [weight for name, weight in model.named_parameters() if "style." not in name]
    groups = [{"params": others, "times": 1.0}, {"params": styles, "times": _STYLE_RATE}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), weight_decay=0.05)


def mixed_precision(device: torch.device) -> torch.autocast:
    """A context in which matrix products run in bfloat16, where that is faster than fp32.

    The environment variable VALLE_BFLOAT16 forces bfloat16 (1) or fp32 (0).

    Raises:
        UsageError: VALLE_BFLOAT16 has another value.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=_use_bfloat16(device))


def _use_bfloat16(device: torch.device) -> bool:
    forced = os.environ.get("VALLE_BFLOAT16", "")
    if forced not in ("", "0", "1"):
        raise UsageError(f"VALLE_BFLOAT16 must be 0 or 1, not {forced!r}")
    if forced:
        return forced == "1"
    return device.type != "cpu" or _is_bfloat16_faster()


@lru_cache(maxsize=1)
def _is_bfloat16_faster() -> bool:
    """Whether this processor multiplies faster in bfloat16 than in fp32.

    A processor without the instructions emulates them, ten times slower. Among those with them,
    some are twice as fast in bfloat16 and some are slower, so both are timed, for 0.1 s
    (docs/decisions/0014-measured-mixed-precision.md).
    """
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if not capabilities.get("avx512_bf16"):
        return False
    matrix = torch.ones(768, 768)
    return _time_product(matrix.bfloat16()) < _time_product(matrix)


def _time_product(matrix: Tensor) -> float:
    """Seconds that the product of a square matrix with itself takes, the best of several."""
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - start)
    return min(seconds)
