"""The command line: which command runs what, and how everything that goes wrong is said.

A command `name` is two functions in its module: `name_arguments(parser)` and `name(arguments)`
(`name_` where Python keeps the name for itself).
The module is imported when its command is called, so that `valle --help` needs none of them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import keyword
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from valle.errors import Error, OutputError, UsageError
from valle.version import __version__

INTERRUPTED = 130


@dataclass(frozen=True)
class Command:
    """Where a command lives, its line in the help, and the extra that its packages come with."""

    module: str
    help: str
    extra: str | None = None


COMMANDS: dict[str, Command] = {
    "speak": Command("valle.cli.speak", "say a text in a voice"),
    "enroll": Command("valle.cli.voices", "keep a voice from a recording under a name"),
    "voices": Command("valle.cli.voices", "list, show, rename or remove the voices kept"),
    "consent": Command("valle.cli.consent", "have a speaker agree; list and revoke agreements"),
    "ledger": Command("valle.cli.consent", "show or check what was enrolled and spoken"),
    "detect": Command("valle.cli.detect", "tell speech made by valle from other"),
    "verify": Command("valle.cli.detect", "check who signed how a file was made"),
    "evaluate": Command("valle.cli.evaluate", "measure a bundle", "eval"),
    "prepare": Command("valle.cli.prepare", "make a corpus ready for training", "train"),
    "train": Command("valle.cli.train", "train one of the models", "train"),
    "average": Command("valle.cli.train", "mean of the weights of runs", "train"),
    "export": Command("valle.cli.export", "write trained models as a bundle", "train"),
    "cohort": Command("valle.cli.cohort", "give a bundle strangers to compare with", "train"),
    "import": Command("valle.cli.export", "take a bundle's models to train on", "train"),
}


class Parser(argparse.ArgumentParser):
    """Refuses in one line, as every other error of the command line does."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with argparse's message."""
        raise UsageError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` without the program's name. Returns the exit code."""
    try:
        _run(list(sys.argv[1:] if argv is None else argv))
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a reader that has left can still be reported
        return 0
    except SystemExit as ended:  # argparse has shown the help
        return int(ended.code or 0)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was left half-written", INTERRUPTED)
    except BrokenPipeError:
        # Python flushes again at exit, which would fail a second time.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail("the reader of standard output left early", OutputError.exit_code)
    except Error as error:
        return _fail(str(error), error.exit_code)
    except Exception as error:
        if os.environ.get("VALLE_DEBUG"):
            traceback.print_exc()
        said = " ".join(str(error).split())
        return _fail(
            f"a fault in valle, {type(error).__name__}: {said}; "
            "set VALLE_DEBUG=1 to see where, and report it",
            Error.exit_code,
        )


def _run(argv: list[str]) -> None:
    argv = _hyphenated(argv)
    overview = Parser(
        prog="valle",
        description="Zero-shot voice cloning: a short recording and a text in, speech out.",
        epilog="commands:\n"
        + "".join(f"  {name:<10} {command.help}\n" for name, command in COMMANDS.items())
        + "\n`valle COMMAND --help` tells more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    overview.add_argument("--version", action="version", version=f"valle {__version__}")
    overview.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    # Only the first word: the rest belongs to the command's own parser.
    name = overview.parse_args(argv[:1]).command
    command = COMMANDS[name]
    module = _module(name, command)
    parser = Parser(prog=f"valle {name}", description=command.help, allow_abbrev=False)
    function = f"{name}_" if keyword.iskeyword(name) else name
    getattr(module, f"{name}_arguments")(parser)
    getattr(module, function)(parser.parse_args(argv[1:]))


def _module(name: str, command: Command) -> object:
    try:
        return importlib.import_module(command.module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if command.extra is None or missing.partition(".")[0] == "valle":
            raise
        raise UsageError(
            f"`valle {name}` needs the package {missing}: pip install 'valle[{command.extra}]'"
        ) from error


def _hyphenated(argv: Sequence[str]) -> list[str]:
    """Options are taken in both spellings, `--top-p` and `--top_p`."""
    argv = list(argv)
    end = argv.index("--") if "--" in argv else len(argv)
    for index, word in enumerate(argv[:end]):
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            argv[index] = option.replace("_", "-") + equals + value
    return argv


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr may be closed too
        print(f"valle: {' '.join(message.split())}", file=sys.stderr)
    return code
