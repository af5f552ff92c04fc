"""The registry: voices are saved, found, renamed and removed by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from valle.errors import ConsentError, Error, OutputError, UsageError
from valle.voices import registry
from valle.voices.voice import Voice
from voice_files import assert_same_voice, make_voice


def test_names_are_never_paths(home: Path) -> None:
    for name in ("", "..", "../a", "a/b", "/etc/passwd", "a\0"):
        for use in (registry.path, registry.load, registry.remove, registry.check_free):
            with pytest.raises(UsageError, match="cannot name a voice"):
                use(name)
    assert not (home / "voices").exists()


def test_voices_are_added_listed_loaded_and_removed(home: Path) -> None:
    assert registry.names() == []
    for name in ("Berta", "anna", "Carl"):
        file = registry.add(make_voice(name))
        assert file == home / "voices" / f"{name}.safetensors" == registry.path(name)
    (home / "voices" / "note.txt").touch()
    (home / "voices" / "-odd.safetensors").touch()
    assert registry.names() == ["anna", "Berta", "Carl"]
    assert_same_voice(registry.load("Berta"), make_voice("Berta"))
    assert registry.load("ANNA").name == "anna"
    registry.remove("Berta")
    assert registry.names() == ["anna", "Carl"]
    assert len(os.listdir(home / "voices")) == 4


def test_names_of_any_script_are_found_in_any_normal_form_and_case(home: Path) -> None:
    registry.add(make_voice("Zo\u00eb"))
    registry.add(make_voice("Владимир"))
    assert registry.names() == ["Zo\u00eb", "Владимир"]
    for name in ("Zo\u00eb", "Zoe\u0308", "ZO\u00cb"):
        assert registry.load(name).name == "Zo\u00eb"
    with pytest.raises(UsageError, match="already"):
        registry.check_free("zoe\u0308")
    # A file that another program renamed to the decomposed form is found too.
    os.rename(home / "voices/Zo\u00eb.safetensors", home / "voices/Zoe\u0308.safetensors")
    assert registry.load("Zo\u00eb").name == "Zo\u00eb"
    registry.remove("Zo\u00eb")
    assert registry.names() == ["Владимир"]


def test_file_under_another_name_is_not_that_voice(home: Path) -> None:
    registry.add(make_voice("Bob"))
    os.rename(home / "voices/Bob.safetensors", home / "voices/Ada.safetensors")
    for use in (registry.load, lambda name: registry.rename(name, "Eve")):
        with pytest.raises(ConsentError, match="holds the voice 'Bob', not 'Ada'"):
            use("Ada")
    assert registry.names() == ["Ada"]


def test_temporary_files_of_a_crash_are_swept(home: Path) -> None:
    registry.add(make_voice("Anna"))
    old, new = (home / "voices" / f".valle-{name}.tmp" for name in ("old", "new"))
    for file in (old, new):
        file.write_bytes(b"half of a recording")
    os.utime(old, (0, 0))
    registry.add(make_voice("Berta"))
    assert (old.exists(), new.exists()) == (False, True)


def test_taken_name_is_refused_and_the_voice_unchanged() -> None:
    registry.add(make_voice("Anna"))
    with pytest.raises(UsageError, match="'Anna' already"):
        registry.add(make_voice("anna", warnings=()))
    with pytest.raises(UsageError, match="already"):
        registry.check_free("ANNA")
    registry.check_free("Annb")
    assert_same_voice(registry.load("Anna"), make_voice("Anna"))
    with pytest.raises(UsageError, match="cannot name"):
        registry.add(make_voice(""))


def test_of_two_processes_only_one_gets_a_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.add(make_voice("Anna"))
    monkeypatch.setattr(registry, "names", list)  # both looked before either wrote
    with pytest.raises(UsageError, match="already"):
        registry.add(make_voice("Anna", warnings=()))
    assert Voice.load(home / "voices" / "Anna.safetensors").warnings == ("it is noisy",)
    assert os.listdir(home / "voices") == ["Anna.safetensors"]


def test_unknown_name_is_answered_with_similar_ones() -> None:
    with pytest.raises(UsageError, match="there are none yet; `valle enroll"):
        registry.load("Anna")
    for name in ("Anna", "Hannah", "Carl"):
        registry.add(make_voice(name))
    with pytest.raises(UsageError, match="did you mean 'Anna' or 'Hannah'\\?"):
        registry.load("Anno")
    with pytest.raises(UsageError, match="`valle voices` lists"):
        registry.remove("zzz")


def test_renaming_changes_the_file_and_the_voice() -> None:
    registry.add(make_voice("Anna"))
    registry.add(make_voice("Carl"))
    assert registry.rename("anna", "Berta").name == "Berta.safetensors"
    assert registry.names() == ["Berta", "Carl"]
    assert_same_voice(registry.load("Berta"), make_voice("Anna").with_name("Berta"))
    for old, new, reason in (
        ("Berta", "carl", "already"),
        ("Berta", "berta", "already"),
        ("Anna", "Dora", "no voice named"),
        ("Berta", "../x", "cannot name"),
    ):
        with pytest.raises(UsageError, match=reason):
            registry.rename(old, new)
    assert registry.names() == ["Berta", "Carl"]


def test_interrupted_rename_keeps_the_voice(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.add(make_voice("Anna"))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", interrupt)
        with pytest.raises(KeyboardInterrupt):
            registry.rename("Anna", "Berta")
    assert os.listdir(home / "voices") == ["Anna.safetensors"]


def test_folder_that_cannot_be_made_is_an_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = make_voice()
    (tmp_path / "file").touch()
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot make the folder"):
        registry.add(voice)
    with pytest.raises(OutputError, match="ledger in .* VALLE_HOME"):
        make_voice()
    assert registry.names() == []


def test_voices_are_in_the_users_data_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VALLE_HOME", raising=False)
    assert registry.folder().name == "voices"
    assert registry.folder().parent.name == "valle"
    assert issubclass(ConsentError, Error)
    assert ConsentError.exit_code == 6
