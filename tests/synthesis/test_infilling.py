"""Filling in a middle, and styles: what training learns from is what running reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from synthetic_corpus import voiced_corpus, write_corpus  # noqa: E402
from valle.audio.prosody import CLASSES, STYLES  # noqa: E402
from valle.bundle.bundle import Bundle  # noqa: E402
from valle.corpora.store import Store  # noqa: E402
from valle.corpora.styles import prepare_styles  # noqa: E402
from valle.corpora.transcripts import IS_BORDER  # noqa: E402
from valle.errors import UsageError  # noqa: E402
from valle.runtime.ar import ARDecoder  # noqa: E402
from valle.runtime.conditioning import make_style_input  # noqa: E402
from valle.runtime.kv_cache import BoundGraph, StepBuffers, allocate_cache  # noqa: E402
from valle.runtime.nar import GUIDANCE_SCALE, NAR, FrameInputs, first_block_frames  # noqa: E402
from valle.runtime.pointer import count_frames_on_symbol  # noqa: E402
from valle.training.data.examples import Example, ExampleSource  # noqa: E402
from valle.training.export.bundle import Models, export_bundle, random_models  # noqa: E402
from valle.training.export.import_bundle import import_bundle  # noqa: E402
from valle.training.models.nar import residual_correction  # noqa: E402
from valle.training.models.phonemes import StyleConditioning  # noqa: E402
from valle.training.models.quantizer import residual_codes  # noqa: E402
from valle.training.models.sizes import NO_CODE  # noqa: E402
from valle.training.run_folder import load_bin_edges  # noqa: E402
from valle.training.trainers.ar import ARTrainer, collate_examples, predict_batch  # noqa: E402

CPU = torch.device("cpu")
BORDERS = np.arange(35.0).reshape(5, 7)
CLOSE = {"atol": 1e-3, "rtol": 1e-3}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_corpus(tmp_path_factory.mktemp("store"), {"a": [220, 180], "b": [260, 300]})


@pytest.fixture(scope="module")
def models() -> Models:
    return dataclasses.replace(random_models("debug", seed=0), style_borders=BORDERS)


@pytest.fixture(scope="module")
def bundle(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("styled") / "bundle"
    export_bundle(folder, "styled", models, "fp32")
    return Bundle.load(folder, threads=1)


def middles(store: Store, count: int) -> list[Example]:
    source = ExampleSource([store], [1.0], seed=0, infilling=1.0)
    return [source.example((40, 80), (60, 120), 0.5) for _ in range(count)]


def of_kind(store: Store, before: bool) -> Example:
    """A middle with something before it or not."""
    return next(one for one in middles(store, 300) if (one.prefix > 0) == before)


def test_a_middle_is_the_midst_of_one_utterance(store: Store) -> None:
    rows = {row.tobytes(): number for number, row in enumerate(np.asarray(store.codes))}
    for one in middles(store, 200):

        def at(codes: np.ndarray) -> list[int]:
            return [rows[row.astype(np.int16).tobytes()] for row in codes]

        context = np.concatenate([piece.codes for piece in one.context])
        before, after = context[: one.prefix], context[one.prefix :]
        whole = [*at(before), *at(one.target.codes), *at(after)]
        assert whole == list(range(whole[0], whole[0] + len(whole)))
        assert 10 <= len(one.target.codes) <= 120
        assert 50 <= one.frames <= 200 and len(before) <= 100 and len(after) <= 100
        span = next(u for u in store.utterances if u.frames.start <= whole[0] < u.frames.stop)
        assert whole[-1] < span.frames.stop
        label = store.labels[span.id]
        offset = whole[len(before)] - span.frames.start
        path = label.frame_symbol[offset : offset + len(one.target.codes)]
        # Its frames are at their symbols, and around these are six more on each side, if there are.
        said = one.target.symbols[one.target.frame_symbol]
        np.testing.assert_array_equal(said, label.symbols[path])
        around = label.symbols[max(0, path[0] - 6) : path[-1] + 7]
        np.testing.assert_array_equal(one.target.symbols, around)
        # It begins and ends at the edge of a word, and ends where the pointer passes its last.
        following = label.frame_symbol[offset + len(path)]
        assert following > path[-1]
        assert IS_BORDER[label.symbols[path[-1] : following + 1]].any()
        assert one.target.stop - one.target.frame_symbol[-1] == following - path[-1]


def test_what_comes_before_does_not_know_the_text_of_the_middle(store: Store) -> None:
    one = of_kind(store, True)
    prefix, suffix = one.context
    assert len(prefix.symbols) == prefix.frame_symbol[-1] + 1 and prefix.stop is None
    assert suffix.frame_symbol[0] == 0


def test_the_end_of_a_middle_is_learnt(store: Store) -> None:
    one = of_kind(store, True)
    moves = collate_examples([one], CPU)["moves"][0].tolist()
    assert moves[one.prefix - 1] == -100  # how the pointer leaves the prefix is not
    assert moves[-1] in (1, 2)


def test_as_many_middles_as_asked(store: Store) -> None:
    source = ExampleSource([store], [1.0], seed=0, infilling=0.3)
    drawn = [source.example((40, 80), (60, 120), 0.5) for _ in range(400)]
    assert 80 < sum(len(e.context) == 2 or e.prefix != e.frames for e in drawn) <= 160


def test_without_middles_the_same_pairs_are_drawn_as_ever(store: Store) -> None:
    one, other = (ExampleSource([store], [1.0], seed=3) for _ in range(2))
    for _ in range(20):
        prompt, target = one.pair((40, 80), (60, 120), 0.5)
        example = other.example((40, 80), (60, 120), 0.5)
        if example.frames:  # else nobody is told of
            np.testing.assert_array_equal(prompt.codes, example.context[0].codes)
        np.testing.assert_array_equal(target.codes, example.target.codes)


def test_short_utterances_have_no_middle(tmp_path: Path) -> None:
    short = write_corpus(tmp_path, {"a": [55, 55]}, words=4)
    with pytest.raises(UsageError, match="no utterance has a middle"):
        ExampleSource([short], [1.0], 0, infilling=1.0).example((20, 40), (20, 40), 0.5)


@torch.no_grad()
@pytest.mark.parametrize("before", [True, False])
def test_training_reads_what_running_reads(
    store: Store, models: Models, bundle: Bundle, before: bool
) -> None:
    """The AR's rows of a middle: a batch in PyTorch, and the prompt's cache with the graph."""
    one = dataclasses.replace(of_kind(store, before), style=np.array([1, 8, 0, 4, 5]))
    other = of_kind(store, True)  # a second item: padding must not matter
    logits, moves = predict_batch(models.ar, collate_examples([one, other], CPU))
    rows = slice(one.frames, one.frames + len(one.target.codes))

    decoder, voice = ARDecoder(bundle), one.context[0].voice
    encoded = np.concatenate(
        [decoder.encode(p.symbols, p.stress, voice)[p.frame_symbol] for p in one.context]
    )
    codes = np.concatenate([piece.codes for piece in one.context])
    stay = np.concatenate([count_frames_on_symbol(piece.frame_symbol) for piece in one.context])
    kept = decoder.prefill(codes, encoded, stay, prefix=one.prefix)
    wanted = codes[one.prefix - 1] if one.prefix else np.full(8, NO_CODE)
    np.testing.assert_array_equal(kept.last_codes, wanted)

    target, count = one.target, len(one.target.codes)
    cache, given = allocate_cache(bundle.config, 1), StepBuffers(bundle.config, 1, count)
    for name, array in kept.cache.items():
        cache[name][0, :, : kept.frames] = array
    given.codes[0, 0] = kept.last_codes
    given.codes[0, 1:, 0] = target.codes[:-1, 0]
    own = decoder.encode(target.symbols, target.stress, voice, one.style)
    given.encoded[0] = own[target.frame_symbol]
    given.frames_on_symbol[0] = np.minimum(count_frames_on_symbol(target.frame_symbol), 31)
    given.seqlens_k[0] = given.total_length[()] = kept.frames + count
    given.seqlens_k[0] -= 1
    BoundGraph(bundle, given, cache, slice(1)).run()
    np.testing.assert_allclose(given.logits[0], logits[0, rows].numpy(), **CLOSE)
    np.testing.assert_allclose(given.transition_logits[0], moves[0, rows].numpy(), **CLOSE)
    # The comparison says something: without the break, or the style, it comes out otherwise.
    unset = decoder.encode(target.symbols, target.stress, voice)
    assert np.abs(unset - own).max() > 0.01
    if before:
        joined = decoder.prefill(codes, encoded, stay)
        assert np.abs(joined.cache["value_1"] - kept.cache["value_1"]).max() > 1e-3


@torch.no_grad()
def test_the_nar_reads_styles_in_training_and_running_alike(
    store: Store, models: Models, bundle: Bundle
) -> None:
    one, style = of_kind(store, True), np.array([3, 0, 8, 1, 2])
    codes = np.concatenate([piece.codes for piece in one.context])
    symbols = np.concatenate([p.symbols[p.frame_symbol] for p in one.context])
    stress = np.concatenate([p.stress[p.frame_symbol] for p in one.context])
    voice, target = one.context[0].voice, one.target
    said = target.symbols[target.frame_symbol], target.stress[target.frame_symbol]
    masked = np.full_like(target.codes, NO_CODE)
    masked[:, 0] = target.codes[:, 0]

    def tensors(*arrays: np.ndarray) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(np.ascontiguousarray(each))[None] for each in arrays)

    running = NAR(bundle)
    prompt = running.prefill(FrameInputs(codes, symbols, stress), voice)
    frames = list(zip(target.codes[:, 0].tolist(), *(x.tolist() for x in said), strict=True))
    # One pass over all of them.
    most = first_block_frames(bundle.config.nar.block) + bundle.config.nar.ahead - 1
    frames, masked, said = frames[:most], masked[:most], tuple(each[:most] for each in said)
    target = tensors(masked, *said)
    styled, unset = (
        models.nar.forward_training(
            tensors(codes, symbols, stress),
            target,
            tensors(voice)[0],
            torch.tensor([len(codes)]),
            torch.tensor([len(masked)]),
            tensors(asked)[0],
        )
        for asked in (style, 0 * style)
    )
    (first,) = tensors(masked[:, 0])
    wanting = residual_correction(
        models.nar.tables[0], first, *tensors(prompt.first_codes, prompt.residual)
    )
    vectors = styled + wanting + GUIDANCE_SCALE * (styled - unset)
    found = np.concatenate(list(running.predict_residuals(prompt, frames, style=style)))
    wanted = residual_codes(models.nar.tables[1:], vectors[0]).numpy()
    assert (found[:, 1:] == wanted).mean() > 0.99
    plain = np.concatenate(list(running.predict_residuals(prompt, frames)))
    drawn = np.random.default_rng(0).integers(1, CLASSES + 1, (8, len(STYLES)))
    each = [
        np.concatenate(list(running.predict_residuals(prompt, frames, style=one))) for one in drawn
    ]
    # That any of them changes a code hangs on the random weights, that none does is a fault.
    assert any((codes[:, 1] != plain[:, 1]).any() for codes in each)


def test_an_unset_style_adds_nothing_and_learns_nothing() -> None:
    style = StyleConditioning(16)
    torch.nn.init.normal_(style.weight)
    asked = torch.tensor([[0, 0, 0, 0, 0], [1, 0, 0, 0, 8]])
    found = style(asked)
    assert not found[0].any()
    torch.testing.assert_close(found[1], style.weight[0] + style.weight[5 * CLASSES - 1])
    found.sum().backward()
    learnt = style.weight.grad.abs().sum(-1) > 0
    assert learnt.nonzero()[:, 0].tolist() == [0, 5 * CLASSES - 1]


def test_weights_from_before_styles_go_on_as_they_are(
    store: Store, tmp_path: Path, debug_bundle: Path
) -> None:
    """An imported bundle without styles gives the losses that it gave, style or not."""
    plain = Bundle.load(debug_bundle, threads=1)
    assert plain.config.style is None
    assert not any("style" in {i.name for i in g.inputs} for g in plain.config.graphs.values())
    import_bundle(plain, tmp_path)
    assert load_bin_edges(tmp_path / "ar") is None
    job = ARTrainer([store], [1.0], tmp_path / "ar", "debug", "cpu", 0, None, infilling=0.0)
    state = torch.load(tmp_path / "ar" / "checkpoint.pt", weights_only=True)["modules"]["ar"]
    del state["phonemes.style.weight"]
    job.ar.load_state_dict(state)
    assert not job.ar.phonemes.style.weight.any()
    examples = [job.examples.example((40, 80), (60, 120), 0.5) for _ in range(3)]
    styled = [dataclasses.replace(e, style=np.full(5, 3)) for e in examples]
    losses = [job.losses(batch)[:2] for batch in (examples, styled)]
    assert losses[0] == losses[1]


def test_borders_go_with_the_model(models: Models, bundle: Bundle, tmp_path: Path) -> None:
    np.testing.assert_array_equal(bundle.config.style.borders, BORDERS)
    import_bundle(bundle, tmp_path / "runs")
    for stage in ("ar", "nar"):
        np.testing.assert_array_equal(load_bin_edges(tmp_path / "runs" / stage), BORDERS)
    state = torch.load(tmp_path / "runs/ar/checkpoint.pt", weights_only=True)["modules"]["ar"]
    torch.testing.assert_close(state["phonemes.style.weight"], models.ar.phonemes.style.weight)
    # A run keeps its own borders, whatever those of the corpora are.
    store = voiced_corpus(tmp_path / "store", 0)
    prepare_styles([store.folder], quiet=True)
    runs = tmp_path / "runs/ar"
    job = ARTrainer([Store(store.folder)], [1.0], runs, "debug", "cpu", 0, None)
    np.testing.assert_array_equal(job.examples.borders, BORDERS)


def test_styles_of_targets_are_measured_and_withheld_for_a_share(tmp_path: Path) -> None:
    voiced_corpus(tmp_path, 0)
    prepare_styles([tmp_path], quiet=True)
    source = ExampleSource([Store(tmp_path)], [1.0], seed=0, infilling=0.3)
    told = np.stack([source.example((40, 80), (60, 120), 0.5).style for _ in range(400)])
    assert told.min() == 0 and told.max() == CLASSES
    share = (told > 0).mean(axis=0)  # 0.7 of 0.7
    assert (np.abs(share - 0.49) < 0.1).all(), share
    assert 0.2 < (told == 0).all(axis=1).mean() < 0.42


def test_corpora_measured_apart_are_refused(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for seed, folder in enumerate(folders):
        voiced_corpus(folder, seed)
        prepare_styles([folder], quiet=True)
    with pytest.raises(UsageError, match="measured together"):
        ExampleSource([Store(folder) for folder in folders], [1.0, 1.0], seed=0)


def test_a_style_that_cannot_be(bundle: Bundle, debug_bundle: Path) -> None:
    for style in (np.array([9, 0, 0, 0, 0]), np.array([-1, 0, 0, 0, 0]), np.zeros(4, int)):
        with pytest.raises(UsageError, match="classes from 0"):
            make_style_input(bundle.config, style)
    plain = Bundle.load(debug_bundle).config
    with pytest.raises(UsageError, match="without styles"):
        make_style_input(plain, np.ones(len(STYLES), np.int64))
    assert make_style_input(plain, np.zeros(len(STYLES), np.int64)) == {}
