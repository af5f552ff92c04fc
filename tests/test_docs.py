"""Documentation is true: examples run without a network, links and names exist, prose is readable.

The ```console and ```python examples of a page are run from top to bottom in one folder that holds
`examples/`, as a reader would: later ones may use what earlier ones made. Neighboring ```python
examples are one program. ```sh marks what is not run here: installing, testing, training. Its
commands and options must exist all the same.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from forked_python import ForkedPython, serve_forks
from prose import find_long_prose
from valle.bundle.bundle import DEFAULT_FOLDER
from valle.bundle.config import CONFIG_NAME
from valle.cli.main import COMMANDS, make_parser
from valle.version import __version__

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
RUN = {"console", "python"}
NOT_RUN = {"sh", "text", "json"}
MAX_CLIP_BYTES = 60_000

needs_bundle = pytest.mark.skipif(
    not (DEFAULT_FOLDER / CONFIG_NAME).is_file(), reason="this checkout has no default bundle"
)
each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)


@dataclass(frozen=True)
class Example:
    language: str
    line: int
    """Number of the opening fence's line, from 1."""
    text: str


def read_examples(page: str) -> Iterator[Example]:
    for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield Example(match[1], page.count("\n", 0, match.start()) + 1, match[2])


def to_script(console: str) -> str:
    """Return the lines after "$ " as a script; a backslash continues a line."""
    lines, continues = [], False
    for line in console.splitlines():
        if continues or line.startswith("$ "):
            lines.append(line if continues else line[2:])
            continues = line.endswith("\\")
    return "set -euo pipefail\n" + "\n".join(lines) + "\n"


def test_examples_are_found() -> None:
    page = "a\n```python\nx = 1\n```\nb\n```console\n$ one \\\n  two\noutput\n$ three\n```\n"
    examples = list(read_examples(page))
    assert [(e.language, e.line) for e in examples] == [("python", 2), ("console", 6)]
    assert examples[0].text == "x = 1\n"
    assert to_script(examples[1].text) == "set -euo pipefail\none \\\n  two\nthree\n"


@each_page
def test_examples_name_their_language(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("\n```") % 2 == 0, "an example is not closed"
    for example in read_examples(text):
        assert example.language in RUN | NOT_RUN, f"{page.name}:{example.line}"
        if example.language == "python":
            compile(example.text, f"{page.name}:{example.line}", "exec")


PATHS = [str(Path(__file__).parent / "offline"), str(DEFAULT_FOLDER.parents[2])]


@pytest.fixture(scope="module")
def python() -> Iterator[ForkedPython]:
    """Python without a network, which has imported what most commands need."""
    modules = {command.module for command in COMMANDS.values() if command.extra is None}
    if importlib.util.find_spec("fastapi") is not None:
        modules.add("valle.cli.serve")
    paths = os.pathsep.join([*PATHS, str(Path(__file__).parent)])
    environment = os.environ | {"PYTHONPATH": paths}
    with serve_forks([*sorted(modules), "loaded_bundle"], environment) as forked:
        yield forked


@pytest.fixture
def reader_env(python: ForkedPython, tmp_path: Path) -> dict[str, str]:
    """The environment of someone who reads the docs: `valle` on the path, no network."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    programs = tmp_path / "bin"
    programs.mkdir()
    # Not the installed script: this is the code under test, wherever it was imported from.
    python.write_program(programs / "valle", "-m", "valle")
    return os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(PATHS),
        "HOME": str(tmp_path),
        "VALLE_HOME": str(tmp_path / "home"),
    }


@needs_bundle
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(e.language in RUN for e in read_examples(page.read_text()))],
    ids=lambda page: page.name,
)
def test_examples_run(
    page: Path, tmp_path: Path, python: ForkedPython, reader_env: dict[str, str]
) -> None:
    examples = [e for e in read_examples(page.read_text("utf-8")) if e.language in RUN]
    for language, group in itertools.groupby(examples, lambda example: example.language):
        neighbors = list(group)
        text = "".join(e.text for e in neighbors)
        program = (
            [*python.command, "-c", text]
            if language == "python"
            else ["bash", "-c", to_script(text)]
        )
        result = subprocess.run(
            program, cwd=tmp_path, env=reader_env, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{page.name}:{neighbors[0].line}\n{result.stderr}"


@needs_bundle
def test_demo_runs(tmp_path: Path, reader_env: dict[str, str]) -> None:
    pytest.importorskip("matplotlib")
    result = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        cwd=tmp_path,
        env=reader_env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    for name in ("demo.wav", "demo.wav.json", "demo.png", "demo.json"):
        assert (tmp_path / name).stat().st_size > 0
    receipt = json.loads((tmp_path / "demo.wav.json").read_text())["consent"]["id"]
    assert re.search(r"watermark +found", result.stdout)
    assert f"receipt {receipt[:4]}" in result.stdout
    assert "signed by" in result.stdout
    assert result.stdout.startswith("valle learned the voice")  # no refusal at first
    assert re.search(r"^Go on .* The program is: \S+", result.stdout, re.MULTILINE)
    assert "--i-hold-the-rights" in result.stdout
    assert "RTF" not in result.stdout.replace("(RTF", "")  # no figure without what it means
    assert str(tmp_path) not in result.stdout


@each_page
def test_prose_is_readable(page: Path) -> None:
    assert find_long_prose(page.read_text(encoding="utf-8")) == []


def test_long_prose_is_found() -> None:
    sentence = "word " * 40 + "end.\n"
    page = f"# Title\n\n{sentence}\n" + "Short one. " * 61 + f"\n\n```sh\n{sentence}```\n"
    long_prose = find_long_prose(page)
    assert [text.partition(":")[0] for text in long_prose] == ["line 3", "line 5"]
    assert "a sentence of 41 words" in long_prose[0]
    assert "a paragraph of 122 words" in long_prose[1]
    assert find_long_prose("- " + "one two. " * 15 + "\n- next\n| " + "cell " * 200 + "|\n") == []


@cache
def read_anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as GitHub and the website make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in headings)
    return frozenset(heading.replace(" ", "-") for heading in plain)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r' src="([^"]+)"', text):
        if target.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in read_anchors(file), f"{page.name}: {target}"


@cache
def read_options(command: str) -> frozenset[str]:
    """The option strings of a command and of its actions."""
    return frozenset(_walk(make_parser(command)))


def _walk(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action.choices, dict):
            yield from action.choices
            for subparser in action.choices.values():
                yield from _walk(subparser)


def find_unknown(command_line: str) -> list[str]:
    """Return what does not exist of a `valle` command line: the command, an action, options."""
    words = command_line.split()
    if len(words) < 2 or not re.fullmatch(r"[a-z]+", words[1]):
        return []  # `valle COMMAND`, `valle --help`
    if words[1] not in COMMANDS:
        return [words[1]]
    known = read_options(words[1])
    actions = {name for name in known if not name.startswith("-")}
    unknown = [
        word for word in words[2:] if re.fullmatch(r"--[a-z][a-z-]*", word) and word not in known
    ]
    if actions and len(words) > 2 and re.fullmatch(r"[a-z-]+(\|[a-z-]+)*", words[2]):
        unknown += [name for name in words[2].split("|") if name not in actions]
    return unknown


def read_command_lines(text: str) -> Iterator[str]:
    """Every `valle` command of a page, in examples and between backticks."""
    for example in read_examples(text):
        if example.language in {"sh", "console"}:
            for line in example.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words[:1] == ["valle"]:
                    yield " ".join(word.replace(" ", "_") for word in words)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`(valle [^`\n]+)`", prose)


@each_page
def test_commands_and_options_exist(page: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra [train]")
    for line in read_command_lines(page.read_text(encoding="utf-8")):
        assert find_unknown(line) == [], f"{page.name}: {line}"


def test_unknown_commands_are_found() -> None:
    text = "`valle say x`\n```sh\nvalle speak hi --best-of 2 \\\n  --loudly  # louder\n```\n"
    assert [find_unknown(line) for line in read_command_lines(text)] == [["--loudly"], ["say"]]
    assert find_unknown("valle consent renew") == ["renew"]
    assert find_unknown("valle consent new --name Ada") == []
    assert find_unknown("valle COMMAND --help") == []


def find_name(name: str) -> bool:
    """Whether a dotted name is a module of the package, or defined at the top of one."""
    *parents, last = name.split(".")
    for parts, attribute in ((name.split("."), None), (parents, last)):
        base = ROOT / "src" / Path(*parts)
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file.is_file():
                return attribute is None or attribute in _read_top_names(file)
    return False


@cache
def _read_top_names(file: Path) -> frozenset[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return frozenset(names)


@each_page
def test_names_and_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"(?:`|::: )(valle(?:\.\w+)+)", text):
        inner = name if find_name(name) else name.rpartition(".")[0]  # a method, or an attribute
        assert find_name(inner), f"{page.name}: {name}"
    for file in re.findall(r"`((?:src|tests|tools|benchmarks|examples|docs)/[\w./-]+\.\w+)", text):
        assert (ROOT / file).exists(), f"{page.name}: {file}"


def test_architecture_names_files_of_the_package() -> None:
    page = (DOCS / "ARCHITECTURE.md").read_text(encoding="utf-8")
    files = re.findall(r"`?((?:[a-z_]+/)*[a-z_]+\.py)\b", page)
    assert len(files) > 25
    for file in files:
        assert (ROOT / file).exists() or (ROOT / "src" / "valle" / file).exists(), file


def test_readme_comes_to_the_point() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shell = "".join(e.text for e in read_examples(readme) if e.language == "sh").split("\n")
    assert shell[0] == "pip install '.[media]'"
    assert shell.index("make demo") == 2  # after the command that speaks
    assert "make test" in readme
    assert "make test " in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_versions_agree() -> None:
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_clips_are_small() -> None:
    clips = list((DOCS / "audio").glob("*.mp3"))
    assert len(clips) >= 4
    for clip in clips:
        assert clip.stat().st_size < MAX_CLIP_BYTES, clip.name
        assert f"audio/{clip.name}" in (DOCS / "SAMPLES.md").read_text(encoding="utf-8")


@needs_bundle
def test_bundle_has_the_model_card() -> None:
    card = (DEFAULT_FOLDER / "MODEL_CARD.md").read_bytes()
    assert card == (ROOT / "MODEL_CARD.md").read_bytes()


def test_experiments_are_indexed_newest_first() -> None:
    folder = DOCS / "experiments"
    index = (folder / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"^\| \d\d-\d\d \| \[[^|]*\]\((2\S+)\) \| [^|]+ \|$", index, re.MULTILINE)
    assert sorted(names) == sorted(path.name for path in folder.glob("2*.md"))
    assert [name[:10] for name in names] == sorted((name[:10] for name in names), reverse=True)
    for name in names:
        text = (folder / name).read_text(encoding="utf-8")
        sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert sections == ["Question", "Setup", "Result", "Decision"], name
        assert f"\n*{name[:10]}*. " in text, name


def test_decisions_are_indexed() -> None:
    folder = DOCS / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"\]\((\d{4}-\S+)\)", index)
    assert names == sorted(path.name for path in folder.glob("0*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


def test_pages_that_the_code_cites_exist() -> None:
    folders = ("src/valle", "benchmarks", "examples")
    cited = {
        page
        for folder in folders
        for file in (ROOT / folder).rglob("*.py")
        for page in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text(encoding="utf-8"))
    }
    assert "docs/decisions/0006-style-guidance.md" in cited
    assert [page for page in sorted(cited) if not (ROOT / page).is_file()] == []
