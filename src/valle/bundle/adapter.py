"""Adapters: what fine-tuning changes in a bundle, as low-rank matrices in a small file.

A weight of the AR or the NAR becomes `weight + down @ up`, where `down` [rows, rank] and `up`
[rank, columns] are in the adapter (Hu et al. 2021, "LoRA: Low-rank adaptation of large language
models"). The file is safetensors, with one JSON text in its metadata. It carries the consent
receipts of all speakers that it was trained on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from valle.arrays import Floats
from valle.errors import BundleError
from valle.files import FileTooLargeError, read_regular_file, write_atomically

FORMAT = 1
GRAPHS = ("ar", "nar")
LAYERS = ("query_key_value", "attention_out", "feed_in", "feed_out")
"""The linear layers of a transformer block, all of which are adapted."""
MAX_RANK = 64

_MAX_BYTES = 64 << 20
_METADATA = "valle"
_TENSOR = re.compile(rf"(ar|nar)\.blocks\.\d+\.({'|'.join(LAYERS)})\.(down|up)")


class AdapterInfo(BaseModel):
    """What an adapter's file says about it.

    Attributes:
        format: of the file.
        name: of the adapter.
        base: SHA-256 of the bundle's graphs that it changes, by name.
        consents: a receipt of every speaker, see `valle.trust.receipts`.
        training: what it was trained on and what was measured, for people to read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    name: str = Field(min_length=1, max_length=200)
    base: dict[str, str]
    consents: tuple[dict[str, Any], ...] = Field(min_length=1, max_length=10_000)
    training: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Adapter:
    """An adapter: its description, and its matrices by name, such as `ar.blocks.0.feed_in.up`."""

    info: AdapterInfo
    matrices: Mapping[str, NDArray[np.float16]]

    @classmethod
    def load(cls, path: str | Path) -> Adapter:
        """Read an adapter.

        Whether its receipts are valid here is not checked (see `valle.consent.training_consent`).

        Raises:
            BundleError: the file is missing, damaged or not an adapter.
        """
        try:
            data = read_regular_file(path, _MAX_BYTES)
            matrices = safetensors.numpy.load(data)
            info = _read_info(data)
        except FileTooLargeError as error:
            raise BundleError(f"{path} is too large for an adapter") from error
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error
        except (safetensors.SafetensorError, ValueError, KeyError, RecursionError) as error:
            raise BundleError(
                f"{path} is not an adapter, or it is damaged; `valle train adapt` writes them"
            ) from error
        _check(path, info, matrices)
        return cls(info, matrices)

    def save(self, path: Path) -> None:
        """Write the adapter atomically.

        Raises:
            OutputError: it cannot be written.
        """
        text = self.info.model_dump_json()
        data = safetensors.numpy.save(dict(self.matrices), {_METADATA: text})
        with write_atomically(path) as temporary:
            temporary.write_bytes(data)

    def changes(self, graph: str) -> dict[str, Floats]:
        """What is added to each weight [rows, columns] of a graph, by the weight's name there."""
        changes = {}
        for name, down in self.matrices.items():
            prefix, _, rest = name.partition(".")
            layer, _, part = rest.rpartition(".")
            if prefix == graph and part == "down":
                up = self.matrices[f"{prefix}.{layer}.up"]
                changes[f"{layer}.weight"] = down.astype(np.float32) @ up.astype(np.float32)
        return changes


def _read_info(data: bytes) -> AdapterInfo:
    header_bytes = int.from_bytes(data[:8], "little")
    text = json.loads(data[8 : 8 + header_bytes])["__metadata__"][_METADATA]
    return AdapterInfo.model_validate_json(text)


def _check(
    path: str | Path, info: AdapterInfo, matrices: Mapping[str, NDArray[np.generic]]
) -> None:
    """Check that the parts of an adapter fit together.

    Raises:
        BundleError: they do not, or the file is of a later format.
    """
    if info.format != FORMAT:
        raise BundleError(
            f"{path} has format {info.format}, and this version of valle reads {FORMAT}: "
            "upgrade valle, or train the adapter again"
        )
    problem = None
    for name, matrix in matrices.items():
        other = name.removesuffix("down") + "up" if name.endswith("down") else name[:-2] + "down"
        if not _TENSOR.fullmatch(name) or other not in matrices:
            problem = f"an unexpected part {name[:80]!r}"
        elif matrix.dtype != np.float16 or matrix.ndim != 2 or not np.isfinite(matrix).all():
            problem = f"{name}: not a matrix of finite fp16 numbers"
        elif name.endswith("down") and (
            matrix.shape[1] != matrices[other].shape[0] or matrix.shape[1] > MAX_RANK
        ):
            problem = f"{name} and {other} do not fit together"
    missing = {name.partition(".")[0] for name in matrices} - info.base.keys()
    if missing:
        problem = f"no hash of the graph {missing.pop()!r}"
    if problem or not matrices:
        raise BundleError(f"{path} is a damaged adapter ({problem or 'empty'}); train it again")
