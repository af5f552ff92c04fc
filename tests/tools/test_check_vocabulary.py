"""The check of the vocabulary finds private words where they are not allowed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = load_tool("check_vocabulary")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "src" / "valle" / "text").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    return tmp_path


def find(root: Path, name: str, text: str) -> list[str]:
    path = root / name
    path.write_text(text, encoding="utf-8")
    return list(check.find([path], check.read_words(), root))


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("x = made_speech(1)", "synthetic speech"),
        ("It is Made Speech.", "synthetic speech"),
        ("50 frames a second", "per"),
        ("class Saying:", "sequence"),
        ("the matching_loss of it", "feature matching"),
        ("raise UsageError('this is no voice file')", "is not a"),
        ("the tenth hundredth", "percentile"),
    ],
)
def test_private_words_are_found(root: Path, text: str, instead: str) -> None:
    (problem,) = find(root, "docs/page.md", f"fine\n{text}\n")
    assert problem.startswith("docs/page.md:2: ")
    assert instead in problem


@pytest.mark.parametrize(
    "text",
    ["unmade speeches", "feature_matching_loss", "there is no bundle", "saying so", "twice a day"],
)
def test_standard_words_are_not(root: Path, text: str) -> None:
    assert find(root, "docs/page.md", text) == []


def test_a_word_may_be_allowed_in_some_files(root: Path) -> None:
    assert find(root, "src/valle/text/numbers.py", "hundredth") == []
    assert find(root, "src/valle/speech.py", "hundredth") != []


def test_the_exit_code_tells(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(check, "list_files", lambda: iter([]))
    assert check.main([]) == 0
    (root / "a.md").write_text("made speech")
    monkeypatch.setattr(check, "list_files", lambda: iter([root / "a.md"]))
    monkeypatch.setattr(check, "find", lambda files, _: (f"{file.name}: found" for file in files))
    assert check.main([]) == 1


def test_every_kind_of_file_is_checked() -> None:
    names = {path.relative_to(check.ROOT).as_posix() for path in check.list_files()}
    assert {
        "README.md",
        "docs/CLI.md",
        "src/valle/options.py",
        "tools/check_vocabulary.py",
    } <= names


def test_nobody_uses_a_private_word() -> None:
    assert list(check.find(check.list_files(), check.read_words())) == []
