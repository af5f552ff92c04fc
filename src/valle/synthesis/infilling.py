"""Speech infilling: new speech for a span of a recording, conditioned on what surrounds it.

The contexts before and after the span take the prompt's place. The AR model reads the context
before the span and then, as a sequence that starts without a previous code, the one after it, each
with its own symbols. The span continues from the last frame before it, and ends when the pointer
has passed its last symbol. The models are trained in the same way (`valle.training.data.examples`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Codes, Embedding, Ints
from valle.runtime.ar import ARDecoder
from valle.runtime.batching import EncodedText
from valle.runtime.nar import NAR, FrameInputs
from valle.runtime.pointer import count_frames_on_symbol
from valle.runtime.sampling import Sampling
from valle.synthesis.utterance import Symbols

CONTEXT_SYMBOLS = 6  # symbols that the phoneme encoder sees on each side of a frame's own
MAX_CONTEXT_FRAMES = 100  # frames of context on each side of a span in training


@dataclass(frozen=True)
class Context:
    """The speech before or after a span; it may be empty."""

    codes: Codes
    """[frames, codebooks], at most `MAX_CONTEXT_FRAMES` of them."""
    symbols: Symbols
    """What the frames say. Before a span, nothing more; after it, some symbols may follow."""
    frame_symbol: Ints
    """[frames] the index of the symbol that each frame is at."""


@dataclass(frozen=True)
class InfillRequest:
    """A span to be filled in."""

    before: Context
    span: Symbols
    """What the span is to say."""
    after: Context
    embedding: Embedding
    """Speaker embedding of the recording."""


def word_edges(frame_symbol: Ints, borders: NDArray[np.bool_]) -> Ints:
    """Return the frames at which the pointer enters, leaves or skips a border between words.

    A recording can be cut there without cutting a word.

    Args:
        frame_symbol: [frames] the index of the symbol that each frame is at.
        borders: [symbols] True for borders.
    """
    edges = 1 + np.flatnonzero(np.diff(frame_symbol) > 0)
    left, right = frame_symbol[edges - 1], frame_symbol[edges]
    return edges[borders[left] | borders[right] | (right - left > 1)]


def infill(
    ar: ARDecoder,
    nar: NAR,
    request: InfillRequest,
    sampling: Sampling,
    rng: np.random.Generator,
) -> Codes:
    """Generate the codes [frames, codebooks] of a span.

    Args:
        ar: The AR model.
        nar: The NAR model of the same bundle.
        request: The span and its context.
        sampling: How the AR model samples.
        rng: Random numbers for sampling; the same state gives the same codes.

    Raises:
        UsageError: The context leaves no room for the span.
        TextError: The span has no symbols.
    """
    before, span, after = request.before, request.span, request.after
    embedding = request.embedding
    contexts = [context for context in (before, after) if len(context.codes)]
    codes = np.concatenate([before.codes, after.codes])
    rows = [ar.encode(c.symbols.ids, c.symbols.stress, embedding)[c.frame_symbol] for c in contexts]
    encoded = np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)
    frames_on_symbol = np.concatenate(
        [count_frames_on_symbol(context.frame_symbol) for context in (before, after)]
    )
    prompt = ar.prefill(codes, encoded, frames_on_symbol, prefix=len(before.codes))
    text = EncodedText(_encode_span(ar, request), span.borders)
    frames = ar.generate(prompt, text, sampling, rng)
    context_frames = FrameInputs(
        codes,
        np.concatenate([c.symbols.ids[c.frame_symbol] for c in (before, after)]),
        np.concatenate([c.symbols.stress[c.frame_symbol] for c in (before, after)]),
    )
    nar_prompt = nar.prefill(context_frames, embedding)
    nar_frames = ((code, int(span.ids[at]), int(span.stress[at])) for code, at in frames)
    return np.concatenate(list(nar.predict_residuals(nar_prompt, nar_frames)))


def _encode_span(ar: ARDecoder, request: InfillRequest) -> NDArray[np.float32]:
    """Encode the symbols of the span together with those around it, and return its own."""
    parts = request.before.symbols, request.span, request.after.symbols
    left = min(CONTEXT_SYMBOLS, len(request.before.symbols.ids))
    ids, stress = (
        np.concatenate([before[len(before) - left :], span, after[:CONTEXT_SYMBOLS]])
        for before, span, after in ([p.ids for p in parts], [p.stress for p in parts])
    )
    encoded = ar.encode(ids, stress, request.embedding)
    return encoded[left : left + len(request.span.ids)]
