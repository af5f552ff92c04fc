"""The NAR model running: from codebook 1 to all of them, block by block as frames come.

A block is read together with up to ``past`` frames before it and ``ahead`` after it, so that speech
can be heard long before its end is known. The prompt's keys and values are made once and serve
every block of every text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from valle.style import style_input

if TYPE_CHECKING:
    from valle.bundle import Bundle

_PROMPT, _TARGET = 0, 1  # kinds of rows

# How far what is said moves on in the direction from anybody's voice, said in no style, to the
# prompt's and the style that was asked for (classifier-free guidance, Ho and Salimans 2022, section
# 3.2). What is expected of a voice lies nearer to everybody's than the voice does: guided, it is
# known from others more often (docs/LOG.md).
GUIDANCE = 1.0

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class NARPrompt:
    """What the NAR model keeps of a voice: key, value [layers, 1, heads, frames, head width], and
    the speaker's embedding [192]."""

    key: Floats
    value: Floats
    voice: Floats

    @property
    def frames(self) -> int:
        return int(self.key.shape[3])


def first_block(block: int) -> int:
    """Frames of a sentence's first block, of blocks of so many: heard sooner, as it waits for fewer
    steps of the AR and for shorter passes. One much shorter would cost most sentences a block more.
    """
    return max(1, block * 4 // 5)


class NAR:
    """The NAR model of a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._config = bundle.config.nar
        self._codebooks = bundle.config.codebooks
        self._no_code = bundle.config.codebook_size

    def prompt(self, codes: Ints, symbols: Ints, stress: Ints, voice: Floats) -> NARPrompt:
        """Read a voice once: codes [P, codebooks], symbol id and stress of each frame, [P].

        voice: the speaker's embedding [192] of unit length, or zeros.
        """
        config = self._config
        shape = (config.layers, 1, config.heads, 0, config.width // config.heads)
        empty = NARPrompt(np.zeros(shape, np.float32), np.zeros(shape, np.float32), voice)
        if not len(codes):
            return empty
        key, value = self._run(("key", "value"), empty, codes, symbols, stress, _PROMPT)
        return NARPrompt(key, value, voice)

    def refine(
        self,
        prompt: NARPrompt,
        frames: Iterable[tuple[int, int, int]],
        style: Ints | None = None,
    ) -> Iterator[Ints]:
        """Frames (code of codebook 1, symbol id, stress) as they come -> codes [n, codebooks].

        style: classes [5] as in `valle.style`, None for unset.

        One piece a block; the first is shorter, and the last holds whatever is left (up to
        block + ahead - 1 frames). All pieces together have as many frames as came in. Several
        sentences may pass through one call: each then hears the one before it.
        """
        config = self._config
        rows: list[tuple[int, int, int]] = []  # those before the block, the block, those after it
        past, size = 0, first_block(config.block)
        source = iter(frames)
        while True:
            ended = False
            while past + size + config.ahead > len(rows):
                frame = next(source, None)
                if frame is None:
                    ended = True
                    break
                rows.append(frame)
            if past == len(rows):
                return
            block = len(rows) - past if ended else size
            yield self._said(prompt, np.array(rows), style)[past : past + block]
            if ended:
                return
            dropped = max(0, past + block - config.past)
            rows = rows[dropped:]
            past, size = past + block - dropped, config.block

    def _said(self, prompt: NARPrompt, rows: Ints, style: Ints | None) -> Ints:
        """Codes [rows, codebooks] of rows [rows, 3] of first code, symbol id and stress."""
        codes = np.full((len(rows), self._codebooks), self._no_code, np.int64)
        codes[:, 0] = rows[:, 0]
        given = codes, rows[:, 1], rows[:, 2], _TARGET
        nobody = NARPrompt(prompt.key[:, :, :, :0], prompt.value[:, :, :, :0], 0 * prompt.voice)
        (anybody,) = self._run(("vector",), nobody, *given)
        (added,) = self._run(("added",), prompt, *given, style, anybody)
        codes[:, 1:] = added[0]
        return codes

    def _run(
        self,
        wanted: Sequence[str],
        prompt: NARPrompt,
        codes: Ints,
        symbols: Ints,
        stress: Ints,
        kind: int,
        style: Ints | None = None,
        anybody: Floats | None = None,
    ) -> list[Any]:
        """What is wanted of the graph's outputs, for a batch of one; guided away from `anybody`
        [1, rows, latent] where that is given."""
        positions = prompt.frames + np.arange(len(codes), dtype=np.int64)
        guided = anybody is not None
        if anybody is None:
            anybody = np.zeros((1, len(codes), self._config.latent), np.float32)
        outputs: list[Any] = self._bundle.session("nar").run(
            wanted,
            {
                "codes": codes[None],
                "symbols": symbols[None],
                "stress": stress[None],
                "positions": positions[None],
                "voice": prompt.voice[None],
                "kind": np.array(kind, np.int64),
                "past_key": prompt.key,
                "past_value": prompt.value,
                "anybody": anybody,
                "strength": np.array(GUIDANCE * guided, np.float32),
                **style_input(self._bundle.config, style),
            },
        )
        return outputs
