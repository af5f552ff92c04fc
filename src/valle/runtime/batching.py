"""Sentences that the AR model makes together: one step gives the next frame of each.

A step of several rows costs little more than that of one: the weights are read once, and the many
small operators are called once. A row's numbers are the same to the last bit whatever other rows
are there, so a sentence is what it would be alone, whenever others join it and leave (continuous
batching, as in Orca, Yu et al. 2022).

There is no thread for it. Whoever wants a frame that is not made yet makes the next ones for all;
the others find theirs ready. So one text that is said sentence by sentence, several at a time, and
many texts that are said by threads of their own share the same steps.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from valle.arrays import Floats
from valle.bundle.session import is_small, processors
from valle.runtime.kv_cache import Cache, Rows, SharedSteps, empty_cache
from valle.runtime.pointer import STAYS, Pointer
from valle.runtime.sampling import MoveSampler, Sampling, sample

if TYPE_CHECKING:
    from valle.bundle.bundle import Bundle
    from valle.runtime.kv_cache import PromptCache

MOST = 16  # sentences at once; more wait until one has ended
STEPS = 10  # made at once before another thread gets its turn
GUIDANCE = 3.0  # by it each style is heard, and sounds are as clear as without (docs/LOG.md)

Frame = tuple[int, int]  # the code of codebook 1, and the index of the symbol that it is at


@dataclass(eq=False)
class Saying:
    """One sentence on its way through the model.

    away_from: the same sentence as it would be said without a style. Nothing is drawn from it: the
    logits of this one are moved on, by `GUIDANCE` times what lies between the two, and both take
    the frame that is drawn (classifier-free guidance, Ho and Salimans 2022, section 3.2).
    """

    encoded: Floats  # [symbols, width]
    pointer: Pointer
    mover: MoveSampler | None  # None: it follows another
    sampling: Sampling
    rng: np.random.Generator
    rows: int = 0  # in the cache: the prompt's and its own
    codes: list[int] = field(default_factory=list)
    made: list[Frame] = field(default_factory=list)  # and not yet fetched
    given_up: bool = False
    away_from: Saying | None = None

    @property
    def together(self) -> list[Saying]:
        """Itself, and what it is led away from."""
        return [self] if self.away_from is None else [self, self.away_from]


class Frames(Iterator[Frame]):
    """The frames of one sentence as they are made. To drop it is to give the sentence up."""

    def __init__(self, batch: Batch, saying: Saying) -> None:
        self._batch = batch
        self._saying = saying
        self._ready: deque[Frame] = deque()

    def __next__(self) -> Frame:
        if not self._ready:
            self._ready.extend(self._batch.fetch(self._saying))
        if not self._ready:
            raise StopIteration
        return self._ready.popleft()

    def __del__(self) -> None:
        # Only a mark, since this may be called in the midst of a step: the batch sees it later.
        self._saying.given_up = True


class Batch:
    """The sentences that are being made with one AR model. Safe to share between threads."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._lock = threading.Lock()
        self._sayings: list[Saying] = []  # each in the place of its number in the buffers
        self._rows = Rows(bundle.config, MOST, 1)
        self._cache: Cache = {}
        self._room = 0  # sayings that the cache has room for: it grows when it must
        ar = bundle.config.ar
        threads = (bundle.threads or processors()) if is_small(ar) else 1  # else the graph's own
        self._steps = SharedSteps(bundle, self._rows, threads)
        # Without AVX-512, ONNX Runtime multiplies a single row by 4-bit weights in another order
        # than several: there a sentence that is alone has an empty row beside it.
        self._least = 2 if bundle.config.graphs["ar"].precision == "int4" else 1

    def join(self, prompt: PromptCache, saying: Saying) -> Frames:
        """Begin a sentence after a prompt. Waits while there is no room for another."""
        while True:
            with self._lock:
                self._leave()
                if len(self._sayings) + len(saying.together) <= MOST:
                    for one in saying.together:
                        self._begin(prompt, one)
                    return Frames(self, saying)
                for _ in range(STEPS):
                    self._step()

    def fetch(self, saying: Saying) -> list[Frame]:
        """The frames of a sentence that were not fetched before; none when it has ended."""
        with self._lock:
            if not saying.made:
                for _ in range(STEPS):
                    if saying.pointer.done:
                        break
                    self._step()
            made, saying.made = saying.made, []
            return made

    def _begin(self, prompt: PromptCache, saying: Saying) -> None:
        place = len(self._sayings)
        if place == self._room:
            self._grow()
        for name, kept in prompt.cache.items():
            self._cache[name][place, :, : prompt.frames] = kept
        self._rows.codes[place] = prompt.last_codes
        saying.rows = prompt.frames
        self._sayings.append(saying)

    def _step(self) -> None:
        """The next frame of every sentence."""
        sayings, rows = self._sayings, self._rows
        count = len(sayings)
        if not count:
            return
        total = 0
        for place, one in enumerate(sayings):
            pointer = one.pointer
            if pointer.stay == 0:  # else the symbol is that of the frame before
                rows.encoded[place, 0] = one.encoded[pointer.index]
            rows.stay[place, 0] = min(pointer.stay, STAYS - 1)
            rows.before[place] = one.rows
            one.rows += 1
            total = max(total, one.rows)
        rows.total[()] = total
        if count < self._least:
            rows.before[count : self._least] = 0
        self._steps.run(self._cache, max(count, self._least))
        moves: list[list[float]] = rows.moves[:count, 0].tolist()
        places = {id(one): place for place, one in enumerate(sayings)}
        for place, one in enumerate(sayings):
            if one.mover is None:
                continue
            logits, move = rows.logits[place, 0], moves[place]
            if one.away_from is not None:
                other = places[id(one.away_from)]
                logits = _guided(logits, rows.logits[other, 0])
                move = _guided(rows.moves[place, 0], rows.moves[other, 0]).tolist()
            symbol = one.pointer.index
            code = sample(logits, one.sampling, one.rng, one.codes)
            one.mover.next(move)
            for each in one.together:
                if not one.codes:  # what was read now are the prompt's last codes
                    rows.codes[places[id(each)]] = self._bundle.config.codebook_size
                rows.codes[places[id(each)], 0, 0] = code
            one.codes.append(code)
            one.made.append((code, symbol))
        self._leave()

    def _leave(self) -> None:
        """Let go of those that have ended or were given up; the last take their places."""
        ended = [one for one in self._sayings if one.pointer.done or one.given_up]
        leaving = {id(each) for one in ended for each in one.together}
        place = 0
        while leaving and place < len(self._sayings):
            one = self._sayings[place]
            if id(one) not in leaving:
                place += 1
                continue
            last = self._sayings.pop()
            if last is one:
                return
            self._sayings[place] = last
            for rows in (self._rows.codes, self._rows.encoded):
                rows[place] = rows[len(self._sayings)]
            for array in self._cache.values():
                array[place, :, : last.rows] = array[len(self._sayings), :, : last.rows]

    def _grow(self) -> None:
        self._room = max(self._least, 2 * self._room)
        cache = empty_cache(self._bundle.config, self._room)
        for name, old in self._cache.items():
            for place, one in enumerate(self._sayings):
                cache[name][place, :, : one.rows] = old[place, :, : one.rows]
        self._cache = cache
        self._steps.forget()


def _guided(asked: Floats, plain: Floats) -> Floats:
    return asked + np.float32(GUIDANCE) * (asked - plain)
