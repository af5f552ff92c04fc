"""The AR model running: from encoded symbols to codebook 1, one frame a step.

The prompt's rows are the same whatever is to be said: they are computed once and kept
(``PromptCache``), and every sentence starts from a copy of their keys and values. Sentences that
are said at the same time are made together (``Batch``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats, Ints
from valle.errors import UsageError
from valle.runtime.batching import Batch, Frames, Saying
from valle.runtime.conditioning import style_input
from valle.runtime.kv_cache import BoundGraph, Cache, PromptCache, Rows, empty_cache
from valle.runtime.pointer import STAYS, Pointer
from valle.runtime.sampling import MoveSampler, Pace, Sampling

if TYPE_CHECKING:
    from valle.bundle.bundle import Bundle


class ARDecoder:
    """The AR model of a bundle. Safe to share between threads."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._batch = Batch(bundle)
        self._config = bundle.config.ar
        self._codebooks = bundle.config.codebooks
        self._no_code = bundle.config.codebook_size

    def encode(
        self, symbols: Ints, stress: Ints, voice: Floats, style: Ints | None = None
    ) -> Floats:
        """Encoded symbols [S, width] of one sequence: symbol ids and stress (0..2), both [S].

        voice: the speaker's embedding [192] of unit length, or zeros. style: classes [5] as in
        `valle.audio.prosody`, None for unset; a prompt is read without, so that it serves any.
        UsageError for a style that the bundle does not know.
        """
        feeds = {"symbols": symbols[None], "stress": stress[None], "voice": voice[None]}
        feeds |= style_input(self._bundle.config, style)
        encoded: Floats = self._bundle.session("phonemes").run(["encoded"], feeds)[0][0]
        return encoded

    def prompt(
        self, codes: Ints, encoded: Floats, stay: Ints, prefix: int | None = None
    ) -> PromptCache:
        """Read a voice once: codes [P, codebooks], encoded [P, width] (the symbol that each frame
        is at, ``encode(...)[frame_symbol]``) and stay [P] (``pointer.stays(frame_symbol)``).

        prefix: to fill in a middle, how many of the frames come before it (0 to P); the others come
        after it, encoded by themselves. They begin anew, reading no code, and what is generated
        then goes on from the prefix's last frame. None: all of them come before.

        UsageError for a prompt that leaves no room for speech.
        """
        if not len(codes) == len(encoded) == len(stay):
            raise ValueError("a prompt has one encoded symbol and one stay for each frame of codes")
        prefix = len(codes) if prefix is None else prefix
        if not 0 <= prefix <= len(codes):
            raise ValueError(f"{prefix} of {len(codes)} frames cannot come first")
        nothing = np.full(self._codebooks, self._no_code, np.int64)
        count = len(codes)
        if not count:
            return PromptCache(self._kept(empty_cache(self._bundle.config, 1), 0), nothing)
        if count >= self._config.max_positions:
            raise UsageError(
                f"the prompt has {count} frames and the model takes prompt and speech of "
                f"{self._config.max_positions} together; use a shorter excerpt"
            )
        rows, cache = Rows(self._bundle.config, 1, count), empty_cache(self._bundle.config, 1)
        rows.codes[0] = np.concatenate((nothing[None], codes[:-1]))
        rows.codes[0, prefix : prefix + 1] = nothing
        rows.encoded[0] = encoded
        rows.stay[0] = np.minimum(stay, STAYS - 1)
        rows.before[0] = count - 1
        rows.total[()] = count
        BoundGraph(self._bundle, rows, cache, slice(1)).run()
        last = codes[prefix - 1].copy() if prefix else nothing
        return PromptCache(self._kept(cache, count), last)

    @staticmethod
    def _kept(cache: Cache, frames: int) -> Cache:
        return {name: array[0, :, :frames].copy() for name, array in cache.items()}

    def generate(
        self,
        prompt: PromptCache,
        encoded: Floats,
        borders: NDArray[np.bool_],
        sampling: Sampling,
        rng: np.random.Generator,
        pace: Pace | None = None,
        plain: Floats | None = None,
    ) -> Frames:
        """Say one sentence: (code of codebook 1, index of its symbol) for each frame, as made.

        encoded [S, width] and borders [S] (may be passed over) of the sentence's symbols. With a
        pace the sentence takes ``pace.wanted`` frames, as far as the longest stays reach. plain
        [S, width]: the symbols encoded without the style, which is then followed more closely, for
        twice the work. Ends when the pointer has passed the last symbol. It is begun at once, and
        goes on with every frame that is asked of it or of another sentence. UsageError when the
        wanted length, or the room that the prompt leaves, is below one frame a phoneme.
        """
        room = self._config.max_positions - prompt.frames
        pointer = Pointer(
            borders,
            self._config.max_stay_phoneme,
            self._config.max_stay_border,
            limit=room if pace is None else min(room, pace.wanted),
        )
        mover = MoveSampler(pointer, sampling, rng, pace)
        follower = None if plain is None else Saying(plain, pointer, None, sampling, rng)
        saying = Saying(encoded, pointer, mover, sampling, rng, away_from=follower)
        return self._batch.join(prompt, saying)
