"""The options of every command: ranges, empty values, and their documentation."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from valle.books.options import BookOptions
from valle.cli.arguments import Integer, Number, nonempty, path
from valle.cli.main import COMMANDS, make_parser
from valle.dubbing.options import DubOptions
from valle.editing.options import EditOptions
from valle.evaluation.listening.options import ListeningOptions
from valle.options import OutputOptions, SpeakOptions
from valle.styles import Style

PAGE = Path(__file__).parents[2] / "docs" / "CLI.md"
# Empty words have their own exit codes, for a text without content and for missing consent.
MAY_BE_EMPTY = {"text", "attest"}
# The options models check these after parsing, with exit 2 too.
CHECKED_LATER = (
    SpeakOptions.model_fields.keys()
    | OutputOptions.model_fields.keys()
    | BookOptions.model_fields.keys()
    | DubOptions.model_fields.keys()
    | ListeningOptions.model_fields.keys()
    | Style.model_fields.keys()
    | EditOptions.model_fields.keys()
)


class Option(NamedTuple):
    """An argument of a command, or of one of its actions or stages."""

    command: str
    action: argparse.Action

    @property
    def name(self) -> str:
        """The spelling of the docs: the long one, or the metavar of a positional argument."""
        if self.action.option_strings:
            return self.action.option_strings[-1]
        return str(self.action.metavar or self.action.dest)


def walk(parser: argparse.ArgumentParser, command: str) -> Iterator[Option]:
    """The arguments of a parser and of its subparsers."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, subparser in action.choices.items():
                yield from walk(subparser, f"{command} {name}")
        elif not isinstance(action, argparse._HelpAction):
            yield Option(command, action)


def read_options() -> list[Option]:
    options: list[Option] = []
    for name, command in COMMANDS.items():
        if command.extra:
            pytest.importorskip("torch", reason="needs the extra [train]")
        options += walk(make_parser(name), name)
    return options


@pytest.fixture(scope="module")
def options() -> list[Option]:
    return read_options()


def takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0 and action.choices is None


def find_unchecked(options: list[Option], value: str) -> list[str]:
    """Options that accept a value."""
    accepted = []
    for command, action in options:
        if not takes_value(action) or action.dest in MAY_BE_EMPTY | CHECKED_LATER:
            continue
        parse = action.type or str
        assert callable(parse)
        try:
            parse(value)
        except argparse.ArgumentTypeError:
            continue
        accepted.append(f"{command} {Option(command, action).name}")
    return accepted


def test_every_option_refuses_an_empty_value(options: list[Option]) -> None:
    assert len(options) > 100
    assert find_unchecked(options, "") == []
    assert find_unchecked(options, " ") == []


def test_every_numeric_option_has_a_range(options: list[Option]) -> None:
    numeric = [option for option in options if isinstance(option.action.type, Integer | Number)]
    assert len(numeric) > 30
    for value in ("-1e9", "-1", "nan", "inf", "x", "1e999"):
        assert find_unchecked(numeric, value) == []
    assert [option.command for option in options if option.action.type in (int, float, Path)] == []


def test_every_option_has_a_help_text(options: list[Option]) -> None:
    missing = [f"{command} {action.dest}" for command, action in options if not action.help]
    assert [name for name in missing if not name.startswith(("voices ", "consent revoke"))] == []


def test_these_checks_can_fail() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--count", type=int)
    parser.add_argument("--name", type=nonempty)
    options = list(walk(parser, "x"))
    assert find_unchecked(options[:1], "") == ["x --folder"]
    assert find_unchecked(options[1:2], "-1") == ["x --count"]
    assert find_unchecked(options[2:], "") == []


def documented(page: str) -> dict[str, set[str]]:
    """Heading of the page: the options and arguments that the tables under it name."""
    sections: dict[str, set[str]] = {}
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        heading = section.partition("\n")[0].strip()
        cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        sections[heading] = {
            word
            for cell in cells
            for code in re.findall(r"`([^`]+)`", cell)
            for word in code.split()
        }
    return sections


def test_the_page_documents_every_option_of_every_command(options: list[Option]) -> None:
    sections = documented(PAGE.read_text(encoding="utf-8"))
    common = sections["Common options"]
    missing = []
    for option in options:
        section = sections[option.command.partition(" ")[0]]
        names = option.action.option_strings or [option.name]
        if option.command.startswith(("voices", "consent revoke")):
            continue  # shown by example
        names = [word for name in names for word in name.split("|")]
        missing += [f"{option.command} {name}" for name in names if name not in section | common]
    assert missing == []


def test_the_page_documents_no_option_that_is_not_there(options: list[Option]) -> None:
    known: dict[str, set[str]] = {"Common options": {"-h", "--help"}}
    for command, action in options:
        names = set(action.option_strings)
        known.setdefault(command.partition(" ")[0], set()).update(names)
        known["Common options"] |= names
    for heading, words in documented(PAGE.read_text(encoding="utf-8")).items():
        flags = {word for word in words if word.startswith("-") and word != "-"}
        assert flags <= known.get(heading, set()), heading


@pytest.mark.parametrize(
    ("parse", "good", "bad", "says"),
    [
        (Integer(1, 32), "32", "33", "from 1 to 32, not '33'"),
        (Integer(1), "1", "0", "1 or more, not '0'"),
        (Integer(0), "0", "1.5", "whole number"),
        (Number(0.0, 1.0), "0", "1.1", "0 or more and at most 1"),
        (Number(0.0, exclusive=True), "1e-3", "0", "above 0, not '0'"),
        (Number(0.0), "2", "nan", "must be a number"),
        (path, "a b", "", "must not be empty"),
        (nonempty, "a", "\0", "must not be empty"),
    ],
)
def test_types_name_what_they_take(parse: object, good: str, bad: str, says: str) -> None:
    assert callable(parse)
    parse(good)
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(says)):
        parse(bad)
