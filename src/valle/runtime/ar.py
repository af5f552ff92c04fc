"""The AR model at inference: from encoded symbols to codebook 1, frame by frame.

The keys and values of the voice prompt are the same for every text: they are computed once
(`PromptCache`), and every sentence starts from a copy. Sentences that are generated at the same
time share the model's steps (`ContinuousBatch`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from valle.arrays import Codes, Embedding, Floats, Ints
from valle.errors import UsageError
from valle.runtime.batching import ContinuousBatch, EncodedText, FrameStream, Request
from valle.runtime.conditioning import make_style_input
from valle.runtime.kv_cache import BoundGraph, Cache, PromptCache, StepBuffers, allocate_cache
from valle.runtime.pointer import FRAMES_ON_SYMBOL_BINS, Pointer
from valle.runtime.sampling import DurationController, Sampling, TransitionSampler

if TYPE_CHECKING:
    from valle.bundle.bundle import Bundle


RIGHT_CONTEXT = 6  # symbols after one that the phoneme encoder reads: three convolutions of 5
ENCODED_WINDOW = 32  # symbols that are encoded at once
_PADDING = -1  # symbol id where there is no symbol


class ARDecoder:
    """The AR model of a bundle. Safe to share between threads."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._batch = ContinuousBatch(bundle)
        self._config = bundle.config.ar
        self._codebooks = bundle.config.codebooks
        self._no_code = bundle.config.codebook_size

    def encode(
        self, symbols: Ints, stress: Ints, speaker: Embedding, style: Ints | None = None
    ) -> Floats:
        """Encode the symbols of a sentence or a prompt.

        They are encoded in windows of a fixed size, so that a row has the same bits whether or not
        the symbols more than `RIGHT_CONTEXT` after it are known yet.

        Args:
            symbols: [symbols] ids.
            stress: [symbols] 0 to 2.
            speaker: [192] embedding of unit length, or zeros.
            style: [5] classes as in `valle.audio.prosody`; None leaves all unset. A prompt is
                encoded without a style, so that it serves any.

        Returns:
            [symbols, width].

        Raises:
            UsageError: A style that the bundle does not know.
        """
        session = self._bundle.session("phonemes")
        styled = make_style_input(self._bundle.config, style)
        count = len(symbols)
        margin = (RIGHT_CONTEXT, RIGHT_CONTEXT + ENCODED_WINDOW)
        padded_symbols = np.pad(symbols, margin, constant_values=_PADDING)
        padded_stress = np.pad(stress, margin)
        rows: list[Floats] = []
        for start in range(0, count, ENCODED_WINDOW):
            window = slice(start, start + ENCODED_WINDOW + 2 * RIGHT_CONTEXT)
            feeds = {
                "symbols": padded_symbols[None, window],
                "stress": padded_stress[None, window],
                "voice": speaker[None],
            }
            encoded: Floats = session.run(["encoded"], feeds | styled)[0][0]
            rows.append(encoded[RIGHT_CONTEXT : RIGHT_CONTEXT + min(ENCODED_WINDOW, count - start)])
        return np.concatenate(rows) if rows else np.zeros((0, self._config.width), np.float32)

    def prefill(
        self, codes: Codes, encoded: Floats, frames_on_symbol: Ints, prefix: int | None = None
    ) -> PromptCache:
        """Compute the keys and values of a prompt.

        Args:
            codes: [frames, codebooks].
            encoded: [frames, width] the encoded symbol that each frame is at:
                `encode(...)[frame_symbol]`.
            frames_on_symbol: [frames] from `pointer.count_frames_on_symbol(frame_symbol)`.
            prefix: For infilling, how many of the frames come before the span. The others follow
                it; their symbols are encoded separately, their first frame reads "no code", and
                generation continues from the last frame of the prefix. None: all come before.

        Raises:
            UsageError: The prompt leaves no room for speech.
        """
        if not len(codes) == len(encoded) == len(frames_on_symbol):
            raise ValueError("codes, encoded and frames_on_symbol must have one row per frame")
        prefix = len(codes) if prefix is None else prefix
        if not 0 <= prefix <= len(codes):
            raise ValueError(f"the prefix of {prefix} frames is not within {len(codes)} frames")
        no_codes = np.full(self._codebooks, self._no_code, np.int64)
        frames = len(codes)
        if not frames:
            empty = allocate_cache(self._bundle.config, 1)
            return PromptCache(_copy_rows(empty, 0), no_codes)
        if frames >= self._config.max_positions:
            raise UsageError(
                f"the prompt has {frames} frames, and the model has room for "
                f"{self._config.max_positions} of prompt and speech together; use a shorter excerpt"
            )
        buffers = StepBuffers(self._bundle.config, 1, frames)
        cache = allocate_cache(self._bundle.config, 1)
        buffers.codes[0] = np.concatenate((no_codes[None], codes[:-1]))
        buffers.codes[0, prefix : prefix + 1] = no_codes
        buffers.encoded[0] = encoded
        buffers.frames_on_symbol[0] = np.minimum(frames_on_symbol, FRAMES_ON_SYMBOL_BINS - 1)
        buffers.seqlens_k[0] = frames - 1
        buffers.total_length[()] = frames
        BoundGraph(self._bundle, buffers, cache, slice(1)).run()
        last_codes = codes[prefix - 1].copy() if prefix else no_codes
        return PromptCache(_copy_rows(cache, frames), last_codes)

    @property
    def is_busy(self) -> bool:
        """Whether so many sentences are being generated that later ones should not start yet."""
        return self._batch.is_busy

    def generate(
        self,
        prompt: PromptCache,
        text: EncodedText,
        sampling: Sampling,
        rng: np.random.Generator,
        duration: DurationController | None = None,
    ) -> FrameStream:
        """Generate the frames of one sentence, as an iterator.

        The sentence joins the batch at once, and advances with every frame that is taken from it
        or from another sentence. It ends when the pointer has passed the last symbol.

        Args:
            prompt: From `prefill`.
            text: The sentence's symbols.
            sampling: How codes and transitions are sampled.
            rng: The source of randomness.
            duration: Makes the sentence take its `target_frames`, as far as the limits per symbol
                allow; None leaves the duration to the model.

        Returns:
            The code of codebook 1 and the index of the symbol, for each frame.

        Raises:
            UsageError: The target, or the room that the prompt leaves, is below one frame per
                phoneme.
        """
        room = self._config.max_positions - prompt.frames
        pointer = Pointer(
            text.borders,
            self._config.max_stay_phoneme,
            self._config.max_stay_border,
            limit=room if duration is None else min(room, duration.target_frames),
        )
        pointer.extend(text.borders, text.still_coming)
        transitions = TransitionSampler(pointer, sampling, rng, duration)
        unconditional = None
        if text.unconditional is not None:
            unconditional = Request(text.unconditional, pointer, None, sampling, rng)
        request = Request(text.encoded, pointer, transitions, sampling, rng, unconditional)
        return self._batch.add(prompt, request, text.read_more)


def _copy_rows(cache: Cache, rows: int) -> Cache:
    """Copy the first rows of the only sequence of a cache."""
    return {name: array[0, :, :rows].copy() for name, array in cache.items()}
