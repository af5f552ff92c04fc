"""Continuous batching of the AR model: one step generates the next frame of every sentence.

A step of several sequences costs little more than a step of one: the weights are read once, and
the many small operators are called once. The results of a sequence are the same to the last bit
whatever else is in the batch, so a sentence is what it would be alone, whenever others join and
leave (Orca, Yu et al. 2022).

There is no worker thread. A caller who needs a frame that does not exist yet runs the next steps
for all; the others then find theirs ready. So the sentences of one text, several at a time, and the
texts of several threads share the same steps.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from valle.arrays import Bools, Floats
from valle.bundle.session import count_processors, is_small
from valle.runtime.cancellation import Cancellation, CancelledError, current_cancellation
from valle.runtime.kv_cache import Cache, ParallelSteps, StepBuffers, allocate_cache
from valle.runtime.pointer import FRAMES_ON_SYMBOL_BINS, Pointer
from valle.runtime.sampling import Sampling, TransitionSampler, sample

if TYPE_CHECKING:
    from valle.bundle.bundle import Bundle
    from valle.runtime.kv_cache import PromptCache

MAX_BATCH = 16  # sequences at once; further sentences wait until one has ended
STEPS_PER_TURN = 10  # before another thread gets its turn
_TEXT_POLL = 0.005  # seconds: how often a full batch looks whether one of its texts has gone on

Frame = tuple[int, int]  # the code of codebook 1, and the index of the symbol that the frame is at


@dataclass(frozen=True)
class EncodedText:
    """The symbols of a sentence, as the AR model reads them.

    Attributes:
        encoded: [symbols, width] from `ARDecoder.encode`. Of a sentence that is still coming, only
            the rows that further symbols do not change.
        borders: [symbols] True for those that may be skipped.
        unconditional: [symbols, width] the same symbols encoded without the style; the style is
            then strengthened by classifier-free guidance, for twice the work. None: no guidance.
        still_coming: The most symbols that may still come; 0 for a sentence that is complete.
        read_more: Waits for more of the sentence, and returns all of it so far.
    """

    encoded: Floats
    borders: Bools
    unconditional: Floats | None = None
    still_coming: int = 0
    read_more: Callable[[], EncodedText] | None = None


@dataclass(eq=False)
class Request:
    """A sentence while it is being generated.

    Attributes:
        encoded: [symbols, width].
        pointer: Where it is in its symbols.
        transitions: Moves the pointer; None for the unconditional half of a guided sentence, which
            takes the frames of the conditional one.
        sampling: How codes are sampled.
        rng: The source of randomness.
        unconditional: The same sentence without its style. Nothing is sampled from its logits:
            those of this request are extrapolated away from them by the guidance scale, and both
            take the frame that is sampled (classifier-free guidance, Ho and Salimans 2022, section
            3.2).
        rows: How many rows it has in the cache: those of the prompt and its own.
        codes: All codes that it has generated.
        unread: Frames that its caller has not taken yet.
        cancelled: Whether its caller has dropped it.
        cancellation: That of the work it belongs to, if that can be cancelled.
    """

    encoded: Floats
    pointer: Pointer
    transitions: TransitionSampler | None
    sampling: Sampling
    rng: np.random.Generator
    unconditional: Request | None = None
    rows: int = 0
    codes: list[int] = field(default_factory=list)
    unread: list[Frame] = field(default_factory=list)
    cancelled: bool = False
    cancellation: Cancellation | None = field(default_factory=current_cancellation)

    @property
    def is_unwanted(self) -> bool:
        """Whether nobody will take its frames."""
        return self.cancelled or (self.cancellation is not None and self.cancellation.cancelled)

    @property
    def cfg_pair(self) -> list[Request]:
        """The requests that take a row each: itself, and the unconditional one if there is one."""
        return [self] if self.unconditional is None else [self, self.unconditional]

    @property
    def is_waiting(self) -> bool:
        """Whether it cannot go on before more of its text has come."""
        return self.pointer.still_coming > 0 and self.pointer.index >= len(self.encoded)

    def extend(self, text: EncodedText) -> None:
        """Take more of a text of which it has the beginning."""
        self.encoded = text.encoded
        if self.unconditional is not None and text.unconditional is not None:
            self.unconditional.encoded = text.unconditional
        self.pointer.extend(text.borders, text.still_coming)


class FrameStream(Iterator[Frame]):
    """The frames of one sentence as they are generated. Dropping it cancels the sentence."""

    def __init__(
        self,
        batch: ContinuousBatch,
        request: Request,
        read_more: Callable[[], EncodedText] | None = None,
    ) -> None:
        self._batch = batch
        self._request = request
        self._read_more = read_more
        self._ready: deque[Frame] = deque()

    @property
    def is_waiting(self) -> bool:
        """Whether the next frame has to wait for its text."""
        return not self._ready and not self._request.unread and self._request.is_waiting

    def __next__(self) -> Frame:
        while not self._ready:
            if frames := self._batch.take_frames(self._request):
                self._ready.extend(frames)
            elif self._read_more is not None and self._request.is_waiting:
                # Outside of the batch's lock: others go on while this text is awaited.
                self._batch.extend(self._request, self._read_more())
            else:
                raise StopIteration
        return self._ready.popleft()

    def __del__(self) -> None:
        # Only a flag, since this may be called in the middle of a step: the batch reads it later.
        self._request.cancelled = True


class ContinuousBatch:
    """The sentences that one AR model is generating. Safe to share between threads."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        precision = bundle.graph("ar").precision
        self._guidance_scale = np.float32(bundle.config.ar.guidance_scale)
        self._lock = threading.Lock()
        self._requests: list[Request] = []  # each at its index in the buffers and the cache
        self._buffers = StepBuffers(bundle.config, MAX_BATCH, 1)
        self._cache: Cache = {}
        self._capacity = 0  # of the cache, in requests; it grows on demand
        ar = bundle.config.ar
        # A larger model's graph uses several threads by itself.
        threads = (bundle.threads or count_processors()) if is_small(ar) else 1
        self._steps = ParallelSteps(bundle, self._buffers, threads)
        # Without AVX-512, ONNX Runtime multiplies a single row by 4-bit weights in another order
        # than several rows, so a sentence that is alone gets an empty row next to it.
        self._min_rows = 2 if precision == "int4" else 1

    @property
    def is_busy(self) -> bool:
        """Whether half of its places are taken, so that what is not urgent should wait."""
        return len(self._requests) >= MAX_BATCH // 2

    def add(
        self,
        prompt: PromptCache,
        request: Request,
        read_more: Callable[[], EncodedText] | None = None,
    ) -> FrameStream:
        """Add a sentence that continues a prompt. Waits while the batch is full.

        Args:
            prompt: What it continues.
            request: The sentence, or as much of it as is known.
            read_more: See `EncodedText`.

        Raises:
            CancelledError: Its work was cancelled.
        """
        while True:
            with self._lock:
                if request.is_unwanted:
                    raise CancelledError
                self._remove_finished()
                if len(self._requests) + len(request.cfg_pair) <= MAX_BATCH:
                    for member in request.cfg_pair:
                        self._insert(prompt, member)
                    return FrameStream(self, request, read_more)
                for _ in range(STEPS_PER_TURN):
                    self._step()
                all_wait = all(other.is_waiting for other in self._requests)
            if all_wait:
                time.sleep(_TEXT_POLL)

    def extend(self, request: Request, text: EncodedText) -> None:
        """Give a sentence more of its text.

        Raises:
            CancelledError: Its work was cancelled.
        """
        with self._lock:
            if request.is_unwanted:
                raise CancelledError
            request.extend(text)

    def take_frames(self, request: Request) -> list[Frame]:
        """Return the unread frames of a sentence; none if it has ended.

        Raises:
            CancelledError: Its work was cancelled.
        """
        with self._lock:
            if not request.unread:
                for _ in range(STEPS_PER_TURN):
                    if request.pointer.done or request.is_waiting:
                        break
                    if request.is_unwanted:
                        raise CancelledError
                    self._step()
            frames, request.unread = request.unread, []
            return frames

    def _insert(self, prompt: PromptCache, request: Request) -> None:
        index = len(self._requests)
        if index == self._capacity:
            self._grow_cache()
        for name, array in prompt.cache.items():
            self._cache[name][index, :, : prompt.frames] = array
        self._buffers.codes[index] = prompt.last_codes
        request.rows = prompt.frames
        self._requests.append(request)

    def _step(self) -> None:
        """Generate the next frame of every sentence that does not wait for its text.

        One that waits is computed too, as it is in the middle of the batch, but nothing is sampled
        for it, and its next step writes over the same row of the cache.
        """
        requests, buffers = self._requests, self._buffers
        count = len(requests)
        if all(request.is_waiting for request in requests):
            return
        total_length = 0
        for index, request in enumerate(requests):
            pointer = request.pointer
            if request.is_waiting:
                buffers.seqlens_k[index] = request.rows
                total_length = max(total_length, request.rows + 1)
                continue
            if pointer.frames_on_symbol == 0:  # otherwise the symbol is still in the buffer
                buffers.encoded[index, 0] = request.encoded[pointer.index]
            buffers.frames_on_symbol[index, 0] = min(
                pointer.frames_on_symbol, FRAMES_ON_SYMBOL_BINS - 1
            )
            buffers.seqlens_k[index] = request.rows
            request.rows += 1
            total_length = max(total_length, request.rows)
        buffers.total_length[()] = total_length
        if count < self._min_rows:
            buffers.seqlens_k[count : self._min_rows] = 0
        self._steps.run(self._cache, max(count, self._min_rows))
        self._sample_frames()
        self._remove_finished()

    def _sample_frames(self) -> None:
        """Sample the frame of every sentence from the logits of the step that has run."""
        requests, buffers = self._requests, self._buffers
        # One conversion for all: reading single elements of an array is slow.
        transition_logits: list[list[float]] = buffers.transition_logits[
            : len(requests), 0
        ].tolist()
        index_of = {id(request): index for index, request in enumerate(requests)}
        for index, request in enumerate(requests):
            if request.transitions is None or request.is_waiting:
                continue
            logits, transitions = buffers.logits[index, 0], transition_logits[index]
            if request.unconditional is not None:
                other = index_of[id(request.unconditional)]
                logits = self._guide(logits, buffers.logits[other, 0])
                transitions = self._guide(
                    buffers.transition_logits[index, 0], buffers.transition_logits[other, 0]
                ).tolist()
            symbol = request.pointer.index
            code = sample(logits, request.sampling, request.rng, request.codes)
            request.transitions.next(transitions)
            for member in request.cfg_pair:
                row = index_of[id(member)]
                if not request.codes:  # the row holds all codebooks of the prompt's last frame
                    buffers.codes[row] = self._bundle.config.codebook_size
                buffers.codes[row, 0, 0] = code
            request.codes.append(code)
            request.unread.append((code, symbol))

    def _remove_finished(self) -> None:
        """Remove the requests that have ended or were cancelled; the last ones take their rows."""
        finished = [
            request for request in self._requests if request.pointer.done or request.is_unwanted
        ]
        leaving = {id(member) for request in finished for member in request.cfg_pair}
        index = 0
        while leaving and index < len(self._requests):
            request = self._requests[index]
            if id(request) not in leaving:
                index += 1
                continue
            last = self._requests.pop()
            if last is request:
                return
            self._requests[index] = last
            for array in (self._buffers.codes, self._buffers.encoded):
                array[index] = array[len(self._requests)]
            for cached in self._cache.values():
                cached[index, :, : last.rows] = cached[len(self._requests), :, : last.rows]

    def _grow_cache(self) -> None:
        self._capacity = max(self._min_rows, 2 * self._capacity)
        cache = allocate_cache(self._bundle.config, self._capacity)
        for name, old in self._cache.items():
            for index, request in enumerate(self._requests):
                cache[name][index, :, : request.rows] = old[index, :, : request.rows]
        self._cache = cache
        self._steps.clear()

    def _guide(self, conditional: Floats, unconditional: Floats) -> Floats:
        """Extrapolate logits away from the unconditional ones (classifier-free guidance)."""
        return conditional + self._guidance_scale * (conditional - unconditional)
