"""The temporary data folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from valle.files import data_folder, temporary_data_folder


def test_a_temporary_data_folder_replaces_the_users_and_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VALLE_HOME", "mine")
    with pytest.raises(KeyError), temporary_data_folder():  # noqa: PT012
        temporary = data_folder()
        assert temporary != Path("mine")
        assert temporary.is_dir()
        raise KeyError
    assert data_folder() == Path("mine")
    assert not temporary.exists()
    monkeypatch.delenv("VALLE_HOME")
    with temporary_data_folder():
        assert data_folder().is_dir()
