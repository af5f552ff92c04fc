"""Every example of the README and the docs runs, in an empty folder and without a network.

A page's ```console and ```python examples are run from top to bottom in one folder that holds
`examples/`, as a reader would: later ones may use what earlier ones made. Neighbouring ```python
examples are one program. ```sh marks what is not run here: installing, testing, training.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from valle.bundle.bundle import DEFAULT_FOLDER
from valle.bundle.config import CONFIG_NAME
from valle.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
RUN = {"console", "python"}
NOT_RUN = {"sh", "text", "json"}

needs_bundle = pytest.mark.skipif(
    not (DEFAULT_FOLDER / CONFIG_NAME).is_file(), reason="this checkout has no default bundle"
)


@dataclass(frozen=True)
class Example:
    language: str
    line: int  # of the opening fence, from 1
    text: str


def examples(page: str) -> Iterator[Example]:
    for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield Example(match[1], page.count("\n", 0, match.start()) + 1, match[2])


def commands(console: str) -> str:
    """The lines after "$ " as one script; a line that ends in a backslash goes on in the next."""
    lines, going_on = [], False
    for line in console.splitlines():
        if going_on or line.startswith("$ "):
            lines.append(line if going_on else line[2:])
            going_on = line.endswith("\\")
    return "set -euo pipefail\n" + "\n".join(lines) + "\n"


def test_examples_are_found() -> None:
    page = "a\n```python\nx = 1\n```\nb\n```console\n$ one \\\n  two\noutput\n$ three\n```\n"
    found = list(examples(page))
    assert [(e.language, e.line) for e in found] == [("python", 2), ("console", 6)]
    assert found[0].text == "x = 1\n"
    assert commands(found[1].text) == "set -euo pipefail\none \\\n  two\nthree\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_says_what_it_is(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("\n```") % 2 == 0, "an example is not closed"
    for example in examples(text):
        assert example.language in RUN | NOT_RUN, f"{page.name}:{example.line}"
        if example.language == "python":
            compile(example.text, f"{page.name}:{example.line}", "exec")


@needs_bundle
def test_the_bundle_keeps_the_model_card() -> None:
    kept = (DEFAULT_FOLDER / "MODEL_CARD.md").read_bytes()
    assert kept == (ROOT / "MODEL_CARD.md").read_bytes()


@pytest.fixture
def reader(tmp_path: Path) -> dict[str, str]:
    """The environment of someone who reads the docs: `valle` on the path, no network."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    programs = tmp_path / "bin"
    programs.mkdir()
    # Not the installed script: this is the code under test, wherever it was imported from.
    (programs / "valle").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m valle "$@"\n')
    (programs / "valle").chmod(0o755)
    paths = [str(Path(__file__).parent / "offline"), str(DEFAULT_FOLDER.parents[2])]
    return os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(paths),
        "HOME": str(tmp_path),
        "VALLE_HOME": str(tmp_path / "home"),
    }


@needs_bundle
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(e.language in RUN for e in examples(page.read_text("utf-8")))],
    ids=lambda page: page.name,
)
def test_every_example_runs(page: Path, tmp_path: Path, reader: dict[str, str]) -> None:
    shown = [e for e in examples(page.read_text(encoding="utf-8")) if e.language in RUN]
    for language, group in itertools.groupby(shown, lambda example: example.language):
        together = list(group)
        text = "".join(e.text for e in together)
        program = (
            [sys.executable, "-c", text] if language == "python" else ["bash", "-c", commands(text)]
        )
        done = subprocess.run(
            program, cwd=tmp_path, env=reader, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{page.name}:{together[0].line}\n{done.stderr}"


@needs_bundle
def test_the_demo_runs(tmp_path: Path, reader: dict[str, str]) -> None:
    pytest.importorskip("matplotlib")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        cwd=tmp_path,
        env=reader,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("demo.wav", "demo.wav.json", "demo.png", "demo.json"):
        assert (tmp_path / name).stat().st_size > 0
    shown = done.stdout
    assert "voice.wav is not accepted as agreement: " in shown
    assert "the words for today are not heard in it" in shown
    assert "watermark           found" in shown
    receipt = json.loads((tmp_path / "demo.wav.json").read_text())["consent"]["id"]
    assert f"payload             receipt {receipt[:4]}; the voice's is {receipt[:4]}..." in shown
    assert "signed by" in shown and str(tmp_path) not in shown


def test_the_readme_names_the_commands_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = "".join(e.text for e in examples(readme) if e.language == "sh").split("\n")
    assert "make demo" in shown and "make test" in shown
    assert "make test " in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_command_line_page_names_every_option() -> None:
    page = (ROOT / "docs" / "CLI.md").read_text(encoding="utf-8")
    common = page.split("\n## Common")[1]
    for name in ("speak", "enroll", "voices", "consent", "ledger", "detect", "verify"):
        module = importlib.import_module(COMMANDS[name].module)
        parser = argparse.ArgumentParser()
        getattr(module, f"{name}_arguments")(parser)
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0] + common
        for option in options(parser):
            assert f"`{option}" in section, f"{name} {option} is not in docs/CLI.md"


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The options of a command, and of its actions."""
    for action in parser._actions:
        yield from action.option_strings
        for inner in (action.choices or {}).values() if isinstance(action.choices, dict) else ():
            yield from options(inner)
