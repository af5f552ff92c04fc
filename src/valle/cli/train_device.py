"""`--device`: what PyTorch computes on."""

from __future__ import annotations

import argparse

import torch

_DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add `--device`."""
    parser.add_argument(
        "--device",
        type=_parse_device,
        metavar="DEVICE",
        help="cpu, cuda, ... (default: a GPU if there is one)",
    )


def choose_device(given: str | None) -> str:
    """Return the device that was given, else a GPU if there is one."""
    return given or ("cuda" if torch.cuda.is_available() else "cpu")


def _parse_device(value: str) -> str:
    try:
        device = torch.device(value)
        if device.type not in _DEVICE_TYPES:
            raise RuntimeError
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError):
        raise argparse.ArgumentTypeError(
            f"must be a device that PyTorch can use here, such as cpu or cuda, not {value!r}"
        ) from None
    return value
