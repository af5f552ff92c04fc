"""Options and files of `valle prepare` and `valle train` are checked before any work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="needs the extra [train]")

from command_line import expect_success, expect_usage_error
from synthetic_corpus import write_corpus
from valle.corpora.store import Store

STAGES = ("codec", "listener", "speaker", "ar", "nar", "detector")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, {"a": [150], "b": [150]}, words=4)
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "-3"], "--minutes"),
        (["--minutes", "0"], "--minutes"),
        (["--minutes", "nan"], "--minutes"),
        (["--steps", "-1"], "--steps"),
        (["--steps", "0"], "--steps"),
        (["--steps", "1", "--minutes", "1"], "--minutes"),
        ([], "--minutes"),
        (["--steps", "1", "--threads", "0"], "--threads"),
        (["--steps", "1", "--seed", "-1"], "--seed"),
        (["--steps", "1", "--device", "gpu9"], "--device"),
        (["--steps", "1", "--device", "cuda:99"], "--device"),
        (["--steps", "1", "--learning-rate", "0"], "--learning-rate"),
        (["--steps", "1", "--size", "huge"], "--size"),
    ],
)
def test_invalid_train_options_are_rejected(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    train = ("train", "speaker", "--data", corpus, "--runs", tmp_path / "runs", "-q")
    assert message in expect_usage_error(capsys, *train, *arguments)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("stage", "option"),
    [
        (stage, option)
        for option, stages in {
            ("--share", "1"): ("ar", "nar"),
            ("--infilling", "0.5"): ("ar", "nar"),
            ("--guidance", "1"): ("ar",),
            ("--keep-codes",): ("codec",),
            ("--leave-out", "flite"): ("detector",),
        }.items()
        for stage in STAGES
        if stage not in stages
    ],
)
def test_options_of_other_stages_are_rejected(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    option: tuple[str, ...],
) -> None:
    train = ("train", stage, "--data", corpus, "--runs", tmp_path, "--steps", "1", "-q")
    assert option[0] in expect_usage_error(capsys, *train, *option)


@pytest.mark.parametrize("shares", [["1"], ["0", "0"], ["-1", "2"], ["nan", "1"], ["inf", "1"]])
def test_invalid_shares_are_rejected(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], shares: list[str]
) -> None:
    export = pytest.importorskip("valle.training.export.bundle")
    imported = pytest.importorskip("valle.training.export.import_bundle")
    bundle = pytest.importorskip("valle.bundle.bundle").Bundle.load(
        export.debug_bundle(tmp_path / "bundle")
    )
    imported.import_bundle(bundle, tmp_path / "runs")
    (tmp_path / "runs" / "ar" / "checkpoint.pt").unlink()
    train = ("train", "ar", "--data", corpus, "--data", corpus, "--runs", tmp_path / "runs")
    options = [argument for share in shares for argument in ("--share", share)]
    common = ("--size", "debug", "--steps", "1", "-q")
    assert "--share" in expect_usage_error(capsys, *train, *common, *options)


def test_resuming_with_other_speakers_is_explained(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    write_corpus(other, {"x": [150], "y": [150], "z": [150]}, words=4)
    common = ("--runs", tmp_path / "runs", "--size", "debug", "--threads", "1", "-q")
    expect_success("train", "speaker", "--data", corpus, *common, "--steps", "1")
    message = expect_usage_error(
        capsys, "train", "speaker", "--data", other, *common, "--steps", "2"
    )
    assert "size mismatch" in message
    assert "--data" in message


def test_recordings_need_no_heldout_list(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000, np.float32), 16_000)
    row = {"audio": "a.wav", "corpus": "c", "speaker": "s", "text": None, "seconds": 1.0}
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(json.dumps(row) + "\n")
    prepare = ("prepare", "recordings", tmp_path / "out", "--workers", "1", "-q")
    expect_success(*prepare, "--manifest", manifest)
    assert [u.speaker for u in Store(tmp_path / "out").utterances] == ["s"]


def test_prepare_has_no_default_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stage, option in (("recordings", "--manifest"), ("synthetic", "--sentences")):
        assert option in expect_usage_error(capsys, "prepare", stage, tmp_path / "out")


def test_malformed_files_are_reported_with_line_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"audio": "a.wav", "corpus": "c"}\n')
    prepare = ("prepare", "recordings", tmp_path / "out", "--manifest", manifest)
    assert 'line 1: "speaker"' in expect_usage_error(capsys, *prepare)
    manifest.write_text("\n{\n")
    assert "line 2" in expect_usage_error(capsys, *prepare)


@pytest.mark.parametrize(
    ("stage", "arguments"),
    [
        ("recordings", ["--workers", "0"]),
        ("synthetic", ["--speakers", "0"]),
        ("synthetic", ["--utterances", "-1"]),
        ("synthetic", ["--seed", "-1"]),
        ("predicted", ["--seconds", "0"]),
        ("self", ["--minutes", "-5"]),
        ("detector", ["--minutes", "nan"]),
        ("speeds", ["--speed", "3"]),
        ("codes", ["--seed", "1"]),
    ],
)
def test_invalid_prepare_options_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, arguments: list[str]
) -> None:
    message = expect_usage_error(capsys, "prepare", stage, tmp_path / "out", *arguments)
    assert arguments[0] in message
