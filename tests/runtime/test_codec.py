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


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = tmp_path_factory.mktemp("codec") / "plain"
    return Codec(write_bundle(folder, tiny_config(), codec_graphs()))


@pytest.fixture(scope="module")
def mixing(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = tmp_path_factory.mktemp("codec") / "mixing"
    return Codec(write_bundle(folder, tiny_config(), codec_graphs(mix=True)))


@pytest.fixture(scope="module")
def hissing(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = tmp_path_factory.mktemp("codec") / "hissing"
    return Codec(write_bundle(folder, tiny_config(), codec_graphs(mix=True, hiss=0.1)))


def levels_as_codes(levels: np.ndarray) -> np.ndarray:
    codes = np.zeros((len(levels), CODEBOOKS), np.int64)
    codes[:, 0] = np.round(levels * STEP + STEP)
    return codes


def test_planted_levels_come_back_in_their_places(codec: Codec) -> None:
    levels = np.array([0.0, 0.5, -0.25, 0.125, -1.0, 0.75, 0.25], np.float32)
    samples = np.repeat(levels, HOP)
    codes = codec.encode(samples)
    assert codes.shape == (7, CODEBOOKS) and codes.dtype == np.int64
    assert codes[:, 0].tolist() == [512, 768, 384, 576, 0, 896, 640]
    assert codes[:, 1].tolist() == codes[:, 0].tolist()
    decoded = codec.decode(codes)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, samples)


def test_the_last_frame_is_filled_with_silence(codec: Codec) -> None:
    codes = codec.encode(np.full(HOP + HOP // 2, 0.5))
    assert codes[:, 0].tolist() == [768, 640]  # half of the second frame is silence
    assert codes[:, 1].tolist() == [768, 768]


@pytest.mark.parametrize("frames", [0, 1, DELAY - 1, DELAY, DELAY + 1, 3100])
def test_decode_gives_one_hop_for_each_frame(codec: Codec, frames: int) -> None:
    levels = np.round(np.random.default_rng(1).uniform(-1, 0.9, frames) * STEP) / STEP
    decoded = codec.decode(levels_as_codes(levels))
    np.testing.assert_allclose(decoded, np.repeat(levels, HOP), atol=1e-6)


def test_no_sound_no_codes(codec: Codec) -> None:
    assert codec.encode(np.zeros(0, np.float32)).shape == (0, CODEBOOKS)


def test_frames_ahead_reach_the_decoder(mixing: Codec) -> None:
    # One loud frame is heard, by the known taps, in the four frames before it, and nowhere else.
    levels = np.zeros(12)
    levels[8] = 0.5
    decoded = mixing.decode(levels_as_codes(levels)).reshape(-1, HOP)
    expected = np.zeros(12)
    expected[4:9] = 0.5 * np.array([0.4, 0.3, 0.2, 0.1, 1.0])
    np.testing.assert_allclose(decoded, np.repeat(expected[:, None], HOP, 1), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_streaming_equals_whole(hissing: Codec, data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.integers(0, 30), max_size=8))
    seed = data.draw(st.integers(0, 2**32 - 1))
    codes = np.random.default_rng(seed).integers(0, SIZE + 1, (sum(pieces), CODEBOOKS))
    whole = hissing.decode(codes)
    stream = hissing.stream()
    got, start = [], 0
    for piece in pieces:
        got.append(stream.feed(codes[start : start + piece]))
        start += piece
        # What is late is exactly the delay: nothing is held back without need.
        assert sum(map(len, got)) == max(0, start - DELAY) * HOP
    got.append(stream.finish())
    streamed = np.concatenate(got)
    assert streamed.shape == whole.shape == (sum(pieces) * HOP,)
    np.testing.assert_allclose(streamed, whole, atol=1e-5)


def test_two_streams_do_not_share_state(mixing: Codec) -> None:
    loud, quiet = levels_as_codes(np.full(9, 0.9)), levels_as_codes(np.zeros(9))
    one, other = mixing.stream(), mixing.stream()
    one.feed(loud)
    assert np.abs(np.concatenate([other.feed(quiet), other.finish()])).max() == 0


def test_noise_is_normal_and_the_same_each_time(hissing: Codec) -> None:
    codes = levels_as_codes(np.zeros(200))
    noise = hissing.decode(codes)
    np.testing.assert_array_equal(noise, hissing.decode(codes))
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 0.1) < 0.005
    frames = noise.reshape(-1, HOP)
    assert np.abs(np.corrcoef(frames[:50]) - np.eye(50)).max() < 0.35  # nothing comes again


def test_to_ask_for_the_rest_leaves_the_noise_to_come(hissing: Codec) -> None:
    codes = levels_as_codes(np.linspace(-0.5, 0.5, 30))
    asked, left = hissing.stream(), hissing.stream()
    for stream in (asked, left):
        stream.feed(codes[:20])
    rest = asked.rest()
    assert len(rest) == DELAY * HOP
    np.testing.assert_array_equal(rest, asked.copy().finish())
    np.testing.assert_array_equal(asked.feed(codes[20:]), left.feed(codes[20:]))


def test_a_finished_stream_refuses_more(codec: Codec) -> None:
    stream = codec.stream()
    stream.finish()
    with pytest.raises(UsageError, match="finished"):
        stream.feed(np.zeros((1, CODEBOOKS), np.int64))
    with pytest.raises(UsageError, match="finished"):
        stream.finish()


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (np.zeros((3, 7), np.int64), r"\[frames, 8\]"),
        (np.zeros(8, np.int64), r"\[frames, 8\]"),
        (np.zeros((3, 8), np.float32), "integers"),
        (np.full((3, 8), SIZE + 1), "0..1024"),
        (np.full((3, 8), -1), "0..1024"),
    ],
)
def test_codes_of_another_form_are_refused(codec: Codec, codes: np.ndarray, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        codec.decode(codes)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((2, 640), np.float32), "one channel"),
        (np.zeros(640, np.int16), "floating-point"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.array([0.0, np.inf]), "infinity"),
    ],
)
def test_samples_of_another_form_are_refused(codec: Codec, samples: np.ndarray, words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        codec.encode(samples)


def test_a_codec_that_is_not_used_loads_no_graph(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", tiny_config(), codec_graphs())
    for file in bundle.folder.glob("*.onnx"):
        file.unlink()
    assert Codec(bundle).sample_rate == 16000
