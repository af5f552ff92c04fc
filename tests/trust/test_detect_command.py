"""`valle detect` and `valle verify` on files with signed records and watermarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from signed_speech import KEY_ID, OWNER_KEY, RATE, rewrite_record
from valle.cli.main import main
from valle.synthesis.speech import Speech
from valle.trust import ledger, provenance
from valle.trust.spoken import SpokenPrints, was_spoken
from valle.watermark.embed import Payload, embed_watermark, key_fingerprint


def test_verify_command(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(saved)]) == 0
    assert KEY_ID in capsys.readouterr().out
    assert main(["verify", str(saved), "--key", KEY_ID, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is True
    assert main(["verify", str(saved), "--key", "0" * 64]) == 8
    assert main(["verify", str(saved), "--key", "0"]) == 2
    assert main(["verify", str(saved.parent / "none.wav")]) == 3
    rewrite_record(saved, signature=None)
    assert main(["verify", str(saved)]) == 8
    rewrite_record(saved, file_sha256="0" * 64)
    assert main(["verify", str(saved), "--json"]) == 8
    output = capsys.readouterr()
    assert json.loads(output.out.splitlines()[-1])["verified"] is False
    assert "was altered after signing" in output.err
    provenance.sidecar_path(saved).unlink()
    assert main(["verify", str(saved)]) == 8


def test_record_cannot_send_control_characters_to_the_terminal(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite_record(saved, made_by="\x1b[31mvalle\r" + "x" * 1000, voice="\x07\u202e")
    main(["verify", str(saved)])
    shown = capsys.readouterr().out
    assert "?[31mvalle?x" in shown
    assert len(shown) < 800
    assert not set(shown) & set("\x1b\r\x07\u202e")


def test_detect_command_reports_all_parts(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "owner.key"
    key.write_bytes(OWNER_KEY)
    assert main(["detect", str(saved), "--json", "--owner-key", str(key)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"file", "seconds", "watermark", "detector", "provenance"}
    assert report["watermark"]["found"]
    assert report["watermark"]["false_positive_bound"] < 1e-7
    assert report["watermark"]["payload"]["receipt"] == "c0ff"
    assert report["watermark"]["payload"]["key"] == f"{key_fingerprint(OWNER_KEY):03x}"
    (span,) = report["watermark"]["spans"]
    assert span["start"] < 0.2
    assert span["end"] > 2.8
    assert report["detector"].get("why") or report["detector"]["cannot_know"]
    assert report["provenance"]["verified"] is True
    assert main(["detect", str(saved)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("result:     synthetic speech made by valle: it has the watermark")
    assert "made by valle, 0.00 to" in shown
    assert "payload not readable" in shown
    assert "detector:   " in shown
    assert KEY_ID in shown


def test_detect_finds_own_receipts_in_the_ledger(
    speech: Speech, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_key, receipt = ledger.get_signing_key().derive_watermark_key(), "beef" + "0" * 60
    for _ in range(2):
        ledger.append("speak", receipt=receipt, voice="Ada")
    ledger.append("speak", receipt="dead" + "0" * 60, voice="Eve")
    path = tmp_path / "speech.wav"
    samples, _ = soundfile.read(Path(__file__).parents[2] / "examples" / "voice.wav")
    watermarked = embed_watermark(
        samples[: 3 * RATE].astype(np.float32), RATE, own_key, Payload.for_receipt(own_key, receipt)
    )
    soundfile.write(path, watermarked, RATE)
    assert main(["detect", str(path), "--json"]) == 0
    payload = json.loads(capsys.readouterr().out)["watermark"]["payload"]
    assert payload["receipt"] == "beef"
    assert payload["key"] == f"{key_fingerprint(own_key):03x}"
    (entry,) = payload["ledger"]
    assert entry["receipt"] == receipt
    assert entry["voice"] == "Ada"
    assert entry["spoken"] == 2
    assert entry["made"] is None  # nothing is kept of what was spoken
    assert main(["detect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "in the ledger: beef000000000000... of voice Ada, but nothing here tells" in shown
    assert "2 texts spoken" in shown
    with SpokenPrints(RATE) as prints:
        prints.add(receipt, watermarked)
    soundfile.write(tmp_path / "speech.mp3", 0.5 * watermarked[2000:], RATE)
    for name in ("speech.wav", "speech.mp3"):
        assert main(["detect", str(tmp_path / name)]) == 0
        assert "under which speech like this was made here" in capsys.readouterr().out


def test_payload_laid_on_other_speech_is_not_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_key, receipt = ledger.get_signing_key().derive_watermark_key(), "beef" + "0" * 60
    payload = Payload.for_receipt(own_key, receipt)
    samples, _ = soundfile.read(
        Path(__file__).parents[2] / "examples" / "voice.wav", dtype="float32"
    )
    ledger.append("speak", receipt=receipt, voice="Ada")
    with SpokenPrints(RATE) as prints:
        prints.add(receipt, embed_watermark(samples[: 4 * RATE], RATE, own_key, payload))
    # Somebody lifts the payload and lays it on something else: here, by the key itself.
    other = embed_watermark(samples[::-1][: 5 * RATE].copy(), RATE, own_key, payload)
    soundfile.write(tmp_path / "other.wav", other, RATE)
    assert main(["detect", str(tmp_path / "other.wav"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (entry,) = report["watermark"]["payload"]["ledger"]
    assert entry["made"] is False
    assert main(["detect", str(tmp_path / "other.wav")]) == 0
    shown = capsys.readouterr().out
    assert "do not accuse anybody by it" in shown.splitlines()[0]
    assert "speech like this was NOT made under it here" in shown


def test_altered_print_of_speech_is_not_believed(home: Path) -> None:
    receipt = "beef" + "0" * 60
    samples = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
    prints = SpokenPrints(RATE)
    prints.add(receipt, samples[:RATE])
    prints.add(receipt, samples[RATE:])
    prints.__exit__(KeyError, KeyError(), None)  # what was spoken until an error counts
    assert was_spoken(receipt, samples[: 3 * RATE], RATE) is True
    assert was_spoken(receipt, samples[:RATE], RATE) is None  # too short
    assert was_spoken(receipt, -samples[::-1].copy(), RATE) is False
    assert was_spoken("dead" + "0" * 60, samples, RATE) is None
    (path,) = (home / "safety" / "spoken" / receipt).iterdir()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert was_spoken(receipt, samples, RATE) is None


def test_exported_owner_key_reads_payloads_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = tmp_path / "owner.key"
    assert main(["consent", "key", "--owner-key", str(exported)]) == 0
    assert capsys.readouterr().out.strip() == ledger.get_signing_key().id
    own_key = ledger.get_signing_key().derive_watermark_key()
    assert exported.read_bytes() == own_key
    assert exported.stat().st_mode & 0o077 == 0
    samples, _ = soundfile.read(Path(__file__).parents[2] / "examples" / "voice.wav")
    watermarked = embed_watermark(
        samples[: 3 * RATE].astype(np.float32),
        RATE,
        own_key,
        Payload.for_receipt(own_key, "c0ffee"),
    )
    soundfile.write(tmp_path / "speech.wav", watermarked, RATE)
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "elsewhere"))
    for options, read in (([], False), (["--owner-key", str(exported)], True)):
        assert main(["detect", str(tmp_path / "speech.wav"), "--json", *options]) == 0
        payload = json.loads(capsys.readouterr().out)["watermark"]["payload"]
        assert (payload is not None) is read
        assert not read or (payload["receipt"] == "c0ff" and payload["ledger"] == [])


def test_detect_reports_no_watermark_in_noise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).standard_normal(2 * RATE) / 9
    soundfile.write(tmp_path / "noise.wav", noise, RATE)
    assert main(["detect", str(tmp_path / "noise.wav"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["watermark"]["found"] is False
    assert report["watermark"]["spans"] == []
    assert report["provenance"]["verified"] is None
    assert main(["detect", str(tmp_path / "noise.wav")]) == 0
    assert "watermark:  not found" in capsys.readouterr().out


def test_detect_accepts_one_second(
    speech: Speech, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "short.wav", speech.audio[8_000 : 8_000 + RATE], RATE)
    assert main(["detect", str(tmp_path / "short.wav")]) == 0
    assert "made by valle" in capsys.readouterr().out
    soundfile.write(tmp_path / "short.wav", speech.audio[8_000 : 8_000 + RATE // 4], RATE)
    assert main(["detect", str(tmp_path / "short.wav")]) == 3
    assert "0.5 s" in capsys.readouterr().err


def test_detect_writes_a_picture(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    picture = saved.parent / "found.png"
    assert main(["detect", str(saved), "--picture", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["detect", str(saved), "--picture", str(saved.parent / "no" / "x.png")]) == 7


@pytest.mark.parametrize("content", [b"", b"1" * 15, b"1" * 5000])
def test_invalid_owner_key_is_a_usage_error(saved: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    assert main(["detect", str(saved), "--owner-key", str(tmp_path / "key")]) == 2
    assert main(["detect", str(saved), "--owner-key", str(tmp_path / "none")]) == 2


def test_broken_recordings_are_refused_with_one_line(
    speech: Speech, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    # The search of other speeds is not tested here, and is slow.
    monkeypatch.setattr("valle.watermark.detect.WARPS", ())
    rng = np.random.default_rng(0)
    for ending in ("wav", "flac", "mp3", "ogg"):
        path = tmp_path / f"speech.{ending}"
        speech.save(path)
        whole = path.read_bytes()
        for _ in range(6):
            broken = bytearray(whole[: int(rng.integers(1, len(whole) + 1))])
            for at in rng.integers(0, min(len(broken), 400), 3):
                broken[at] = int(rng.integers(256))
            path.write_bytes(broken)
            for command in ("detect", "verify"):
                code = main([command, str(path)])
                output = capsys.readouterr()
                assert code in (0, 3, 8), (ending, code, output.err)
                assert output.err.count("\n") == (code != 0), output.err
