"""The AR decoded by PyTorch: with a key/value cache, and without one as in open VALL-E models."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from material import Material
from timing import Job, Lap, lap
from valle.runtime.pointer import Pointer, count_frames_on_symbol
from valle.runtime.sampling import DurationController, Sampling, TransitionSampler, sample
from valle.synthesis.utterance import Symbols
from valle.training.models.ar import AR
from valle.training.models.sizes import NO_CODE
from valle.training.models.transformer import Block, RotaryAngles, inverse_frequencies, rotate

MEASURED_LENGTHS = 4  # at which a step without cache is timed; others are interpolated


class CachedDecoder:
    """Decodes frame by frame with keys and values in preallocated buffers."""

    def __init__(self, model: AR) -> None:
        self.model, size = model, model.size
        head = size.width // size.heads
        shape = (size.layers, 2, size.heads, size.max_positions, head)
        self.cache = torch.zeros(shape)
        angles = torch.arange(size.max_positions)[:, None] * inverse_frequencies(head)
        self.angles = RotaryAngles(angles.cos(), angles.sin())

    @torch.inference_mode()
    def rows(self, codes: Tensor, encoded: Tensor, stay: Tensor, before: int) -> tuple[Tensor, ...]:
        """codes [T, 8], encoded [T, width], stay [T] after `before` rows -> the last row's logits
        [1024] and moves [3]."""
        model = self.model
        count = len(codes)
        after = before + count
        x = model.codes(codes[None]) + model.project(encoded[None]) + model.stay(stay[None])
        angles = RotaryAngles(*(part[before:after] for part in self.angles))
        for layer, block in enumerate(model.blocks):
            assert isinstance(block, Block)
            packed = block.query_key_value(block.attention_norm(x))
            packed = packed.view(count, 3, block.heads, -1).permute(1, 2, 0, 3)
            query, key, value = packed
            self.cache[layer, 0, :, before:after] = rotate(key, angles)
            self.cache[layer, 1, :, before:after] = value
            mixed = functional.scaled_dot_product_attention(
                rotate(query, angles)[None],
                self.cache[layer, None, 0, :, :after],
                self.cache[layer, None, 1, :, :after],
                is_causal=before == 0 and count > 1,
            )
            x = x + block.attention_out(mixed.transpose(1, 2).reshape(1, count, -1))
            x = x + block.feed_out(functional.gelu(block.feed_in(block.feed_norm(x))))
        last = model.out_norm(x[0, -1])
        return model.code_head(last), model.move_head(last)


class PyTorchDecoder:
    """A PyTorch AR with the task of ours: a prompt, then a sentence of the same length."""

    def __init__(self, model: AR, material: Material) -> None:
        self.model = model.eval()
        self.symbols: Symbols = material.sentence()
        self.frames = material.frames
        rng = np.random.default_rng(0)
        self.at = np.sort(rng.integers(0, len(self.symbols.ids), len(material.voice.frame_symbol)))
        self.codes = rng.integers(0, 1024, (len(self.at), 8))
        with torch.inference_mode():
            spoken = (self.symbols.ids, self.symbols.stress, np.zeros(192, np.float32))
            self.encoded = model.phonemes(*(torch.from_numpy(array)[None] for array in spoken))[0]
        self.cached = CachedDecoder(model)
        start = np.full((1, 8), NO_CODE)
        self.cached.rows(
            torch.from_numpy(np.concatenate((start, self.codes[:-1]))),
            self.encoded[self.at],
            torch.from_numpy(np.minimum(count_frames_on_symbol(self.at), 31)),
            0,
        )

    def with_cache(self) -> None:
        """Generate the sentence."""
        rng = np.random.default_rng(0)
        pointer = Pointer(self.symbols.borders, limit=self.frames)
        pace = DurationController(self.frames, np.ones(len(self.symbols.ids)))
        mover = TransitionSampler(pointer, Sampling(), rng, pace)
        codes: NDArray[np.int64] = self.codes[-1]
        history: list[int] = []
        while not pointer.done:
            logits, moves = self.cached.rows(
                torch.from_numpy(codes)[None],
                self.encoded[pointer.index][None],
                torch.tensor([min(pointer.frames_on_symbol, 31)]),
                len(self.at) + pointer.frames,
            )
            history.append(sample(logits.numpy(), Sampling(), rng, history))
            mover.next(moves.tolist())
            codes = np.array([history[-1]] + [NO_CODE] * 7)

    def without_cache(self) -> Lap:
        """The same, each step computing all rows again; interpolated between a few lengths."""
        lengths = np.linspace(1, self.frames, MEASURED_LENGTHS).astype(int) + len(self.at)
        laps = [lap(self._all_rows(int(length))) for length in lengths]
        steps = np.arange(1, self.frames + 1) + len(self.at)
        wall, cpu = (
            float(np.interp(steps, lengths, [getattr(measured, clock) for measured in laps]).sum())
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
            self.model(codes, encoded, stay)

        return run


def parameters(model: nn.Module) -> int:
    """The number of parameters of a model."""
    return sum(weight.numel() for weight in model.parameters())
