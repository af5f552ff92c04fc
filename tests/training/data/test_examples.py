"""Examples: pieces whose symbols fit their frames, prompts as a listener gives them, and an end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from synthetic_corpus import write_corpus  # noqa: E402
from valle.corpora.store import Store  # noqa: E402
from valle.corpora.transcripts import IS_BORDER  # noqa: E402
from valle.errors import UsageError  # noqa: E402
from valle.text.symbols import SYMBOLS, UNKNOWN  # noqa: E402
from valle.training.data.examples import Example, ExampleSource, LabeledUtterance, pad_sequences  # noqa: E402
from valle.training.models.sizes import NO_CODE  # noqa: E402
from valle.training.trainers.ar import collate_examples  # noqa: E402

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
def test_a_piece_fits_its_frames(store: Store, start: int, end: int) -> None:
    whole = source(store, "many/0")
    piece, last = whole.piece(start, end), min(end, 150)
    rows = whole.utterance.frames.start
    np.testing.assert_array_equal(piece.codes, store.codes[rows + start : rows + last])
    assert piece.codes.dtype == np.int64
    np.testing.assert_array_equal(piece.voice, store.voices[0])
    assert len(piece.frame_symbol) == last - start and piece.frame_symbol[0] == 0
    for name in ("symbols", "stress"):
        said = getattr(whole.labels, name)[whole.labels.frame_symbol[start:last]]
        np.testing.assert_array_equal(getattr(piece, name)[piece.frame_symbol], said)
    assert (piece.stop is not None) == (last == 150)
    # What the phoneme encoder sees ahead is there too: six symbols, or all that there are.
    first, at = whole.labels.frame_symbol[start], whole.labels.frame_symbol[last - 1]
    ahead = (
        whole.labels.symbols[first : at + 7] if piece.stop is None else whole.labels.symbols[first:]
    )
    np.testing.assert_array_equal(piece.symbols, ahead)


def test_borders_near(store: Store) -> None:
    whole = source(store, "many/0")
    path, symbols = whole.labels.frame_symbol, whole.labels.symbols
    begins = [f for f in range(150) if f == 0 or path[f] != path[f - 1]]
    borders = [f for f in begins if IS_BORDER[symbols[path[f]]]]
    assert len(borders) == 13  # before, between and after twelve words
    for frame in range(150):
        assert whole.border_near(frame) == min((f for f in borders if f >= frame), default=0)


def test_pairs_are_of_one_speaker_and_of_the_lengths_asked_for(store: Store) -> None:
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
        for piece in (prompt, target):
            assert piece.frame_symbol[-1] < len(piece.symbols) == len(piece.stress)
            assert piece.frame_symbol[0] == 0
        starts += target.symbols[0] == SYMBOLS.index("^")
    assert 20 < starts < 180


def test_a_single_clip_is_prompt_and_then_target(store: Store, tmp_path: Path) -> None:
    single = write_corpus(tmp_path, {"single": [260]})
    source = ExampleSource([single], [1.0], seed=0)
    for _ in range(50):
        prompt, target = source.pair(PROMPT, TARGET, from_start=0.5)
        np.testing.assert_array_equal(prompt.codes, single.codes[: len(prompt.codes)])
        follows = single.codes[len(prompt.codes) :][: len(target.codes)]
        np.testing.assert_array_equal(target.codes, follows)
        assert IS_BORDER[target.symbols[0]] and prompt.stop is None


def test_no_pair_is_an_error_and_not_a_search_without_end(tmp_path: Path) -> None:
    short = write_corpus(tmp_path, {"a": [60], "b": [60]}, words=4)
    with pytest.raises(UsageError, match="no prompt of 40 frames"):
        ExampleSource([short], [1.0], seed=0).pair(PROMPT, TARGET, from_start=0.5)


def test_labels_of_nothing_are_an_error(tmp_path: Path) -> None:
    empty = write_corpus(tmp_path, {"a": [60]}, words=4)
    empty.write_labels({})
    with pytest.raises(UsageError, match="cover no utterance"):
        ExampleSource([Store(tmp_path)], [1.0], seed=0)


def test_the_same_seed_draws_the_same(store: Store) -> None:
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


def test_stores_are_drawn_by_their_shares(store: Store, tmp_path: Path) -> None:
    other = write_corpus(tmp_path, {"x": [150, 150]}, seed=1)
    never = ExampleSource([store, other], [0.0, 1.0], seed=0)
    rows = {row.tobytes() for row in other.codes}
    for _ in range(20):
        _, target = never.pair(PROMPT, TARGET, 0.5)
        assert target.codes[0].astype(np.int16).tobytes() in rows
        assert len(target.codes) <= 150


def test_prompts_hide_stress_as_a_listener_does(store: Store) -> None:
    source = ExampleSource([store], [1.0], seed=0)
    unknown, hidden, seen, phonemes = SYMBOLS.index(UNKNOWN), 0, 0, 0
    for _ in range(200):
        prompt, target = source.pair(PROMPT, TARGET, 0.5)
        assert (target.symbols != unknown).all() and target.stress.any()
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


def test_one_prompt_in_ten_hides_its_voice(store: Store) -> None:
    """Else it is the voice of the recording that the prompt was cut from."""
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
            voice_of(store, owner[piece.codes[0].astype(np.int16).tobytes()]) for piece in pair
        )
        assert pair[0].voice.dtype == np.float32
        np.testing.assert_array_equal(pair[1].voice, target)
        if not pair[0].voice.any():
            hidden += 1
        else:
            np.testing.assert_array_equal(pair[0].voice, prompt)
    assert 12 < hidden < 55


def test_a_batch_speaks_in_the_prompts_voices(store: Store) -> None:
    one, other = source(store, "many/0"), source(store, "many/2")
    pairs = [(a.piece(0, 40), b.piece(60, 130)) for a, b in ((one, other), (other, one))]
    voice = collate_examples([Example.after(*pair) for pair in pairs], torch.device("cpu"))["voice"]
    assert voice.dtype == torch.float32
    np.testing.assert_array_equal(voice, np.stack([one.voice, other.voice]))
    assert (one.voice != other.voice).any()


def test_moves_of_an_ended_piece_end(store: Store) -> None:
    whole = source(store, "many/0")
    pairs = [
        (whole.piece(0, 40), whole.piece(100, 150)),  # ends
        (whole.piece(10, 50), whole.piece(60, 130)),  # is cut
    ]
    batch = collate_examples([Example.after(*pair) for pair in pairs], torch.device("cpu"))
    ended, cut = batch["moves"][0], batch["moves"][1]
    assert ended[39] == -100 and ended[89] == 1
    assert set(ended[90:].tolist()) == {-100}
    assert cut[39] == -100 and cut[109] == -100
    for row, (prompt, target) in enumerate(pairs):
        moves = batch["moves"][row].tolist()
        for piece, at in ((prompt, 0), (target, len(prompt.codes))):
            steps = np.diff(piece.frame_symbol).tolist()
            assert moves[at : at + len(steps)] == steps


def test_a_piece_may_end_before_its_last_border(tmp_path: Path) -> None:
    """A last border without a frame of its own is skipped by the last move."""
    store = write_corpus(tmp_path, {"a": [150]})
    label = store.labels["a/0"]
    last = len(label.symbols) - 1
    path = np.minimum(label.frame_symbol, last - 1)
    store.write_labels({"a/0": type(label)(label.symbols, label.stress, path)})
    whole = source(Store(tmp_path), "a/0")
    example = Example.after(whole.piece(0, 40), whole.piece(100, 150))
    batch = collate_examples([example], torch.device("cpu"))
    assert batch["moves"][0, 89] == 2


def test_a_batch_reads_what_running_reads(store: Store) -> None:
    whole = source(store, "many/0")
    prompt, target = whole.piece(0, 40), whole.piece(60, 130)
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
    said = both[batch["frame_symbol"][0].numpy()]
    wanted = [prompt.symbols[prompt.frame_symbol], target.symbols[target.frame_symbol]]
    np.testing.assert_array_equal(said, np.concatenate(wanted))


def test_padding() -> None:
    rows = [np.array([[1, 2]]), np.array([[3, 4], [5, 6]])]
    assert pad_sequences(rows, -1).tolist() == [[[1, 2], [-1, -1]], [[3, 4], [5, 6]]]
