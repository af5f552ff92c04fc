"""Infilling: training examples of spans, and the AR model reads them as it does at run time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from synthetic_corpus import write_corpus
from valle.bundle.bundle import Bundle
from valle.corpora.store import Store
from valle.corpora.transcripts import IS_BORDER
from valle.errors import UsageError
from valle.runtime.ar import ARDecoder
from valle.runtime.kv_cache import BoundGraph, StepBuffers, allocate_cache
from valle.runtime.pointer import FRAMES_ON_SYMBOL_BINS, count_frames_on_symbol
from valle.synthesis.infilling import CONTEXT_SYMBOLS, MAX_CONTEXT_FRAMES, word_edges
from valle.training.data.examples import Example, ExampleProbabilities, ExampleSource
from valle.training.export.bundle import Models
from valle.training.models.sizes import NO_CODE
from valle.training.trainers.ar import IGNORE_INDEX, collate_examples, predict_batch

CPU = torch.device("cpu")


def infilling_examples(store: Store, count: int) -> list[Example]:
    source = ExampleSource([store], [1.0], 0, ExampleProbabilities(infilling=1.0))
    return [source.example((40, 80), (60, 120), 0.5) for _ in range(count)]


def find_example(store: Store, has_prefix: bool) -> Example:
    """Return an infilling example with speech before the span, or without."""
    examples = infilling_examples(store, 300)
    return next(example for example in examples if (example.prefix > 0) == has_prefix)


def test_word_edges_are_where_a_border_is_entered_left_or_skipped() -> None:
    borders = np.array([True, False, False, True, False, True, False])
    frame_symbol = np.array([0, 1, 1, 2, 3, 4, 4, 6])
    assert word_edges(frame_symbol, borders).tolist() == [1, 4, 5, 7]


def test_span_and_context_are_consecutive_frames_of_one_utterance(store: Store) -> None:
    rows = {row.tobytes(): number for number, row in enumerate(np.asarray(store.codes))}

    def find_rows(codes: np.ndarray) -> list[int]:
        return [rows[row.astype(np.int16).tobytes()] for row in codes]

    for example in infilling_examples(store, 200):
        context = np.concatenate([segment.codes for segment in example.context])
        before, after = context[: example.prefix], context[example.prefix :]
        frames = [*find_rows(before), *find_rows(example.target.codes), *find_rows(after)]
        assert frames == list(range(frames[0], frames[0] + len(frames)))
        utterance = next(u for u in store.utterances if u.frames.start <= frames[0] < u.frames.stop)
        assert frames[-1] < utterance.frames.stop
        assert 10 <= len(example.target.codes) <= 120
        assert 50 <= example.frames <= 2 * MAX_CONTEXT_FRAMES
        assert max(len(before), len(after)) <= MAX_CONTEXT_FRAMES


def test_span_has_its_symbols_and_ends_at_a_word_edge(store: Store) -> None:
    rows = {row.tobytes(): number for number, row in enumerate(np.asarray(store.codes))}
    for example in infilling_examples(store, 200):
        target = example.target
        start = rows[target.codes[0].astype(np.int16).tobytes()]
        utterance = next(u for u in store.utterances if u.frames.start <= start < u.frames.stop)
        labels = store.labels[utterance.id]
        offset = start - utterance.frames.start
        path = labels.frame_symbol[offset : offset + len(target.codes)]
        np.testing.assert_array_equal(target.symbols[target.frame_symbol], labels.symbols[path])
        low = max(0, path[0] - CONTEXT_SYMBOLS)
        surrounded = labels.symbols[low : path[-1] + 1 + CONTEXT_SYMBOLS]
        np.testing.assert_array_equal(target.symbols, surrounded)
        next_symbol = labels.frame_symbol[offset + len(path)]
        assert next_symbol > path[-1]
        assert IS_BORDER[labels.symbols[path[-1] : next_symbol + 1]].any()
        assert target.stop is not None
        assert target.stop - target.frame_symbol[-1] == next_symbol - path[-1]


def test_context_before_a_span_does_not_see_the_symbols_of_the_span(store: Store) -> None:
    prefix, suffix = find_example(store, has_prefix=True).context
    assert len(prefix.symbols) == prefix.frame_symbol[-1] + 1
    assert prefix.stop is None
    assert suffix.frame_symbol[0] == 0


def test_transition_is_trained_at_the_end_of_a_span_and_not_of_its_prefix(store: Store) -> None:
    example = find_example(store, has_prefix=True)
    transitions = collate_examples([example], CPU)["transitions"][0].tolist()
    assert transitions[example.prefix - 1] == IGNORE_INDEX
    assert transitions[-1] in (1, 2)


def test_share_of_infilling_examples_is_as_requested(store: Store) -> None:
    source = ExampleSource([store], [1.0], 0, ExampleProbabilities(infilling=0.3))
    examples = [source.example((40, 80), (60, 120), 0.5) for _ in range(400)]
    infilling = [len(e.context) == 2 or e.prefix != e.frames for e in examples]
    assert 80 < sum(infilling) <= 160


def test_without_infilling_examples_are_pairs(store: Store) -> None:
    pairs, examples = (ExampleSource([store], [1.0], seed=3) for _ in range(2))
    for _ in range(20):
        prompt, target = pairs.pair((40, 80), (60, 120), 0.5)
        example = examples.example((40, 80), (60, 120), 0.5)
        if example.frames:  # else it is unconditional
            np.testing.assert_array_equal(prompt.codes, example.context[0].codes)
        np.testing.assert_array_equal(target.codes, example.target.codes)


def test_corpora_of_short_utterances_are_refused(tmp_path: Path) -> None:
    store = write_corpus(tmp_path, {"a": [55, 55]}, words=4)
    with pytest.raises(UsageError, match="infill"):
        ExampleSource([store], [1.0], 0, ExampleProbabilities(infilling=1.0)).example(
            (20, 40), (20, 40), 0.5
        )


@torch.no_grad()
@pytest.mark.parametrize("has_prefix", [True, False])
def test_training_and_inference_read_a_span_alike(
    store: Store, models: Models, bundle: Bundle, has_prefix: bool
) -> None:
    """The AR model's outputs for a span: a batch in PyTorch, and the prompt cache of the graph."""
    example = dataclasses.replace(find_example(store, has_prefix), style=np.array([1, 8, 0, 4, 5]))
    longer = find_example(store, has_prefix=True)  # a second item: padding must not matter
    batch = collate_examples([example, longer], CPU)
    logits, transitions = predict_batch(models.ar, batch)
    rows = slice(example.frames, example.frames + len(example.target.codes))

    decoder, speaker = ARDecoder(bundle), example.context[0].voice
    encoded = np.concatenate(
        [decoder.encode(s.symbols, s.stress, speaker)[s.frame_symbol] for s in example.context]
    )
    codes = np.concatenate([segment.codes for segment in example.context])
    frames_on_symbol = np.concatenate(
        [count_frames_on_symbol(segment.frame_symbol) for segment in example.context]
    )
    prompt = decoder.prefill(codes, encoded, frames_on_symbol, prefix=example.prefix)
    last_codes = codes[example.prefix - 1] if example.prefix else np.full(8, NO_CODE)
    np.testing.assert_array_equal(prompt.last_codes, last_codes)

    target, count = example.target, len(example.target.codes)
    cache, buffers = allocate_cache(bundle.config, 1), StepBuffers(bundle.config, 1, count)
    for name, array in prompt.cache.items():
        cache[name][0, :, : prompt.frames] = array
    buffers.codes[0, 0] = prompt.last_codes
    buffers.codes[0, 1:, 0] = target.codes[:-1, 0]
    styled = decoder.encode(target.symbols, target.stress, speaker, example.style)
    buffers.encoded[0] = styled[target.frame_symbol]
    buffers.frames_on_symbol[0] = np.minimum(
        count_frames_on_symbol(target.frame_symbol), FRAMES_ON_SYMBOL_BINS - 1
    )
    buffers.total_length[()] = prompt.frames + count
    buffers.seqlens_k[0] = prompt.frames + count - 1
    BoundGraph(bundle, buffers, cache, slice(1)).run()
    np.testing.assert_allclose(buffers.logits[0], logits[0, rows].numpy(), atol=1e-3, rtol=1e-3)
    np.testing.assert_allclose(
        buffers.transition_logits[0], transitions[0, rows].numpy(), atol=1e-3, rtol=1e-3
    )
    # The comparison can fail: without the style, or the boundary at the span, the results differ.
    unstyled = decoder.encode(target.symbols, target.stress, speaker)
    assert np.abs(unstyled - styled).max() > 0.01
    if has_prefix:
        continuous = decoder.prefill(codes, encoded, frames_on_symbol)
        assert np.abs(continuous.cache["value_1"] - prompt.cache["value_1"]).max() > 1e-3
