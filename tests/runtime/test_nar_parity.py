"""The NAR graph and its block loop equal plain PyTorch without a cache, on tiny random models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from valle.arrays import AnyFloats, Codes, Floats, Ints
from valle.runtime.nar import MIN_FIRST_BLOCK, NAR, NARPrompt, first_block_frames
from valle.runtime.speaker_encoder import EMBEDDING_DIM

torch = pytest.importorskip("torch")


from random_models import (
    NO_CODE,
    RandomModels,
    RandomUtterance,
    assert_close,
    make_random_models,
    make_utterance,
    run_nar_module,
    to_tensor,
    to_tensors,
)
from valle.training.models import nar as nar_module
from valle.training.models import quantizer
from valle.training.models.phonemes import Conditioning


@pytest.fixture(scope="module")
def models() -> RandomModels:
    return make_random_models()


@pytest.fixture
def nar(models: RandomModels) -> NAR:
    return NAR(models)  # type: ignore[arg-type]


def prefill(nar: NAR, prompt: RandomUtterance) -> NARPrompt:
    return nar.prefill(prompt.inputs(), prompt.speaker)


def sum_residual_codebooks(models: RandomModels, codes: Codes) -> Floats:
    """Return the sum of the vectors of the codebooks after the first, [..., latent]."""
    codebooks = models.nar.tables.numpy()
    total: Floats = sum(codebooks[book][codes[..., book]] for book in range(1, 8))
    return total


def quantize(codebooks: Floats, vector: Floats) -> tuple[int, ...]:
    """Return the residual codes of a vector by beam search, written out."""
    beam: list[tuple[tuple[int, ...], AnyFloats]] = [((), vector.astype(np.float64))]
    for codebook in codebooks:
        distance = np.stack([np.square(rest - codebook).sum(-1) for _, rest in beam])
        best = np.unravel_index(np.argsort(distance, axis=None)[: quantizer.BEAM], distance.shape)
        beam = [
            ((*beam[path][0], int(code)), beam[path][1] - codebook[code])
            for path, code in zip(*best, strict=True)
        ]
    return beam[0][0]


def predict_in_pytorch(
    models: RandomModels, prompt: RandomUtterance, prompt_frames: Ints, frames: Ints
) -> Floats:
    """Predict some frames of a prompt with others as the prompt, in PyTorch."""
    target = nar_module.Frames(*to_tensors(prompt.inputs(frames)))
    target = target._replace(codes=nar_module.mask_residual_codebooks(target.codes))
    speaker = Conditioning(to_tensor(prompt.speaker))
    with torch.no_grad():
        if not len(prompt_frames):
            target = target._replace(positions=to_tensor(frames))
            vectors, _, _ = models.nar(target, speaker, torch.tensor(1))
            return vectors[0].numpy()
        lengths = torch.tensor([len(prompt_frames)]), torch.tensor([len(frames)])
        context = nar_module.Frames(*to_tensors(prompt.inputs(prompt_frames)))
        return models.nar.forward_training(context, target, speaker, *lengths)[0].numpy()


def prompt_residual_in_pytorch(models: RandomModels, prompt: RandomUtterance) -> Floats:
    """Return the prediction residuals of a prompt's frames, each half predicted from the other."""
    size, count = models.nar.size, len(prompt.codes)
    window = size.past + size.block + size.ahead
    predicted = np.zeros((count, size.latent), np.float32)
    first, second = np.array_split(np.arange(count), 2)
    for half, other in ((first, second), (second, first)):
        for start in range(0, len(half), window):
            chunk = half[start : start + window]
            predicted[chunk] = predict_in_pytorch(models, prompt, other, chunk)
    return sum_residual_codebooks(models, prompt.codes) - predicted


def correct_frame_by_frame(
    models: RandomModels, first_codes: Ints, prompt_codes: Ints, residual: Floats
) -> Floats:
    """Compute `residual_correction` frame by frame and row by row."""
    codebook = models.nar.tables[0].numpy()
    mean = residual.sum(0) / (len(residual) + nar_module.PRIOR_FRAMES)
    width = nar_module.KERNEL_WIDTH * np.square(codebook).sum(-1).mean()
    corrections = []
    for code in first_codes:
        distances = [np.square(codebook[code] - codebook[c]).sum() for c in prompt_codes]
        kernel = np.exp(-np.array(distances) / width)
        local = sum(weight * (row - mean) for weight, row in zip(kernel, residual, strict=True))
        corrections.append(mean + local / (kernel.sum() + nar_module.PRIOR_NEIGHBORS))
    return np.array(corrections, np.float32)


def predict_blocks_in_pytorch(
    models: RandomModels, prompt: RandomUtterance, target: RandomUtterance, early: bool
) -> list[Codes]:
    """Predict all blocks in PyTorch: windows written out, the prompt computed again for each."""
    size, residual = models.nar.size, prompt_residual_in_pytorch(models, prompt)
    blocks: list[Codes] = []
    frames, start = len(target.codes), 0
    first = first_block_frames(size.block, early)
    while start < frames:
        usual = [*first, *[size.block] * frames][len(blocks)]
        block = frames - start if frames - start < usual + size.ahead else usual
        window = slice(max(0, start - size.past), min(frames, start + usual + size.ahead))
        inputs = target.inputs(window)
        codes = np.full_like(inputs.codes, NO_CODE)
        codes[:, 0] = inputs.codes[:, 0]
        with torch.no_grad():
            vectors = models.nar.forward_training(
                nar_module.Frames(*to_tensors(prompt.inputs())),
                nar_module.Frames(
                    to_tensor(codes), to_tensor(inputs.symbols), to_tensor(inputs.stress)
                ),
                Conditioning(to_tensor(prompt.speaker)),
                torch.tensor([len(prompt.codes)]),
                torch.tensor([len(codes)]),
            )[0].numpy()
        vectors += correct_frame_by_frame(models, codes[:, 0], prompt.codes[:, 0], residual)
        codes[:, 1:] = [quantize(models.nar.tables[1:].numpy(), vector) for vector in vectors]
        blocks.append(codes[start - window.start :][:block])
        start += block
    return blocks


@pytest.mark.parametrize("frames", [0, 1, 2, 5, 31, 40])
def test_prompt_residual_equals_pytorch_for_any_length(
    models: RandomModels, nar: NAR, frames: int
) -> None:
    prompt = make_utterance(25, frames=frames)
    cached = prefill(nar, prompt)
    assert cached.first_codes.tolist() == prompt.codes[:, 0].tolist()
    expected = prompt_residual_in_pytorch(models, prompt)
    assert_close(cached.residual, expected)


@pytest.mark.parametrize("frames", [1, 7, 9, 10, 24, 40])
@pytest.mark.parametrize("early", [False, True])
def test_blocks_equal_pytorch(models: RandomModels, nar: NAR, frames: int, early: bool) -> None:
    prompt, target = make_utterance(16), make_utterance(17, frames=frames)
    rows = iter(target.ar_frames())
    blocks = list(nar.predict_residuals(prefill(nar, prompt), rows, early=early))
    expected = predict_blocks_in_pytorch(models, prompt, target, early)
    assert [len(block) for block in blocks] == [len(block) for block in expected]
    codes = np.concatenate(blocks)
    np.testing.assert_array_equal(codes, np.concatenate(expected))
    assert codes[:, 0].tolist() == target.codes[:, 0].tolist()
    assert (codes < NO_CODE).all()


@pytest.mark.parametrize("early", [False, True])
def test_first_block_is_predicted_before_the_end_is_known(
    models: RandomModels, nar: NAR, early: bool
) -> None:
    size = models.nar.size
    usual = list(first_block_frames(size.block, early))
    taken = []

    def frames() -> Iterator[tuple[int, int, int]]:
        for code in range(100):
            taken.append(code)
            yield code, 1, 0

    prompt = prefill(nar, make_utterance(18, frames=0))
    first = next(nar.predict_residuals(prompt, frames(), early=early))
    assert len(first) == usual[0] < size.block
    assert len(taken) == usual[0] + size.ahead
    assert list(nar.predict_residuals(prompt, [], early=early)) == []
    lengths = [len(block) for block in nar.predict_residuals(prompt, frames(), early=early)]
    assert lengths[:-1] == usual + [size.block] * (len(lengths) - 1 - len(usual))
    assert sum(lengths) == 100


@pytest.mark.parametrize("count", [20, 34, 100])
def test_blocks_of_live_text_come_later_and_are_the_same(
    models: RandomModels, nar: NAR, count: int
) -> None:
    taken = []

    def frames() -> Iterator[tuple[int, int, int]]:
        for code in range(count):
            taken.append(code)
            yield code, 1, 0

    prompt = prefill(nar, make_utterance(18, frames=0))
    expected = list(nar.predict_residuals(prompt, frames(), early=True))
    taken.clear()
    live = nar.predict_residuals(prompt, frames(), early=True, live=True)
    blocks = [next(live)]
    assert len(taken) == min(count, MIN_FIRST_BLOCK + models.nar.size.ahead)
    blocks += live
    assert [len(block) for block in blocks] == [len(block) for block in expected]
    np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate(expected))


def test_awaited_blocks_are_shorter() -> None:
    assert first_block_frames(40) == (32,)
    assert first_block_frames(40, early=True) == (12, 24)
    assert first_block_frames(1, early=True) == (1, 1)


def test_speaker_embedding_changes_the_prediction(models: RandomModels, nar: NAR) -> None:
    prompt, target = make_utterance(19), make_utterance(20, frames=30)
    speakers = [prompt.speaker, target.speaker, np.zeros(EMBEDDING_DIM, np.float32)]
    inputs = [nar._inputs(nar._empty_prompt(speaker), target.inputs(), 1) for speaker in speakers]
    vectors = [models.session("nar").run(["vector"], feeds)[0][0] for feeds in inputs]
    for of_other in vectors[1:]:
        assert (np.abs(of_other - vectors[0]).max(axis=1) > 0.1).all()
    # The prompt passes its speaker on to every block.
    codes = [
        np.concatenate(
            list(nar.predict_residuals(nar.prefill(prompt.inputs(), speaker), target.ar_frames()))
        )
        for speaker in speakers
    ]
    for of_other in codes[1:]:
        assert (of_other != codes[0]).any(axis=1).mean() > 0.5


@pytest.mark.parametrize("kind", [0, 1], ids=["prompt rows", "target rows"])
def test_graph_equals_the_module(models: RandomModels, kind: int) -> None:
    prompt, target = make_utterance(19, frames=14), make_utterance(20, frames=11)
    size, rng = models.nar.size, np.random.default_rng(0)
    codes = np.stack([target.codes, target.codes[::-1]])
    codes[:, 3:, 1:] = NO_CODE
    inputs = target.inputs()
    past_shape = (size.layers, 2, size.heads, 14, size.width // size.heads)
    past = rng.normal(size=(2, *past_shape)).astype(np.float32)
    module_inputs = {
        "codes": codes,
        "symbols": np.stack([inputs.symbols] * 2),
        "stress": np.stack([inputs.stress] * 2),
        "voice": np.stack([prompt.speaker, target.speaker]),
        "positions": np.stack([np.arange(11) + 14] * 2),
        "kind": np.array(kind),
        "past_key": past[0],
        "past_value": past[1],
    }
    rng = np.random.default_rng(1)
    prompt_codes = codes[:, :5, 0]
    residual = rng.normal(size=(2, 5, size.latent)).astype(np.float32)
    unconditional = rng.normal(size=(2, 11, size.latent)).astype(np.float32)
    feeds = module_inputs | {"known": prompt_codes, "left": residual, "plain": unconditional}
    names = [output.name for output in models.session("nar").get_outputs()]

    def run(changes: dict[str, np.ndarray]) -> dict[str, Floats]:
        outputs = models.session("nar").run(None, feeds | changes)
        return dict(zip(names, outputs, strict=True))

    no_guidance, guidance = ({"strength": np.array(strength, np.float32)} for strength in (0, 2))
    corrected = run(no_guidance)["vector"]
    guided = run(guidance)["vector"]
    assert_close(guided, corrected + 2 * (corrected - unconditional))
    no_residual = {"known": prompt_codes[:, :0], "left": residual[:, :0]}
    outputs = run(no_guidance | no_residual)
    correction = [
        correct_frame_by_frame(models, codes[i, :, 0], prompt_codes[i], residual[i])
        for i in range(2)
    ]
    assert_close(corrected, outputs["vector"] + correction)
    assert np.abs(correction).max() > 0.1
    padded = torch.nn.functional.pad(models.nar.tables, (0, 0, 0, 1)).numpy()  # "no code" adds 0
    expected_sum = sum(padded[book][codes[..., book]] for book in range(1, 8))
    assert_close(outputs["given"], expected_sum)
    expected = run_nar_module(models.nar, module_inputs)
    for name, tensor in zip(("vector", "key", "value"), expected, strict=True):
        assert_close(outputs[name], tensor.numpy())


def pad_batch(utterances: Sequence[RandomUtterance], width: int) -> nar_module.Frames:
    """Return the frames of utterances, padded on the right."""
    rows = []
    for utterance in utterances:
        inputs, extra = utterance.inputs(), width - len(utterance.codes)
        codes = np.pad(inputs.codes, ((0, extra), (0, 0)), constant_values=NO_CODE)
        rows.append((codes, np.pad(inputs.symbols, (0, extra)), np.pad(inputs.stress, (0, extra))))
    return nar_module.Frames(
        *(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))
    )


def test_padding_has_no_effect_in_training(models: RandomModels) -> None:
    prompts = [make_utterance(21, frames=6), make_utterance(22, frames=15)]
    targets = [make_utterance(23, frames=20), make_utterance(24, frames=9)]

    def predict(prompts: list[RandomUtterance], targets: list[RandomUtterance]) -> Floats:
        prompt_frames = torch.tensor([len(utterance.codes) for utterance in prompts])
        target_frames = torch.tensor([len(utterance.codes) for utterance in targets])
        speakers = torch.from_numpy(np.stack([utterance.speaker for utterance in prompts]))
        target = pad_batch(targets, int(target_frames.max()))
        with torch.no_grad():
            return models.nar.forward_training(
                pad_batch(prompts, int(prompt_frames.max())),
                target._replace(codes=nar_module.mask_residual_codebooks(target.codes)),
                Conditioning(speakers),
                prompt_frames,
                target_frames,
            ).numpy()

    batched = predict(prompts, targets)
    for item in range(2):
        alone = predict(prompts[item : item + 1], targets[item : item + 1])
        assert_close(batched[item, : alone.shape[1]], alone[0])


def test_masking_keeps_only_the_first_codebook() -> None:
    codes = torch.arange(2 * 5 * 8).reshape(2, 5, 8)
    masked = nar_module.mask_residual_codebooks(codes)
    assert torch.equal(masked[..., 0], codes[..., 0])
    assert (masked[..., 1:] == NO_CODE).all()


def test_residual_vectors_are_the_sum_of_the_codebooks(models: RandomModels) -> None:
    codes = make_utterance(25, frames=6).codes
    vectors = quantizer.residual_vectors(models.nar.tables[1:], to_tensor(codes)[..., 1:])
    expected = torch.from_numpy(sum_residual_codebooks(models, codes))
    torch.testing.assert_close(vectors[0], expected)
