"""The AR model running: from encoded symbols to codebook 1, one frame a step.

Keys and values lie in buffers that are allocated once a sentence and bound as the graph's input and
output alike, so that a step copies nothing. The prompt's rows are the same whatever is to be said:
they are computed once and kept (``PromptCache``), and every sentence starts from a copy of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from valle.errors import UsageError
from valle.pointer import MOVES, STAYS, Pointer
from valle.sampling import MoveSampler, Pace, Sampling, sample

if TYPE_CHECKING:
    import onnxruntime

    from valle.bundle import Bundle

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PromptCache:
    """What the AR model keeps of a voice.

    keys, values: one array [heads, frames, head width] a layer. last_codes [codebooks]: the codes
    of its last frame, which the first new frame reads ("no code" everywhere for an empty prompt).
    """

    keys: tuple[Floats, ...]
    values: tuple[Floats, ...]
    last_codes: Ints

    @property
    def frames(self) -> int:
        return int(self.keys[0].shape[1])


class ARDecoder:
    """The AR model of a bundle. Safe to share between threads: sentences have their own buffers."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._config = bundle.config.ar
        self._codebooks = bundle.config.codebooks
        self._no_code = bundle.config.codebook_size

    def encode(self, symbols: Ints, stress: Ints, voice: Floats) -> Floats:
        """Encoded symbols [S, width] of one sequence: symbol ids and stress (0..2), both [S].

        voice: the speaker's embedding [192] of unit length, or zeros.
        """
        feeds = {"symbols": symbols[None], "stress": stress[None], "voice": voice[None]}
        encoded: Floats = self._bundle.session("phonemes").run(["encoded"], feeds)[0][0]
        return encoded

    def prompt(self, codes: Ints, encoded: Floats, stay: Ints) -> PromptCache:
        """Read a voice once: codes [P, codebooks], encoded [P, width] (the symbol that each frame
        is at, ``encode(...)[frame_symbol]``) and stay [P] (``pointer.stays(frame_symbol)``).

        UsageError for a prompt that leaves no room for speech.
        """
        if not len(codes) == len(encoded) == len(stay):
            raise ValueError("a prompt has one encoded symbol and one stay for each frame of codes")
        nothing = np.full(self._codebooks, self._no_code, np.int64)
        last = codes[-1].copy() if len(codes) else nothing
        cache = self._cache()
        if len(codes):
            if len(codes) >= self._config.max_positions:
                raise UsageError(
                    f"the prompt has {len(codes)} frames and the model takes prompt and speech of "
                    f"{self._config.max_positions} together; use a shorter excerpt"
                )
            previous = np.concatenate((nothing[None], codes[:-1]))
            rows = _Rows(self._bundle, cache, len(codes))
            rows.set(previous, encoded, stay)
            rows.run(len(codes))
        kept = [
            np.ascontiguousarray(cache[name][0, :, : len(codes)])
            for kind in ("key", "value")
            for name in (f"{kind}_{layer}" for layer in range(self._config.layers))
        ]
        half = self._config.layers
        return PromptCache(tuple(kept[:half]), tuple(kept[half:]), last)

    def generate(
        self,
        prompt: PromptCache,
        encoded: Floats,
        borders: NDArray[np.bool_],
        sampling: Sampling,
        rng: np.random.Generator,
        pace: Pace | None = None,
    ) -> Iterator[tuple[int, int]]:
        """Say one sentence: (code of codebook 1, index of its symbol) for each frame, as made.

        encoded [S, width] and borders [S] (may be passed over) of the sentence's symbols. With a
        pace the sentence takes ``pace.wanted`` frames, as far as the longest stays reach. Ends when
        the pointer has passed the last symbol. UsageError when the wanted length, or the room that
        the prompt leaves, is below one frame a phoneme.
        """
        room = self._config.max_positions - prompt.frames
        pointer = Pointer(
            borders,
            self._config.max_stay_phoneme,
            self._config.max_stay_border,
            limit=room if pace is None else min(room, pace.wanted),
        )
        mover = MoveSampler(pointer, sampling, rng, pace)
        cache = self._cache()
        for layer in range(self._config.layers):
            cache[f"key_{layer}"][0, :, : prompt.frames] = prompt.keys[layer]
            cache[f"value_{layer}"][0, :, : prompt.frames] = prompt.values[layer]
        row = _Rows(self._bundle, cache, 1)
        codes = prompt.last_codes
        recent: list[int] = []
        while not pointer.done:
            symbol = pointer.index
            row.set(codes, encoded[symbol], pointer.stay)
            row.run(prompt.frames + pointer.frames + 1)
            code = sample(row.logits[0, 0], sampling, rng, recent)
            mover.next(row.moves[0, 0])
            recent.append(code)
            codes = np.full(self._codebooks, self._no_code, np.int64)
            codes[0] = code
            yield code, symbol

    def _cache(self) -> dict[str, Floats]:
        """Buffers for one sentence; the system gives their memory only as rows are written."""
        config = self._config
        shape = (1, config.heads, config.max_positions, config.width // config.heads)
        return {
            f"{kind}_{layer}": np.zeros(shape, np.float32)
            for layer in range(config.layers)
            for kind in ("key", "value")
        }


class _Rows:
    """The AR graph bound to buffers for calls of ``rows`` rows each, on one cache."""

    def __init__(self, bundle: Bundle, cache: dict[str, Floats], rows: int) -> None:
        import onnxruntime

        config = bundle.config
        self._session: onnxruntime.InferenceSession = bundle.session("ar")
        self._binding = self._session.io_binding()
        self._codes = np.zeros((1, rows, config.codebooks), np.int64)
        self._encoded = np.zeros((1, rows, config.ar.width), np.float32)
        self._stay = np.zeros((1, rows), np.int64)
        self._before = np.zeros(1, np.int32)
        self._total = np.zeros((), np.int32)
        self.logits = np.zeros((1, rows, config.codebook_size), np.float32)
        self.moves = np.zeros((1, rows, MOVES), np.float32)
        inputs: dict[str, NDArray[Any]] = {
            "codes": self._codes,
            "encoded": self._encoded,
            "stay": self._stay,
            "seqlens_k": self._before,
            "total_sequence_length": self._total,
        }
        # On the CPU an OrtValue shares the array's memory: to change the array is to feed the next
        # call. The graph must find its past and write its present at the same place.
        value = onnxruntime.OrtValue.ortvalue_from_numpy
        for name, array in inputs.items():
            self._binding.bind_ortvalue_input(name, value(array))
        for name, array in cache.items():
            shared = value(array)
            self._binding.bind_ortvalue_input(f"past_{name}", shared)
            self._binding.bind_ortvalue_output(f"present_{name}", shared)
        self._binding.bind_ortvalue_output("logits", value(self.logits))
        self._binding.bind_ortvalue_output("moves", value(self.moves))
        self._cache = cache  # the bound memory must outlive the binding

    def set(self, codes: Ints, encoded: Floats, stay: Ints | int) -> None:
        """The rows' input: codes [rows, codebooks], encoded [rows, width], stay [rows]."""
        self._codes[0] = codes
        self._encoded[0] = encoded
        self._stay[0] = np.minimum(stay, STAYS - 1)

    def run(self, total: int) -> None:
        """Append the rows, the last of which is number ``total``; fills ``logits``, ``moves``."""
        self._before[0] = total - 1
        self._total[()] = total
        self._session.run_with_iobinding(self._binding)
