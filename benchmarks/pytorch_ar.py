"""The AR decoded by PyTorch: with a key/value cache, and without, as open VALL-E models do it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from material import Material
from timing import Job, Lap, lap
from valle.runtime.pointer import Pointer, stays
from valle.runtime.sampling import MoveSampler, Pace, Sampling, sample
from valle.synthesis.durations import Symbols
from valle.training.models.ar import AR
from valle.training.models.sizes import NO_CODE
from valle.training.models.transformer import Block, inverse_frequencies, rotate

MEASURED_LENGTHS = 4  # at which a step without cache is timed; between them it is interpolated


class Cached:
    """Decoding a frame at a time with keys and values in buffers that are made once."""

    def __init__(self, model: AR) -> None:
        self.model, size = model, model.size
        head = size.width // size.heads
        shape = (size.layers, 2, size.heads, size.max_positions, head)
        self.cache = torch.zeros(shape)
        angles = torch.arange(size.max_positions)[:, None] * inverse_frequencies(head)
        self.cos, self.sin = angles.cos(), angles.sin()

    @torch.inference_mode()
    def rows(self, codes: Tensor, encoded: Tensor, stay: Tensor, before: int) -> tuple[Tensor, ...]:
        """codes [T, 8], encoded [T, width], stay [T] after `before` rows -> the last row's logits
        [1024] and moves [3]."""
        model = self.model
        count = len(codes)
        after = before + count
        x = model.codes(codes[None]) + model.project(encoded[None]) + model.stay(stay[None])
        cos, sin = self.cos[before:after], self.sin[before:after]
        for layer, block in enumerate(model.blocks):
            assert isinstance(block, Block)
            packed = block.query_key_value(block.attention_norm(x))
            packed = packed.view(count, 3, block.heads, -1).permute(1, 2, 0, 3)
            query, key, value = packed
            self.cache[layer, 0, :, before:after] = rotate(key, cos, sin)
            self.cache[layer, 1, :, before:after] = value
            mixed = F.scaled_dot_product_attention(
                rotate(query, cos, sin)[None],
                self.cache[layer, None, 0, :, :after],
                self.cache[layer, None, 1, :, :after],
                is_causal=before == 0 and count > 1,
            )
            x = x + block.attention_out(mixed.transpose(1, 2).reshape(1, count, -1))
            x = x + block.feed_out(F.gelu(block.feed_in(block.feed_norm(x))))
        last = model.out_norm(x[0, -1])
        return model.code_head(last), model.move_head(last)


class Rival:
    """A PyTorch AR with the same task as ours: a prompt, then a sentence of so many frames."""

    def __init__(self, model: AR, material: Material) -> None:
        self.model = model.eval()
        self.symbols: Symbols = material.sentence()
        self.frames = material.frames
        rng = np.random.default_rng(0)
        self.at = np.sort(rng.integers(0, len(self.symbols.ids), len(material.voice.frame_symbol)))
        self.codes = rng.integers(0, 1024, (len(self.at), 8))
        with torch.inference_mode():
            spoken = (self.symbols.ids, self.symbols.stress, np.zeros(192, np.float32))
            self.encoded = model.phonemes(*(torch.from_numpy(each)[None] for each in spoken))[0]
        self.cached = Cached(model)
        nothing = np.full((1, 8), NO_CODE)
        self.cached.rows(
            torch.from_numpy(np.concatenate((nothing, self.codes[:-1]))),
            self.encoded[self.at],
            torch.from_numpy(np.minimum(stays(self.at), 31)),
            0,
        )

    def with_cache(self) -> None:
        """Say the sentence."""
        rng = np.random.default_rng(0)
        pointer = Pointer(self.symbols.borders, limit=self.frames)
        pace = Pace(self.frames, np.ones(len(self.symbols.ids)))
        mover = MoveSampler(pointer, Sampling(), rng, pace)
        codes: NDArray[np.int64] = self.codes[-1]
        made: list[int] = []
        while not pointer.done:
            logits, moves = self.cached.rows(
                torch.from_numpy(codes)[None],
                self.encoded[pointer.index][None],
                torch.tensor([min(pointer.stay, 31)]),
                len(self.at) + pointer.frames,
            )
            made.append(sample(logits.numpy(), Sampling(), rng, made))
            mover.next(moves.tolist())
            codes = np.array([made[-1]] + [NO_CODE] * 7)

    def without_cache(self) -> Lap:
        """The same, every step running all rows anew; reckoned from steps at a few lengths."""
        lengths = np.linspace(1, self.frames, MEASURED_LENGTHS).astype(int) + len(self.at)
        laps = [lap(self._all_rows(int(length))) for length in lengths]
        steps = np.arange(1, self.frames + 1) + len(self.at)
        wall, cpu = (
            float(np.interp(steps, lengths, [getattr(one, clock) for one in laps]).sum())
            for clock in ("wall", "cpu")
        )
        return Lap(wall, cpu)

    def _all_rows(self, length: int) -> Job:
        rng = np.random.default_rng(0)
        codes = torch.from_numpy(rng.integers(0, 1024, (1, length, 8)))
        encoded = self.encoded[torch.arange(length) % len(self.encoded)][None]
        stay = torch.zeros((1, length), dtype=torch.int64)

        @torch.inference_mode()
        def run() -> None:
            self.model.forward_rows(codes, encoded, stay)

        return run


def parameters(model: nn.Module) -> int:
    """How many numbers a model has."""
    return sum(weight.numel() for weight in model.parameters())
