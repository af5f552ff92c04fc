"""The encoder reads faster-whisper's files and computes what that program computes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from synthetic_corpus import buzz
from valle.errors import UsageError
from valle.training.models.whisper import (
    WhisperEncoder,
    load_whisper_encoder,
    make_mel_filters,
    read_ctranslate2,
)
from whisper_files import LAYERS, WIDTH, random_variables, write_whisper


def test_variables_and_aliases_are_read_as_written(tmp_path: Path) -> None:
    folder = write_whisper(tmp_path, aliases={"decoder/copy": "encoder/conv1/bias"})
    variables = read_ctranslate2(folder / "model.bin")
    expected = random_variables()
    assert variables.keys() == {*expected, "decoder/copy"}
    for name, values in expected.items():
        np.testing.assert_array_equal(variables[name], values)
    np.testing.assert_array_equal(variables["decoder/copy"], expected["encoder/conv1/bias"])


def test_features_have_one_row_per_frame_and_gradients(tmp_path: Path) -> None:
    encoder = load_whisper_encoder(write_whisper(tmp_path))
    assert not list(encoder.parameters())
    waveform = (0.1 * torch.randn(2, 10 * 320)).requires_grad_()
    features, peak = encoder(waveform)
    assert [layer.shape for layer in features] == [(2, 10, WIDTH)] * (LAYERS + 1)
    assert peak.shape == (2, 1, 1)
    features[-1].square().sum().backward()
    assert waveform.grad is not None
    assert waveform.grad.abs().min(1).values.max() > 0


def test_given_peak_decides_what_is_clipped(tmp_path: Path) -> None:
    encoder = load_whisper_encoder(write_whisper(tmp_path))
    waveform = 0.1 * torch.randn(1, 3200)
    _, peak = encoder.log_mel(waveform)
    clipped, given = encoder.log_mel(waveform, peak + 20.0)
    assert torch.equal(given, peak + 20.0)
    assert clipped.unique().numel() == 1  # all of it lies more than eight decades below


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no Whisper model at"),
        (b"", "not a CTranslate2 model"),
        (b"\x06\0\0\0\xff\xff", "not a CTranslate2 model"),
        (b"\x06\0\0\0\x02\0A\0\x03\0\0\0\0\0\0\0\0\0\0\0", "does not hold a Whisper encoder"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load_whisper_encoder(tmp_path)


def test_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = write_whisper(tmp_path) / "model.bin"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UsageError, match="not a CTranslate2 model"):
        load_whisper_encoder(tmp_path)


def test_mel_filters_have_unit_area() -> None:
    filters = make_mel_filters()
    assert filters.shape == (80, 201)
    assert (filters >= 0).all()
    # A triangle's area is its height times half its width; the wide ones are sampled well.
    area = filters[50:].sum(1) * 8000 / 200
    torch.testing.assert_close(area, torch.ones(30), atol=0.02, rtol=0.0)


def test_encoder_computes_what_faster_whisper_computes() -> None:
    folder = os.environ.get("VALLE_WHISPER")
    if not folder:
        pytest.skip("VALLE_WHISPER does not name the folder of a faster-whisper model")
    ctranslate2 = pytest.importorskip("ctranslate2", reason="needs the extra [eval]")
    extractor = pytest.importorskip("faster_whisper.feature_extractor").FeatureExtractor()
    samples = np.zeros(480_000, np.float32)
    tone = buzz(np.linspace(90, 240, 5 * 16_000))
    samples[: len(tone)] = tone
    mel = np.ascontiguousarray(extractor(samples)[None, :, :3000])
    reference = ctranslate2.models.Whisper(folder, device="cpu", compute_type="float32")
    expected = np.array(reference.encode(ctranslate2.StorageView.from_array(mel)))
    encoder: WhisperEncoder = load_whisper_encoder(Path(folder))
    with torch.no_grad():
        features, _ = encoder(torch.from_numpy(samples)[None])
    np.testing.assert_allclose(features[-1].numpy(), expected, atol=2e-2)
