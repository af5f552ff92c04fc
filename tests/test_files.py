"""The temporary data folder, and files that are not replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from valle.files import data_folder, temporary_data_folder, write_atomically
from valle.trust import ledger_witness


def test_a_temporary_data_folder_replaces_the_users_and_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VALLE_HOME", "mine")
    monkeypatch.setenv("VALLE_STATE", "mine too")
    with pytest.raises(KeyError), temporary_data_folder():  # noqa: PT012
        temporary = data_folder()
        assert temporary != Path("mine")
        assert temporary.is_dir()
        assert ledger_witness.folder() is None
        raise KeyError
    assert data_folder() == Path("mine")
    assert ledger_witness.folder() == Path("mine too")
    assert not temporary.exists()
    monkeypatch.delenv("VALLE_HOME")
    with temporary_data_folder():
        assert data_folder().is_dir()


def test_an_existing_file_is_named_before_the_work_and_after_it(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with (  # noqa: PT012
        pytest.raises(FileExistsError) as raised,
        write_atomically(target, overwrite=False) as part,
    ):
        part.write_text("new")
        target.write_text("of somebody else")
    assert str(raised.value) == str(target)
    worked = False
    with pytest.raises(FileExistsError) as raised, write_atomically(target, overwrite=False):
        worked = True
    assert str(raised.value) == str(target)
    assert not worked
    assert target.read_text() == "of somebody else"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
