"""The file that is hashed is the one that is read, whatever happens to its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from valle.bundle.hashed_file import open_hashed

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
MILLION = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"  # B.3: a million "a"


def read(model: bytes | str) -> bytes:
    return model if isinstance(model, bytes) else Path(model).read_bytes()


@pytest.mark.parametrize(("data", "sha256"), [(b"abc", ABC), (b"a" * 1_000_000, MILLION)])
@pytest.mark.parametrize("has_descriptor_paths", [True, False])
def test_known_hashes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    sha256: str,
    has_descriptor_paths: bool,
) -> None:
    (tmp_path / "file").write_bytes(data)
    if not has_descriptor_paths:
        monkeypatch.setattr(Path, "exists", lambda path: False)
    with open_hashed(tmp_path / "file") as (digest, model):
        assert digest == sha256
        assert read(model) == data
        assert has_descriptor_paths or isinstance(model, bytes)


def test_file_that_takes_the_name_meanwhile_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "other").write_bytes(b"something else")
    with open_hashed(tmp_path / "file") as (digest, model):
        (tmp_path / "other").replace(tmp_path / "file")
        assert digest == ABC
        assert read(model) == b"abc"


def test_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), open_hashed(tmp_path / "file"):
        pass
