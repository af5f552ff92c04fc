"""The ledger: every alteration is found; crashes and concurrent processes do no harm."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import valle
from valle.cli.main import main
from valle.errors import ConsentError, OutputError
from valle.trust import audit, keys, ledger, private_files

LINES = 8


@pytest.fixture
def file(home: Path) -> Path:
    """Return the path of a ledger of eight lines."""
    for number in range(LINES):
        ledger.append("speak", receipt=f"{number:064x}", seed=number, voice="Zoë")
    return home / "safety" / "ledger.jsonl"


@pytest.fixture(autouse=True)
def empty_safety_folder(home: Path) -> None:
    """Start without the key and ledger that tests share."""
    for part in sorted((home / "safety").rglob("*"), reverse=True):
        part.rmdir() if part.is_dir() else part.unlink()


def test_lines_are_signed_and_chained(file: Path) -> None:
    result = audit.audit()
    assert result.faults == ()
    assert result.lines == LINES
    lines = list(ledger.read_lines())
    assert [line["n"] for line in lines] == list(range(1, LINES + 1))
    assert lines[3]["voice"] == "Zoë"
    assert lines[3]["key"] == ledger.get_signing_key().id
    assert lines[0]["previous"] == "0" * 64
    assert len(set(map(str, lines))) == LINES
    assert file.read_bytes().isascii()
    assert file.read_bytes().endswith(b"\n")


def test_a_given_key_begins_an_empty_ledger_alone() -> None:
    key = keys.generate()
    ledger.begin_with_key(key)
    assert ledger.get_signing_key().id == key.id
    with pytest.raises(ConsentError, match="exists already"):
        ledger.begin_with_key(keys.generate())
    assert ledger.get_signing_key().id == key.id
    ledger.append("speak", receipt="a" * 64)
    assert audit.audit().faults == ()


def alter(lines: list[bytes], rng: random.Random) -> tuple[str, list[bytes], set[int]]:
    """Alter one line: return the kind, the new lines, and numbers one of which must be named."""
    at = rng.randrange(len(lines))
    line, altered = lines[at], list(lines)
    kind = rng.choice(["edit", "remove", "swap", "duplicate", "truncate", "insert", "blank"])
    expected = {at + 1}
    if kind == "edit":
        position = rng.randrange(len(line))
        other = rng.choice([b for b in range(32, 127) if b != line[position]])
        altered[at] = line[:position] + bytes([other]) + line[position + 1 :]
    elif kind == "remove":
        del altered[at]
    elif kind == "swap":
        other = rng.choice([i for i in range(len(lines)) if i != at])
        altered[at], altered[other] = altered[other], altered[at]
        expected |= {other + 1}
    elif kind == "duplicate":
        altered.insert(rng.randrange(len(lines) + 1), line)
    elif kind == "truncate":  # from here on, within the line or at its start
        altered = [*lines[:at], line[: rng.randrange(len(line))]]
        expected = set(range(at + 1, len(lines) + 1))
    elif kind == "insert":
        forged = json.loads(line) | {"n": at + 2, "receipt": "f" * 64}
        altered.insert(at + 1, json.dumps(forged).encode())
        expected = {at + 2}
    else:
        altered.insert(at, b"")
    return kind, altered, expected


def test_audit_locates_each_of_1000_random_alterations(file: Path) -> None:
    original = file.read_bytes()
    lines = original.splitlines()
    rng = random.Random(0)
    kinds = set()
    for _ in range(1000):
        kind, altered, expected = alter(lines, rng)
        data = b"\n".join(altered) + (b"" if kind == "truncate" and altered[-1] else b"\n")
        file.write_bytes(data)
        reported = {fault.line for fault in audit.audit().faults}
        assert reported & expected, (kind, expected, reported)
        kinds.add(kind)
    assert len(kinds) == 7
    file.write_bytes(original)
    assert audit.audit().faults == ()


def test_audit_reports_only_the_altered_line(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    for at in (0, 5, LINES - 1):
        file.write_bytes(b"".join([*lines[:at], lines[at].replace(b"Zo", b"Mo"), *lines[at + 1 :]]))
        assert [str(f) for f in audit.audit().faults] == [
            f"line {at + 1} was changed, or was not written by valle"
        ]
        file.write_bytes(b"".join([*lines[:at], *lines[at + 1 :]]))
        why = "is missing" if at < LINES - 1 else audit.INTERRUPTED
        assert [str(f) for f in audit.audit().faults] == [f"line {at + 1} {why}"]
    file.write_bytes(b"".join(lines[:-3]))
    assert [f.line for f in audit.audit().faults] == [LINES - 2, LINES - 1, LINES]


def test_lines_of_another_history_break_the_chain(file: Path, home: Path) -> None:
    head = home / "safety" / "ledger.end.json"
    before = file.read_bytes(), head.read_bytes()
    ledger.append("speak", receipt="a" * 64)
    other_history = file.read_bytes()
    file.write_bytes(before[0])
    head.write_bytes(before[1])
    ledger.append("speak", receipt="b" * 64)
    ledger.append("speak", receipt="c" * 64)
    lines = file.read_bytes().splitlines(keepends=True)
    foreign = other_history.splitlines(keepends=True)[-1]
    file.write_bytes(b"".join([*lines[:LINES], foreign, lines[-1]]))
    assert [f.line for f in audit.audit().faults] == [LINES + 2]


def test_altered_head_is_detected(file: Path, home: Path) -> None:
    head = home / "safety" / "ledger.end.json"
    original = head.read_bytes()
    content = json.loads(original)
    fewer = content | {"end": content["end"] | {"lines": LINES - 1}}
    for bad in (b"", b"{}", b"[" * 100_000, json.dumps(fewer).encode(), original[:-9]):
        head.write_bytes(bad)
        assert any(fault.line == 0 for fault in audit.audit().faults)
        for use in (ledger.read_head, lambda: ledger.append("speak")):
            with pytest.raises(ConsentError, match="was altered or damaged"):
                use()
    head.unlink()
    assert any(fault.line == 0 for fault in audit.audit().faults)


def test_removed_ledger_is_detected(file: Path, home: Path) -> None:
    """Otherwise a revocation could be undone by deleting it."""
    file.unlink()
    with pytest.raises(ConsentError, match="does not end as its signed head says"):
        ledger.append("speak")
    (home / "safety" / "ledger.end.json").unlink()
    with pytest.raises(ConsentError, match="signed head .* is gone"):
        ledger.append("speak")
    assert [fault.line for fault in audit.audit().faults] == [0]


@pytest.mark.parametrize("written", [0, 1, 40, -1])
def test_crash_between_the_two_writes_loses_nothing(file: Path, written: int) -> None:
    """The head is written first: the file may lack its last line, or a part of it."""
    original = file.read_bytes()
    last = original.splitlines(keepends=True)[-1]
    file.write_bytes(original[: len(original) - len(last)] + last[: written % len(last)])
    assert ledger.read_head().lines == LINES
    assert file.read_bytes() == original
    ledger.append("speak")
    assert audit.audit().faults == ()


def test_lines_after_the_head_stop_everything(file: Path) -> None:
    with file.open("ab") as ledger_file:
        ledger_file.write(file.read_bytes().splitlines(keepends=True)[-1])
    for use in (ledger.read_head, lambda: ledger.append("speak")):
        with pytest.raises(ConsentError, match="valle ledger verify"):
            use()


def test_revocation_survives_an_alteration_of_its_line(file: Path) -> None:
    ledger.append("revoke", revoked={"a" * 64: "b" * 64}, receipt="a" * 64)
    ledger.append("speak")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(
        b"".join([*lines[:LINES], lines[LINES].replace(b"revoke", b"invoke"), lines[-1]])
    )
    assert ledger.read_head().revoked == {"a" * 64: "b" * 64}


def test_clock_set_back_is_entered(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = ledger.format_time(ledger.parse_time(ledger.now()) + 3600)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "now", lambda: later)
        ledger.append("speak")
    slightly_earlier = ledger.format_time(ledger.parse_time(later) - 30)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "now", lambda: slightly_earlier)
        ledger.append("speak")
    assert [line["time"] for line in ledger.read_lines()][-2:] == [later, later]
    head = ledger.read_head()
    assert (head.clock_changes, head.latest_ever) == (1, later)
    assert head.latest < later
    ledger.append("speak")
    (*_, change, last) = ledger.read_lines()
    assert change["what"] == "clock"
    assert change["set_back_from"] == later
    assert last["time"] < later
    assert ledger.read_head().clock_changes == 1
    assert audit.audit().faults == ()


APPEND = """
import sys
from valle.trust import ledger
for number in range(15):
    ledger.append("speak", receipt=sys.argv[1], number=number)
"""


def test_processes_create_and_append_concurrently(home: Path) -> None:
    path = {"PYTHONPATH": str(Path(valle.__file__).parents[1])}
    processes = [
        subprocess.Popen([sys.executable, "-c", APPEND, name], env=os.environ | path)
        for name in ("one", "two", "three")
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    result = audit.audit()
    assert result.faults == ()
    assert result.lines == 45
    for name in ("one", "two", "three"):
        numbers = [line["number"] for line in ledger.read_lines() if line.get("receipt") == name]
        assert numbers == list(range(15))


def test_threads_append_concurrently(home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: ledger.append("speak", number=number), range(20)))
    assert sorted(line["number"] for line in ledger.read_lines()) == list(range(20))
    assert audit.audit().faults == ()


def test_unwritable_folder_is_an_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "file"))
    for use in (ledger.read_head, lambda: ledger.append("speak"), ledger.get_signing_key):
        with pytest.raises(OutputError, match="cannot write the ledger in .* VALLE_HOME"):
            use()
    assert keys.load_user_key() is None
    assert private_files.folder().name == "safety"


def test_audit_without_a_ledger_is_refused(home: Path) -> None:
    with pytest.raises(ConsentError, match="there is no ledger"):
        audit.audit()


def test_crash_within_the_last_line_is_no_alteration(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = file.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    for cut in (2, 50, last):
        file.write_bytes(whole[:-cut])
        (fault,) = audit.audit().faults
        assert str(fault) == f"line {LINES} {audit.INTERRUPTED}"
        assert main(["ledger", "verify"]) == 0
        assert "none altered" in capsys.readouterr().out
        assert file.read_bytes() == whole
    file.write_bytes(whole[:-last] + b"x")
    assert main(["ledger", "verify"]) == 6


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes and links")
def test_folder_that_others_can_replace_is_refused(home: Path, tmp_path: Path) -> None:
    ledger.append("speak", receipt="a" * 64)
    home.chmod(0o777)
    with pytest.raises(ConsentError, match="everybody can write to"):
        ledger.append("speak", receipt="a" * 64)
    home.chmod(0o755)
    (home / "safety").rename(tmp_path / "elsewhere")
    (home / "safety").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConsentError, match="is a link"):
        ledger.append("speak", receipt="a" * 64)


def test_older_copy_is_noticed_and_revokes_nothing_less(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALLE_STATE", str(tmp_path / "state"))
    ledger.append("enroll", receipt="a")
    shutil.copytree(home, tmp_path / "older")
    ledger.append("revoke", revoked={"a": "recording"}, receipt="a")
    ledger.append("speak", receipt="b")
    shutil.rmtree(home)
    shutil.copytree(tmp_path / "older", home)
    assert [str(fault) for fault in audit.audit().faults] == [audit.OLDER_COPY]
    assert ledger.read_head().revoked == {"a": "recording"}
    assert audit.audit().faults == ()
    _, noticed = ledger.read_lines()
    assert noticed["what"] == "rollback"
    assert noticed["lines_before"] == 3
    ledger.append("speak", receipt="b")
    assert len(list(ledger.read_lines())) == 3


@pytest.mark.parametrize("change", ["gone", "altered", "unwritable", "not named"])
def test_ledger_without_its_witness_is_used_as_it_is(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    state = tmp_path / "state"
    if change != "not named":
        monkeypatch.setenv("VALLE_STATE", str(state))
    if change == "unwritable":
        state.write_text("a file")
    for _ in range(3):
        ledger.append("speak", receipt="a")
    shutil.copytree(home, tmp_path / "older")
    ledger.append("speak", receipt="a")
    for witness in state.glob("*"):
        if change == "gone":
            witness.unlink()
        else:
            witness.write_bytes(witness.read_bytes().replace(b'"lines":4', b'"lines":9'))
    shutil.rmtree(home)
    shutil.copytree(tmp_path / "older", home)
    ledger.append("speak", receipt="a")
    assert [line["what"] for line in ledger.read_lines()] == ["speak"] * 4
