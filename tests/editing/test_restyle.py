"""`valle restyle`: the recording's own sound in another style, with consent and watermark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import valle
from valle.audio.prosody import compute_frame_features, measure_styles
from valle.audio.recording import resample
from valle.cli.main import main
from valle.editing.restyle import restyle_recording
from valle.errors import ConsentError, UsageError
from valle.trust import ledger
from valle.watermark.detect import detect_watermark

SAMPLE = Path(__file__).parents[2] / "examples" / "voice.wav"
ATTEST = "I hold the rights to this voice"


@pytest.fixture(scope="module")
def trained() -> valle.Model:
    return valle.load(threads=1)


def test_a_stereo_recording_is_said_sadly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    samples, rate = soundfile.read(SAMPLE, dtype="float32")
    wide = np.tile(resample(samples, rate, 24_000), 4)  # longer than what is changed at once
    soundfile.write("talk.wav", np.stack([wide, 0.4 * wide], axis=1), 24_000, subtype="PCM_24")
    command = ["restyle", "talk.wav", "--emotion", "sad", "-o", "sad.wav"]
    assert main(command) == ConsentError.exit_code
    assert not Path("sad.wav").exists()
    assert main([*command, "--attest", ATTEST, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["provenance"]["options"]["style"]["emotion"] == "sad"
    result, rate = soundfile.read("sad.wav", dtype="float32")
    assert (rate, result.shape) == (24_000, (round(len(wide) / 0.85), 2))
    before, after = (
        measure_styles(compute_frame_features(x, 24_000, 480), 100) for x in (wide, result[:, 0])
    )
    pitch, spread, energy, _, tilt = (after - before).tolist()
    assert pitch == pytest.approx(-1.2, abs=0.4)
    assert energy == pytest.approx(-5.0, abs=0.5)
    assert spread < -0.5
    assert after[3] / before[3] == pytest.approx(0.85, rel=0.05)
    assert tilt < -0.6
    assert detect_watermark(result[:, 0], rate).found
    assert main(["verify", "sad.wav"]) == 0
    assert [line["what"] for line in ledger.read_lines() if "samples_sha256" in line] == ["restyle"]
    assert main([*command, "--attest", ATTEST]) == 7  # it exists


def test_what_cannot_be_restyled_is_refused(
    trained: valle.Model, babble: NDArray[np.float32]
) -> None:
    voice = trained.enroll(SAMPLE, attest=ATTEST)
    with pytest.raises(UsageError, match="changes nothing"):
        restyle_recording(trained, SAMPLE, "sad 0", voice)
    with pytest.raises(UsageError, match="there is no style 'sud'"):
        restyle_recording(trained, SAMPLE, "sud", voice)
    with pytest.raises(UsageError, match="pitch=99.0 is out of range"):
        restyle_recording(trained, SAMPLE, "pitch=99", voice)
    with pytest.raises(ConsentError, match="not the one in the recording"):
        restyle_recording(trained, (babble, 16_000), "sad", voice)
