"""The NAR model running: from codebook 1 to all of them, block by block as frames come.

A block is read together with up to ``past`` frames before it and ``ahead`` after it, so that speech
can be heard long before its end is known. The prompt's keys and values are made once and serve
every block of every text, and so is what the model would have left unsaid of the prompt, which is
added to what it says (`valle.training.models.nar.unsaid`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from valle.arrays import Floats, Ints
from valle.runtime.conditioning import is_asked, style_input

if TYPE_CHECKING:
    from valle.bundle.bundle import Bundle

_PROMPT, _TARGET = 0, 1  # kinds of rows

# How far what is said in a style moves on from what would be said without it (classifier-free
# guidance, Ho and Salimans 2022, section 3.2). What it does is less than chance does (docs/LOG.md).
GUIDANCE = 1.0


@dataclass(frozen=True)
class NARPrompt:
    """What the NAR model keeps of a voice: key, value [layers, 1, heads, frames, head width], the
    speaker's embedding [192]; of its frames' first codebook and of what they add after it, less
    what the model would have said of them: known [frames], left [frames, latent]."""

    key: Floats
    value: Floats
    voice: Floats
    known: Ints
    left: Floats

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
        if not len(codes):
            return self._unheard(voice)
        heard = codes, symbols, stress
        key, value, given = self._run(
            ("key", "value", "given"), self._unheard(voice), *heard, _PROMPT
        )
        said = self._guessed(heard, voice)
        return NARPrompt(key, value, voice, codes[:, 0], given[0] - said)

    def _unheard(self, voice: Floats) -> NARPrompt:
        """A prompt of no frames."""
        config = self._config
        shape = (config.layers, 1, config.heads, 0, config.width // config.heads)
        none, left = np.zeros(shape, np.float32), np.zeros((0, config.latent), np.float32)
        return NARPrompt(none, none, voice, np.zeros(0, np.int64), left)

    def _guessed(self, heard: tuple[Ints, Ints, Ints], voice: Floats) -> Floats:
        """What the model would say of a prompt's frames [frames, latent]: of each half in the voice
        of the other, since it has seen none of a text's own frames either."""
        frames = np.arange(len(heard[0]))
        halves = np.array_split(frames, 2)
        longest = self._config.past + self._config.block + self._config.ahead
        guessed = np.zeros((len(frames), self._config.latent), np.float32)
        for own, other in (halves, halves[::-1]):
            past = self._unheard(voice)
            if len(other):
                codes, symbols, stress = (each[other] for each in heard)
                key, value = self._run(("key", "value"), past, codes, symbols, stress, _PROMPT)
                past = replace(past, key=key, value=value)
            for start in range(0, len(own), longest):
                piece = own[start : start + longest]
                codes, symbols, stress = (each[piece] for each in heard)
                first = self._first_alone(codes[:, 0])
                (vector,) = self._run(("vector",), past, first, symbols, stress, _TARGET)
                guessed[piece] = vector[0]
        return guessed

    def refine(
        self,
        prompt: NARPrompt,
        frames: Iterable[tuple[int, int, int]],
        style: Ints | None = None,
    ) -> Iterator[Ints]:
        """Frames (code of codebook 1, symbol id, stress) as they come -> codes [n, codebooks].

        style: classes [5] as in `valle.audio.prosody`, None for unset.

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
        codes = self._first_alone(rows[:, 0])
        given = prompt, codes, rows[:, 1], rows[:, 2], _TARGET
        plain = self._run(("vector",), *given)[0] if is_asked(style) else None
        (added,) = self._run(("added",), *given, style, plain)
        codes[:, 1:] = added[0]
        return codes

    def _first_alone(self, first: Ints) -> Ints:
        """Codes [rows, codebooks] of which the first codebook's [rows] is known."""
        codes = np.full((len(first), self._codebooks), self._no_code, np.int64)
        codes[:, 0] = first
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
        plain: Floats | None = None,
    ) -> list[Any]:
        """What is wanted of the graph's outputs, for a batch of one; guided away from `plain`
        [1, rows, latent] where that is given."""
        positions = prompt.frames + np.arange(len(codes), dtype=np.int64)
        guided = plain is not None
        if plain is None:
            plain = np.zeros((1, len(codes), self._config.latent), np.float32)
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
                "known": prompt.known[None],
                "left": prompt.left[None],
                "plain": plain,
                "strength": np.array(GUIDANCE * guided, np.float32),
                **style_input(self._bundle.config, style),
            },
        )
        return outputs
