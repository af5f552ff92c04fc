"""Revoked and expired consent: voices stop at once, and nothing but new consent renews it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile

import valle
from command_line import RunCommand
from conftest import ATTEST
from consent_steps import assert_refused, enroll_with_consent, set_clock
from valle.consent import challenge, prints, revocation, validity
from valle.consent.validity import check_usable
from valle.trust import ledger, receipts
from valle.voices import registry

pytestmark = pytest.mark.usefixtures("empty_ledger")


def test_revocation_by_name_takes_effect_at_once(
    run: RunCommand, model: valle.Model, voice: valle.Voice, recording: Path
) -> None:
    registry.add(voice)
    stream = model.stream("So be it. Then it rains. Then it stops.", voice)
    pieces = [next(stream)]
    code, out, _ = run("consent", "revoke", "babble")
    assert (code, out) == (0, f"revoked {voice.consent['id']}\n")
    with pytest.raises(valle.ConsentError, match="was revoked"):
        pieces.extend(stream)  # it stops before its second sentence
    assert sum(len(piece.words) for piece in pieces) <= 3
    assert_refused(run("speak", "So be it.", "--voice", "Babble"), "was revoked")
    assert_refused(run("consent", "revoke", "Babble"), "revoked already")
    for name in ("Babble", "B"):
        assert_refused(run("enroll", recording, "--name", "B", "--attest", ATTEST), "was revoked")
        with pytest.raises(valle.ConsentError, match="was revoked"):
            model.enroll(recording, name=name, attest=ATTEST)
    assert [line["what"] for line in ledger.read_lines()] == ["speak", "revoke"]


def test_revocation_stops_a_sentence_that_is_being_spoken(
    model: valle.Model, voice: valle.Voice
) -> None:
    registry.add(voice)
    words = " ".join(["so"] * 40)
    stream = model.stream(f"{words}.", voice)  # one sentence
    pieces = [next(stream)]
    revocation.revoke("Babble")
    with pytest.raises(valle.ConsentError, match="was revoked"):
        pieces.extend(stream)
    assert len(pieces) == 1


def test_pieces_are_checked_only_when_the_ledger_has_changed(
    voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[valle.Voice] = []
    monkeypatch.setattr(validity, "check_usable", lambda voice, **_: checked.append(voice))
    usable = validity.UsableVoice(voice)
    usable.check()
    assert len(checked) == 1
    ledger.append("speak", receipt=voice.consent["id"])
    usable.check()
    usable.check()
    assert len(checked) == 2


def test_consent_can_be_given_again_after_revocation_by_id(
    run: RunCommand,
    model: valle.Model,
    recording: Path,
    statement: Path,
    fake_scores: dict[str, Any],
) -> None:
    receipt = enroll_with_consent(model, recording, statement).consent["id"]
    assert run("consent", "list")[1].startswith(f"{receipt[:16]}  consented  valid ")
    assert run("consent", "revoke", receipt[:12])[0] == 0
    assert "  revoked  " in run("consent", "list")[1]
    fake_scores["replay"] = 0.5  # a new recording of the new statement
    again = enroll_with_consent(model, recording, statement)
    assert again.consent["id"] != receipt
    check_usable(again)
    for bad in (receipt[:7], "f" * 63, "nobody", "../Ada"):
        code, _, err = run("consent", "revoke", bad)
        assert code == 2
        assert "valle consent list" in err


def test_deleting_the_ledger_does_not_undo_a_revocation(
    run: RunCommand, model: valle.Model, voice: valle.Voice, recording: Path, home: Path
) -> None:
    registry.add(voice)
    model.speak("So be it.", voice, retries=0)
    assert run("consent", "revoke", "Babble")[0] == 0
    for name in (ledger.LEDGER_FILE, ledger.HEAD_FILE):
        (home / "safety" / name).unlink()
        assert_refused(run("speak", "So be it.", "--voice", "Babble"), "altered or damaged")
        assert_refused(
            run("enroll", recording, "--name", "B", "--attest", ATTEST), "altered or damaged"
        )
    shutil.rmtree(home / "safety")
    assert_refused(run("speak", "So be it.", "--voice", "Babble"), "key that is not known here")


def test_setting_the_clock_back_does_not_renew_consent(
    run: RunCommand,
    model: valle.Model,
    recording: Path,
    statement: Path,
    fake_scores: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.add(enroll_with_consent(model, recording, statement, expires="3"))
    speak = ("speak", "So be it.", "--voice", "Ada")
    set_clock(monkeypatch, 2)
    assert run(*speak, "-q", "-o", "in.flac")[0] == 0
    Path("in.flac.json").unlink()
    set_clock(monkeypatch, 5)
    assert_refused(run(*speak), "ended with")
    assert "  expired  " in run("consent", "list")[1]
    assert_refused(run("enroll", recording, "--name", "B", "--attest", ATTEST), "ended with")
    for days in (2, 0):
        set_clock(monkeypatch, days)
        assert_refused(run(*speak), "ended with")
        assert "  expired  " in run("consent", "list")[1]
        with pytest.raises(valle.ConsentError, match="ended with"):
            model.speak("So be it.", "Ada")
        assert_refused(run("enroll", recording, "--name", "B", "--attest", ATTEST), "has ended")


def test_clock_once_wrong_locks_nobody_out(
    run: RunCommand,
    model: valle.Model,
    voice: valle.Voice,
    recording: Path,
    statement: Path,
    fake_scores: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.add(voice)
    registry.add(enroll_with_consent(model, recording, statement, expires="365"))
    speak = ("speak", "So be it.", "-q", "-o")
    set_clock(monkeypatch, 730)
    assert run(*speak, "ahead.wav", "--voice", "Babble")[0] == 0
    set_clock(monkeypatch, 0)
    assert run(*speak, "back.wav", "--voice", "Babble")[0] == 0
    assert Path("ahead.wav").read_bytes() == Path("back.wav").read_bytes()
    # For safety: what had ended by the latest time seen stays ended, used by then or not.
    with pytest.raises(valle.ConsentError, match="ended with"):
        model.speak("So be it.", "Ada")
    # Its owner can consent again at once, with a last day before that time.
    fake_scores["replay"] = 0.5
    again = enroll_with_consent(model, recording, statement, expires="366")
    model.speak("So be it.", again)
    set_clock(monkeypatch, 367)
    with pytest.raises(valle.ConsentError, match="ended with"):
        model.speak("So be it.", again)
    lines = [line for line in ledger.read_lines() if line["what"] == "clock"]
    assert len(lines) == 1
    assert lines[0]["set_back_from"] > lines[0]["time"]
    assert run("ledger", "verify")[0] == 0
    assert "set_back_from" in run("ledger", "show")[1]


def test_setting_the_clock_back_does_not_open_a_challenge_again(
    run: RunCommand, recording: Path, statement: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = challenge.create("Ada")
    set_clock(monkeypatch, 1)
    ledger.append("speak")
    set_clock(monkeypatch, 5 / 1440)
    enroll = ("enroll", recording, "--consent", statement, "--name", "Ada")
    assert_refused(run(*enroll), "no challenge for 'Ada' is open")
    assert_refused(run(*enroll, "--challenge", created.id), "has expired")


def test_revocation_covers_all_receipts_of_the_recording(
    run: RunCommand, model: valle.Model, recording: Path
) -> None:
    for name in ("Work", "Home"):
        assert run("enroll", recording, "--name", name, "--i-hold-the-rights", "-q")[0] == 0
    work, home = (registry.load(name).consent["id"] for name in ("Work", "Home"))
    assert work != home
    code, out, err = run("consent", "revoke", "Work", "--json")
    assert code == 0
    assert json.loads(out) == {"revoked": work, "also": [home]}
    assert "'Home'" in err
    for name in ("Work", "Home"):
        assert_refused(run("speak", "So be it.", "--voice", name), "was revoked")
        assert_refused(run("consent", "revoke", name), "revoked already")
    assert [e.state for e in revocation.list_receipts()] == ["revoked"] * 2


def test_revocation_covers_an_attestation_that_the_ledger_does_not_have(
    model: valle.Model, voice: valle.Voice
) -> None:
    registry.add(voice)
    again = dataclasses.replace(
        voice, consent=receipts.attest("Other words", voice.consent["recording_sha256"])
    )
    check_usable(again)
    revocation.revoke("Babble")
    with pytest.raises(valle.ConsentError, match="was revoked"):
        model.speak("So be it.", again)


@pytest.mark.parametrize("change", ["less 20 ms", "one bit", "MP3", "quieter"])
def test_revocation_covers_the_recording_however_it_is_changed(
    model: valle.Model, recording: Path, tmp_path: Path, change: str
) -> None:
    registry.add(model.enroll(recording, name="Ada", attest=ATTEST))
    revocation.revoke("Ada")
    samples, rate = soundfile.read(recording, dtype="float32")
    path = tmp_path / ("a.mp3" if change == "MP3" else "a.wav")
    if change == "less 20 ms":
        samples = samples[rate // 50 :]
    elif change == "one bit":
        samples[5000] += 2.0**-15
    elif change == "quieter":
        samples *= 0.5
    soundfile.write(path, samples, rate)
    with pytest.raises(valle.ConsentError, match="consent to this recording was revoked"):
        model.enroll(path, name="Eve", attest=ATTEST)


def test_revocation_covers_the_voice(
    model: valle.Model, recording: Path, statement: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add(model.enroll(recording, name="Ada", attest=ATTEST))
    other = model.enroll(statement, name="Eve", attest=ATTEST)
    revocation.revoke("Ada")
    check_usable(other)  # what was enrolled before as another recording stays
    same = {"is": True}
    monkeypatch.setattr(prints, "_is_same", lambda *_: same["is"])
    with pytest.raises(valle.ConsentError, match="consent to this voice was revoked"):
        model.enroll(statement, name="Bob", attest=ATTEST)
    same["is"] = False
    model.enroll(statement, name="Bob", attest=ATTEST)


def test_stream_ends_when_consent_expires(
    model: valle.Model,
    recording: Path,
    statement: Path,
    fake_scores: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    voice = enroll_with_consent(model, recording, statement, expires="0")
    stream = model.stream(iter(["So be it. ", "Then it rains. ", "Then it stops."]), voice)
    next(stream)
    set_clock(monkeypatch, 1)
    with pytest.raises(valle.ConsentError, match="ended with"):
        list(stream)
