"""Codes and samples of a codec whose answers are known; streams equal whole decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny_codec import CODEBOOKS, DELAY, HOP, SIZE, STEP, codec_graphs, tiny_config
from valle.bundle.writer import write_bundle
from valle.errors import RecordingError, UsageError
from valle.runtime.codec import Codec
from valle.runtime.codec_decoder import CodecDecoder, decode_unmarked
from valle.watermark.detect import detect_watermark


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = tmp_path_factory.mktemp("codec") / "simple"
    return Codec(write_bundle(folder, tiny_config(), codec_graphs()))


@pytest.fixture(scope="module")
def mixing(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = tmp_path_factory.mktemp("codec") / "mixing"
    return Codec(write_bundle(folder, tiny_config(), codec_graphs(mix=True)))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = tmp_path_factory.mktemp("codec") / "noisy"
    return Codec(write_bundle(folder, tiny_config(), codec_graphs(mix=True, noise_gain=0.1)))


def encode_levels(levels: np.ndarray) -> np.ndarray:
    """Return the codes of frames with these levels."""
    codes = np.zeros((len(levels), CODEBOOKS), np.int64)
    codes[:, 0] = np.round(levels * STEP + STEP)
    return codes


def test_levels_survive_encoding_and_decoding(codec: Codec) -> None:
    levels = np.array([0.0, 0.5, -0.25, 0.125, -1.0, 0.75, 0.25], np.float32)
    samples = np.repeat(levels, HOP)
    codes = codec.encode(samples)
    assert codes.shape == (7, CODEBOOKS)
    assert codes.dtype == np.int64
    assert codes[:, 0].tolist() == [512, 768, 384, 576, 0, 896, 640]
    assert codes[:, 1].tolist() == codes[:, 0].tolist()
    decoded = decode_unmarked(codec, codes)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, samples)


def test_last_frame_is_padded_with_silence(codec: Codec) -> None:
    codes = codec.encode(np.full(HOP + HOP // 2, 0.5))
    assert codes[:, 0].tolist() == [768, 640]  # half of the second frame is silence
    assert codes[:, 1].tolist() == [768, 768]


@pytest.mark.parametrize("frames", [0, 1, DELAY - 1, DELAY, DELAY + 1, 3100])
def test_decode_gives_one_hop_per_frame(codec: Codec, frames: int) -> None:
    levels = np.round(np.random.default_rng(1).uniform(-1, 0.9, frames) * STEP) / STEP
    decoded = decode_unmarked(codec, encode_levels(levels))
    assert codec.decode(encode_levels(levels)).shape == decoded.shape
    np.testing.assert_allclose(decoded, np.repeat(levels, HOP), atol=1e-6)


def test_no_samples_give_no_codes(codec: Codec) -> None:
    assert codec.encode(np.zeros(0, np.float32)).shape == (0, CODEBOOKS)


def test_decoder_sees_frames_ahead(mixing: Codec) -> None:
    # One loud frame is in the four frames before it, by the known taps, and nowhere else.
    levels = np.zeros(12)
    levels[8] = 0.5
    decoded = decode_unmarked(mixing, encode_levels(levels)).reshape(-1, HOP)
    expected = np.zeros(12)
    expected[4:9] = 0.5 * np.array([0.4, 0.3, 0.2, 0.1, 1.0])
    np.testing.assert_allclose(decoded, np.repeat(expected[:, None], HOP, 1), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_streaming_equals_whole_decoding(noisy: Codec, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 30), max_size=8))
    seed = data.draw(st.integers(0, 2**32 - 1))
    codes = np.random.default_rng(seed).integers(0, SIZE + 1, (sum(lengths), CODEBOOKS))
    whole = decode_unmarked(noisy, codes)
    stream = CodecDecoder(noisy)
    chunks, start = [], 0
    for length in lengths:
        chunks.append(stream.feed(codes[start : start + length]))
        start += length
        # The latency is exactly the delay: nothing else is held back.
        assert sum(map(len, chunks)) == max(0, start - DELAY) * HOP
    chunks.append(stream.finish())
    streamed = np.concatenate(chunks)
    assert streamed.shape == whole.shape == (sum(lengths) * HOP,)
    np.testing.assert_allclose(streamed, whole, atol=1e-5)


def test_streams_do_not_share_state(mixing: Codec) -> None:
    loud, quiet = encode_levels(np.full(9, 0.9)), encode_levels(np.zeros(9))
    loud_stream, quiet_stream = CodecDecoder(mixing), CodecDecoder(mixing)
    loud_stream.feed(loud)
    assert np.abs(np.concatenate([quiet_stream.feed(quiet), quiet_stream.finish()])).max() == 0


def test_noise_is_gaussian_and_deterministic(noisy: Codec) -> None:
    codes = encode_levels(np.zeros(200))
    noise = decode_unmarked(noisy, codes)
    np.testing.assert_array_equal(noise, decode_unmarked(noisy, codes))
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 0.1) < 0.005
    frames = noise.reshape(-1, HOP)
    assert np.abs(np.corrcoef(frames[:50]) - np.eye(50)).max() < 0.35  # frames are independent


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(0, 40), max_size=5), seed=st.integers(0, 2**32 - 1))
def test_marked_stream_equals_whole_decoding(noisy: Codec, lengths: list[int], seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, SIZE + 1, (sum(lengths), CODEBOOKS))
    stream = noisy.stream()
    parts = np.split(codes, np.cumsum(lengths)[:-1]) if lengths else []
    streamed = np.concatenate([*map(stream.feed, parts), stream.finish()])
    whole = noisy.decode(codes)
    assert streamed.shape == whole.shape == (len(codes) * HOP,)
    np.testing.assert_allclose(streamed, whole, atol=1e-5)


def test_samples_from_codes_are_watermarked_whichever_way_they_take(noisy: Codec) -> None:
    codes = encode_levels(np.zeros(200))
    stream = noisy.stream()
    assert detect_watermark(noisy.decode(codes), noisy.sample_rate).found
    assert detect_watermark(
        np.concatenate([stream.feed(codes), stream.finish()]), noisy.sample_rate
    ).found
    unmarked = decode_unmarked(noisy, codes)
    assert not detect_watermark(unmarked, noisy.sample_rate).found
    # A recording through the codec is marked again.
    again = noisy.decode(noisy.encode(0.1 * np.random.default_rng(0).standard_normal(64_000)))
    assert again.shape == (64_000,)


def test_peek_does_not_change_later_samples(noisy: Codec) -> None:
    codes = encode_levels(np.linspace(-0.5, 0.5, 30))
    stream, reference = noisy.stream(), noisy.stream()
    for decoder in (stream, reference):
        decoder.feed(codes[:20])
    samples = stream.peek()
    np.testing.assert_array_equal(samples, stream.copy().finish())
    np.testing.assert_array_equal(stream.feed(codes[20:]), reference.feed(codes[20:]))


def test_finished_stream_is_refused(codec: Codec) -> None:
    stream = codec.stream()
    stream.finish()
    with pytest.raises(UsageError, match="finished"):
        stream.feed(np.zeros((1, CODEBOOKS), np.int64))
    with pytest.raises(UsageError, match="finished"):
        stream.finish()


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((3, 7), np.int64), r"\[frames, 8\]"),
        (np.zeros(8, np.int64), r"\[frames, 8\]"),
        (np.zeros((3, 8), np.float32), "integers"),
        (np.full((3, 8), SIZE + 1), "0..1024"),
        (np.full((3, 8), -1), "0..1024"),
    ],
)
def test_invalid_codes_are_refused(codec: Codec, codes: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        codec.decode(codes)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 640), np.float32), "one channel"),
        (np.zeros(640, np.int16), "floating-point"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.array([0.0, np.inf]), "infinity"),
    ],
)
def test_invalid_samples_are_refused(codec: Codec, samples: np.ndarray, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        codec.encode(samples)


def test_graphs_are_loaded_only_when_used(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", tiny_config(), codec_graphs())
    for file in bundle.folder.glob("*.onnx"):
        file.unlink()
    assert Codec(bundle).sample_rate == 16000
