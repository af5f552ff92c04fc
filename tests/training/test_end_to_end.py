"""From sentences to speech through the command line: prepare, train, export, speak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

import valle
from command_line import expect_success, expect_usage_error
from conftest import ATTEST
from synthetic_corpus import write_corpus
from valle.corpora import synthetic
from valle.corpora.split import is_evaluation_sentence
from valle.corpora.store import Store
from valle.corpora.synthetic_speaker import ENGINES
from valle.errors import UsageError
from valle.training.checkpoints import load_speaker
from valle.training.data.labels import write_voices

SENTENCES = (
    "The old man walked slowly along the river, and watched the boats come home.",
    "Nobody in the village could remember a winter that had been as cold as this one.",
)


def test_from_sentences_to_speech(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any(map(is_evaluation_sentence, SENTENCES))
    espeak = {"espeak": ENGINES["espeak"]}
    monkeypatch.setattr(
        synthetic, "available_engines", lambda: espeak
    )  # the only one with exact times
    data, runs, bundle = tmp_path / "data", tmp_path / "runs", tmp_path / "bundle"
    sentences = tmp_path / "sentences.tsv"
    sentences.write_text("".join(f"test\t{sentence}\n" for sentence in SENTENCES))
    once = ("--workers", 1, "-q")
    expect_success(
        "prepare",
        "synthetic",
        data,
        "--sentences",
        sentences,
        "--speakers",
        3,
        "--utterances",
        2,
        *once,
    )
    store = Store(data)
    assert len({u.speaker for u in store.utterances}) == 3
    assert all(u.is_synthetic and store.labels[u.id] for u in store.utterances)

    train = ("--data", data, "--runs", runs, "--size", "debug", "--steps", 3, "--threads", 1, "-q")
    for stage in ("codec", "listener", "speaker"):
        expect_success("train", stage, *train, "--device", "cpu")
    expect_success("prepare", "codes", data, "--runs", runs, *once)
    expect_success("prepare", "labels", data, "--runs", runs, *once)
    store = Store(data)
    assert store.codes.shape == (len(store.audio) // 320, 8)
    assert store.codes.min() >= 0
    assert store.codes.max() < 1024
    assert store.voices.shape == (len(store.utterances), 192)
    speaker = load_speaker(runs / "speaker")
    for utterance, voice in zip(store.utterances, store.voices, strict=True):
        with torch.no_grad():
            wanted = speaker(torch.from_numpy(store.waveform(utterance))[None])[0]
        np.testing.assert_allclose(voice, wanted, atol=1e-5)
        assert np.linalg.norm(voice) == pytest.approx(1.0, abs=1e-5)
    assert (store.voices[0] != store.voices[-1]).any()
    assert len(store.labels) == len(store.utterances)  # exact times are kept
    faster = tmp_path / "faster"
    expect_success("prepare", "speeds", faster, "--data", data, "--speed", 1.1, "-q")
    expect_success("prepare", "codes", faster, "--runs", runs, *once)
    for stage in ("ar", "nar"):
        expect_success("train", stage, *train, "--data", faster, "--device", "cpu")
    for stage in ("codec", "listener", "speaker", "ar", "nar"):
        state = torch.load(runs / stage / "checkpoint.pt", weights_only=True)
        assert state["step"] == 3
        for tensors in state["modules"].values():
            assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())

    card = tmp_path / "card.md"
    card.write_text("# Trained for three steps: «naïve»\n", encoding="utf-8")
    expect_success("export", bundle, "--runs", runs, "--name", "three-steps", "--card", card)
    written = (bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert written.startswith(card.read_text(encoding="utf-8").rstrip())
    model = valle.load(bundle, threads=1)
    voice = model.enroll(recording, attest=ATTEST)
    speech = model.speak("Yes.", voice=voice)
    assert len(speech.audio) == len(speech.codes) * 320 > 0
    assert np.isfinite(speech.audio).all()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, {"a": [150], "b": [30]}, words=4)
    return folder


def test_size_of_a_run_cannot_change(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ("train", "speaker", "--data", corpus, "--runs", tmp_path, "--threads", 1, "-q")
    expect_success(*train, "--size", "debug", "--steps", 1)
    before = (tmp_path / "speaker" / "size.json").read_text()
    assert "--size" in expect_usage_error(capsys, *train, "--size", "default", "--steps", 2)
    assert (tmp_path / "speaker" / "size.json").read_text() == before
    expect_success(*train, "--size", "debug", "--steps", 2)


def test_missing_inputs_are_explained(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--runs", tmp_path, "--size", "debug", "--steps", 1, "--threads", 1, "-q")
    train = ("train", "codec", *common, "--data", corpus)
    assert "prepare" in expect_usage_error(capsys, *train[:-1], tmp_path / "nothing")
    assert "--share" in expect_usage_error(capsys, *train, "--share", "1", "--share", "2")
    short = tmp_path / "short"
    write_corpus(short, {"a": [20], "b": [20]}, words=2)
    assert "clean recordings" in expect_usage_error(capsys, *train[:-1], short)
    assert "transcribed" in expect_usage_error(
        capsys, "train", "listener", *common, "--data", short
    )
    coded = ("prepare", "codes", corpus, "--runs", tmp_path, "--workers", 1, "-q")
    assert "codec" in expect_usage_error(capsys, *coded)
    assert "size.json" in expect_usage_error(capsys, "train", "ar", *common, "--data", corpus)
    with pytest.raises(UsageError, match="speaker"):
        write_voices(Store(corpus), tmp_path / "speaker", quiet=True)
    assert "codec" in expect_usage_error(
        capsys, "export", tmp_path / "bundle", "--runs", tmp_path / "none"
    )
    export = ("export", tmp_path / "bundle", "--card", tmp_path / "no-card")
    assert "no-card" in expect_usage_error(capsys, *export)
