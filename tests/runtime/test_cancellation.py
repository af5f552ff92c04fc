"""Work that is cancelled leaves the batch at the next step; sentences beside it stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest

import valle
from valle.runtime.cancellation import (
    Cancellation,
    CancelledError,
    cancellable,
    current_cancellation,
)

TEXT = "This is a sentence that goes on for a while. " * 4


def test_the_innermost_block_counts() -> None:
    outer, inner = Cancellation(), Cancellation()
    assert current_cancellation() is None
    with cancellable(outer):
        with cancellable(inner):
            assert current_cancellation() is inner
        assert current_cancellation() is outer
    assert current_cancellation() is None


def test_a_cancelled_text_ends_and_the_one_beside_it_does_not(
    debug_bundle: Path, voice: valle.Voice
) -> None:
    model = valle.load(debug_bundle, threads=1)
    batch = model._pipeline.acoustic_model._ar._batch
    alone = valle.Speech.join(model.stream(TEXT, voice, seed=1))
    cancellation = Cancellation()
    with cancellable(cancellation):
        leaving = model.stream(TEXT, voice, seed=2)
        next(leaving)
    staying = model.stream(TEXT, voice, seed=1)
    pieces = [next(staying)]
    cancellation.cancel()
    with cancellable(cancellation), pytest.raises(CancelledError):
        list(leaving)
    pieces.append(next(staying))
    assert all(not request.is_unwanted for request in batch._requests)
    pieces += staying
    assert (valle.Speech.join(pieces).audio == alone.audio).all()
