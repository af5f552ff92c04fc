"""The watermark is detected after every attack that it should survive, and nowhere else."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import valle
from valle.audio.recording import resample
from valle.watermark.detect import MAX_FALSE_POSITIVE_PROBABILITY, WARPS, detect_watermark
from valle.watermark.embed import Payload, WatermarkEmbedder, embed_watermark
from valle.watermark.grid import (
    BANDS,
    PERIOD,
    PRESENCE_MASK,
    PUBLISHED_KEY,
    STEP_SIZES,
    derive_dither,
)
from valle.watermark.search import (
    NEUTRAL,
    RATE,
    Analysis,
    Warp,
    compute_spectrogram,
    count_tests,
    phase_step,
)

Samples = NDArray[np.float32]

KEY = b"the owner's key, 32 bytes of it."
OTHER_KEY = b"the key of somebody else, also 32"
PAYLOAD = Payload.for_receipt(KEY, "c0ffee")
VOICE = Path(__file__).parents[2] / "examples" / "voice.wav"


@pytest.fixture(scope="module")
def speech() -> Samples:
    """Return 6 s of speech without a watermark."""
    samples, rate = soundfile.read(VOICE, dtype="float32")
    return resample(samples, rate, RATE)[: 6 * RATE]


@pytest.fixture(scope="module")
def watermarked(speech: Samples) -> Samples:
    return embed_watermark(speech, RATE, KEY, PAYLOAD)


def encode_and_decode(
    samples: Samples, container: str, subtype: str, level: float | None = None
) -> Samples:
    """Write samples in a format and read them back."""
    file = io.BytesIO()
    options = {} if level is None else {"compression_level": level}
    soundfile.write(file, samples, RATE, format=container, subtype=subtype, **options)
    file.seek(0)
    read, rate = soundfile.read(file, dtype="float32")
    return resample(read, rate, RATE)


def add_noise(samples: Samples, decibels: float) -> Samples:
    noise = np.random.default_rng(0).standard_normal(len(samples))
    noise *= np.sqrt(np.mean(np.square(samples))) * 10 ** (-decibels / 20)
    return (samples + noise).astype(np.float32)


def limit_band(samples: Samples) -> Samples:
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(hertz < 300) | (hertz > 3400)] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


ATTACKS: dict[str, Callable[[Samples], Samples]] = {
    "none": lambda x: x,
    "mp3": lambda x: encode_and_decode(x, "MP3", "MPEG_LAYER_III"),
    "opus": lambda x: encode_and_decode(x, "OGG", "OPUS"),
    "vorbis": lambda x: encode_and_decode(x, "OGG", "VORBIS"),
    "8 kHz": lambda x: resample(resample(x, RATE, 8000), 8000, RATE),
    "8 bits": lambda x: (np.round(x * 127) / 127).astype(np.float32),
    "noise": lambda x: add_noise(x, 20),
    "attenuation": lambda x: encode_and_decode(x * 0.1, "WAV", "PCM_16"),
    "telephone band": limit_band,
    "telephone band and noise": lambda x: add_noise(limit_band(x), 20),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_payload_is_read_from_three_seconds(watermarked: Samples, attack: str) -> None:
    read = 0
    for start in range(4_011, 44_011, 8_000):
        excerpt = watermarked[start : start + 3 * RATE]
        detection = detect_watermark(ATTACKS[attack](excerpt), RATE, KEY)
        assert detection.found
        assert detection.false_positive_bound <= MAX_FALSE_POSITIVE_PROBABILITY
        assert detection.warp == NEUTRAL
        assert {span.payload for span in detection.spans} <= {PAYLOAD, None}
        assert detection.spans[0].start < 0.3
        assert detection.spans[-1].end > 2.6
        read += {span.payload for span in detection.spans} == {PAYLOAD}
    assert read >= 4  # of 5


def test_one_second_is_enough_for_detection(watermarked: Samples) -> None:
    for start in range(0, 5 * RATE, 7_001):
        assert detect_watermark(watermarked[start : start + RATE], RATE).found


@pytest.mark.parametrize(("speed", "pitch"), [(1.05, 1.05), (0.93, 0.93), (1.25, 1.25)])
def test_detected_at_other_speeds(watermarked: Samples, speed: float, pitch: float) -> None:
    resampled = resample(watermarked[: round(3.2 * RATE)], round(RATE * speed), RATE)
    detection = detect_watermark(resampled, RATE, KEY)
    assert detection.found
    assert detection.warp is not None
    assert detection.warp == pytest.approx((speed, pitch), abs=0.004)
    assert [span.payload for span in detection.spans] == [PAYLOAD]


@pytest.mark.parametrize(("tempo", "pitch"), [(1.25, 1.0), (1.0, 2 ** (2 / 12))])
def test_detected_at_other_tempos(watermarked: Samples, tempo: float, pitch: float) -> None:
    augmentation = pytest.importorskip("valle.corpora.augmentation", reason="needs [train]")
    higher = resample(watermarked[: 5 * RATE], round(RATE * pitch), RATE)
    detection = detect_watermark(augmentation.tempo(higher, tempo / pitch), RATE, KEY)
    assert detection.warp == pytest.approx((tempo, pitch), abs=0.004)


def test_no_detection_without_a_watermark(speech: Samples) -> None:
    for samples in (speech[: 3 * RATE], speech[: 2 * RATE : -1], add_noise(speech, 0)[: 2 * RATE]):
        detection = detect_watermark(samples, RATE, KEY)
        assert not detection.found
        assert not detection.spans
        assert detection.false_positive_bound > 1e-3
        assert detection.warp is None


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(1, np.float32),
        np.zeros(RATE, np.float32),
        np.ones(RATE, np.float32),
        np.tile(np.array([1, -1], np.float32), RATE // 2),
        np.sin(np.arange(2 * RATE, dtype=np.float32) / 5),
        np.eye(1, RATE, dtype=np.float32)[0],
        (np.arange(2 * RATE) // 160 % 2).astype(np.float32),
    ],
    ids=["empty", "one sample", "silence", "constant", "nyquist", "tone", "click", "square"],
)
def test_no_detection_in_signals_other_than_speech(samples: Samples) -> None:
    assert not detect_watermark(samples, RATE, KEY).found


def test_only_the_owners_key_reads_the_payload(speech: Samples, watermarked: Samples) -> None:
    assert all(
        span.payload is None for span in detect_watermark(watermarked, RATE, OTHER_KEY).spans
    )
    assert all(span.payload is None for span in detect_watermark(watermarked, RATE).spans)
    anonymous = detect_watermark(embed_watermark(speech, RATE), RATE, KEY)
    assert anonymous.found
    assert all(span.payload is None for span in anonymous.spans)


def test_no_detection_with_another_published_key(
    speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("valle.watermark.embed.PUBLISHED_KEY", OTHER_KEY)
    foreign = embed_watermark(speech[: 2 * RATE], RATE, KEY, PAYLOAD)
    monkeypatch.undo()
    assert not detect_watermark(foreign, RATE).found
    by_owner = detect_watermark(foreign, RATE, KEY)
    assert (by_owner.found, by_owner.by_owner) == (True, True)


def remove_published_half(watermarked: Samples) -> Samples:
    """Move the published half to the other side of its lattice, aligned, as an attacker can."""
    remover = WatermarkEmbedder(RATE)
    remover._dither = remover._dither + STEP_SIZES / 2
    return np.concatenate([remover.feed(watermarked), remover.finish()])


def test_published_key_alone_does_not_remove_the_owners_half(
    speech: Samples, watermarked: Samples
) -> None:
    removed = remove_published_half(watermarked)
    assert not detect_watermark(removed, RATE).found
    assert not detect_watermark(removed, RATE, OTHER_KEY).found
    detection = detect_watermark(removed, RATE, KEY)
    assert detection.by_owner
    assert detection.found
    assert [span.payload for span in detection.spans] == [PAYLOAD]
    assert not detect_watermark(watermarked, RATE, KEY).by_owner
    assert not detect_watermark(speech, RATE, KEY).found


def test_spans_locate_the_watermark(speech: Samples, watermarked: Samples) -> None:
    other = embed_watermark(speech, RATE, OTHER_KEY, Payload.for_receipt(OTHER_KEY, "1234"))
    parts = (speech, watermarked[8_000 : 8_000 + 4 * RATE], speech[: 3 * RATE], other)
    spliced = np.concatenate(parts)
    spans = detect_watermark(spliced, RATE, KEY).spans
    assert [span.payload for span in spans] == [PAYLOAD, None]
    expected = [(6.0, 10.0), (13.0, 19.0)]
    for span, (start, end) in zip(spans, expected, strict=True):
        assert span.start == pytest.approx(start, abs=0.4)
        assert span.end == pytest.approx(end, abs=0.4)


def test_long_recordings_are_searched_to_their_end(speech: Samples) -> None:
    long = np.concatenate(
        (np.tile(speech, 6), embed_watermark(np.tile(speech, 3), RATE, KEY, PAYLOAD))
    )
    spans = detect_watermark(long, RATE, KEY).spans
    assert [span.payload for span in spans] == [PAYLOAD]
    assert (spans[0].start, spans[0].end) == pytest.approx((36.0, 54.0), abs=0.4)


@given(cuts=st.lists(st.integers(0, 2 * RATE), max_size=8), extra=st.integers(0, 2000))
@settings(max_examples=30, deadline=None)
def test_streaming_equals_one_call(speech: Samples, cuts: list[int], extra: int) -> None:
    samples = speech[: 2 * RATE - extra]
    embedder = WatermarkEmbedder(RATE, KEY, PAYLOAD)
    fed = returned = 0
    pieces = []
    for piece in np.split(samples, sorted(cuts)):
        pieces.append(embedder.feed(piece))
        fed, returned = fed + len(piece), returned + len(pieces[-1])
        assert fed - returned < 0.05 * RATE
        assert returned % 640 == 0
    pieces.append(embedder.finish())
    streamed = np.concatenate(pieces)
    assert streamed.dtype == np.float32
    assert len(streamed) == len(samples)
    np.testing.assert_array_equal(streamed, embed_watermark(samples, RATE, KEY, PAYLOAD))


def test_change_is_small_and_within_the_telephone_band(speech: Samples) -> None:
    change = embed_watermark(speech, RATE, KEY, PAYLOAD) - speech
    assert 20 < 10 * np.log10(np.sum(speech**2.0) / np.sum(change**2.0)) < 30
    spectrum = np.abs(np.fft.rfft(change)) ** 2
    hertz = np.fft.rfftfreq(len(change), 1 / RATE)
    outside = (hertz < 200) | (hertz > 3450)
    assert spectrum[outside].sum() < 1e-3 * spectrum.sum()
    assert not embed_watermark(np.zeros(RATE, np.float32), RATE).any()
    # Cells that carry nothing are not changed.
    assert np.abs(embed_watermark(speech, RATE) - speech).sum() < 0.9 * np.abs(change).sum()


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 48000])
def test_other_sample_rates(speech: Samples, rate: int) -> None:
    samples = embed_watermark(resample(speech, RATE, rate), rate, KEY, PAYLOAD)
    detection = detect_watermark(samples, rate, KEY)
    assert detection.found
    assert any(span.payload == PAYLOAD for span in detection.spans)


def test_sample_rate_below_8_khz_is_refused() -> None:
    with pytest.raises(valle.UsageError, match="4000 Hz"):
        WatermarkEmbedder(4000)


def test_synthesized_speech_is_watermarked(model: valle.Model, voice: valle.Voice) -> None:
    synthesized = model.speak(
        "The house is green, and it is a very old house, they say.", voice, retries=0
    )
    assert detect_watermark(synthesized.audio, synthesized.sample_rate).found


# --- false-positive probability


def test_dither_is_uniform_and_depends_on_key_and_use() -> None:
    payload, presence = derive_dither(KEY, "payload"), derive_dither(KEY, "presence")
    for dither in (payload, presence, derive_dither(PUBLISHED_KEY, "presence")):
        assert dither.shape == (PERIOD, BANDS)
        assert dither.min() >= 0
        assert (dither < STEP_SIZES).all()
        counts = np.histogram(dither / STEP_SIZES, 16, (0, 1))[0]
        assert np.sum((counts - 192) ** 2 / 192) < 40  # chi-square, 15 degrees of freedom
    turns = [(dither / STEP_SIZES).ravel() for dither in (payload, presence)]
    assert abs(np.corrcoef(*turns)[0, 1]) < 0.1
    np.testing.assert_array_equal(payload, derive_dither(KEY, "payload"))
    assert (PRESENCE_MASK.sum(axis=1) == BANDS // 2).all()


def best_score(samples: Samples) -> float:
    return max(hit.score for hit in Analysis(compute_spectrogram(samples)).find_hits())


def test_scores_obey_the_chernoff_bound_for_any_recording(speech: Samples) -> None:
    """Random keys, as the bound is over keys, on speech, noisy speech, and a periodic sound.

    The share of keys for which one test scores s or more must not exceed exp(-s).
    """
    buzz = np.tile(speech[RATE : RATE + 640], 75)
    for samples in (speech[: 3 * RATE], buzz, add_noise(speech, 0)[: 3 * RATE]):
        analysis = Analysis(compute_spectrogram(samples))
        positions = analysis.column_positions(5)
        cells = np.where(PRESENCE_MASK[: len(positions)], analysis.cells[positions], 0)
        scale = math.sqrt(float((np.abs(cells) ** 2).sum()))
        rng = np.random.default_rng(1)
        turns = rng.uniform(0, 2 * np.pi, (5_000, *cells.shape)).astype(np.float32)
        sums = np.einsum("cb,kcb->k", cells.real, np.cos(turns))
        sums += np.einsum("cb,kcb->k", cells.imag, np.sin(turns))
        scores = np.maximum(sums / scale, 0) ** 2
        for least in (1.0, 2.0, 4.0, 6.0):
            expected = 5_000 * math.exp(-least)
            assert (scores >= least).sum() <= expected + 4 * math.sqrt(expected)
        # The bound is not loose: a normal variable of variance 1/2 comes within a factor of 6.
        assert (scores >= 2.0).mean() >= math.exp(-2.0) / 9


def test_search_makes_at_most_the_counted_tests(
    speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    from valle.watermark import search as watermark_search

    tests = offsets = 0
    iterate_tests, to_blocks = watermark_search._iterate_tests, watermark_search._to_blocks

    def counting_tests(columns: int):
        nonlocal tests
        for length, starts in iterate_tests(columns):
            tests += len(starts) * offsets * PERIOD
            yield length, starts

    def counting_offsets(cells: NDArray[np.complex64]) -> NDArray[np.float32]:
        nonlocal offsets
        offsets = len(cells)  # that are tested together next
        return to_blocks(cells)

    for samples in (speech[:RATE], speech[: 3 * RATE + 77], speech):
        for warp in (NEUTRAL, Warp(0.75, 0.75), Warp(0.9, 1.0), Warp(1.1, 1.1), Warp(1.5, 1.0)):
            powers = compute_spectrogram(samples)
            tests = 0
            with monkeypatch.context() as patch:
                patch.setattr(watermark_search, "_iterate_tests", counting_tests)
                patch.setattr(watermark_search, "_to_blocks", counting_offsets)
                Analysis(powers, warp).find_hits()
            limit = count_tests(len(samples), warp)
            assert 0.8 * limit <= tests <= limit
    assert phase_step(NEUTRAL) == 1
    assert NEUTRAL not in WARPS


@pytest.mark.parametrize("warp", [NEUTRAL, Warp(1.07, 1.0), Warp(0.9, 0.9)])
@pytest.mark.parametrize("seconds", [0.5, 3.0, 11.0])
def test_block_correlation_equals_the_definition(
    speech: Samples, watermarked: Samples, seconds: float, warp: Warp
) -> None:
    """Cumulative block correlation against the direct sum over cells."""
    samples = np.concatenate((speech[:777], watermarked, watermarked))[: round(seconds * RATE)]
    analysis = Analysis(compute_spectrogram(samples), warp)
    angles = derive_dither(PUBLISHED_KEY, "presence") * (2 * np.pi / STEP_SIZES)
    (best,) = analysis.find_hits()
    for hit in [best, *analysis.find_hits(0.7 * best.score)]:
        chosen = slice(hit.first, hit.first + hit.columns)
        positions = analysis.column_positions(hit.phase)[chosen]
        assert len(positions) == hit.columns
        shifts = (hit.shift + hit.first + np.arange(hit.columns)) % PERIOD
        cells = np.where(PRESENCE_MASK[shifts], analysis.cells[positions], 0)
        correlation = float((cells * np.exp(-1j * angles[shifts])).real.sum())
        energy = float((np.abs(cells) ** 2).sum())
        assert hit.score == pytest.approx(correlation**2 / energy, rel=1e-3)
    assert best.columns <= 250
    assert best.score == max(h.score for h in analysis.find_hits(best.score))


def test_best_null_score_follows_the_union_bound(
    speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over 40 keys, the median of the best score against the union bound at 1/2."""
    from valle.watermark import search as watermark_search

    powers = compute_spectrogram(speech[: 2 * RATE])
    analysis = Analysis(powers)
    best = []
    for number in range(40):
        key = number.to_bytes(2, "big")
        monkeypatch.setattr(watermark_search, "PUBLISHED_KEY", key)
        watermark_search._pattern_matrices.cache_clear()
        best.append(max(hit.score for hit in analysis.find_hits()))
    watermark_search._pattern_matrices.cache_clear()
    bound = math.log(count_tests(2 * RATE) / 0.5)  # at least half of all keys stay below
    assert np.median(best) <= bound
    assert np.median(best) >= bound - 5
    # The largest of 40 exceeds the bound at 1/40 by 4 nats with a probability of e**-4.
    assert max(best) <= math.log(count_tests(2 * RATE) * 40) + 4
