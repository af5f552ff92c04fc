"""Model sizes: one dial, `debug`, `default` or `paper`, sets every dimension.

Each model takes its own frozen dataclass (`ARSize`, `NARSize`, ...); `dataclasses.asdict` of it is
all that a run folder needs to rebuild the model.
"""

from __future__ import annotations

from dataclasses import dataclass

from valle.errors import UsageError

CODEBOOKS = 8
CODEBOOK_SIZE = 1024
NO_CODE = CODEBOOK_SIZE  # stands for an unknown code, which adds nothing to the input


def _check_heads(width: int, heads: int) -> None:
    if width % heads or (width // heads) % 16:
        raise UsageError(
            f"width {width} with {heads} heads: the dimension of a head must be a multiple of 16, "
            "as the attention kernel needs for rotary positions"
        )


@dataclass(frozen=True)
class ARSize:
    """Dimensions of the AR model, which has one row per frame."""

    layers: int
    heads: int
    width: int
    feed_forward: int
    dropout: float  # 0 to 1, in training only
    max_positions: int = 2048  # frames of prompt and sentence together: 41 s

    def __post_init__(self) -> None:
        _check_heads(self.width, self.heads)


@dataclass(frozen=True)
class NARSize:
    """Dimensions of the NAR model, which predicts all frames of a block at once."""

    layers: int
    heads: int
    width: int
    feed_forward: int
    dropout: float  # 0 to 1, in training only
    latent: int = 64  # dimension of the codec's vectors
    block: int = 40  # frames predicted at a time
    past: int = 40  # frames of context before the block
    ahead: int = 10  # frames of lookahead after the block, which cause latency

    def __post_init__(self) -> None:
        _check_heads(self.width, self.heads)


@dataclass(frozen=True)
class Size:
    """One position of the dial: the dimensions of the AR and the NAR."""

    name: str
    ar: ARSize
    nar: NARSize


SIZES: dict[str, Size] = {
    size.name: size
    for size in (
        Size("debug", ARSize(2, 4, 64, 256, 0.0), NARSize(2, 4, 64, 256, 0.0, latent=16)),
        Size("default", ARSize(6, 4, 256, 1024, 0.1), NARSize(6, 4, 256, 1024, 0.1)),
        Size("paper", ARSize(12, 16, 1024, 4096, 0.1), NARSize(12, 16, 1024, 4096, 0.1)),
    )
}


def size_named(name: str) -> Size:
    """Look up a size by name.

    Raises:
        UsageError: there is no such size.
    """
    if name not in SIZES:
        raise UsageError(f"there is no model size {name!r}; choose one of {', '.join(SIZES)}")
    return SIZES[name]
