"""Evaluation of the parts: the judges of sound against known answers, the figures, the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import valle
from valle.arrays import Samples
from valle.errors import UsageError
from valle.evaluation.alignment_plot import save_borders
from valle.evaluation.material import Original, Speaker, read_samples
from valle.evaluation.metrics import signals
from valle.evaluation.metrics.confidence import Judged, judged
from valle.evaluation.metrics.judges import SentenceChooser
from valle.evaluation.metrics.statistics import equal_error_rate
from valle.evaluation.protocols import parts
from valle.evaluation.protocols.parts import Measurement
from valle.runtime.recognizer import Heard
from valle.text.symbols import PAUSE, UNKNOWN

for package in ("av", "pesq", "pocketsphinx", "pystoi", "resemblyzer", "speechmos"):
    pytest.importorskip(package, reason="needs the extra [eval]")

VOICE = Path(__file__).parents[3] / "examples" / "voice.wav"
SAYS = (
    "Good morning. The rain has stopped, and the garden smells of mint and warm earth. "
    "Shall we walk down to the river?"
)
OTHERS = ["He sat down at the piano.", "The train was on time."]


@pytest.fixture(scope="module")
def voice() -> Samples:
    return read_samples(VOICE)


def speaker(name: str, samples: Samples, says: str = SAYS) -> Speaker:
    return Speaker(name, parts.NATIVE, samples[: 3 * 16_000], (Original(VOICE, says),))


def test_known_equal_error_rates() -> None:
    same = np.array([True, True, False, False])
    assert equal_error_rate(np.array([0.9, 0.8, 0.2, 0.1]), same) == 0.0
    assert equal_error_rate(np.array([0.1, 0.2, 0.8, 0.9]), same) == 1.0
    assert equal_error_rate(np.array([0.9, 0.3, 0.6, 0.1]), same) == 0.5
    # The wrong pair in the middle counts for nothing.
    assert equal_error_rate(np.array([0.9, 0.3, 0.6, 0.1]), same, np.array([1, 1, 0, 1])) == 0.0
    with pytest.raises(ValueError, match="pairs"):
        equal_error_rate(np.array([0.1, 0.2]), np.array([True, True]))


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 3.0))
def test_the_equal_error_rate_is_that_of_two_bells(seed: int, apart: float) -> None:
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(apart, 1, 2000), rng.normal(0, 1, 2000)])
    same = np.arange(4000) < 2000
    middle = (np.mean(scores[same] < apart / 2) + np.mean(scores[~same] > apart / 2)) / 2
    assert equal_error_rate(scores, same) == pytest.approx(middle, abs=0.03)


def test_results_are_ratios_of_sums_and_the_border_a_median() -> None:
    measured = [
        Measurement("made", "phoneme error rate", "x", 2.0, 10.0),
        Measurement("made", "phoneme error rate", "y", 4.0, 30.0),
        *(Measurement("made", parts.BORDER, "x", late) for late in (0.0, 0.02, 0.5)),
    ]
    rate, border = parts.results(measured)
    assert (rate.figure.value, rate.clips) == (pytest.approx(6 / 40), 2)
    assert rate.figure.low == pytest.approx(4 / 30) and rate.figure.high == pytest.approx(0.2)
    assert border.figure.value == 0.02
    lines = parts.table([rate, border]).splitlines()
    assert len(lines) == 2 and "0.150" in lines[0] and len(set(map(len, lines))) == 1


def test_the_calibration_error_of_known_confidences() -> None:
    # In the bin of 0.8 to 0.9, 4 phonemes are half right; in that of 0.2 to 0.3, 6 are never.
    sure = Judged("made", "x", np.full(4, 0.8), np.array([1.0, 1.0, 0.0, 0.0]))
    unsure = Judged("made", "x", np.full(6, 0.2), np.zeros(6))
    other = Judged("native", "y", np.full(3, 1.0), np.ones(3))
    made, native = parts.results([sure, unsure, other])
    assert made.name == native.name == "calibration error"
    assert made.figure.value == pytest.approx((4 * 0.3 + 6 * 0.2) / 10) and made.clips == 10
    assert native.figure.value == 0.0


def test_phonemes_are_right_where_the_fewest_edits_leave_them() -> None:
    heard = Heard(
        ["h", PAUSE, UNKNOWN, "n"],
        ["h", PAUSE, "e", "n"],
        np.arange(4),
        np.array([0.9, 1.0, 0.3, 0.6], np.float32),
    )
    found = judged("made", "x", heard, ["h", "a", "n", "d"])
    np.testing.assert_allclose(found.confidence, [0.9, 0.3, 0.6])
    np.testing.assert_array_equal(found.right, [1, 0, 1])


@pytest.mark.parametrize("delay", [-312, 0, 7, 400])
def test_a_delay_is_found(voice: Samples, delay: int) -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(voice))
    late = np.roll(0.5 * voice + noise, delay).astype(np.float32)
    found = signals.in_step(voice, late)
    np.testing.assert_array_equal(found, np.roll(late, -delay))


def test_judges_of_sound_agree_on_good_and_bad(voice: Samples) -> None:
    opus, bits = signals.through_opus(voice)
    assert len(opus) == len(voice) and bits == pytest.approx(signals.OPUS_LOWEST, rel=0.05)
    opus = signals.in_step(voice, opus)
    assert signals.pesq(voice, voice) == pytest.approx(4.64, abs=0.01)
    assert signals.stoi(voice, voice) == pytest.approx(1.0, abs=1e-3)
    assert 1.0 < signals.pesq(voice, opus) < 3.0
    assert 0.5 < signals.stoi(voice, opus) < 0.95
    quality = signals.QualityJudge()
    noise = 0.1 * np.random.default_rng(0).standard_normal(len(voice)).astype(np.float32)
    assert 1.0 < quality.overall(voice + noise) < quality.overall(voice) - 0.5 < 4.5
    assert signals.pesq(np.zeros(16_000, np.float32), np.zeros(16_000, np.float32)) is None


class Lossless:
    """Stands for a model whose codec loses nothing, but may be late."""

    def __init__(self, late: int = 0) -> None:
        self.codec, self.late = self, late

    def encode(self, samples: Samples) -> Samples:
        return samples

    def decode(self, codes: Samples) -> Samples:
        return np.pad(codes, (self.late, 320))


def test_a_codec_that_loses_nothing_is_as_good_as_the_originals(voice: Samples) -> None:
    measured = parts.codec_measurements(
        Lossless(),  # type: ignore[arg-type]
        [speaker("a", voice)],
        OTHERS,
        SentenceChooser(),
    )
    found = {(r.row, r.name): r.figure.value for r in parts.results(list(measured))}
    assert found["codec", "similarity"] == pytest.approx(1.0, abs=1e-3)
    assert found["codec", "PESQ"] == pytest.approx(4.64, abs=0.01)
    assert found["codec", "STOI"] == pytest.approx(1.0, abs=1e-3)
    assert found["codec", "DNSMOS"] == pytest.approx(found["originals", "DNSMOS"])
    assert found["originals", "sentence right"] == found["codec", "sentence right"] == 1.0
    assert found["opus", "similarity"] < 0.97 and found["codec", "rtf"] < 1.0


def test_a_codec_that_is_late_is_not_forgiven(voice: Samples) -> None:
    late: Any = Lossless(late=320)
    measured = parts.codec_measurements(late, [speaker("a", voice)], OTHERS, SentenceChooser())
    found = {(r.row, r.name): r.figure.value for r in parts.results(list(measured))}
    assert found["codec", "STOI"] < 0.9 < 0.97 < found["codec", "similarity"]


def test_an_untrained_model_is_measured_and_found_bad(model: valle.Model, voice: Samples) -> None:
    speakers = [speaker("a", voice), speaker("b", voice[::-1].copy())]
    measured = list(parts.listener_measurements(model, speakers[:1], OTHERS, made_speakers=2))
    found = {(r.row, r.name): r.figure.value for r in parts.results(measured)}
    assert found["native", "phoneme error rate"] > 0.8 and found["made", "phoneme error rate"] > 0.8
    assert found["made", parts.BORDER] >= 0.02
    ours, theirs, above = parts.speaker_errors(model, speakers)
    assert above.figure.value == pytest.approx(ours.figure.value - theirs.figure.value)
    assert (ours.row, theirs.row) == ("ours", "Resemblyzer")
    assert ours.clips == theirs.clips > 3 and 0.0 <= theirs.figure.value <= 1.0


def test_the_borders_are_drawn(model: valle.Model, voice: Samples, tmp_path: Path) -> None:
    target = tmp_path / "borders.png"
    speakers = [speaker(name, voice) for name in "abcd"]
    save_borders(target, model, speakers)
    assert target.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match=r"\.png"):
        save_borders(tmp_path / "borders.wav", model, speakers)
    assert not (tmp_path / "borders.wav").exists()
