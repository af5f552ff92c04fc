"""Nothing can be done to the ledger that is not found; crashes and other processes do no harm."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import valle
from valle.errors import ConsentError, OutputError
from valle.trust import audit, keys, ledger, private_files

LINES = 8


@pytest.fixture
def file(home: Path) -> Path:
    """A ledger of eight lines."""
    for number in range(LINES):
        ledger.append("speak", receipt=f"{number:064x}", seed=number, voice="Zoë")
    return home / "safety" / "ledger.jsonl"


@pytest.fixture(autouse=True)
def begun_here(home: Path) -> None:
    """Not with the ledger that tests share."""
    for part in sorted((home / "safety").rglob("*"), reverse=True):
        part.rmdir() if part.is_dir() else part.unlink()


def test_lines_are_signed_and_follow_on_each_other(file: Path) -> None:
    found = audit.audit()
    assert found.faults == () and found.lines == LINES
    lines = list(ledger.lines())
    assert [line["n"] for line in lines] == list(range(1, LINES + 1))
    assert lines[3]["voice"] == "Zoë" and lines[3]["key"] == ledger.signer().id
    assert lines[0]["previous"] == "0" * 64 and len(set(map(str, lines))) == LINES
    assert file.read_bytes().isascii() and file.read_bytes().endswith(b"\n")


def changed(lines: list[bytes], rng: random.Random) -> tuple[str, list[bytes], set[int]]:
    """One change to a line: its kind, the lines after it, and the numbers one of which is named."""
    at = rng.randrange(len(lines))
    line, after = lines[at], list(lines)
    kind = rng.choice(["edit", "remove", "swap", "duplicate", "truncate", "insert", "blank"])
    named = {at + 1}
    if kind == "edit":
        place = rng.randrange(len(line))
        other = rng.choice([b for b in range(32, 127) if b != line[place]])
        after[at] = line[:place] + bytes([other]) + line[place + 1 :]
    elif kind == "remove":
        del after[at]
    elif kind == "swap":
        other = rng.choice([i for i in range(len(lines)) if i != at])
        after[at], after[other] = after[other], after[at]
        named |= {other + 1}
    elif kind == "duplicate":
        after.insert(rng.randrange(len(lines) + 1), line)
    elif kind == "truncate":  # from here on, within the line or at its beginning
        after = [*lines[:at], line[: rng.randrange(len(line))]]
        named = set(range(at + 1, len(lines) + 1))
    elif kind == "insert":
        forged = json.loads(line) | {"n": at + 2, "receipt": "f" * 64}
        after.insert(at + 1, json.dumps(forged).encode())
        named = {at + 2}
    else:
        after.insert(at, b"")
    return kind, after, named


def test_of_a_thousand_changes_each_is_found_and_named(file: Path) -> None:
    whole = file.read_bytes()
    lines = whole.splitlines()
    rng = random.Random(0)
    kinds = set()
    for _ in range(1000):
        kind, after, named = changed(lines, rng)
        data = b"\n".join(after) + (b"" if kind == "truncate" and after[-1] else b"\n")
        file.write_bytes(data)
        found = {fault.line for fault in audit.audit().faults}
        assert found & named, (kind, named, found)
        kinds.add(kind)
    assert len(kinds) == 7
    file.write_bytes(whole)
    assert audit.audit().faults == ()


def test_a_change_is_named_by_its_line_alone(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    for at in (0, 5, LINES - 1):
        file.write_bytes(b"".join([*lines[:at], lines[at].replace(b"Zo", b"Mo"), *lines[at + 1 :]]))
        assert [str(f) for f in audit.audit().faults] == [
            f"line {at + 1} was changed, or is not the ledger's"
        ]
        file.write_bytes(b"".join([*lines[:at], *lines[at + 1 :]]))
        assert [str(f) for f in audit.audit().faults] == [f"line {at + 1} is missing"]
    file.write_bytes(b"".join(lines[:-3]))
    assert [f.line for f in audit.audit().faults] == [LINES - 2, LINES - 1, LINES]


def test_the_lines_of_an_older_history_do_not_fit(file: Path, home: Path) -> None:
    end = home / "safety" / "ledger.end.json"
    before = file.read_bytes(), end.read_bytes()
    ledger.append("speak", receipt="a" * 64)
    told = file.read_bytes()
    file.write_bytes(before[0])
    end.write_bytes(before[1])
    ledger.append("speak", receipt="b" * 64)
    ledger.append("speak", receipt="c" * 64)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:LINES], told.splitlines(keepends=True)[-1], lines[-1]]))
    assert [f.line for f in audit.audit().faults] == [LINES + 2]


def test_a_changed_end_is_found(file: Path, home: Path) -> None:
    end = home / "safety" / "ledger.end.json"
    whole = end.read_bytes()
    content = json.loads(whole)
    fewer = content | {"end": content["end"] | {"lines": LINES - 1}}
    for bad in (b"", b"{}", b"[" * 100_000, json.dumps(fewer).encode(), whole[:-9]):
        end.write_bytes(bad)
        assert any(fault.line == 0 for fault in audit.audit().faults)
        for use in (ledger.end, lambda: ledger.append("speak")):
            with pytest.raises(ConsentError, match="was altered or damaged"):
                use()
    end.unlink()
    assert any(fault.line == 0 for fault in audit.audit().faults)


def test_a_ledger_taken_away_is_missed(file: Path, home: Path) -> None:
    """Else a revocation could be undone by deleting it."""
    file.unlink()
    with pytest.raises(ConsentError, match="does not end as its signed end says"):
        ledger.append("speak")
    (home / "safety" / "ledger.end.json").unlink()
    with pytest.raises(ConsentError, match="signed end .* is gone"):
        ledger.append("speak")
    assert [fault.line for fault in audit.audit().faults] == [0]


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_a_crash_between_the_two_writes_loses_nothing(file: Path, kept: int) -> None:
    """The end is written first: the file may lack its last line, or a part of it."""
    whole = file.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    file.write_bytes(whole[: len(whole) - len(last)] + last[: kept % len(last)])
    assert ledger.end().lines == LINES
    assert file.read_bytes() == whole
    ledger.append("speak")
    assert audit.audit().faults == ()


def test_lines_put_after_the_end_stop_everything(file: Path) -> None:
    with file.open("ab") as more:
        more.write(file.read_bytes().splitlines(keepends=True)[-1])
    for use in (ledger.end, lambda: ledger.append("speak")):
        with pytest.raises(ConsentError, match="valle ledger verify"):
            use()


def test_what_was_revoked_stays_revoked_whatever_becomes_of_the_line(file: Path) -> None:
    ledger.append("revoke", revoked={"a" * 64: "b" * 64}, receipt="a" * 64)
    ledger.append("speak")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(
        b"".join([*lines[:LINES], lines[LINES].replace(b"revoke", b"invoke"), lines[-1]])
    )
    assert ledger.end().revoked == {"a" * 64: "b" * 64}


def test_a_clock_set_back_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = ledger.stamp(ledger.seconds(ledger.now()) + 3600)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "now", lambda: later)
        ledger.append("speak")
    for use in (ledger.end, lambda: ledger.append("speak")):
        with pytest.raises(ConsentError, match=f"clock says .* has seen {later}"):
            use()
    a_little = ledger.stamp(ledger.seconds(later) - 30)
    monkeypatch.setattr(ledger, "now", lambda: a_little)
    ledger.append("speak")
    assert [line["time"] for line in ledger.lines()][-2:] == [later, later]


APPEND = """
import sys
from valle.trust import ledger
for number in range(15):
    ledger.append("speak", receipt=sys.argv[1], number=number)
"""


def test_processes_begin_a_ledger_and_append_beside_each_other(home: Path) -> None:
    path = {"PYTHONPATH": str(Path(valle.__file__).parents[1])}
    working = [
        subprocess.Popen([sys.executable, "-c", APPEND, name], env=os.environ | path)
        for name in ("one", "two", "three")
    ]
    assert [process.wait(timeout=120) for process in working] == [0, 0, 0]
    found = audit.audit()
    assert found.faults == () and found.lines == 45
    for name in ("one", "two", "three"):
        own = [line["number"] for line in ledger.lines() if line.get("receipt") == name]
        assert own == list(range(15))


def test_threads_append_beside_each_other(home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: ledger.append("speak", number=number), range(20)))
    assert sorted(line["number"] for line in ledger.lines()) == list(range(20))
    assert audit.audit().faults == ()


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "file"))
    for use in (ledger.end, lambda: ledger.append("speak"), ledger.signer):
        with pytest.raises(OutputError, match="cannot keep the ledger in .* VALLE_HOME"):
            use()
    assert keys.own() is None and private_files.folder().name == "safety"


def test_there_is_no_ledger_yet(home: Path) -> None:
    with pytest.raises(ConsentError, match="there is no ledger"):
        audit.audit()
