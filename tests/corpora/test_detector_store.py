"""`valle prepare detector` and what it uses: channels, Griffin-Lim, the watermark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from command_line import expect_success, expect_usage_error
from valle.bundle.bundle import Bundle
from valle.corpora import channel, detector_store, distortions
from valle.corpora.griffin_lim import griffin_lim
from valle.corpora.store import Store, StoreOptions, StoreWriter, UtteranceInfo
from valle.corpora.vocoders import available_vocoders
from valle.detection.detector import BONA_FIDE, RESYNTHESIZED, SYNTHETIC
from valle.watermark.detect import detect_watermark

RATE = 16_000
Samples = NDArray[np.float32]


def test_random_channel_keeps_length_and_speech(babble: Samples) -> None:
    for seed in range(12):
        transmitted = channel.random_channel(babble, np.random.default_rng(seed))
        assert transmitted.shape == babble.shape
        assert transmitted.dtype == np.float32
        assert np.isfinite(transmitted).all()
        assert np.abs(transmitted).max() > 1e-3
    low_rate = channel.transcode(babble, "OPUS", 1.0)
    high_rate = channel.transcode(babble, "OPUS", 0.5)
    errors = [np.abs(samples - babble).mean() for samples in (low_rate, high_rate)]
    assert 0 < errors[1] < errors[0]


@pytest.mark.parametrize("name", ["linear-prediction", "minimum-phase", "phase-noise", "world"])
def test_vocoders_keep_the_spectrum_and_not_the_waveform(name: str, babble: Samples) -> None:
    vocoder = available_vocoders().get(name)
    if vocoder is None:
        pytest.skip("needs the package pyworld")
    resynthesized = vocoder(babble, np.random.default_rng(0))
    assert resynthesized.shape == babble.shape
    assert resynthesized.dtype == np.float32
    assert 0 < np.abs(resynthesized).max() <= 1
    levels = [np.square(one).mean() for one in (babble, resynthesized)]
    assert 0.5 < levels[1] / levels[0] < 2

    def envelope(samples: Samples) -> NDArray[np.float64]:
        windows = np.lib.stride_tricks.sliding_window_view(samples, 512)[::128]
        power = np.square(np.abs(np.fft.rfft(windows * np.hanning(512))))[:, 4:244]
        return np.log(power.reshape(len(power), -1, 12).mean(axis=2) + 1e-4)

    assert np.corrcoef(envelope(babble).ravel(), envelope(resynthesized).ravel())[0, 1] > 0.6
    assert abs(np.corrcoef(resynthesized, babble)[0, 1]) < 0.99


@pytest.mark.parametrize("seed", range(3))
def test_distortions_keep_length_and_speech(babble: Samples, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for distorted in (
        distortions.raw_boost(babble, rng),
        distortions.loudspeaker(babble, rng),
        distortions.add_music(babble, 10.0, rng),
        distortions.spectral_gate(babble, 30.0),
    ):
        assert distorted.shape == babble.shape
        assert distorted.dtype == np.float32
        assert np.isfinite(distorted).all()
        assert np.square(distorted).mean() > 0.01 * np.square(babble).mean()


def test_gate_attenuates_the_noise_between_words(babble: Samples) -> None:
    noise = 0.003 * np.random.default_rng(0).standard_normal(len(babble)).astype(np.float32)
    gated = distortions.spectral_gate(babble + noise, 30.0)
    pause = slice(3000, 5000)  # between two syllables
    assert np.square(gated[pause]).mean() < 0.2 * np.square((babble + noise)[pause]).mean()


def test_griffin_lim_keeps_the_spectrum_and_not_the_waveform(babble: Samples) -> None:
    resynthesized = griffin_lim(babble, np.random.default_rng(0))
    assert resynthesized.shape == babble.shape

    def mean_log_spectrum(samples: Samples) -> NDArray[np.float64]:
        windows = np.lib.stride_tricks.sliding_window_view(samples, 512)[::128]
        return np.log(np.abs(np.fft.rfft(windows * np.hanning(512))[:, 5:60]).mean(axis=0))

    spectra = mean_log_spectrum(resynthesized), mean_log_spectrum(babble)
    assert np.corrcoef(*spectra)[0, 1] > 0.9
    assert abs(np.corrcoef(resynthesized, babble)[0, 1]) < 0.9


def write_corpus(folder: Path, is_synthetic: bool) -> Store:
    """Write five clips of noise by as many speakers."""
    writer = StoreWriter(folder)
    rng = np.random.default_rng(int(is_synthetic))
    corpus = "synthetic-valle" if is_synthetic else "test"
    for number in range(5):
        name, samples = f"speaker {number}", (0.1 * rng.standard_normal(2 * RATE))
        writer.add(
            UtteranceInfo(
                name, corpus, name, "x", waveform_is_clean=True, is_synthetic=is_synthetic
            ),
            samples.astype(np.float32),
        )
    writer.close()
    return Store(folder)


def test_material_has_all_classes_without_repetition(debug_bundle: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "recordings", is_synthetic=False)
    write_corpus(tmp_path / "self", is_synthetic=True)
    data = [word for name in ("recordings", "self") for word in ("--data", tmp_path / name)]
    store = tmp_path / "detector"
    command = ("prepare", "detector", store, *data, "--bundle", debug_bundle)
    expect_success(*command, "--minutes", 0.15, "-q")
    utterances = Store(store).utterances
    assert {utterance.corpus for utterance in utterances} == {
        f"{BONA_FIDE}/test",
        f"{RESYNTHESIZED}/8",
        f"{RESYNTHESIZED}/4",
        *(f"{SYNTHETIC}/{vocoder}" for vocoder in available_vocoders()),
        f"{SYNTHETIC}/valle",
    }
    assert all(u.is_synthetic == u.corpus.startswith(f"{SYNTHETIC}/") for u in utterances)
    # 0.15 minutes of clips of 2 s are 5 clips at most: each of the five once.
    assert len([u for u in utterances if u.corpus == f"{BONA_FIDE}/test"]) == 5


def test_half_of_each_class_is_watermarked(
    debug_bundle: Path, tmp_path: Path, babble: Samples
) -> None:
    writer = StoreWriter(tmp_path / "data")
    for number in range(12):
        writer.add(UtteranceInfo(f"{number}", "c", "s", None, waveform_is_clean=True), babble)
    writer.add(
        UtteranceInfo(
            "self", "synthetic-valle", "s", "x", waveform_is_clean=True, is_synthetic=True
        ),
        babble,
    )
    writer.close()
    bundle, store = Bundle.load(debug_bundle, threads=1), Store(tmp_path / "data")
    detector_store.prepare_detector(
        [store], tmp_path / "d", [bundle], StoreOptions(0.6, quiet=True)
    )
    material = Store(tmp_path / "d")
    recordings = [
        material.waveform(utterance)
        for utterance in material.utterances
        if utterance.corpus == f"{BONA_FIDE}/c"
    ]
    watermarked = sum(detect_watermark(samples, RATE).found for samples in recordings)
    assert 2 <= watermarked <= len(recordings) - 2


def test_self_synthesized_speech_is_not_watermarked_again(
    debug_bundle: Path, tmp_path: Path, babble: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector_store, "_WATERMARK_PROB", 1.0)
    monkeypatch.setattr(detector_store, "random_channel", lambda samples, rng: samples)
    writer = StoreWriter(tmp_path / "data")
    for name, corpus in (("a", "c"), ("b", "synthetic-valle"), ("c", "synthetic-x")):
        writer.add(
            UtteranceInfo(
                name,
                corpus,
                name,
                "x",
                waveform_is_clean=True,
                is_synthetic=corpus.startswith("synthetic-"),
            ),
            babble,
        )
    writer.close()
    bundle, store = Bundle.load(debug_bundle, threads=1), Store(tmp_path / "data")
    detector_store.prepare_detector(
        [store], tmp_path / "d", [bundle], StoreOptions(0.1, quiet=True)
    )
    material = Store(tmp_path / "d")
    watermarked = {
        utterance.corpus: detect_watermark(material.waveform(utterance), RATE).found
        for utterance in material.utterances
    }
    assert watermarked[f"{BONA_FIDE}/c"]
    assert watermarked[f"{SYNTHETIC}/x"]
    assert not watermarked[f"{SYNTHETIC}/valle"]


def test_self_synthesis_leaves_the_users_data_folder_alone(
    debug_bundle: Path, babble: Samples, tmp_path: Path, home: Path
) -> None:
    writer = StoreWriter(tmp_path / "recordings")
    writer.add(UtteranceInfo("a", "c", "speaker", None, waveform_is_clean=True), babble)
    writer.close()
    sentences = tmp_path / "sentences.tsv"
    texts = [f"The {word} went down to the old harbor." for word in ("man", "dog", "girl", "boat")]
    sentences.write_text("".join(f"test\t{text}\n" for text in texts))
    before = set(home.rglob("*"))
    data = ("--data", tmp_path / "recordings", "--sentences", sentences, "--bundle", debug_bundle)
    expect_success("prepare", "self", tmp_path / "self", *data, "--minutes", 0.01, "-q")
    utterances = Store(tmp_path / "self").utterances
    assert {u.corpus for u in utterances} == {"synthetic-valle"}
    assert all(u.is_synthetic for u in utterances)
    assert {u.speaker for u in utterances} == {"speaker"}
    assert set(home.rglob("*")) == before


def test_prepare_detector_refuses_bad_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path / "recordings", is_synthetic=False)
    command = ("prepare", "detector", tmp_path / "d", "--data", tmp_path / "recordings")
    assert "above 0" in expect_usage_error(capsys, *command, "--minutes", 0)
    assert "no synthetic speech" in expect_usage_error(capsys, *command)
