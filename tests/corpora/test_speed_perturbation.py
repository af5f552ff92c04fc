"""`valle prepare speeds`: speed perturbation of samples, labels and prosody features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.audio.prosody import compute_frame_features, normalize_by_speaker
from valle.audio_format import HOP, SAMPLE_RATE
from valle.cli.main import main
from valle.corpora import speed_perturbation
from valle.corpora.speed_perturbation import FASTEST, SLOWEST, prepare_speed_perturbed
from valle.corpora.store import Labels, Store, StoreWriter, UtteranceInfo
from valle.errors import UsageError

_FRAMES = 100
_BORDER = 60  # frame at which the second symbol begins


def _buzz() -> np.ndarray:
    """Two seconds of a buzz whose pitch glides from 110 to 150 Hz."""
    hertz = np.linspace(110.0, 150.0, _FRAMES * HOP)
    phase = 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE
    tones = [np.sin(number * phase) / number for number in range(1, 12)]
    return (0.2 * np.sum(tones, axis=0)).astype(np.float32)


def _store(folder: Path, styles: bool = True) -> Store:
    writer = StoreWriter(folder)
    for name in ("first", "second"):  # the second has no labels
        writer.add(
            UtteranceInfo(
                name,
                "c",
                "ada",
                "Ah.",
                waveform_is_clean=True,
                is_synthetic=True,
                license="CC0-1.0",
            ),
            _buzz(),
        )
    writer.close()
    store = Store(folder)
    path = (np.arange(_FRAMES) >= _BORDER).astype(np.int64)
    store.write_labels({"first": Labels(np.array([3, 4]), np.array([0, 1]), path)})
    if styles:
        features = compute_frame_features(store.audio.astype(np.float32) / 32768, SAMPLE_RATE, HOP)
        store.write_styles(
            normalize_by_speaker(features).astype(np.float16), np.arange(35.0).reshape(5, 7)
        )
    return Store(folder)


def test_each_speed_is_another_speaker(tmp_path: Path) -> None:
    _store(tmp_path / "data")
    assert (
        prepare_speed_perturbed(tmp_path / "data", tmp_path / "out", [0.8, 1.25], quiet=True) == 2
    )
    out = Store(tmp_path / "out")
    assert [u.id for u in out.utterances] == ["first@0.8", "first@1.25"]
    assert [u.speaker for u in out.utterances] == ["ada@0.8", "ada@1.25"]
    assert all(u.text == "Ah." and u.is_synthetic and u.waveform_is_clean for u in out.utterances)
    assert {u.license for u in out.utterances} == {"CC0-1.0"}
    assert [u.samples // HOP for u in out.utterances] == [125, 80]
    for utterance, border in zip(out.utterances, (75, 48), strict=True):
        label = out.labels[utterance.id]
        assert label.symbols.tolist() == [3, 4]
        assert label.stress.tolist() == [0, 1]
        assert np.flatnonzero(label.frame_symbol)[0] == border


@pytest.mark.parametrize("speed", [0.86, 1.17])
def test_features_match_a_new_measurement(tmp_path: Path, speed: float) -> None:
    before = _store(tmp_path / "data")
    prepare_speed_perturbed(tmp_path / "data", tmp_path / "out", [speed], quiet=True)
    out = Store(tmp_path / "out")
    assert out.styles is not None
    assert before.styles is not None
    np.testing.assert_array_equal(out.styles[1], before.styles[1])
    features = out.styles[0].astype(np.float32)[5:-5]
    measured = compute_frame_features(out.waveform(out.utterances[0]), SAMPLE_RATE, HOP)
    measured = normalize_by_speaker(measured)[5:-5]
    assert len(features) == len(measured)
    np.testing.assert_allclose(features[:, 0], measured[:, 0], atol=0.05)  # of the speaker's range
    np.testing.assert_allclose(features[:, 1], measured[:, 1], atol=1.0)  # dB
    assert np.isnan(features[:, 2]).all()  # the tilt


def test_styles_are_optional(tmp_path: Path) -> None:
    _store(tmp_path / "data", styles=False)
    prepare_speed_perturbed(tmp_path / "data", tmp_path / "out", [0.9], quiet=True)
    assert Store(tmp_path / "out").styles is None


@given(st.integers(1, 2000), st.floats(SLOWEST, FASTEST))
def test_source_frames_are_in_order(of: int, speed: float) -> None:
    rows = speed_perturbation.source_frames(int(np.ceil(of / speed)), of, speed)
    assert rows.min() >= 0
    assert rows.max() < of
    assert (np.diff(rows) >= 0).all()
    assert abs(int(rows[-1]) - (of - 1)) <= 1
    # All but the last, which may be past the end, map to the frame at their middle.
    middles = (np.arange(len(rows)) + 0.5) * speed
    np.testing.assert_array_equal(rows[:-1], middles[:-1].astype(int))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.floats(SLOWEST, FASTEST))
def test_rescaled_alignment_keeps_every_symbol(lengths: list[int], speed: float) -> None:
    path = np.repeat(np.arange(len(lengths)) * 2, lengths)  # the other symbols are absent
    frames = int(np.ceil(len(path) / speed))
    rescaled = speed_perturbation.rescale_frame_symbols(path, frames, speed)
    if frames < len(lengths):
        assert rescaled is None
        return
    assert rescaled is not None
    assert len(rescaled) == frames
    np.testing.assert_array_equal(rescaled[np.diff(rescaled, prepend=-1) != 0], np.unique(path))
    if min(lengths) > 2:  # with room for all symbols, each starts at its rescaled time
        begins = np.flatnonzero(np.diff(rescaled, prepend=-1))
        expected = (np.cumsum(lengths) - lengths) / speed
        assert np.abs(begins - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("speeds", [[0.5], [1.5], [1.0], [0.9, 0.9], [float("nan")]])
def test_invalid_speeds_are_rejected(tmp_path: Path, speeds: list[float]) -> None:
    _store(tmp_path / "data")
    with pytest.raises(UsageError, match="--speed"):
        prepare_speed_perturbed(tmp_path / "data", tmp_path / "out", speeds, quiet=True)
    assert not (tmp_path / "out").exists()


def test_output_must_differ_from_input(tmp_path: Path) -> None:
    _store(tmp_path / "data")
    with pytest.raises(UsageError, match="another folder"):
        prepare_speed_perturbed(tmp_path / "data", tmp_path / "." / "data", [0.9], quiet=True)
    assert len(Store(tmp_path / "data").utterances) == 2


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _store(tmp_path / "data")
    argv = ["prepare", "speeds", str(tmp_path / "out"), "--data", str(tmp_path / "data")]
    assert main([*argv, "--speed", "0.9", "--speed", "1.1", "-q"]) == 0
    assert "2 utterances" in capsys.readouterr().out
    assert main([*argv, "--speed", "3", "-q"]) == 2
    assert "at most 1.4" in capsys.readouterr().err
