"""A file that is hashed and then read is the same file, whatever happens to its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from valle.bundle.hashed_file import open_hashed

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
MILLION = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"  # B.3: a million "a"


def read(model: bytes | str) -> bytes:
    return model if isinstance(model, bytes) else Path(model).read_bytes()


@pytest.mark.parametrize(("data", "wanted"), [(b"abc", ABC), (b"a" * 1_000_000, MILLION)])
@pytest.mark.parametrize("system", ["this", "without paths of open files"])
def test_known_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, wanted: str, system: str
) -> None:
    (tmp_path / "file").write_bytes(data)
    if system != "this":
        monkeypatch.setattr(Path, "exists", lambda path: False)
    with open_hashed(tmp_path / "file") as (found, model):
        assert (found, read(model)) == (wanted, data)
        assert system == "this" or isinstance(model, bytes)


def test_another_file_of_that_name_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "other").write_bytes(b"something else")
    with open_hashed(tmp_path / "file") as (found, model):
        (tmp_path / "other").replace(tmp_path / "file")
        assert (found, read(model)) == (ABC, b"abc")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), open_hashed(tmp_path / "file"):
        pass
