"""Ways around consent, through the command line and through Python: none of them leads anywhere."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import valle
from conftest import ATTEST, RATE
from valle.cli.main import main
from valle.consent import challenge, verification
from valle.consent.permission import check_usable
from valle.trust import audit, keys, ledger, receipts
from valle.trust.canonical_json import canonical, sha256_of
from valle.voices import registry
from valle.voices.voice import recording_sha256

Run = Callable[..., tuple[int, str, str]]

GOOD = verification.Scores(
    statement=-0.5,
    phrase=-0.5,
    words={"anchor": -0.1},
    margin=3.0,
    voice=0.95,
    phrase_voice=0.9,
    reference=0.9,
    thirds=0.9,
    background=1.0,
    colour=1.0,
    replay=0.5,
    made_speech=None,
    likeness=None,
)


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    debug_bundle: Path,
) -> Run:
    """Run a command in an empty folder with the tiny model: (exit code, stdout, stderr)."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def call(*argv: object) -> tuple[int, str, str]:
        bundle = ["--bundle", debug_bundle] if argv[0] in ("speak", "enroll") else []
        code = main([str(word) for word in (*argv, *bundle)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def believed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The tiny model cannot judge a statement: the scores are as good as the test changes them."""
    scores: dict[str, Any] = {}
    score = verification.score

    def judged(*arguments: Any) -> verification.Scores:
        replay = score(*arguments).replay
        return dataclasses.replace(GOOD, **({"replay": replay} | scores))

    monkeypatch.setattr(verification, "score", judged)
    return scores


@pytest.fixture
def statement(tmp_path: Path) -> Path:
    """A recording that stands for somebody reading a statement."""
    rng = np.random.default_rng(5)
    time = np.arange(5 * RATE) / RATE
    pitch = 140 + 40 * np.sin(2 * np.pi * 0.8 * time)
    buzz = np.sign(np.sin(np.cumsum(2 * np.pi * pitch / RATE)))
    path = tmp_path / "statement.wav"
    samples = 0.3 * buzz * np.clip(np.sin(2 * np.pi * 2.2 * time), 0, 1)
    soundfile.write(path, samples + 0.001 * rng.standard_normal(len(time)), RATE)
    return path


def refused(result: tuple[int, str, str], *says: str) -> None:
    assert result[0] == 6 and result[1] == "" and result[2].count("\n") == 1, result
    for part in says:
        assert part in result[2]
    assert not [name for name in os.listdir() if name.endswith((".wav", ".json"))]


def clock(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """Set it forward, or back."""
    moment = ledger.stamp(ledger.seconds(REAL_NOW()) + days * 86_400)
    monkeypatch.setattr(ledger, "now", lambda: moment)


REAL_NOW = ledger.now


def consented(model: valle.Model, recording: Path, statement: Path, **how: Any) -> valle.Voice:
    challenge.new("Ada", **how)
    return model.enroll(recording, name="Ada", consent=statement)


# --- the way it should go -------------------------------------------------------------------


def test_a_statement_that_is_read_enrolls_and_is_told_everywhere(
    run: Run, recording: Path, statement: Path, believed: dict[str, Any]
) -> None:
    code, out, _ = run("consent", "new", "--name", "Ada", "--user", "Bob", "--expires", "90")
    assert code == 0 and "My name is Ada. I agree that Bob may" in out
    made = challenge.find(None, "Ada")
    assert made.text in out and made.id in out
    enroll = ("enroll", recording, "--name", "Ada", "--consent", statement)
    assert run(*enroll, "-q") == (0, "", "")
    receipt = registry.load("Ada").consent
    assert receipt["kind"] == "consented" and receipt["statement"] == made.text
    assert receipt["scope"]["user"] == "Bob" and receipt["challenge"] == made.id
    assert receipt["scores"]["made_speech"] == "not checked"
    assert receipt["scores"]["words"] == {"anchor": -0.1}
    assert run("speak", "So be it.", "--voice", "Ada", "-q")[0] == 0
    told = json.loads(Path("speech.wav.json").read_text())
    assert told["consent"] == {"kind": "consented", "id": receipt["id"]}
    enrolled, spoken = ledger.lines()
    assert (enrolled["what"], spoken["what"]) == ("enroll", "speak")
    assert enrolled["receipt"] == spoken["receipt"] == receipt["id"]
    assert spoken["text_sha256"] == hashlib.sha256(b"So be it.").hexdigest()
    assert spoken["model"] and spoken["seed"] == 0 and spoken["key"] == receipt["key"]
    assert "So be it" not in json.dumps(spoken)
    code, out, _ = run("ledger", "verify")
    assert code == 0 and out.startswith("2 lines")
    assert "enroll" in run("ledger", "show")[1] and receipt["id"][:16] in run("ledger", "show")[1]
    assert json.loads(run("consent", "list", "--json")[1])[0]["state"] == "valid"
    assert run("consent", "key")[1].strip() == receipt["key"]


@pytest.fixture(autouse=True)
def begun_here(voice: valle.Voice, home: Path) -> None:
    """The key that tests share, and a ledger of this test's own."""
    key = ledger.signer()
    for name in (ledger.LEDGER_FILE, ledger.END_FILE):
        (home / "safety" / name).unlink(missing_ok=True)
    end = ledger.End(lines=0, bytes=0, hash=ledger.FIRST, last="", latest=ledger.now(), revoked={})
    ledger._write_end(home / "safety", key, end)


def test_the_same_seed_gives_the_same_bytes_whatever_the_ledger_holds(
    run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak = ("speak", "So be it.", "--ref-audio", recording, "--attest", ATTEST, "-q")
    assert run(*speak, "-o", "one.wav")[0] == 0
    clock(monkeypatch, 3)
    assert run(*speak, "-o", "two.wav")[0] == 0
    assert Path("one.wav").read_bytes() == Path("two.wav").read_bytes()
    assert [line["what"] for line in ledger.lines()] == ["enroll", "speak"] * 2


def test_pieces_of_text_are_entered_before_their_sound(
    model: valle.Model, voice: valle.Voice
) -> None:
    stream = model.stream(iter(["So be it. ", "Then it rains. "]), voice)
    assert list(ledger.lines()) == []
    next(stream)
    assert len(list(ledger.lines())) == 1
    list(stream)
    texts = [line["text_sha256"] for line in ledger.lines()]
    assert texts == [
        hashlib.sha256(said.encode()).hexdigest() for said in ("So be it.", "Then it rains.")
    ]


# --- without agreement ----------------------------------------------------------------------


def test_no_way_without_agreement(run: Run, model: valle.Model, recording: Path) -> None:
    refused(run("enroll", recording, "--name", "Ada"), "--consent FILE", "--attest")
    refused(run("speak", "So be it.", "--ref-audio", recording), "--consent FILE", "--attest")
    refused(run("speak", "So be it.", "--ref-audio", recording, "--attest", ""), "--attest")
    for given in ({}, {"attest": " "}, {"consent": recording}):
        with pytest.raises(valle.ConsentError):
            model.enroll(recording, name="Ada", **given)
    assert registry.names() == [] and list(ledger.lines()) == []


@pytest.mark.parametrize(
    ("score", "says"),
    [
        ({"phrase": -9.0}, "the words for today are not heard"),
        ({"voice": 0.0}, "another voice"),
        ({"made_speech": 0.9}, "made speech"),
    ],
)
def test_a_statement_that_does_not_pass(
    run: Run,
    recording: Path,
    statement: Path,
    believed: dict[str, Any],
    score: dict[str, float],
    says: str,
) -> None:
    believed |= score
    made = challenge.new("Ada")
    refused(run("enroll", recording, "--name", "Ada", "--consent", statement), says)
    believed.clear()
    assert challenge.find(None, "Ada") == made  # it may be tried again
    assert run("enroll", recording, "--name", "Ada", "--consent", statement, "-q")[0] == 0


def test_an_untrained_listener_believes_nobody(
    model: valle.Model, recording: Path, statement: Path
) -> None:
    challenge.new("Ada")
    with pytest.raises(valle.ConsentError, match="is not accepted as agreement"):
        model.enroll(recording, name="Ada", consent=statement)


def test_a_challenge_is_used_once_and_a_statement_too(
    run: Run, recording: Path, statement: Path, believed: dict[str, Any]
) -> None:
    made = challenge.new("Ada")
    enroll = ("enroll", recording, "--consent", statement, "-q", "--name")
    assert run(*enroll, "Ada")[0] == 0
    refused(run(*enroll, "Ada2"), "no challenge for 'Ada2' is open")
    refused(run(*enroll, "Ada2", "--challenge", made.id), "used already")
    challenge.new("Ada2")
    softer, rate = soundfile.read(statement, dtype="float32")
    soundfile.write(statement.with_suffix(".mp3"), softer[2000:] * 0.3, rate)
    for again in (statement, statement.with_suffix(".mp3")):
        replayed = ("enroll", recording, "--consent", again, "--name", "Ada2")
        refused(run(*replayed), "it was used before")
    assert registry.names() == ["Ada"]


def test_a_challenge_that_expired_or_is_anothers(
    run: Run, recording: Path, statement: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = challenge.new("Ada")
    enroll = ("enroll", recording, "--consent", statement, "--name")
    refused(run(*enroll, "Bob", "--challenge", made.id), "is for the voice 'Ada'")
    refused(run(*enroll, "Bob", "--challenge", "../../key"), "is no challenge")
    clock(monkeypatch, 16 / 1440)
    refused(run(*enroll, "Ada", "--challenge", made.id), "has expired")
    refused(run(*enroll, "Ada"), "no challenge for 'Ada' is open")


def test_speaking_from_a_recording_takes_a_statement_too(
    run: Run, recording: Path, statement: Path, believed: dict[str, Any]
) -> None:
    speak = ("speak", "So be it.", "--ref-audio", recording, "--consent", statement)
    refused(run(*speak), "no challenge is open")
    challenge.new("Ada")
    assert run(*speak, "-q")[0] == 0
    assert json.loads(Path("speech.wav.json").read_text())["consent"]["kind"] == "consented"


# --- with a receipt that does not hold ------------------------------------------------------


def by_another_key(voice: valle.Voice) -> dict[str, Any]:
    """The voice's receipt, signed by a key that is not the user's."""
    key = keys.generate()
    facts = {n: v for n, v in voice.consent.items() if n not in ("id", "signature")}
    facts["key"] = key.id
    return facts | {"id": sha256_of(facts), "signature": key.sign("receipt", canonical(facts))}


def test_receipts_that_are_not_this_voices(model: valle.Model, voice: valle.Voice) -> None:
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
    foreign = dataclasses.replace(voice, consent=by_another_key(voice))
    for use in (model.speak, model.stream):
        with pytest.raises(valle.ConsentError, match="key that is not known here"):
            use("So be it.", foreign)
    assert list(ledger.lines()) == []


def test_samples_changed_under_a_receipt_are_noticed(
    model: valle.Model, voice: valle.Voice
) -> None:
    changed = dataclasses.replace(voice, audio=voice.audio.copy())
    changed.audio[100] += np.float32(0.01)
    with pytest.raises(valle.ConsentError, match="not the one that its consent receipt is for"):
        model.speak("So be it.", changed)


def test_a_voice_file_that_was_edited_or_brought_along(
    run: Run, voice: valle.Voice, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = registry.add(voice)
    whole = path.read_bytes()
    for place in (whole.index(b"hold the rights"), len(whole) - 50, len(whole) // 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        refused(run("speak", "So be it.", "--voice", "Babble"), "altered or damaged")
    path.write_bytes(whole)
    shutil.copy(path, "babble.voice")
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "elsewhere"))
    refused(run("speak", "So be it.", "--voice", "babble.voice"), "key that is not known here")
    key = voice.consent["key"]
    assert run("consent", "key")[0] == 0  # begins a key and a ledger there
    (tmp_path / "elsewhere" / "safety" / "trusted_keys.txt").write_text(f"{key} my other machine\n")
    assert run("speak", "So be it.", "--voice", "babble.voice", "-q")[0] == 0


# --- revoked, expired, and the clock --------------------------------------------------------


def test_revoked_by_name_stops_everything_at_once(
    run: Run, model: valle.Model, voice: valle.Voice, recording: Path
) -> None:
    registry.add(voice)
    stream = model.stream("So be it. Then it rains. Then it stops.", voice)
    heard = [next(stream)]
    code, out, _ = run("consent", "revoke", "babble")
    assert (code, out) == (0, f"revoked {voice.consent['id']}\n")
    with pytest.raises(valle.ConsentError, match="was revoked"):
        heard.extend(stream)  # it stops before its second sentence
    assert sum(len(piece.words) for piece in heard) <= 3
    refused(run("speak", "So be it.", "--voice", "Babble"), "was revoked")
    refused(run("consent", "revoke", "Babble"), "revoked already")
    for words in (ATTEST, "I was told that I may"):
        refused(run("enroll", recording, "--name", "B", "--attest", words), "was revoked")
    with pytest.raises(valle.ConsentError, match="was revoked"):
        model.enroll(recording, attest="Another word for it")
    assert [line["what"] for line in ledger.lines()] == ["speak", "revoke"]


def test_revoked_by_id_and_agreed_to_anew(
    run: Run, model: valle.Model, recording: Path, statement: Path, believed: dict[str, Any]
) -> None:
    receipt = consented(model, recording, statement).consent["id"]
    assert run("consent", "list")[1].startswith(f"{receipt[:16]}  consented  valid ")
    assert run("consent", "revoke", receipt[:12])[0] == 0
    assert "  revoked  " in run("consent", "list")[1]
    believed["replay"] = 0.5  # a new recording of the new statement
    again = consented(model, recording, statement)
    assert again.consent["id"] != receipt
    check_usable(again)
    for bad in (receipt[:7], "f" * 63, "nobody", "../Ada"):
        code, _, err = run("consent", "revoke", bad)
        assert code == 2 and "valle consent list" in err


def test_deleting_the_record_does_not_bring_a_voice_back(
    run: Run, model: valle.Model, voice: valle.Voice, recording: Path, home: Path
) -> None:
    registry.add(voice)
    model.speak("So be it.", voice, redo=0)
    assert run("consent", "revoke", "Babble")[0] == 0
    for name in (ledger.LEDGER_FILE, ledger.END_FILE):
        (home / "safety" / name).unlink()
        refused(run("speak", "So be it.", "--voice", "Babble"), "altered or damaged")
        refused(run("enroll", recording, "--name", "B", "--attest", ATTEST), "altered or damaged")
    shutil.rmtree(home / "safety")
    refused(run("speak", "So be it.", "--voice", "Babble"), "key that is not known here")


def test_expired_stays_expired_when_the_clock_is_set_back(
    run: Run,
    model: valle.Model,
    recording: Path,
    statement: Path,
    believed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.add(consented(model, recording, statement, expires="3"))
    speak = ("speak", "So be it.", "--voice", "Ada")
    clock(monkeypatch, 2)
    assert run(*speak, "-q", "-o", "in.flac")[0] == 0
    Path("in.flac.json").unlink()
    clock(monkeypatch, 5)
    refused(run(*speak), "ended with")
    assert "  expired  " in run("consent", "list")[1]
    refused(run("enroll", recording, "--name", "B", "--attest", ATTEST), "ended with")
    clock(monkeypatch, 2)
    refused(run(*speak), "clock says", "set the clock right")
    clock(monkeypatch, 0)
    refused(run(*speak), "clock says")
    with pytest.raises(valle.ConsentError, match="clock says"):
        model.speak("So be it.", "Ada")
    refused(run("enroll", recording, "--name", "B", "--attest", ATTEST), "clock says")


def test_a_stream_ends_with_the_agreement(
    model: valle.Model,
    recording: Path,
    statement: Path,
    believed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    voice = consented(model, recording, statement, expires="0")
    stream = model.stream(iter(["So be it. ", "Then it rains. ", "Then it stops."]), voice)
    next(stream)
    clock(monkeypatch, 1)
    with pytest.raises(valle.ConsentError, match="ended with"):
        list(stream)


# --- what a server asks ---------------------------------------------------------------------


def test_a_server_can_refuse_what_is_only_attested(
    model: valle.Model,
    voice: valle.Voice,
    recording: Path,
    statement: Path,
    believed: dict[str, Any],
) -> None:
    check_usable(voice)
    with pytest.raises(valle.ConsentError, match="its user's own word"):
        check_usable(voice, allow_attested=False)
    agreed = consented(model, recording, statement)
    check_usable(agreed, allow_attested=False, language="en-us")
    with pytest.raises(valle.ConsentError, match="agreed to en-us, not to de"):
        check_usable(agreed, language="de")


def test_a_data_folder_that_cannot_be_written_is_said(
    run: Run, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recording: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "file"))
    code, out, err = run("speak", "So be it.", "--ref-audio", recording, "--attest", ATTEST)
    assert (code, out) == (7, "") and err.count("\n") == 1
    assert "make the folder writable, or name another in VALLE_HOME" in err
    assert os.listdir() == []


def test_a_ledger_that_was_altered_is_told_line_by_line(
    run: Run, model: valle.Model, voice: valle.Voice, home: Path
) -> None:
    for _ in range(3):
        model.speak("So be it.", voice, redo=0)
    path = home / "safety" / ledger.LEDGER_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"seed":0', b'"seed":9') + lines[2])
    refused(run("ledger", "verify"), "line 2 was changed")
    code, out, _ = run("ledger", "verify", "--json")
    assert code == 6 and [fault["line"] for fault in json.loads(out)["faults"]] == [2]
    assert len(audit.audit().faults) == 1
