"""The folders are stages: imports go one way, none goes round; no file or function is too long."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import valle

ROOT = Path(__file__).parents[1]
MOST_LINES = 400
MOST_LINES_PER_FUNCTION = 80
# Each line may import from those before it, and from itself.
STAGES = """
errors version
arrays audio_format files styles options
text audio
media
bundle
watermark
runtime
trust
voices
detection
consent
synthesis
editing
dubbing
books
valle scripts
corpora
training/models
training training/run_folder training/checkpoints training/weight_averaging
training/data
training/trainers
training/export
evaluation
registry
server
assistants
cli
__main__
"""
RANKS = {name: rank for rank, line in enumerate(STAGES.split("\n")) for name in line.split()}


class Import(NamedTuple):
    """One module importing another; `typing`: for annotations alone."""

    by: str
    of: str
    typing: bool


def read_modules(package: Path) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    names = {}
    for path in package.rglob("*.py"):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        names[".".join(parts).removesuffix(".__init__")] = path
    return names


def read_imports(modules: dict[str, Path]) -> list[Import]:
    """Imports of modules by each other, those inside functions too."""
    return [
        Import(name, of, typing)
        for name, path in modules.items()
        for of, typing in _imported(ast.parse(path.read_text(encoding="utf-8")), False)
        for of in _resolved(of, modules)
        if of != name
    ]


def _imported(tree: ast.AST, typing: bool) -> Iterator[tuple[str, bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            yield from ((f"{node.module}.{alias.name}", typing) for alias in node.names)
        of_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        yield from _imported(node, typing or of_types)


def _resolved(name: str, modules: dict[str, Path]) -> Iterator[str]:
    """The module that an imported name is, or is in."""
    while name:
        if name in modules:
            yield name
            return
        name = name.rpartition(".")[0]


def rank(module: str) -> int:
    """The stage of a module: that of its folder, or its own."""
    parts = module.split(".")[1:] or ["valle"]
    return RANKS.get("/".join(parts[:2]), RANKS.get(parts[0], -1))


def find_upward(imports: list[Import]) -> list[str]:
    """Imports of a later stage, and modules in none."""
    unknown = {name for one in imports for name in (one.by, one.of) if rank(name) < 0}
    upward = [f"{one.by} -> {one.of}" for one in imports if rank(one.of) > rank(one.by) >= 0]
    return sorted(unknown) + upward


def find_cycles(imports: list[Import]) -> list[str]:
    """Modules that import each other at run time, once nothing else can be taken away."""
    left = {(one.by, one.of) for one in imports if not one.typing}
    while True:
        importing, imported = {by for by, _ in left}, {of for _, of in left}
        kept = {(by, of) for by, of in left if of in importing and by in imported}
        if kept == left:
            return sorted({by for by, _ in left})
        left = kept


def find_long(paths: Iterable[Path]) -> list[str]:
    """Files of more than `MOST_LINES`, and functions of more than `MOST_LINES_PER_FUNCTION`."""
    long = []
    for path in paths:
        source = path.read_text(encoding="utf-8")
        if (lines := len(source.splitlines())) > MOST_LINES:
            long.append(f"{path.name}: {lines} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_LINES_PER_FUNCTION:
                    long.append(f"{path.name}, {node.name}: {lines} lines")
    return long


@pytest.fixture(scope="module")
def modules() -> dict[str, Path]:
    return read_modules(Path(valle.__file__).parent)


@pytest.fixture(scope="module")
def imports(modules: dict[str, Path]) -> list[Import]:
    return read_imports(modules)


def test_imports_go_down_only(imports: list[Import]) -> None:
    assert len(imports) > 500
    assert find_upward(imports) == []


def test_no_imports_go_round(imports: list[Import]) -> None:
    assert find_cycles(imports) == []


def test_no_file_or_function_is_too_long() -> None:
    folders = ("src", "tests", "benchmarks", "examples", "tools")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    # A migration lists the columns of all its tables in one function, as Alembic writes it.
    paths = [path for path in paths if "migrations" not in path.parts]
    assert len(paths) > 300
    assert find_long(paths) == []


def test_these_checks_can_fail(tmp_path: Path) -> None:
    package = tmp_path / "valle"
    sources = {
        "__init__.py": "",
        "text/__init__.py": "",
        "text/one.py": "def late() -> None:\n    from valle.text import two\n",
        "text/two.py": "import valle.text.one\ndef slow():\n"
        + "    run()\n" * MOST_LINES_PER_FUNCTION,
        "text/three.py": "if TYPE_CHECKING:\n    from valle.voices.voice import Voice\n",
        "voices/voice.py": "from valle.text.three import name\n",
        "lost.py": "from valle.text import one\n" + "\n" * MOST_LINES,
    }
    for name, source in sources.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(source)
    modules = read_modules(package)
    imports = read_imports(modules)
    assert find_upward(imports) == ["valle.lost", "valle.text.three -> valle.voices.voice"]
    assert find_cycles(imports) == ["valle.text.one", "valle.text.two"]
    assert sorted(find_long(modules.values())) == [
        f"lost.py: {MOST_LINES + 1} lines",
        f"two.py, slow: {MOST_LINES_PER_FUNCTION + 1} lines",
    ]
