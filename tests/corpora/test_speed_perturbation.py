"""`valle prepare speeds`: a corpus at other speeds, its labels and styles with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.audio.prosody import beside_usual, frame_features
from valle.cli.main import main
from valle.corpora import speed_perturbation
from valle.corpora.speed_perturbation import FASTEST, SLOWEST, prepare_speeds
from valle.corpora.store import HOP, SAMPLE_RATE, Labels, Store, StoreWriter
from valle.errors import UsageError

_FRAMES = 100
_BORDER = 60  # frame at which the second symbol begins


def _buzz() -> np.ndarray:
    """Two seconds of a voice that glides from 110 to 150 Hz."""
    hertz = np.linspace(110.0, 150.0, _FRAMES * HOP)
    phase = 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE
    tones = [np.sin(number * phase) / number for number in range(1, 12)]
    return (0.2 * np.sum(tones, axis=0)).astype(np.float32)


def _store(folder: Path, styles: bool = True) -> Store:
    writer = StoreWriter(folder)
    for name in ("first", "second"):  # the second has no labels
        writer.add(name, "made", "ada", _buzz(), "Ah.", waveform_is_clean=True, made=True)
    writer.close()
    store = Store(folder)
    path = (np.arange(_FRAMES) >= _BORDER).astype(np.int64)
    store.write_labels({"first": Labels(np.array([3, 4]), np.array([0, 1]), path)})
    if styles:
        features = frame_features(store.audio.astype(np.float32) / 32768, SAMPLE_RATE, HOP)
        store.write_styles(beside_usual(features).astype(np.float16), np.arange(35.0).reshape(5, 7))
    return Store(folder)


def test_a_speaker_at_other_speeds_is_other_speakers(tmp_path: Path) -> None:
    _store(tmp_path / "data")
    assert prepare_speeds(tmp_path / "data", tmp_path / "out", [0.8, 1.25], quiet=True) == 2
    out = Store(tmp_path / "out")
    assert [u.id for u in out.utterances] == ["first@0.8", "first@1.25"]
    assert [u.speaker for u in out.utterances] == ["ada@0.8", "ada@1.25"]
    assert all(u.text == "Ah." and u.made and u.waveform_is_clean for u in out.utterances)
    assert [u.samples // HOP for u in out.utterances] == [125, 80]
    for utterance, border in zip(out.utterances, (75, 48), strict=True):
        label = out.labels[utterance.id]
        assert label.symbols.tolist() == [3, 4] and label.stress.tolist() == [0, 1]
        assert np.flatnonzero(label.frame_symbol)[0] == border


@pytest.mark.parametrize("speed", [0.86, 1.17])
def test_styles_are_what_would_be_measured(tmp_path: Path, speed: float) -> None:
    before = _store(tmp_path / "data")
    prepare_speeds(tmp_path / "data", tmp_path / "out", [speed], quiet=True)
    out = Store(tmp_path / "out")
    assert out.styles is not None and before.styles is not None
    np.testing.assert_array_equal(out.styles[1], before.styles[1])
    found = out.styles[0].astype(np.float32)[5:-5]
    measured = frame_features(out.waveform(out.utterances[0]), SAMPLE_RATE, HOP)
    measured = beside_usual(measured)[5:-5]
    assert len(found) == len(measured)
    np.testing.assert_allclose(found[:, 0], measured[:, 0], atol=0.05)  # of the speaker's range
    np.testing.assert_allclose(found[:, 1], measured[:, 1], atol=1.0)  # dB
    assert np.isnan(found[:, 2]).all()  # the tilt


def test_a_corpus_without_styles_gets_none(tmp_path: Path) -> None:
    _store(tmp_path / "data", styles=False)
    prepare_speeds(tmp_path / "data", tmp_path / "out", [0.9], quiet=True)
    assert Store(tmp_path / "out").styles is None


@given(st.integers(1, 2000), st.floats(SLOWEST, FASTEST))
def test_every_frame_comes_from_one_of_the_old_in_order(of: int, speed: float) -> None:
    rows = speed_perturbation.frames_at(int(np.ceil(of / speed)), of, speed)
    assert rows.min() >= 0 and rows.max() < of
    assert (np.diff(rows) >= 0).all()
    assert abs(int(rows[-1]) - (of - 1)) <= 1
    # But for the last, which may lie past the end, each is the frame that it lies in.
    middles = (np.arange(len(rows)) + 0.5) * speed
    np.testing.assert_array_equal(rows[:-1], middles[:-1].astype(int))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.floats(SLOWEST, FASTEST))
def test_no_symbol_is_passed_over(lengths: list[int], speed: float) -> None:
    path = np.repeat(np.arange(len(lengths)) * 2, lengths)  # every other one was never there
    frames = int(np.ceil(len(path) / speed))
    found = speed_perturbation.path_at(path, frames, speed)
    if frames < len(lengths):
        assert found is None
        return
    assert found is not None and len(found) == frames
    np.testing.assert_array_equal(found[np.diff(found, prepend=-1) != 0], np.unique(path))
    if min(lengths) > 2:  # where there is room for all, each begins where it is heard
        begins = np.flatnonzero(np.diff(found, prepend=-1))
        heard = (np.cumsum(lengths) - lengths) / speed
        assert np.abs(begins - heard).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("given", [[0.5], [1.5], [1.0], [0.9, 0.9], [float("nan")]])
def test_speeds_that_make_no_sense_are_refused(tmp_path: Path, given: list[float]) -> None:
    _store(tmp_path / "data")
    with pytest.raises(UsageError, match="--speed"):
        prepare_speeds(tmp_path / "data", tmp_path / "out", given, quiet=True)
    assert not (tmp_path / "out").exists()


def test_a_store_is_not_written_over_itself(tmp_path: Path) -> None:
    _store(tmp_path / "data")
    with pytest.raises(UsageError, match="another folder"):
        prepare_speeds(tmp_path / "data", tmp_path / "." / "data", [0.9], quiet=True)
    assert len(Store(tmp_path / "data").utterances) == 2


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _store(tmp_path / "data")
    said = ["prepare", "speeds", str(tmp_path / "out"), "--data", str(tmp_path / "data")]
    assert main([*said, "--speed", "0.9", "--speed", "1.1", "-q"]) == 0
    assert "2 utterances" in capsys.readouterr().out
    assert main([*said, "--speed", "3", "-q"]) != 0
    assert "0.7 to 1.4" in capsys.readouterr().err
