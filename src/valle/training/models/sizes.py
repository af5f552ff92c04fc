"""How large each model is: one dial, ``debug | default | paper``, fixes every dimension.

A model takes its own frozen dataclass (``ARSize``, ``NARSize``, ...), so what a checkpoint must
remember to be loaded again is ``dataclasses.asdict`` of it and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from valle.errors import UsageError

CODEBOOKS = 8
CODEBOOK_SIZE = 1024
NO_CODE = CODEBOOK_SIZE  # in place of a code: nothing is known here (adds nothing to the input)


def _check_heads(width: int, heads: int) -> None:
    if width % heads or (width // heads) % 16:
        raise UsageError(
            f"width {width} over {heads} heads: the width of a head must be a multiple of 16, "
            "as the attention kernel's rotary positions need"
        )


@dataclass(frozen=True)
class ARSize:
    """The AR model: codebook 1 and the pointer, one row a frame."""

    layers: int
    heads: int
    width: int
    feed_forward: int
    dropout: float  # 0..1, in training only
    max_positions: int = 2048  # prompt and sentence together, frames; 41 s at 50 frames a second

    def __post_init__(self) -> None:
        _check_heads(self.width, self.heads)


@dataclass(frozen=True)
class NARSize:
    """The NAR model: what the codebooks after the first add, all frames of a block at once."""

    layers: int
    heads: int
    width: int
    feed_forward: int
    dropout: float  # 0..1, in training only
    latent: int = 64  # numbers of the codec's vectors
    block: int = 40  # frames decided at a time
    past: int = 40  # frames before the block that it sees
    ahead: int = 10  # frames after the block that it sees: latency

    def __post_init__(self) -> None:
        _check_heads(self.width, self.heads)


@dataclass(frozen=True)
class Size:
    """One position of the dial: the dimensions of every model in a bundle."""

    name: str
    ar: ARSize
    nar: NARSize


SIZES: dict[str, Size] = {
    size.name: size
    for size in (
        Size("debug", ARSize(2, 4, 64, 256, 0.0), NARSize(2, 4, 64, 256, 0.0, latent=16)),
        Size("default", ARSize(6, 4, 256, 1024, 0.1), NARSize(4, 4, 256, 1024, 0.1)),
        Size("paper", ARSize(12, 16, 1024, 4096, 0.1), NARSize(12, 16, 1024, 4096, 0.1)),
    )
}


def size_named(name: str) -> Size:
    """The dial's position of this name; UsageError for any other name."""
    if name not in SIZES:
        raise UsageError(f"no model size is called {name!r}; choose one of {', '.join(SIZES)}")
    return SIZES[name]
