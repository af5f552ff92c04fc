"""The NAR model at inference: from codebook 1 to all codebooks, block by block as frames arrive.

A block is read together with up to `past` frames before it and `ahead` frames after it, so that
speech can be streamed long before its end is known. The keys and values of the voice prompt are
computed once and serve every block of every text. So do the prediction residuals of the prompt,
from which the graph corrects its predictions (`valle.training.models.nar.residual_correction`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from valle.arrays import Codes, Embedding, Floats, Ints
from valle.runtime.conditioning import is_style_set, make_style_input

if TYPE_CHECKING:
    from valle.bundle.bundle import Bundle

# Frames of a block that is not held back. Those at the beginning must last until the next word of a
# text that is still coming has come.
MIN_FIRST_BLOCK, MIN_BLOCK = 24, 8
_PROMPT, _TARGET = 0, 1  # kinds of rows


@dataclass(frozen=True)
class FrameInputs:
    """What the NAR model reads of some frames.

    Attributes:
        codes: [frames, codebooks].
        symbols: [frames] id of the symbol that each frame is at.
        stress: [frames] of that symbol, 0 to 2.
    """

    codes: Codes
    symbols: Ints
    stress: Ints

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, frames: Ints | slice) -> FrameInputs:
        return FrameInputs(self.codes[frames], self.symbols[frames], self.stress[frames])


@dataclass(frozen=True)
class NARPrompt:
    """The NAR model's cache of a voice prompt, which serves every text.

    Attributes:
        key: [layers, 1, heads, frames, head_dim].
        value: [layers, 1, heads, frames, head_dim].
        speaker: [192] embedding.
        first_codes: [frames] codes of codebook 1.
        residual: [frames, latent] what the codes of the other codebooks add, less what the model
            predicts.
    """

    key: Floats
    value: Floats
    speaker: Embedding
    first_codes: Ints
    residual: Floats

    @property
    def frames(self) -> int:
        """How many frames the prompt has."""
        return int(self.key.shape[3])


def first_block_frames(block: int, early: bool = False) -> tuple[int, ...]:
    """Return the sizes of a sentence's first blocks, given that of the others.

    Args:
        block: Frames of the others.
        early: The first block is awaited. It is audible sooner, since it waits for fewer AR steps
            and a shorter pass; the second is short too, so that the first has not ended before it
            comes. Both together cost most sentences another block.
    """
    shares = (3, 6) if early else (8,)
    return tuple(max(1, block * share // 10) for share in shares)


class NAR:
    """The NAR model of a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._config = bundle.config.nar
        self._codebooks = bundle.config.codebooks
        self._no_code = bundle.config.codebook_size

    def prefill(self, frames: FrameInputs, speaker: Embedding) -> NARPrompt:
        """Compute the keys, values and prediction residuals of a voice prompt.

        Args:
            frames: The prompt.
            speaker: [192] embedding of unit length, or zeros.
        """
        empty = self._empty_prompt(speaker)
        if not len(frames):
            return empty
        inputs = self._inputs(empty, frames, _PROMPT)
        key, value, target = self._run(("key", "value", "given"), inputs)
        residual = target[0] - self._predict_prompt(frames, speaker)
        return NARPrompt(key, value, speaker, frames.codes[:, 0], residual)

    def predict_residuals(
        self,
        prompt: NARPrompt,
        frames: Iterable[tuple[int, int, int] | None],
        style: Ints | None = None,
        early: bool = False,
        live: bool = False,
    ) -> Iterator[Codes]:
        """Predict the residual codebooks of frames as they arrive, one block at a time.

        The first block is shorter, and the last one holds all frames that remain (up to
        block + ahead - 1). All blocks together have as many frames as came in. Several sentences
        may pass through one call: each then has the one before it in its context.

        Args:
            prompt: From `prefill`.
            frames: Of each frame the code of codebook 1, the symbol's id and its stress. None says
                that the next frame has to wait for its text, so that a block is not held back for
                it: the block then has the frames that `ahead` frames are known after.
            style: [5] classes as in `valle.audio.prosody`; None leaves all unset.
            early: See `first_block_frames`.
            live: The text is still coming. The first block is held back until `MIN_FIRST_BLOCK`
                frames can be heard in a row, so that the next word comes before they end. The
                codes are those of a text that is there at once.

        Yields:
            [frames, codebooks] codes of a block.
        """
        config = self._config
        rows: list[tuple[int, int, int]] = []  # before the block, in it, and after it
        sizes = chain(first_block_frames(config.block, early), repeat(config.block))
        past, size = 0, next(sizes)
        source = iter(frames)
        while True:
            ended, block, enough = False, size, past + size + config.ahead
            awaited = max(enough, MIN_FIRST_BLOCK + config.ahead) if live and not past else enough
            while len(rows) < awaited:
                try:
                    frame = next(source)
                except StopIteration:
                    if len(rows) < enough:
                        ended, block = True, len(rows) - past
                    break
                if frame is not None:
                    rows.append(frame)
                elif len(rows) - past - config.ahead >= (MIN_BLOCK if past else MIN_FIRST_BLOCK):
                    block = len(rows) - past - config.ahead
                    break
            if past == len(rows):
                return
            window = np.array(rows[: past + block + config.ahead])
            yield self._predict_window(prompt, window, style)[past : past + block]
            if ended:
                return
            dropped = max(0, past + block - config.past)
            rows = rows[dropped:]
            past, size = past + block - dropped, next(sizes)

    def _predict_window(self, prompt: NARPrompt, rows: Ints, style: Ints | None) -> Codes:
        """Predict codes [rows, codebooks] of rows [rows, 3]: first code, symbol id, stress."""
        codes = self._mask_residual_codebooks(rows[:, 0])
        inputs = self._inputs(prompt, FrameInputs(codes, rows[:, 1], rows[:, 2]), _TARGET)
        if is_style_set(style):
            (unconditional,) = self._run(("vector",), inputs)
            scale = np.array(self._config.guidance_scale, np.float32)
            inputs |= {"plain": unconditional, "strength": scale}
        inputs |= make_style_input(self._bundle.config, style)
        (residual_codes,) = self._run(("added",), inputs)
        codes[:, 1:] = residual_codes[0]
        return codes

    def _predict_prompt(self, frames: FrameInputs, speaker: Embedding) -> Floats:
        """Predict what the residual codebooks of a prompt add, [frames, latent].

        Each half is predicted with the other half as its prompt, so that the model does not see
        the codes that it predicts, as with the frames of a text.
        """
        config = self._config
        window = config.past + config.block + config.ahead
        predicted = np.zeros((len(frames), config.latent), np.float32)
        first, second = np.array_split(np.arange(len(frames)), 2)
        for half, other in ((first, second), (second, first)):
            prompt = self._empty_prompt(speaker)
            if len(other):
                inputs = self._inputs(prompt, frames[other], _PROMPT)
                key, value = self._run(("key", "value"), inputs)
                prompt = replace(prompt, key=key, value=value)
            for start in range(0, len(half), window):
                chunk = half[start : start + window]
                masked = self._mask_residual_codebooks(frames.codes[chunk, 0])
                target = replace(frames[chunk], codes=masked)
                (vector,) = self._run(("vector",), self._inputs(prompt, target, _TARGET))
                predicted[chunk] = vector[0]
        return predicted

    def _empty_prompt(self, speaker: Embedding) -> NARPrompt:
        """Return a prompt of no frames."""
        config = self._config
        shape = (config.layers, 1, config.heads, 0, config.width // config.heads)
        empty, residual = np.zeros(shape, np.float32), np.zeros((0, config.latent), np.float32)
        return NARPrompt(empty, empty, speaker, np.zeros(0, np.int64), residual)

    def _mask_residual_codebooks(self, first_codes: Ints) -> Codes:
        """Return codes [frames, codebooks] with "no code" after codebook 1, [frames]."""
        codes = np.full((len(first_codes), self._codebooks), self._no_code, np.int64)
        codes[:, 0] = first_codes
        return codes

    def _inputs(self, prompt: NARPrompt, frames: FrameInputs, kind: int) -> dict[str, Any]:
        """Return the graph's inputs for a batch of one, with no style and no guidance."""
        return {
            "codes": frames.codes[None],
            "symbols": frames.symbols[None],
            "stress": frames.stress[None],
            "positions": prompt.frames + np.arange(len(frames), dtype=np.int64)[None],
            "voice": prompt.speaker[None],
            "kind": np.array(kind, np.int64),
            "past_key": prompt.key,
            "past_value": prompt.value,
            "known": prompt.first_codes[None],
            "left": prompt.residual[None],
            "plain": np.zeros((1, len(frames), self._config.latent), np.float32),
            "strength": np.array(0.0, np.float32),
            **make_style_input(self._bundle.config, None),
        }

    def _run(self, outputs: Sequence[str], inputs: dict[str, Any]) -> list[Any]:
        values: list[Any] = self._bundle.session("nar").run(outputs, inputs)
        return values
