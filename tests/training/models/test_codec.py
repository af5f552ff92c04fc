"""The codec: a causal streaming decoder, bounded lookahead, and residual vector quantization."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from torch.nn import functional

from valle.audio_format import HOP
from valle.training.models.codec import CODEC_SIZES, DELAY, NOISE, Codec, CodecSize
from valle.training.models.quantizer import (
    BEAM,
    ResidualQuantizer,
    residual_codes,
    residual_vectors,
)

NO_CODE = 1024


@pytest.fixture(scope="module")
def codec() -> Codec:
    torch.manual_seed(0)
    return Codec(CODEC_SIZES["debug"]).eval()


@pytest.fixture
def deep() -> Codec:
    """Two layers per side, so that the state is of more than one block."""
    torch.manual_seed(1)
    return Codec(CodecSize(2, 16, 2, 16, latent=8)).eval()


def random_codes(frames: int, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(frames)
    return torch.randint(0, 1024, (batch, frames, 8), generator=generator)


def noise_of(codes: torch.Tensor) -> torch.Tensor:
    return torch.randn(*codes.shape[:2], NOISE, generator=torch.Generator().manual_seed(3))


def streamed(
    codec: Codec,
    codes: torch.Tensor,
    cuts: Sequence[int] = (),
    voice: torch.Tensor | None = None,
    noise: torch.Tensor | None = None,
) -> torch.Tensor:
    """Decode codes in chunks, with the delay."""
    noise = noise_of(codes) if noise is None else noise
    voice = torch.zeros(len(codes), 192) if voice is None else voice
    state = codes.new_zeros(len(codes), codec.decoder.state_size, dtype=torch.float32)
    chunks = []
    for start, end in zip([0, *cuts], [*cuts, codes.shape[1]], strict=True):
        latents = codec.quantiser.decode(codes[:, start:end])
        samples, state = codec.decoder(latents, state, voice, noise[:, start:end])
        chunks.append(samples)
    return torch.cat(chunks, dim=1)


@torch.no_grad()
@pytest.mark.parametrize("cuts", [[1], [1, 2, 3, 4, 5, 6, 7, 8], [3, 11], [10]])
def test_stream_equals_whole_decode(deep: Codec, cuts: list[int]) -> None:
    codes = torch.cat([random_codes(12), torch.full((2, DELAY, 8), NO_CODE)], dim=1)
    voice = functional.normalize(torch.randn(2, 192, generator=torch.Generator().manual_seed(0)))
    torch.nn.init.normal_(deep.decoder.voice.linear.weight, std=0.1)
    whole = streamed(deep, codes, voice=voice)
    assert whole.shape == (2, 16 * HOP)
    assert whole.abs().max() > 1e-3
    for other in (streamed(deep, codes), streamed(deep, codes, (), voice, 0 * noise_of(codes))):
        assert (whole - other).abs().max() > 1e-3  # voice and noise matter
    torch.testing.assert_close(streamed(deep, codes, cuts, voice), whole, atol=1e-5, rtol=0)
    # `decode` pads the end, removes the delay and samples the noise.
    torch.manual_seed(4)
    alone = deep.decode(codes[:, :12], voice)
    torch.manual_seed(4)
    noise = torch.randn(2, 16, NOISE)
    torch.testing.assert_close(
        alone, streamed(deep, codes, (), voice, noise)[:, DELAY * HOP :], atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_noise_samples_differ_only_in_their_noise(deep: Codec) -> None:
    latents = deep.quantiser.decode(random_codes(12))
    samples = deep.decode_latents(latents, noise_samples=2)
    assert samples.shape == (4, 12 * HOP)
    one, other = samples.chunk(2)
    assert (one - other).abs().max() > 1e-3
    torch.nn.init.constant_(deep.decoder.spread.bias, -1e4)
    one, other = deep.decode_latents(latents, noise_samples=2).chunk(2)
    assert torch.equal(one, other)


@torch.no_grad()
def test_samples_depend_on_at_most_four_frames_ahead(codec: Codec) -> None:
    codes = random_codes(24, batch=1)
    changed = codes.clone()
    changed[:, 16] = (changed[:, 16] + 500) % 1024
    made, other = (streamed(codec, given)[:, DELAY * HOP :] for given in (codes, changed))
    difference = (made - other).abs().reshape(24 - DELAY, HOP).amax(-1)
    assert DELAY == 4
    assert not difference[: 16 - DELAY].any()
    assert difference[16 - DELAY] > 0
    assert difference[16] > 0


@torch.no_grad()
def test_batch_equals_separate_rows(codec: Codec) -> None:
    codes = random_codes(6)
    both = streamed(codec, codes)
    for row in range(2):
        item = slice(row, row + 1)
        alone = streamed(codec, codes[item], noise=noise_of(codes)[item])
        torch.testing.assert_close(both[item], alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_encoder_gives_one_frame_per_hop(codec: Codec) -> None:
    codes = codec.encode(torch.randn(2, 7 * HOP) * 0.1)
    assert codes.shape == (2, 7, 8)
    assert codes.dtype == torch.int64
    assert codes.min() >= 0
    assert codes.max() < 1024


@pytest.fixture
def quantizer() -> ResidualQuantizer:
    torch.manual_seed(0)
    return ResidualQuantizer(codebooks=4, codebook_size=16, latent=3)


def test_no_code_adds_nothing(quantizer: ResidualQuantizer) -> None:
    codes = torch.randint(0, 16, (2, 5, 4))
    for book in range(4):
        one = torch.full_like(codes, 16)
        one[..., book] = codes[..., book]
        found = quantizer.decode(one)
        torch.testing.assert_close(found, quantizer.tables[book][codes[..., book]])
    assert not quantizer.decode(torch.full_like(codes, 16)).any()


def test_decoding_sums_the_vectors_of_all_codebooks(quantizer: ResidualQuantizer) -> None:
    codes = torch.randint(0, 16, (2, 5, 4))
    wanted = sum(quantizer.tables[book][codes[..., book]] for book in range(4))
    torch.testing.assert_close(quantizer.decode(codes), wanted)


def test_training_codes_are_nearest_to_the_residual(
    quantizer: ResidualQuantizer,
) -> None:
    latents = torch.randn(2, 9, 3) * 0.2
    codes, left = quantizer.eval()(latents, torch.full((2,), 4))[2], latents
    for book in range(4):
        distance = torch.cdist(left.reshape(-1, 3), quantizer.tables[book])
        chosen = distance.gather(1, codes[..., book].reshape(-1, 1))[:, 0]
        torch.testing.assert_close(chosen, distance.amin(-1))
        left = left - quantizer.tables[book][codes[..., book]]
    assert torch.equal(quantizer.encode(latents)[..., 0], codes[..., 0])


def test_two_small_codebooks_code_as_well_as_any_pair() -> None:
    """All codings by the first are followed: the best of all pairs is found."""
    torch.manual_seed(2)
    tables, rows = torch.randn(2, BEAM, 3), torch.randn(2, 30, 3)
    codes = residual_codes(tables, rows)
    found = (residual_vectors(tables, codes) - rows).norm(dim=-1)
    pairs = (tables[0][:, None] + tables[1][None]).reshape(-1, 3)
    torch.testing.assert_close(found, torch.cdist(rows, pairs).amin(-1))
    assert torch.equal(residual_codes(tables, rows[1, 7]), codes[1, 7])


def test_several_paths_leave_less_than_the_nearest_of_each() -> None:
    torch.manual_seed(3)
    rows = torch.randn(2, 50, 6)
    codebooks = torch.randn(4, 32, 6) * torch.tensor([1.0, 0.6, 0.4, 0.25])[:, None, None]
    greedy = rows
    for codebook in codebooks:
        greedy = greedy - codebook[torch.cdist(greedy, codebook[None]).argmin(-1)]
    left = rows - residual_vectors(codebooks, residual_codes(codebooks, rows))
    assert left.square().mean() < 0.6 * greedy.square().mean()


def test_code_vectors_round_trip(quantizer: ResidualQuantizer) -> None:
    codes = quantizer.encode(quantizer.tables[0][None])
    assert codes[0, :, 0].tolist() == list(range(16))


def test_gradient_is_straight_through(quantizer: ResidualQuantizer) -> None:
    latents = torch.randn(4, 5, 3, requires_grad=True)
    quantized, commitment, codes = quantizer.train()(latents, torch.full((4,), 4))
    quantized.sum().backward()
    torch.testing.assert_close(latents.grad, torch.ones_like(latents))
    assert float(commitment.detach()) >= 0
    assert codes.shape == (4, 5, 4)


def test_training_finds_clusters() -> None:
    """Four points and enough codes: each point is restored, though training vectors are noisy."""
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(1, 16, 2).train()
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0], [3.0, 0.0], [-2.0, 5.0]])
    for _ in range(30):
        rows = points[torch.randint(0, 4, (8, 32))] + 0.01 * torch.randn(8, 32, 2)
        quantizer(rows, torch.ones(8))
    quantizer.eval()
    found = quantizer.decode(quantizer.encode(points[None]))[0]
    assert (found - points).norm(dim=-1).max() < 0.03


def test_dead_codes_are_replaced_by_vectors_of_the_batch(quantizer: ResidualQuantizer) -> None:
    quantizer.train()
    quantizer(torch.randn(4, 16, 3), torch.full((4,), 4))
    quantizer.tables[0, 5] = 1e6  # far from all vectors
    quantizer.sums[0, 5] = 1e6
    quantizer.counts[0, 5] = 0.0
    kept = quantizer.tables[0, 6].clone()
    quantizer.counts[0, 6] = 1e3  # in use: it may move with its average, but not jump
    quantizer.sums[0, 6] = kept * 1e3
    batch = torch.randn(4, 16, 3)
    quantizer(batch, torch.full((4,), 4))
    assert quantizer.tables[0, 5].abs().max() < batch.abs().max() + 1e-3
    assert (quantizer.tables[0, 6] - kept).norm() < 0.1


def test_evaluation_does_not_change_codebooks(quantizer: ResidualQuantizer) -> None:
    before = quantizer.tables.clone()
    quantizer.eval()(torch.randn(2, 9, 3), torch.full((2,), 4))
    assert torch.equal(quantizer.tables, before)


@torch.no_grad()
def test_items_use_the_requested_number_of_codebooks(quantizer: ResidualQuantizer) -> None:
    latents = torch.randn(3, 5, 3)
    quantized, _, codes = quantizer.eval()(latents, torch.tensor([1, 3, 4]))
    for row, used in enumerate((1, 3, 4)):
        kept = codes[row].clone()
        kept[:, used:] = 16  # no code
        torch.testing.assert_close(quantized[row], quantizer.decode(kept[None])[0])


def test_perplexity_of_known_codes(quantizer: ResidualQuantizer) -> None:
    codes = torch.zeros(1, 16, 4, dtype=torch.int64)
    codes[0, :, 1] = torch.arange(16)
    codes[0, :, 2] = torch.arange(16) % 4
    codes[0, 12:, 3] = 1  # three quarters and one: exp(0.5623) = 1.755
    found = quantizer.perplexity(codes)
    torch.testing.assert_close(found, torch.tensor([1.0, 16.0, 4.0, 1.7548]), atol=1e-3, rtol=0)
