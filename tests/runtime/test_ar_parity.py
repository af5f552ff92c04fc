"""The AR graphs and their loop equal plain PyTorch without a cache, on tiny random models."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import pytest

from valle.arrays import Floats
from valle.errors import UsageError
from valle.runtime.ar import ARDecoder
from valle.runtime.batching import EncodedText, Frame, FrameStream
from valle.runtime.kv_cache import PromptCache
from valle.runtime.pointer import Pointer, count_frames_on_symbol, measure_durations
from valle.runtime.sampling import DurationController, Sampling, TransitionSampler, sample
from valle.runtime.speaker_encoder import EMBEDDING_DIM

torch = pytest.importorskip("torch")

from torch import Tensor

from random_models import (
    NO_CODE,
    SYMBOLS,
    RandomModels,
    RandomUtterance,
    assert_close,
    make_random_models,
    make_utterance,
    to_tensor,
)
from valle.training.models.ar import input_codes

GREEDY = Sampling(temperature=0.0)


@pytest.fixture(scope="module")
def models() -> RandomModels:
    return make_random_models()


@pytest.fixture
def decoder(models: RandomModels) -> ARDecoder:
    return ARDecoder(models)  # type: ignore[arg-type]


def text_tensors(utterance: RandomUtterance) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the phoneme encoder reads."""
    symbols, stress = to_tensor(utterance.symbols), to_tensor(utterance.stress)
    return symbols, stress, to_tensor(utterance.speaker)


def generate_in_pytorch(
    models: RandomModels,
    prompt: RandomUtterance,
    sentence: RandomUtterance,
    sampling: Sampling,
    seed: int = 0,
    duration: DurationController | None = None,
) -> list[Frame]:
    """Generate a sentence without a cache or a graph: every step computes every row again."""

    def encode(utterance: RandomUtterance) -> Tensor:
        encoded: Tensor = models.ar.phonemes(*text_tensors(utterance))[0]
        return encoded

    with torch.no_grad():
        prompt_rows = encode(prompt)[prompt.frame_symbol]
        encoded = encode(sentence)
    rng = np.random.default_rng(seed)
    pointer = Pointer(sentence.borders, limit=duration.target_frames if duration else None)
    transitions = TransitionSampler(pointer, sampling, rng, duration)
    codes = list(prompt.codes)
    frames_on_symbol = list(count_frames_on_symbol(prompt.frame_symbol))
    rows = list(prompt_rows)
    frames: list[Frame] = []
    while not pointer.done:
        rows.append(encoded[pointer.index])
        frames_on_symbol.append(pointer.frames_on_symbol)
        inputs = np.stack([np.full(8, NO_CODE), *codes])
        with torch.no_grad():
            logits, transition_logits = models.ar(
                to_tensor(inputs), torch.stack(rows)[None], to_tensor(np.array(frames_on_symbol))
            )
        code = sample(logits[0, -1].numpy(), sampling, rng, [code for code, _ in frames])
        frames.append((code, pointer.index))
        transitions.next(transition_logits[0, -1].numpy())
        codes.append(np.array([code] + [NO_CODE] * 7))
    return frames


def prefill(decoder: ARDecoder, prompt: RandomUtterance) -> PromptCache:
    encoded = decoder.encode(prompt.symbols, prompt.stress, prompt.speaker)
    frames_on_symbol = count_frames_on_symbol(prompt.frame_symbol)
    return decoder.prefill(prompt.codes, encoded[prompt.frame_symbol], frames_on_symbol)


def generate(
    decoder: ARDecoder,
    prompt: PromptCache,
    sentence: RandomUtterance,
    sampling: Sampling = GREEDY,
    seed: int = 0,
    duration: DurationController | None = None,
) -> FrameStream:
    encoded = decoder.encode(sentence.symbols, sentence.stress, sentence.speaker)
    rng = np.random.default_rng(seed)
    return decoder.generate(prompt, EncodedText(encoded, sentence.borders), sampling, rng, duration)


def test_phoneme_encoder_graph_equals_the_module_with_and_without_padding(
    models: RandomModels, decoder: ARDecoder
) -> None:
    short, long = make_utterance(1, symbols=5), make_utterance(2, symbols=11)
    padding = np.full(6, -1)
    feeds = {
        "symbols": np.stack([np.concatenate((short.symbols, padding)), long.symbols]),
        "stress": np.stack([np.concatenate((short.stress, padding * 0)), long.stress]),
        "voice": np.stack([short.speaker, long.speaker]),
    }
    encoded = models.session("phonemes").run(None, feeds)[0]
    with torch.no_grad():
        of_module = models.ar.phonemes(*map(torch.from_numpy, feeds.values())).numpy()
    assert_close(encoded, of_module)
    unpadded = decoder.encode(short.symbols, short.stress, short.speaker)
    assert_close(encoded[0, :5], unpadded)


def test_phoneme_encoder_sees_six_symbols_ahead(decoder: ARDecoder) -> None:
    utterance = make_utterance(2, symbols=11)
    changed = utterance.symbols.copy()
    changed[7] = (changed[7] + 1) % SYMBOLS
    before, after = (
        decoder.encode(symbols, utterance.stress, utterance.speaker)
        for symbols in (utterance.symbols, changed)
    )
    difference = np.abs(after - before).max(axis=1)
    assert difference[0] == 0.0 < difference[1]


def test_speaker_embedding_shifts_every_encoded_symbol(decoder: ARDecoder) -> None:
    utterance, other = make_utterance(1), make_utterance(2)
    speakers = [utterance.speaker, other.speaker, np.zeros(EMBEDDING_DIM, np.float32)]
    encoded = [decoder.encode(utterance.symbols, utterance.stress, s) for s in speakers]
    for of_other in encoded[1:]:
        shift = of_other - encoded[0]
        assert (np.abs(shift).max(axis=1) > 0.1).all()
        # All by the same amount: it does not depend on the position in the text.
        np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-4)


def test_batch_of_unequal_lengths_equals_separate_runs(models: RandomModels) -> None:
    graph, size = models.session("ar"), models.ar.size
    utterances = make_utterance(3, frames=20), make_utterance(4, frames=20)
    encoded = np.random.default_rng(0).normal(size=(2, 20, size.width)).astype(np.float32)
    codes = np.stack([utterance.codes for utterance in utterances])
    stay = np.stack([count_frames_on_symbol(u.frame_symbol) for u in utterances])
    shape = (1, size.heads, size.max_positions, size.width // size.heads)
    names = [f"past_{kind}_{i}" for kind in ("key", "value") for i in range(size.layers)]
    empty = {name: np.zeros(shape, np.float32) for name in names}

    def run(
        items: list[int], rows: list[slice], past: dict[str, Floats]
    ) -> tuple[Floats, dict[str, Floats]]:
        def pick(array: np.ndarray) -> np.ndarray:
            return np.stack([array[item, part] for item, part in zip(items, rows, strict=True)])

        totals = [part.stop for part in rows]
        feeds = {
            "codes": pick(codes),
            "encoded": pick(encoded),
            "stay": pick(stay),
            "seqlens_k": np.array(totals, np.int32) - 1,
            "total_sequence_length": np.array(max(totals), np.int32),
        }
        outputs = [output.name for output in graph.get_outputs()]
        values = dict(zip(outputs, graph.run(None, {**feeds, **past}), strict=True))
        present = {f"past{k[7:]}": v for k, v in values.items() if k.startswith("present")}
        return values["logits"], present

    # Prompts of 12 and 5 rows, then one step of both together.
    _, first_cache = run([0], [slice(0, 12)], empty)
    _, second_cache = run([1], [slice(0, 5)], empty)
    first_alone, _ = run([0], [slice(12, 13)], first_cache)
    second_alone, _ = run([1], [slice(5, 6)], second_cache)
    both = {name: np.concatenate((first_cache[name], second_cache[name])) for name in first_cache}
    batched, _ = run([0, 1], [slice(12, 13), slice(5, 6)], both)
    assert_close(batched, np.concatenate((first_alone, second_alone)))
    with torch.no_grad():
        logits, _ = models.ar(
            to_tensor(codes[0, :13]), to_tensor(encoded[0, :13]), to_tensor(stay[0, :13])
        )
    assert_close(first_alone[0, 0], logits[0, 12])


@pytest.mark.parametrize("sampling", [GREEDY, Sampling()], ids=["greedy", "sampled"])
@pytest.mark.parametrize("has_target", [False, True], ids=["free", "target duration"])
def test_decoding_equals_pytorch_without_a_cache(
    models: RandomModels, decoder: ARDecoder, sampling: Sampling, has_target: bool
) -> None:
    # Few symbols, so that some are longer than the 31 frames that the model tells apart.
    prompt, sentence = make_utterance(5, symbols=2, frames=90), make_utterance(6, symbols=13)
    duration = DurationController(31, np.ones(13)) if has_target else None
    frames = list(generate(decoder, prefill(decoder, prompt), sentence, sampling, 7, duration))
    assert frames == generate_in_pytorch(models, prompt, sentence, sampling, 7, duration)
    durations = measure_durations(np.array([symbol for _, symbol in frames]), 13)
    assert (durations[~sentence.borders] > 0).all()
    assert len({code for code, _ in frames}) > 5, "with constant codes this would test nothing"
    assert not has_target or len(frames) == 31


def test_prompt_serves_several_sentences_at_once(decoder: ARDecoder) -> None:
    prompt = make_utterance(8)
    sentences = make_utterance(9), make_utterance(10, symbols=12)
    expected = [list(generate(decoder, prefill(decoder, prompt), s)) for s in sentences]
    shared = prefill(decoder, prompt)
    streams = [generate(decoder, shared, sentence) for sentence in sentences]
    pairs = list(zip_longest(*streams))  # a frame of each in turn: neither may affect the other
    assert [frame for frame, _ in pairs if frame] == expected[0]
    assert [frame for _, frame in pairs if frame] == expected[1]
    assert list(generate(decoder, shared, sentences[0])) == expected[0]


def test_prompt_has_an_effect_and_may_be_empty(models: RandomModels, decoder: ARDecoder) -> None:
    sentence, empty = make_utterance(11), make_utterance(12, frames=0)
    without_prompt = list(generate(decoder, prefill(decoder, empty), sentence))
    assert without_prompt == generate_in_pytorch(models, empty, sentence, GREEDY)
    with_prompt = list(generate(decoder, prefill(decoder, make_utterance(12)), sentence))
    assert with_prompt != without_prompt


def test_speech_stays_within_the_models_positions(models: RandomModels, decoder: ARDecoder) -> None:
    sentence, room = make_utterance(13, symbols=20), models.ar.size.max_positions
    frames = list(
        generate(decoder, prefill(decoder, make_utterance(14, frames=room - 17)), sentence)
    )
    assert len(frames) <= 17
    assert set(np.flatnonzero(~sentence.borders)) <= {symbol for _, symbol in frames}
    nearly_full = prefill(decoder, make_utterance(14, frames=room - 5))
    with pytest.raises(UsageError, match="too few"):
        generate(decoder, nearly_full, sentence)
    with pytest.raises(UsageError, match="shorter excerpt"):
        prefill(decoder, make_utterance(14, frames=room))


def test_training_reads_the_codes_that_decoding_reads() -> None:
    utterance, prompt_frames = make_utterance(15, symbols=9, frames=30), 12
    lengths = [torch.tensor([prompt_frames])] * 2
    inputs = input_codes(to_tensor(utterance.codes), *lengths)[0].numpy()
    assert (inputs[0] == NO_CODE).all()
    assert (inputs[1 : prompt_frames + 1] == utterance.codes[:prompt_frames]).all()
    assert (inputs[prompt_frames + 1 :, 0] == utterance.codes[prompt_frames:-1, 0]).all()
    assert (inputs[prompt_frames + 1 :, 1:] == NO_CODE).all()
