"""The watermark: what is marked is found after all that it should withstand, nothing else is."""

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
from valle.watermark import error_correction
from valle.watermark.detect import FALSE_ALARMS, WARPS, detect
from valle.watermark.embed import Marker, Payload, key_number, mark
from valle.watermark.grid import (
    BANDS,
    GRID,
    PAYLOAD_CELLS,
    PAYLOAD_PERIOD,
    PERIOD,
    PRESENCE,
    PUBLISHED_KEY,
    places,
)
from valle.watermark.search import (
    NEUTRAL,
    RATE,
    Analysis,
    Warp,
    count_tests,
    phase_step,
    spectrogram,
)

Samples = NDArray[np.float32]

KEY = b"the owner's key, 32 bytes of it."
OTHER_KEY = b"the key of somebody else, also 32"
PAYLOAD = Payload.of(KEY, "c0ffee")
VOICE = Path(__file__).parents[2] / "examples" / "voice.wav"


@pytest.fixture(scope="module")
def speech() -> Samples:
    """6 s of speech that is not marked."""
    samples, rate = soundfile.read(VOICE, dtype="float32")
    return resample(samples, rate, RATE)[: 6 * RATE]


@pytest.fixture(scope="module")
def marked(speech: Samples) -> Samples:
    return mark(speech, RATE, KEY, PAYLOAD)


def through(samples: Samples, format: str, subtype: str, level: float | None = None) -> Samples:
    """What another program reads of the samples in this format."""
    file = io.BytesIO()
    more = {} if level is None else {"compression_level": level}
    soundfile.write(file, samples, RATE, format=format, subtype=subtype, **more)
    file.seek(0)
    read, rate = soundfile.read(file, dtype="float32")
    return resample(read, rate, RATE)


def noisy(samples: Samples, decibels: float) -> Samples:
    noise = np.random.default_rng(0).standard_normal(len(samples))
    noise *= np.sqrt(np.mean(np.square(samples))) * 10 ** (-decibels / 20)
    return (samples + noise).astype(np.float32)


def telephone(samples: Samples) -> Samples:
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(hertz < 300) | (hertz > 3400)] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


ATTACKS: dict[str, Callable[[Samples], Samples]] = {
    "nothing": lambda x: x,
    "mp3": lambda x: through(x, "MP3", "MPEG_LAYER_III"),
    "opus": lambda x: through(x, "OGG", "OPUS"),
    "vorbis": lambda x: through(x, "OGG", "VORBIS"),
    "8 kHz": lambda x: resample(resample(x, RATE, 8000), 8000, RATE),
    "8 bits": lambda x: np.round(x * 127).astype(np.float32) / 127,
    "noise": lambda x: noisy(x, 20),
    "quieter": lambda x: through(x * 0.1, "WAV", "PCM_16"),
    "telephone": telephone,
    "telephone and noise": lambda x: noisy(telephone(x), 20),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_three_seconds_tell_who_made_them(marked: Samples, attack: str) -> None:
    piece = marked[20_011 : 20_011 + 3 * RATE]
    found = detect(ATTACKS[attack](piece), RATE, KEY)
    assert found.found and found.chance <= FALSE_ALARMS and found.warp == NEUTRAL
    assert {span.payload for span in found.spans} == {PAYLOAD}
    assert found.spans[0].start < 0.3 and found.spans[-1].end > 2.6


def test_one_second_is_enough_to_be_found(marked: Samples) -> None:
    for start in range(0, 5 * RATE, 7_001):
        assert detect(marked[start : start + RATE], RATE).found


@pytest.mark.parametrize(("speed", "pitch"), [(1.05, 1.05), (0.93, 0.93)])
def test_it_is_found_at_other_speeds(marked: Samples, speed: float, pitch: float) -> None:
    played = resample(marked[: round(3.2 * RATE)], round(RATE * speed), RATE)
    found = detect(played, RATE, KEY)
    assert found.found and found.warp is not None
    assert found.warp == pytest.approx((speed, pitch), abs=0.004)
    assert [span.payload for span in found.spans] == [PAYLOAD]


def test_recordings_that_are_not_marked_are_not_found(speech: Samples) -> None:
    for samples in (speech[: 3 * RATE], speech[: 2 * RATE : -1], noisy(speech, 0)[: 2 * RATE]):
        found = detect(samples, RATE, KEY)
        assert not found.found and not found.spans and found.chance > 1e-3 and found.warp is None


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(1, np.float32),
        np.zeros(RATE, np.float32),
        np.ones(RATE, np.float32),
        np.tile(np.float32([1, -1]), RATE // 2),
        np.sin(np.arange(2 * RATE, dtype=np.float32) / 5),
        np.eye(1, RATE, dtype=np.float32)[0],
        (np.arange(2 * RATE) // 160 % 2).astype(np.float32),
    ],
    ids=["none", "one", "silence", "constant", "nyquist", "tone", "click", "square"],
)
def test_what_is_no_speech_is_not_found(samples: Samples) -> None:
    assert not detect(samples, RATE, KEY).found


def test_only_the_owners_key_reads_the_payload(speech: Samples, marked: Samples) -> None:
    assert all(span.payload is None for span in detect(marked, RATE, OTHER_KEY).spans)
    assert all(span.payload is None for span in detect(marked, RATE).spans)
    anonymous = detect(mark(speech, RATE), RATE, KEY)
    assert anonymous.found and all(span.payload is None for span in anonymous.spans)


def test_the_mark_of_another_published_key_is_not_found(
    speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("valle.watermark.embed.PUBLISHED_KEY", OTHER_KEY)
    foreign = mark(speech[: 2 * RATE], RATE, KEY, PAYLOAD)
    monkeypatch.undo()
    assert not detect(foreign, RATE, KEY).found


def test_where_it_is_marked(speech: Samples, marked: Samples) -> None:
    other = mark(speech, RATE, OTHER_KEY, Payload.of(OTHER_KEY, "1234"))
    spliced = np.concatenate((speech, marked[8_000 : 8_000 + 4 * RATE], speech[: 3 * RATE], other))
    spans = detect(spliced, RATE, KEY).spans
    assert [span.payload for span in spans] == [PAYLOAD, None]
    expected = [(6.0, 10.0), (13.0, 19.0)]
    for span, (start, end) in zip(spans, expected, strict=True):
        assert span.start == pytest.approx(start, abs=0.4)
        assert span.end == pytest.approx(end, abs=0.4)


def test_long_recordings_are_searched_to_their_end(speech: Samples, marked: Samples) -> None:
    long = np.concatenate((np.tile(speech, 6), mark(np.tile(speech, 3), RATE, KEY, PAYLOAD)))
    spans = detect(long, RATE, KEY).spans
    assert [span.payload for span in spans] == [PAYLOAD]
    assert (spans[0].start, spans[0].end) == pytest.approx((36.0, 54.0), abs=0.4)


@given(cuts=st.lists(st.integers(0, 2 * RATE), max_size=8), extra=st.integers(0, 2000))
@settings(max_examples=30, deadline=None)
def test_a_stream_is_marked_as_the_whole_is(
    speech: Samples, marked: Samples, cuts: list[int], extra: int
) -> None:
    samples = speech[: 2 * RATE - extra]
    marker = Marker(RATE, KEY, PAYLOAD)
    fed = given_back = 0
    pieces = []
    for piece in np.split(samples, sorted(cuts)):
        pieces.append(marker.feed(piece))
        fed, given_back = fed + len(piece), given_back + len(pieces[-1])
        assert fed - given_back < 0.05 * RATE and given_back % 640 == 0
    pieces.append(marker.finish())
    streamed = np.concatenate(pieces)
    assert streamed.dtype == np.float32 and len(streamed) == len(samples)
    np.testing.assert_array_equal(streamed, mark(samples, RATE, KEY, PAYLOAD))


def test_the_mark_changes_little_and_only_the_telephones_band(speech: Samples) -> None:
    change = mark(speech, RATE, KEY, PAYLOAD) - speech
    assert 20 < 10 * np.log10(np.sum(speech**2.0) / np.sum(change**2.0)) < 30
    spectrum = np.abs(np.fft.rfft(change)) ** 2
    hertz = np.fft.rfftfreq(len(change), 1 / RATE)
    outside = (hertz < 200) | (hertz > 3450)
    assert spectrum[outside].sum() < 1e-3 * spectrum.sum()
    assert not mark(np.zeros(RATE, np.float32), RATE).any()
    # Where nothing is to be carried nothing is changed.
    assert np.abs(mark(speech, RATE) - speech).sum() < 0.9 * np.abs(change).sum()


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 48000])
def test_models_of_other_sample_rates(speech: Samples, rate: int) -> None:
    made = mark(resample(speech, RATE, rate), rate, KEY, PAYLOAD)
    found = detect(made, rate, KEY)
    assert found.found and any(span.payload == PAYLOAD for span in found.spans)


def test_a_rate_that_cannot_carry_it() -> None:
    with pytest.raises(valle.UsageError, match="4000 Hz"):
        Marker(4000)


def test_what_a_model_says_is_marked(model: valle.Model, voice: valle.Voice) -> None:
    said = model.speak("The house is green, and it is a very old house, they say.", voice, redo=0)
    assert detect(said.audio, said.sample_rate).found


# --- the code


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_payload_is_32_bits(bits: int) -> None:
    payload = Payload.from_bits(bits)
    assert payload.bits == bits
    assert 0 <= payload.receipt < 2**16 and 0 <= payload.key < 2**12 and payload.version < 16
    assert error_correction.decode(error_correction.encode(bits)) == bits


def test_the_owners_key_is_named_in_the_payload() -> None:
    assert Payload.of(KEY, "c0ffee" + "0" * 58) == Payload(0xC0FF, key_number(KEY))
    assert key_number(KEY) != key_number(OTHER_KEY)


@pytest.mark.parametrize(("energy", "wrong"), [(30.0, 0.30), (40.0, 0.06), (50.0, 0.01)])
def test_the_code_is_as_strong_as_it_says(energy: float, wrong: float) -> None:
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(100):
        bits = int(rng.integers(2**32))
        symbols = error_correction.encode(bits)
        noise = rng.standard_normal(len(symbols)) * math.sqrt(0.5)
        failed += (
            error_correction.decode(symbols * math.sqrt(energy / error_correction.SYMBOLS) + noise)
            != bits
        )
    assert failed <= wrong * 100


def test_half_of_the_symbols_may_be_lost() -> None:
    symbols = error_correction.encode(0xDEADBEEF)
    for lost in (slice(0, 192), slice(100, 292), slice(1, None, 2)):
        heard = symbols.copy()
        heard[lost] = 0
        assert error_correction.decode(heard) == 0xDEADBEEF


def test_words_of_the_code_are_far_apart() -> None:
    assert (
        len(error_correction.encode(0))
        == PAYLOAD_CELLS * PAYLOAD_PERIOD
        == error_correction.SYMBOLS
    )
    few = [1 << index for index in range(32)] + [3, 5, 7, 9, 11, 13, 15, 17, 257, 511, 2**32 - 1]
    assert min((error_correction.encode(bits) < 0).sum() for bits in few) >= 74


# --- the chance of a false alarm


def test_places_are_spread_evenly_and_hang_on_key_and_use() -> None:
    one, other = places(KEY, "payload"), places(KEY, "presence")
    for each in (one, other, places(PUBLISHED_KEY, "presence")):
        assert each.shape == (PERIOD, BANDS) and each.min() >= 0 and (each < GRID).all()
        counts = np.histogram(each / GRID, 16, (0, 1))[0]
        assert np.sum((counts - 192) ** 2 / 192) < 40  # chi-square, 15 degrees of freedom
    assert abs(np.corrcoef((one / GRID).ravel(), (other / GRID).ravel())[0, 1]) < 0.1
    np.testing.assert_array_equal(one, places(KEY, "payload"))
    assert (PRESENCE.sum(axis=1) == BANDS - PAYLOAD_CELLS).all()


def best_score(samples: Samples) -> float:
    return max(hit.score for hit in Analysis(spectrogram(samples)).hits())


def test_scores_stay_under_their_bound_whatever_the_recording(
    speech: Samples,
) -> None:
    """Many keys, since the bound is over keys: speech, and a sound that is the same all the time.

    At one offset the scores of one test must not exceed exp(-s); counted for four values of s.
    """
    buzz = np.tile(speech[RATE : RATE + 640], 75)
    for samples in (speech[: 3 * RATE], buzz, noisy(speech, 0)[: 3 * RATE]):
        analysis = Analysis(spectrogram(samples))
        positions = analysis.positions(5)
        cells = np.where(PRESENCE[: len(positions)], analysis.cells[positions], 0)
        scale = math.sqrt(float((np.abs(cells) ** 2).sum()))
        rng = np.random.default_rng(1)
        turns = rng.uniform(0, 2 * np.pi, (5_000, *cells.shape)).astype(np.float32)
        sums = np.einsum("cb,kcb->k", cells.real, np.cos(turns))
        sums += np.einsum("cb,kcb->k", cells.imag, np.sin(turns))
        scores = np.maximum(sums / scale, 0) ** 2
        for least in (1.0, 2.0, 4.0, 6.0):
            expected = 5_000 * math.exp(-least)
            assert (scores >= least).sum() <= expected + 4 * math.sqrt(expected)
        # And it is no idle bound: a normal variable of variance 1/2 comes within a factor of 6.
        assert (scores >= 2.0).mean() >= math.exp(-2.0) / 9


def test_the_search_takes_no_more_tests_than_are_counted(
    speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    from valle.watermark import search as watermark_search

    made = offsets = 0
    counted, cut = watermark_search._tests_of, watermark_search._parts

    def counting(columns: int):  # type: ignore[no-untyped-def]
        nonlocal made
        for length, starts in counted(columns):
            made += len(starts) * offsets * PERIOD
            yield length, starts

    def cutting(cells: NDArray[np.complex64]) -> NDArray[np.float32]:
        nonlocal offsets
        offsets = len(cells)  # that are tested together, next
        return cut(cells)

    for samples in (speech[:RATE], speech[: 3 * RATE + 77], speech):
        for warp in (NEUTRAL, Warp(0.9, 1.0), Warp(1.1, 1.1)):
            powers = spectrogram(samples)
            made = 0
            with monkeypatch.context() as patch:
                patch.setattr(watermark_search, "_tests_of", counting)
                patch.setattr(watermark_search, "_parts", cutting)
                Analysis(powers, warp).hits()
            assert 0.8 * count_tests(len(samples), warp) <= made <= count_tests(len(samples), warp)
    assert phase_step(NEUTRAL) == 1 and NEUTRAL not in WARPS


@pytest.mark.parametrize("warp", [NEUTRAL, Warp(1.07, 1.0), Warp(0.9, 0.9)])
@pytest.mark.parametrize("seconds", [0.5, 3.0, 11.0])
def test_the_best_test_is_that_of_a_plain_sum(
    speech: Samples, marked: Samples, seconds: float, warp: Warp
) -> None:
    """The blocks of columns, summed up and compared at once, against the test's definition."""
    samples = np.concatenate((speech[:777], marked, marked))[: round(seconds * RATE)]
    analysis = Analysis(spectrogram(samples), warp)
    turns = places(PUBLISHED_KEY, "presence") * (2 * np.pi / GRID)
    (best,) = analysis.hits()
    for hit in [best, *analysis.hits(0.7 * best.score)]:
        chosen = slice(hit.first, hit.first + hit.columns)
        positions = analysis.positions(hit.phase)[chosen]
        assert len(positions) == hit.columns
        shifts = (hit.shift + hit.first + np.arange(hit.columns)) % PERIOD
        cells = np.where(PRESENCE[shifts], analysis.cells[positions], 0)
        heard = float((cells * np.exp(-1j * turns[shifts])).real.sum())
        assert hit.score == pytest.approx(heard**2 / float((np.abs(cells) ** 2).sum()), rel=1e-3)
    assert best.columns <= 250 and best.score == max(h.score for h in analysis.hits(best.score))


def test_the_best_of_a_search_is_as_chance_has_it(
    speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over 40 keys: the search's best scores, against the union bound at its middle."""
    from valle.watermark import search as watermark_search

    powers = spectrogram(speech[: 2 * RATE])
    analysis = Analysis(powers)
    best = []
    for number in range(40):
        key = number.to_bytes(2, "big")
        monkeypatch.setattr(watermark_search, "PUBLISHED_KEY", key)
        watermark_search._pattern.cache_clear()
        best.append(max(hit.score for hit in analysis.hits()))
    watermark_search._pattern.cache_clear()
    bound = math.log(count_tests(2 * RATE) / 0.5)  # half of all keys stay below, if not more
    assert np.median(best) <= bound
    assert np.median(best) >= bound - 5
    # The greatest of 40 is beyond the bound for 1 in 40 only by chance, of e**-4 here.
    assert max(best) <= math.log(count_tests(2 * RATE) * 40) + 4
