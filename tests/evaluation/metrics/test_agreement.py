"""Metrics agree with independent implementations on the same texts and samples."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.arrays import Samples
from valle.evaluation.metrics import audio_quality
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.metrics.word_errors import (
    PUBLISHED,
    WordErrorCounter,
    normalize_as_published,
)
from valle.text.numbers import to_cardinal

jiwer = pytest.importorskip("jiwer", reason="needs the extra eval")
english = pytest.importorskip("whisper_normalizer.english", reason="needs the extra eval")

WORDS = "the cat sat on a mat while it rained don't".split()
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)


def levenshtein(expected: list[str] | str, heard: list[str] | str) -> int:
    """The classic table of Wagner and Fischer (1974), written for this test."""
    row = list(range(len(heard) + 1))
    for i, left in enumerate(expected, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(heard, start=1):
            above = row[j]
            row[j] = min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
            diagonal = above
    return row[-1]


@pytest.fixture(scope="module")
def counter() -> WordErrorCounter:
    return WordErrorCounter(PUBLISHED)


@given(expected=texts, heard=st.one_of(st.just(""), texts))
def test_word_and_character_errors_are_exact(
    expected: str, heard: str, counter: WordErrorCounter
) -> None:
    errors = counter.count(expected, heard)
    assert errors.word_edits == levenshtein(expected.split(), heard.split())
    assert errors.character_edits == levenshtein(expected, heard)
    if heard:
        assert errors.word_edits / errors.words == jiwer.wer(expected, heard)
        assert errors.character_edits / errors.characters == jiwer.cer(expected, heard)


def test_published_normalization_is_that_of_seed_tts_eval() -> None:
    assert normalize_as_published("It's FIFTY – or “50”, isn’t it?") == "it's fifty or 50 isn't it"
    count = WordErrorCounter(PUBLISHED).count
    assert count("Fifty cats.", "50 cats").word_edits == 1  # as published, an error
    assert WordErrorCounter().count("Fifty cats.", "50 cats").word_edits == 0


def spell(number: int) -> list[str]:
    """Ways in which a number is spelled."""
    words = " ".join(to_cardinal(str(number))).replace("-", " ")
    with_and = re.sub(r"hundred (?=\w)", "hundred and ", words)
    tens = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
    return [words, with_and, re.sub(rf"({tens}) (?=\w)", r"\1-", words)]


def normalize_all(texts: list[str]) -> list[str]:
    """Normalize many texts at once, which is much faster; words between them keep them apart."""
    normalize = english.EnglishTextNormalizer()
    return [text.strip() for text in normalize(" pages ".join(texts)).split("pages")]


def test_spelled_numbers_equal_digits() -> None:
    numbers = range(10_001)
    digits = normalize_all([str(number) for number in numbers])
    assert len(set(digits)) == len(numbers)  # no two numbers are taken for one
    assert normalize_all([f"{number:,}" for number in numbers]) == digits
    for way in range(3):
        spelled = [spell(number)[way] for number in numbers]
        wrong = [
            (text, got, wanted)
            for text, got, wanted in zip(spelled, normalize_all(spelled), digits, strict=True)
            if got != wanted
        ]
        assert wrong == []


@pytest.fixture(scope="module")
def pairs(recorded: Samples) -> list[tuple[Samples, Samples]]:
    """Recordings, and the same with noise of several levels."""
    rng = np.random.default_rng(0)
    excerpt = recorded[:48_000]
    return [
        (excerpt, (excerpt + level * rng.standard_normal(len(excerpt))).astype(np.float32))
        for level in (0.001, 0.02)
    ]


def test_pesq_agrees(pairs: list[tuple[Samples, Samples]]) -> None:
    library = pytest.importorskip("pesq", reason="needs the extra eval")
    for reference, degraded in pairs:
        expected = library.pesq(16_000, reference.astype(float), degraded.astype(float), "wb")
        assert audio_quality.pesq(reference, degraded) == pytest.approx(expected, abs=1e-3)


def reference_stoi(reference: Samples, degraded: Samples) -> float:
    """STOI after the equations of Taal et al. (2011), written for this test, at 10 kHz."""
    signal = pytest.importorskip("scipy.signal")
    rate, frame, hop, bands, segment = 10_000, 256, 128, 15, 30
    x, y = (signal.resample_poly(s.astype(float), 5, 8) for s in (reference, degraded))
    window = np.hanning(frame + 2)[1:-1]

    def cut(samples):
        count = (len(samples) - frame) // hop + 1
        return np.stack([window * samples[k * hop : k * hop + frame] for k in range(count)])

    frames_x, frames_y = cut(x), cut(y)
    energy = 20 * np.log10(np.linalg.norm(frames_x, axis=1) + 1e-20)
    kept = energy > energy.max() - 40

    def join(frames):
        out = np.zeros((len(frames) - 1) * hop + frame)
        for k, row in enumerate(frames):
            out[k * hop : k * hop + frame] += row
        return out

    x, y = join(frames_x[kept]), join(frames_y[kept])
    spectra = [np.abs(np.fft.rfft(cut(s), 512, axis=1)) ** 2 for s in (x, y)]
    frequencies = np.linspace(0, rate, 513)[:257]
    centers = 150 * 2.0 ** (np.arange(bands) / 3)
    edges = [(c * 2 ** (-1 / 6), c * 2 ** (1 / 6)) for c in centers]
    places = [tuple(int(np.argmin((frequencies - e) ** 2)) for e in pair) for pair in edges]
    x_bands, y_bands = (
        np.sqrt(np.stack([s[:, low:high].sum(1) for low, high in places])) for s in spectra
    )
    scores = []
    for end in range(segment, x_bands.shape[1] + 1):
        a, b = x_bands[:, end - segment : end], y_bands[:, end - segment : end]
        b = b * np.linalg.norm(a, axis=1, keepdims=True) / np.linalg.norm(b, axis=1, keepdims=True)
        b = np.minimum(b, a * (1 + 10 ** (15 / 20)))
        a, b = (v - v.mean(axis=1, keepdims=True) for v in (a, b))
        scores.append((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
    return float(np.mean(scores))


def test_stoi_agrees(pairs: list[tuple[Samples, Samples]]) -> None:
    library = pytest.importorskip("pystoi", reason="needs the extra eval")
    for reference, degraded in pairs:
        ours = audio_quality.stoi(reference, degraded)
        assert ours == pytest.approx(library.stoi(reference, degraded, 16_000), abs=1e-6)
        assert ours == pytest.approx(reference_stoi(reference, degraded), abs=1e-3)


def mel_filters(rate: int, length: int, count: int) -> np.ndarray:
    """Slaney's mel filters [count, bins], each of unit area, written for this test."""

    def to_hz(mel: np.ndarray) -> np.ndarray:
        low = mel * 200 / 3  # linear up to 1 kHz, logarithmic above
        return np.where(mel < 15, low, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    highest = 15 + 27 * np.log(rate / 2 / 1000) / np.log(6.4)
    edges = to_hz(np.linspace(0, highest, count + 2))
    bins = np.fft.rfftfreq(length, 1 / rate)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])[:, None]


def reference_embedding(voiced: Samples, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Resemblyzer's encoder (Wan et al. 2018: three LSTMs over 1.6 s), written for this test."""
    length, hop, part, step = 400, 160, 160, 77  # samples, samples, frames, frames
    starts = range(0, max(1, -(-(len(voiced) + 1) // hop) - part + step + 1), step)
    if len(starts) > 1 and len(voiced) - starts[-1] * hop < 0.75 * part * hop:
        starts = starts[:-1]
    missing = max(0, (starts[-1] + part) * hop - len(voiced))
    padded = np.pad(voiced.astype(float), (length // 2, missing + length // 2))
    window = np.hanning(length + 1)[:-1]
    count = (len(padded) - length) // hop + 1
    frames = np.stack([window * padded[k * hop : k * hop + length] for k in range(count)])
    mels = np.abs(np.fft.rfft(frames)) ** 2 @ mel_filters(16_000, length, 40).T
    inputs = np.stack([mels[start : start + part] for start in starts], axis=1)  # [160, parts, 40]

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for layer in range(3):
        into, back, bias, other = (
            weights[f"lstm.{name}_l{layer}"]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        hidden = cell = np.zeros((len(starts), 256))
        outputs = []
        for frame in inputs:
            gates = frame @ into.T + hidden @ back.T + bias + other
            enter, forget, candidate, leave = np.split(gates, 4, axis=1)
            cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
            hidden = sigmoid(leave) * np.tanh(cell)
            outputs.append(hidden)
        inputs = np.stack(outputs)
    raw = np.maximum(0, inputs[-1] @ weights["linear.weight"].T + weights["linear.bias"])
    mean = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).mean(axis=0)
    return mean / np.linalg.norm(mean)


def test_similarity_agrees(
    encoder: ResemblyzerEncoder, pairs: list[tuple[Samples, Samples]]
) -> None:
    library = pytest.importorskip("resemblyzer", reason="needs the extra eval")
    network = library.VoiceEncoder("cpu", verbose=False)
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}

    def embed(samples: Samples) -> np.ndarray:
        level = np.sqrt(np.mean(samples.astype(float) ** 2))
        at_level = (samples * 10**-1.5 / level).astype(np.float32)  # -30 dBFS
        return reference_embedding(library.preprocess_wav(at_level), weights)

    for reference, degraded in pairs:
        ours = encoder.embed(reference) @ encoder.embed(degraded)
        assert ours == pytest.approx(embed(reference) @ embed(degraded), abs=1e-3)
        assert ours < 0.9999  # so that constant embeddings would not agree by chance
