"""`valle serve` says what is wrong before it starts, and `valle keys` shows a key once."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from valle.cli.main import main
from valle.registry import keys
from valle.registry.database import Database
from valle.registry.registry import default_database_url


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_others_are_not_let_in_without_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "serve", "--host", "0.0.0.0")
    assert (code, out) == (2, "")
    assert "valle keys new" in err
    assert "--without-keys" in err


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--port", "99999"), 2, "--port"),
        (("--max-requests", "0"), 2, "--max-requests"),
        (("--alias", "alloy"), 2, "--alias"),
        (("--database", "mysql://x"), 2, "--database takes"),
        (("--database", "postgresql://valle@127.0.0.1:1/x"), 7, "database"),
        (("--objects", "nowhere://x"), 2, "--objects"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, reason: str
) -> None:
    result = run(capsys, "serve", *words)
    assert result[0] == code, result
    assert reason in result[2]
    assert result[2].count("\n") == 1


def test_a_port_that_is_taken_is_said_to_be(
    capfd: pytest.CaptureFixture[str], debug_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALLE_SERVE_OPTIONS", "")  # restored after the test
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code = main(["serve", "--port", port, "--bundle", str(debug_bundle)])
    err = capfd.readouterr().err
    assert code == 7
    assert f"could not start at 127.0.0.1:{port}" in err


def test_a_file_is_not_taken_for_a_socket(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    code, _, err = run(capsys, "serve", "--uds", str(file))
    assert (code, file.read_text()) == (2, "mine")
    assert "another file" in err


def test_a_key_is_shown_once_and_works_until_it_is_revoked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = run(capsys, "keys", "new", "laptop", "--scopes", "speak,jobs")
    secret = out.strip()
    database = Database(default_database_url())
    caller = keys.find_caller(database, secret)
    assert code == 0
    assert caller is not None
    assert caller.scopes == {"speak", "jobs"}
    listed = json.loads(run(capsys, "keys", "--json")[1])
    assert [key["name"] for key in listed] == ["laptop"]
    assert secret not in json.dumps(listed)
    assert "laptop" in run(capsys, "keys")[1]
    assert run(capsys, "keys", "revoke", "laptop")[0] == 0
    assert keys.find_caller(database, secret) is None
    database.close()
    assert run(capsys, "keys", "revoke", "laptop")[0] == 2
    assert run(capsys, "keys", "new", "x", "--scopes", "fly")[0] == 2
