"""The NAR model running: from codebook 1 to those that are spoken, block by block as frames come.

A block is refined together with up to ``past`` decided frames before it and ``ahead`` undecided
ones after it, so that speech can be heard long before its end is known. The prompt's keys and
values are made once and serve every block of every text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from valle.style import style_input

if TYPE_CHECKING:
    from valle.bundle import Bundle

# The NAR draws at so much of the AR's temperature: clearer than at 1, and as like the voice
# (docs/LOG.md). The likeliest codes alone are nobody's.
COOLER = 0.7

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


def draw_rows(logits: Floats, temperature: float, rng: np.random.Generator | None) -> Ints:
    """One code a row of logits [rows, codes]: the likeliest, or drawn above temperature 0.

    Each row uses one number of `rng`, so that the rows before it do not depend on those after it.
    """
    if temperature <= 0 or rng is None:
        return logits.argmax(axis=-1).astype(np.int64)
    scaled = logits.astype(np.float64) / temperature
    shares = np.exp(scaled - scaled.max(axis=-1, keepdims=True)).cumsum(axis=-1)
    point = rng.random(len(logits)) * shares[:, -1]
    return (shares <= point[:, None]).sum(axis=-1).clip(max=logits.shape[-1] - 1)


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
        _, key, value = self._run(empty, codes, symbols, stress, 0)
        return NARPrompt(key, value, voice)

    def refine(
        self,
        prompt: NARPrompt,
        frames: Iterable[tuple[int, int, int]],
        temperature: float = 0.0,
        rng: np.random.Generator | None = None,
        style: Ints | None = None,
    ) -> Iterator[Ints]:
        """Frames (code of codebook 1, symbol id, stress) as they come -> codes [n, codebooks].

        Codebooks after the last stage have "no code": of a voice they add next to nothing.

        At temperature 0 each code is the likeliest; above it, codes are drawn with `rng`, at
        `COOLER` times the temperature, which is the AR's. Where many codes are nearly as likely as
        one another, as in the later codebooks, the likeliest is one that none of a voice's frames
        would have together: drawn codes keep more of the voice.

        style: classes [5] as in `valle.style`, None for unset.

        One piece a block; the first is shorter, and the last holds whatever is left (up to
        block + ahead - 1 frames). All pieces together have as many frames as came in. Several
        sentences may pass through one call: each then hears the one before it.
        """
        config = self._config
        rows = np.zeros((0, self._codebooks), np.int64)  # the past, then the undecided
        spoken = np.zeros((0, 2), np.int64)  # symbol id and stress of each
        past, size = 0, first_block(config.block)
        waiting: list[tuple[int, int, int]] = []
        source = iter(frames)
        while True:
            ended = False
            while past + size + config.ahead > len(rows) + len(waiting):
                frame = next(source, None)
                if frame is None:
                    ended = True
                    break
                waiting.append(frame)
            if waiting:
                new = np.array(waiting, np.int64)
                undecided = np.full((len(new), self._codebooks), self._no_code, np.int64)
                undecided[:, 0] = new[:, 0]
                rows = np.concatenate((rows, undecided))
                spoken = np.concatenate((spoken, new[:, 1:]))
                waiting.clear()
            if past == len(rows):
                return
            block = len(rows) - past if ended else size
            decided = self._decide(prompt, rows, spoken, past, temperature, rng, style)
            rows[past : past + block] = decided[past : past + block]
            yield rows[past : past + block].copy()
            if ended:
                return
            dropped = max(0, past + block - config.past)
            rows, spoken = rows[dropped:], spoken[dropped:]
            past, size = past + block - dropped, config.block

    def _decide(
        self,
        prompt: NARPrompt,
        rows: Ints,
        spoken: Ints,
        past: int,
        temperature: float,
        rng: np.random.Generator | None,
        style: Ints | None,
    ) -> Ints:
        """Codes [rows, codebooks] with every row after the first ``past`` filled in, by stage."""
        codes = rows.copy()
        for stage in range(1, 1 + self._config.stages):
            logits, _, _ = self._run(prompt, codes, spoken[:, 0], spoken[:, 1], stage, style)
            codes[past:, stage] = draw_rows(logits[past:], COOLER * temperature, rng)
        return codes

    def _run(
        self,
        prompt: NARPrompt,
        codes: Ints,
        symbols: Ints,
        stress: Ints,
        stage: int,
        style: Ints | None = None,
    ) -> tuple[Floats, Floats, Floats]:
        positions = prompt.frames + np.arange(len(codes), dtype=np.int64)
        logits, key, value = self._bundle.session("nar").run(
            ["logits", "key", "value"],
            {
                "codes": codes[None],
                "symbols": symbols[None],
                "stress": stress[None],
                "positions": positions[None],
                "voice": prompt.voice[None],
                "stage": np.array(stage, np.int64),
                "past_key": prompt.key,
                "past_value": prompt.value,
                **style_input(self._bundle.config, style),
            },
        )
        return logits[0], key, value
