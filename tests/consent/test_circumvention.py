"""Attempts to circumvent consent, on the command line and in Python: all are refused."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import valle
from command_line import RunCommand
from conftest import ATTEST, RATE
from consent_steps import assert_refused, enroll_with_consent, set_clock
from valle.consent import challenge, verifiers
from valle.consent.validity import check_usable
from valle.trust import audit, keys, ledger, receipts
from valle.trust.canonical_json import canonicalize, sha256_of
from valle.voices import registry
from valle.voices.voice import recording_sha256

pytestmark = pytest.mark.usefixtures("empty_ledger")

# --- valid consent -------------------------------------------------------------------


def test_accepted_statement_enrolls_and_is_recorded_everywhere(
    run: RunCommand, recording: Path, statement: Path, fake_scores: dict[str, Any]
) -> None:
    code, out, _ = run("consent", "new", "--name", "Ada", "--user", "Bob", "--expires", "90")
    assert code == 0
    assert "My name is Ada. I agree that Bob may" in out
    created = challenge.find(None, "Ada")
    assert created.text in out
    assert created.id in out
    enroll = ("enroll", recording, "--name", "Ada", "--consent", statement)
    assert run(*enroll, "-q") == (0, "", "")
    receipt = registry.load("Ada").consent
    assert receipt["kind"] == "consented"
    assert receipt["statement"] == created.text
    assert receipt["scope"]["user"] == "Bob"
    assert receipt["challenge"] == created.id
    assert receipt["scores"]["spoof"] == 0.1
    assert set(receipt["verifiers"]) == set(verifiers.VERIFIERS)
    assert (receipt["challenges"], receipt["tries"]) == (1, 1)
    assert "not that a person was present" in receipt["proves"]
    assert receipt["scores"]["words"] == {"anchor": -0.1}
    assert run("speak", "So be it.", "--voice", "Ada", "-q")[0] == 0
    record = json.loads(Path("speech.wav.json").read_text())
    assert record["consent"] == {"kind": "consented", "id": receipt["id"]}
    issued, tried, enrolled, spoken = ledger.read_lines()
    assert [issued["what"], tried["what"]] == ["challenge", "try"]
    assert issued["challenge"] == tried["challenge"] == created.id
    assert (enrolled["what"], spoken["what"]) == ("enroll", "speak")
    assert enrolled["receipt"] == spoken["receipt"] == receipt["id"]
    assert spoken["text_hmac"] == ledger.get_signing_key().authenticate_text("So be it.")
    assert spoken["model"]
    assert spoken["seed"] == 0
    assert spoken["key"] == receipt["key"]
    assert "So be it" not in json.dumps(spoken)
    code, out, _ = run("ledger", "verify")
    assert code == 0
    assert out.startswith("4 lines")
    assert "enroll" in run("ledger", "show")[1]
    found = run("ledger", "show", "--json", "--text", "So be it.")[1]
    assert [line["n"] for line in json.loads(found)] == [4]
    assert json.loads(run("ledger", "show", "--json", "--text", "So be it")[1]) == []
    assert receipt["id"][:16] in run("ledger", "show")[1]
    assert json.loads(run("consent", "list", "--json")[1])[0]["state"] == "valid"
    assert "not that a person was present" in run("consent", "list")[1]
    assert run("consent", "key")[1].strip() == receipt["key"]


def test_output_bytes_do_not_depend_on_the_ledger(
    run: RunCommand, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak = ("speak", "So be it.", "--ref-audio", recording, "--attest", ATTEST, "-q")
    assert run(*speak, "-o", "one.wav")[0] == 0
    set_clock(monkeypatch, 3)
    assert run(*speak, "-o", "two.wav")[0] == 0
    assert Path("one.wav").read_bytes() == Path("two.wav").read_bytes()
    assert [line["what"] for line in ledger.read_lines()] == ["enroll", "speak"] * 2


def test_streamed_sentences_are_entered_before_their_sound(
    model: valle.Model, voice: valle.Voice
) -> None:
    stream = model.stream(iter(["So be it. ", "Then it rains. "]), voice)
    assert list(ledger.read_lines()) == []
    next(stream)
    assert len(list(ledger.read_lines())) == 1
    list(stream)
    texts = [line["text_hmac"] for line in ledger.read_lines()]
    # What comes alone is spoken at once, before the rest of its sentence.
    spoken = ("So", "So be it.", "Then it rains.")
    key = ledger.get_signing_key()
    assert texts == [key.authenticate_text(text) for text in spoken]


# --- without consent ----------------------------------------------------------------------


def test_nothing_is_enrolled_or_spoken_without_consent(
    run: RunCommand, model: valle.Model, recording: Path
) -> None:
    assert_refused(run("enroll", recording, "--name", "Ada"), "--consent FILE", "--attest")
    assert_refused(
        run("speak", "So be it.", "--ref-audio", recording), "--consent FILE", "--attest"
    )
    assert_refused(run("speak", "So be it.", "--ref-audio", recording, "--attest", ""), "--attest")
    for given in ({}, {"attest": " "}, {"consent": recording}):
        with pytest.raises(valle.ConsentError):
            model.enroll(recording, name="Ada", **given)
    assert registry.names() == []
    assert list(ledger.read_lines()) == []


@pytest.mark.parametrize(
    ("score", "fault"),
    [
        ({"phrase": -9.0}, "the words for today are not recognized"),
        ({"speaker_cosine": 0.0}, "another voice"),
        ({"spoof": 0.9}, "sounds synthetic"),
        ({"spoof": None}, "nothing could check whether it is synthetic"),
    ],
)
def test_refused_statement_can_be_repeated(
    run: RunCommand,
    recording: Path,
    statement: Path,
    fake_scores: dict[str, Any],
    score: dict[str, float],
    fault: str,
) -> None:
    fake_scores |= score
    created = challenge.create("Ada")
    assert_refused(run("enroll", recording, "--name", "Ada", "--consent", statement), fault)
    fake_scores.clear()
    assert challenge.find(None, "Ada") == created  # still open
    assert run("enroll", recording, "--name", "Ada", "--consent", statement, "-q")[0] == 0


def test_untrained_recognizer_accepts_nothing(
    model: valle.Model, recording: Path, statement: Path
) -> None:
    challenge.create("Ada")
    with pytest.raises(valle.ConsentError, match="is not accepted as consent"):
        model.enroll(recording, name="Ada", consent=statement)


def test_challenge_and_statement_are_used_once(
    run: RunCommand, recording: Path, statement: Path, fake_scores: dict[str, Any]
) -> None:
    created = challenge.create("Ada")
    enroll = ("enroll", recording, "--consent", statement, "-q", "--name")
    assert run(*enroll, "Ada")[0] == 0
    assert_refused(run(*enroll, "Ada2"), "no challenge for 'Ada2' is open")
    assert_refused(run(*enroll, "Ada2", "--challenge", created.id), "used already")
    challenge.create("Ada2")
    samples, rate = soundfile.read(statement, dtype="float32")
    soundfile.write(statement.with_suffix(".mp3"), samples[2000:] * 0.3, rate)
    for copy in (statement, statement.with_suffix(".mp3")):
        replayed = ("enroll", recording, "--consent", copy, "--name", "Ada2")
        assert_refused(run(*replayed), "it was used before")
    assert registry.names() == ["Ada"]


def test_expired_or_foreign_challenge_is_refused(
    run: RunCommand, recording: Path, statement: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = challenge.create("Ada")
    enroll = ("enroll", recording, "--consent", statement, "--name")
    assert_refused(run(*enroll, "Bob", "--challenge", created.id), "for the speaker 'Ada'")
    assert_refused(run(*enroll, "Bob", "--challenge", "../../key"), "is not the id of a challenge")
    set_clock(monkeypatch, 16 / 1440)
    assert_refused(run(*enroll, "Ada", "--challenge", created.id), "has expired")
    assert_refused(run(*enroll, "Ada"), "no challenge for 'Ada' is open")


def test_speak_accepts_a_statement_for_a_new_recording(
    run: RunCommand, recording: Path, statement: Path, fake_scores: dict[str, Any]
) -> None:
    speak = ("speak", "So be it.", "--ref-audio", recording, "--consent", statement)
    assert_refused(run(*speak), "no challenge is open")
    challenge.create("Ada")
    assert run(*speak, "-q")[0] == 0
    assert json.loads(Path("speech.wav.json").read_text())["consent"]["kind"] == "consented"


# --- invalid receipts ------------------------------------------------------


def sign_with_another_key(voice: valle.Voice) -> dict[str, Any]:
    """Sign the voice's receipt with a key that is not the user's."""
    key = keys.generate()
    payload = {n: v for n, v in voice.consent.items() if n not in ("id", "signature")}
    payload["key"] = key.id
    signature = key.sign("receipt", canonicalize(payload))
    return payload | {"id": sha256_of(payload), "signature": signature}


def test_receipts_of_other_voices_are_refused(model: valle.Model, voice: valle.Voice) -> None:
    other = receipts.attest(ATTEST, recording_sha256(voice.audio * np.float32(0.9), RATE))
    for receipt in (
        other,
        {**voice.consent, "statement": "Anybody may"},
        {**voice.consent, "kind": "consented"},
        {**voice.consent, "scope": {**voice.consent["scope"], "expires": "2099-01-01"}},
        {},
    ):
        with pytest.raises(valle.ConsentError):
            dataclasses.replace(voice, consent=receipt)
    foreign = dataclasses.replace(voice, consent=sign_with_another_key(voice))
    for use in (model.speak, model.stream):
        with pytest.raises(valle.ConsentError, match="key that is not known here"):
            use("So be it.", foreign)
    assert list(ledger.read_lines()) == []


def test_changed_samples_do_not_match_the_receipt(model: valle.Model, voice: valle.Voice) -> None:
    changed = dataclasses.replace(voice, audio=voice.audio.copy())
    changed.audio.flags.writeable = True
    changed.audio[100] += np.float32(0.01)
    with pytest.raises(valle.ConsentError, match="consent receipt is for another recording"):
        model.speak("So be it.", changed)


def test_edited_or_foreign_voice_file_is_refused(
    run: RunCommand, voice: valle.Voice, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = registry.add(voice)
    whole = path.read_bytes()
    for place in (whole.index(b"hold the rights"), len(whole) - 50, len(whole) // 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert_refused(run("speak", "So be it.", "--voice", "Babble"), "altered or damaged")
    path.write_bytes(whole)
    shutil.copy(path, "babble.voice")
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "elsewhere"))
    assert_refused(
        run("speak", "So be it.", "--voice", "babble.voice"), "key that is not known here"
    )
    key = voice.consent["key"]
    assert run("consent", "key")[0] == 0  # creates a key and a ledger there
    (tmp_path / "elsewhere" / "safety" / "trusted_keys.txt").write_text(f"{key} my other machine\n")
    assert run("speak", "So be it.", "--voice", "babble.voice", "-q")[0] == 0


# --- servers ---------------------------------------------------------------------


def test_server_can_refuse_attested_voices(
    model: valle.Model,
    voice: valle.Voice,
    recording: Path,
    statement: Path,
    fake_scores: dict[str, Any],
) -> None:
    check_usable(voice)
    with pytest.raises(valle.ConsentError, match="its user's own word"):
        check_usable(voice, allow_attested=False)
    voice_with_consent = enroll_with_consent(model, recording, statement)
    check_usable(voice_with_consent, allow_attested=False, language="en-us")
    for missing in ({"verifiers": None}, {"scores": {"spoof": "not checked"}}):
        fields = dict(voice_with_consent.consent) | missing
        fields = {n: v for n, v in fields.items() if n not in ("id", "signature", "key")}
        fields = {name: value for name, value in fields.items() if value is not None}
        unjudged = dataclasses.replace(voice_with_consent, consent=receipts.sign(**fields))
        check_usable(unjudged)
        with pytest.raises(valle.ConsentError, match="not verified by all models"):
            check_usable(unjudged, allow_attested=False)
    with pytest.raises(valle.ConsentError, match="consented to en-us, not to de"):
        check_usable(voice_with_consent, language="de")


def test_unwritable_data_folder_is_reported(
    run: RunCommand,
    voice: valle.Voice,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    recording: Path,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "file"))
    code, out, err = run("speak", "So be it.", "--ref-audio", recording, "--attest", ATTEST)
    assert (code, out) == (7, "")
    assert err.count("\n") == 1
    assert "make the folder writable, or name another in VALLE_HOME" in err
    assert os.listdir() == []


def test_altered_ledger_is_reported_by_line(
    run: RunCommand, model: valle.Model, voice: valle.Voice, home: Path
) -> None:
    for _ in range(3):
        model.speak("So be it.", voice, retries=0)
    path = home / "safety" / ledger.LEDGER_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"seed":0', b'"seed":9') + lines[2])
    assert_refused(run("ledger", "verify"), "line 2 was changed")
    code, out, _ = run("ledger", "verify", "--json")
    assert code == 6
    assert [fault["line"] for fault in json.loads(out)["faults"]] == [2]
    assert len(audit.audit().faults) == 1
