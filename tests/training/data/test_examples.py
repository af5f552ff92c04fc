"""Examples: segments with their symbols, prompts labeled as the listener does, and batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from synthetic_corpus import write_corpus
from valle.corpora.store import Store
from valle.corpora.transcripts import IS_BORDER
from valle.errors import UsageError
from valle.text.symbols import SYMBOLS, UNKNOWN
from valle.training.data.examples import Example, ExampleSource, LabeledUtterance, pad_sequences
from valle.training.models.sizes import NO_CODE
from valle.training.trainers.ar import collate_examples

PROMPT, TARGET = (40, 80), (60, 120)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    return write_corpus(folder, {"many": [150, 90, 200], "single": [260]})


def source(store: Store, name: str) -> LabeledUtterance:
    utterance = next(u for u in store.utterances if u.id == name)
    return LabeledUtterance(store, utterance, store.labels[name], voice_of(store, name))


def voice_of(store: Store, name: str) -> np.ndarray:
    return store.voices[[u.id for u in store.utterances].index(name)]


@pytest.mark.parametrize(("start", "end"), [(0, 40), (33, 71), (100, 150), (149, 999), (0, 1)])
def test_segment_has_the_symbols_of_its_frames(store: Store, start: int, end: int) -> None:
    whole = source(store, "many/0")
    segment, last = whole.segment(start, end), min(end, 150)
    rows = whole.utterance.frames.start
    np.testing.assert_array_equal(segment.codes, store.codes[rows + start : rows + last])
    assert segment.codes.dtype == np.int64
    np.testing.assert_array_equal(segment.voice, store.voices[0])
    assert len(segment.frame_symbol) == last - start
    assert segment.frame_symbol[0] == 0
    for name in ("symbols", "stress"):
        expected = getattr(whole.labels, name)[whole.labels.frame_symbol[start:last]]
        np.testing.assert_array_equal(getattr(segment, name)[segment.frame_symbol], expected)
    assert (segment.stop is not None) == (last == 150)
    # The lookahead of the phoneme encoder is included: six symbols, or as many as there are.
    first, current = whole.labels.frame_symbol[start], whole.labels.frame_symbol[last - 1]
    ahead = (
        whole.labels.symbols[first : current + 7]
        if segment.stop is None
        else whole.labels.symbols[first:]
    )
    np.testing.assert_array_equal(segment.symbols, ahead)


def test_next_border(store: Store) -> None:
    whole = source(store, "many/0")
    path, symbols = whole.labels.frame_symbol, whole.labels.symbols
    begins = [f for f in range(150) if f == 0 or path[f] != path[f - 1]]
    borders = [f for f in begins if IS_BORDER[symbols[path[f]]]]
    assert len(borders) == 13  # before, between and after twelve words
    for frame in range(150):
        assert whole.next_border(frame) == min((f for f in borders if f >= frame), default=0)


def test_pairs_have_one_speaker_and_requested_lengths(store: Store) -> None:
    source = ExampleSource([store], [1.0], seed=0)
    starts, owner = 0, {}
    for utterance in store.utterances:
        for row in range(utterance.frames.start, utterance.frames.stop):
            owner[store.codes[row].tobytes()] = utterance
    for _ in range(200):
        prompt, target = source.pair(PROMPT, TARGET, from_start=0.5)
        one = owner[prompt.codes[0].astype(np.int16).tobytes()]
        other = owner[target.codes[0].astype(np.int16).tobytes()]
        assert one.speaker == other.speaker
        assert (one.id == other.id) == (one.speaker == "single")
        assert PROMPT[0] // 2 <= len(prompt.codes)
        assert TARGET[0] <= len(target.codes) <= TARGET[1]
        if one.speaker == "many":
            assert len(prompt.codes) <= PROMPT[1]
        for segment in (prompt, target):
            assert segment.frame_symbol[-1] < len(segment.symbols) == len(segment.stress)
            assert segment.frame_symbol[0] == 0
        starts += target.symbols[0] == SYMBOLS.index("^")
    assert 20 < starts < 180


def test_single_utterance_is_split_into_prompt_and_target(store: Store, tmp_path: Path) -> None:
    single = write_corpus(tmp_path, {"single": [260]})
    source = ExampleSource([single], [1.0], seed=0)
    for _ in range(50):
        prompt, target = source.pair(PROMPT, TARGET, from_start=0.5)
        np.testing.assert_array_equal(prompt.codes, single.codes[: len(prompt.codes)])
        follows = single.codes[len(prompt.codes) :][: len(target.codes)]
        np.testing.assert_array_equal(target.codes, follows)
        assert IS_BORDER[target.symbols[0]]
        assert prompt.stop is None


def test_corpus_without_pairs_is_an_error(tmp_path: Path) -> None:
    short = write_corpus(tmp_path, {"a": [60], "b": [60]}, words=4)
    with pytest.raises(UsageError, match="no prompt of 40 frames"):
        ExampleSource([short], [1.0], seed=0).pair(PROMPT, TARGET, from_start=0.5)


def test_store_without_labeled_utterances_is_an_error(tmp_path: Path) -> None:
    empty = write_corpus(tmp_path, {"a": [60]}, words=4)
    empty.write_labels({})
    with pytest.raises(UsageError, match="no labeled utterance"):
        ExampleSource([Store(tmp_path)], [1.0], seed=0)


def test_pairs_are_determined_by_seed(store: Store) -> None:
    one, two, other = (ExampleSource([store], [1.0], seed) for seed in (3, 3, 4))
    pairs = [[s.pair(PROMPT, TARGET, 0.5) for _ in range(5)] for s in (one, two, other)]
    same = [
        all(np.array_equal(a.codes, b.codes) for a, b in zip(x, y, strict=True))
        for x, y in zip(pairs[0], pairs[1], strict=True)
    ]
    assert all(same)
    assert any(
        a[1].codes.shape != b[1].codes.shape or (a[1].codes != b[1].codes).any()
        for a, b in zip(pairs[0], pairs[2], strict=True)
    )


def test_stores_are_sampled_by_weight(store: Store, tmp_path: Path) -> None:
    other = write_corpus(tmp_path, {"x": [150, 150]}, seed=1)
    never = ExampleSource([store, other], [0.0, 1.0], seed=0)
    rows = {row.tobytes() for row in other.codes}
    for _ in range(20):
        _, target = never.pair(PROMPT, TARGET, 0.5)
        assert target.codes[0].astype(np.int16).tobytes() in rows
        assert len(target.codes) <= 150


def test_prompts_are_labeled_as_the_listener_does(store: Store) -> None:
    source = ExampleSource([store], [1.0], seed=0)
    unknown, hidden, seen, phonemes = SYMBOLS.index(UNKNOWN), 0, 0, 0
    for _ in range(200):
        prompt, target = source.pair(PROMPT, TARGET, 0.5)
        assert (target.symbols != unknown).all()
        assert target.stress.any()
        assert (prompt.symbols[IS_BORDER[prompt.symbols]] != unknown).all()
        if prompt.stress.any():
            assert (prompt.symbols != unknown).all()
            continue
        hidden += 1
        seen += int((prompt.symbols == unknown).sum())
        phonemes += int((~IS_BORDER[prompt.symbols]).sum())
    assert 100 < hidden < 180  # 70 %
    assert 0.02 < seen / phonemes < 0.09  # 5 %
    # The store's own labels are not touched.
    assert all((label.symbols != unknown).all() for label in store.labels.values())


def test_one_prompt_in_ten_has_no_speaker_embedding(store: Store) -> None:
    source = ExampleSource([store], [1.0], seed=0)
    owner = {
        store.codes[row].tobytes(): utterance.id
        for utterance in store.utterances
        for row in range(utterance.frames.start, utterance.frames.stop)
    }
    hidden = 0
    for _ in range(300):
        pair = source.pair(PROMPT, TARGET, 0.5)
        prompt, target = (
            voice_of(store, owner[segment.codes[0].astype(np.int16).tobytes()]) for segment in pair
        )
        assert pair[0].voice.dtype == np.float32
        np.testing.assert_array_equal(pair[1].voice, target)
        if not pair[0].voice.any():
            hidden += 1
        else:
            np.testing.assert_array_equal(pair[0].voice, prompt)
    assert 12 < hidden < 55


def test_batch_has_speaker_embeddings_of_prompts(store: Store) -> None:
    one, other = source(store, "many/0"), source(store, "many/2")
    pairs = [(a.segment(0, 40), b.segment(60, 130)) for a, b in ((one, other), (other, one))]
    voice = collate_examples([Example.after(*pair) for pair in pairs], torch.device("cpu"))["voice"]
    assert voice.dtype == torch.float32
    np.testing.assert_array_equal(voice, np.stack([one.voice, other.voice]))
    assert (one.voice != other.voice).any()


def test_transitions_of_complete_and_cut_segments(store: Store) -> None:
    whole = source(store, "many/0")
    pairs = [
        (whole.segment(0, 40), whole.segment(100, 150)),  # ends
        (whole.segment(10, 50), whole.segment(60, 130)),  # is cut
    ]
    batch = collate_examples([Example.after(*pair) for pair in pairs], torch.device("cpu"))
    ended, cut = batch["transitions"][0], batch["transitions"][1]
    assert ended[39] == -100
    assert ended[89] == 1
    assert set(ended[90:].tolist()) == {-100}
    assert cut[39] == -100
    assert cut[109] == -100
    for row, (prompt, target) in enumerate(pairs):
        transitions = batch["transitions"][row].tolist()
        for segment, offset in ((prompt, 0), (target, len(prompt.codes))):
            steps = np.diff(segment.frame_symbol).tolist()
            assert transitions[offset : offset + len(steps)] == steps


def test_last_border_without_a_frame_is_skipped(tmp_path: Path) -> None:
    store = write_corpus(tmp_path, {"a": [150]})
    label = store.labels["a/0"]
    last = len(label.symbols) - 1
    path = np.minimum(label.frame_symbol, last - 1)
    store.write_labels({"a/0": type(label)(label.symbols, label.stress, path)})
    whole = source(Store(tmp_path), "a/0")
    example = Example.after(whole.segment(0, 40), whole.segment(100, 150))
    batch = collate_examples([example], torch.device("cpu"))
    assert batch["transitions"][0, 89] == 2


def test_batch_has_the_inputs_of_run_time(store: Store) -> None:
    whole = source(store, "many/0")
    prompt, target = whole.segment(0, 40), whole.segment(60, 130)
    batch = collate_examples([Example.after(prompt, target)], torch.device("cpu"))
    inputs = batch["inputs"][0]
    assert (inputs[0] == NO_CODE).all()
    np.testing.assert_array_equal(inputs[1:41], prompt.codes)  # the last one before row 40
    np.testing.assert_array_equal(inputs[41:, 0], target.codes[:-1, 0])
    assert (inputs[41:, 1:] == NO_CODE).all()
    assert batch["is_target"][0].tolist() == [False] * 40 + [True] * 70
    assert batch["stay"][0, 0] == batch["stay"][0, 40] == 0
    # Symbols of the prompt come first, those of the target after the prompts' longest.
    both = np.concatenate([prompt.symbols, target.symbols])
    symbols = both[batch["frame_symbol"][0].numpy()]
    expected = [prompt.symbols[prompt.frame_symbol], target.symbols[target.frame_symbol]]
    np.testing.assert_array_equal(symbols, np.concatenate(expected))


def test_pad_sequences() -> None:
    rows = [np.array([[1, 2]]), np.array([[3, 4], [5, 6]])]
    assert pad_sequences(rows, -1).tolist() == [[[1, 2], [-1, -1]], [[3, 4], [5, 6]]]
