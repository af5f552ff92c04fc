"""The command line: which module runs a command, and how every failure is reported.

A command `name` is two functions of its module: `name_arguments(parser)` and `name(arguments)`
(`import_` for `import`, which Python reserves, and `_` for `-`). The module is imported when its
command is called, so that `valle --help` imports none of them.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import io
import keyword
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from valle.bundle.session import disable_telemetry
from valle.cli.printable import make_printable
from valle.errors import BundleError, Error, OutputError, UsageError
from valle.version import __version__

INTERRUPTED = 130
# What a program meets and is not its own fault: full or broken disks, missing rights.
_ENVIRONMENT = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
)


@dataclass(frozen=True)
class Command:
    """A command of the command line."""

    module: str
    summary: str
    """One line for the help."""
    extra: str | None = None
    """The extra of this package that installs what the command needs."""
    actions: tuple[str, ...] = ()
    """Its actions where the first of them needs no name: `valle book INPUT`."""


COMMANDS: dict[str, Command] = {
    "speak": Command("valle.cli.speak", "speak a text in a voice"),
    "script": Command("valle.cli.script", "speak a dialogue in several voices"),
    "book": Command(
        "valle.cli.book",
        "make an audiobook, and repair its sentences",
        actions=("make", "status", "fix", "redo", "export"),
    ),
    "phonemize": Command("valle.cli.phonemize", "show how a text will be read"),
    "enroll": Command("valle.cli.voices", "save a voice from a recording under a name"),
    "voices": Command("valle.cli.voices", "list, show, rename or remove saved voices"),
    "consent": Command("valle.cli.consent", "record a speaker's consent, list or revoke it"),
    "ledger": Command("valle.cli.consent", "show or verify the log of voices and texts"),
    "detect": Command("valle.cli.detect", "tell whether a recording is synthetic speech"),
    "verify": Command("valle.cli.detect", "check the signed record of how a file was made"),
    "edit": Command("valle.cli.edit", "replace, remove or add words of a recording"),
    "restyle": Command("valle.cli.restyle", "say a recording in another style"),
    "dub": Command("valle.cli.dub", "speak the subtitles of a film in its time"),
    "caption": Command("valle.cli.caption", "write subtitles of a recording or film"),
    "sync": Command("valle.cli.sync", "speak a film again in another voice, in time"),
    "serve": Command("valle.cli.serve", "serve speech to other programs", "serve"),
    "keys": Command("valle.cli.serve", "list, make or revoke API keys of the server", "serve"),
    "wyoming": Command("valle.cli.wyoming", "speak for Home Assistant", "wyoming"),
    "mcp": Command("valle.cli.mcp", "let assistants speak (MCP)", "mcp"),
    "evaluate": Command("valle.cli.evaluate", "measure a bundle (a trained model)", "eval"),
    "samples": Command("valle.cli.samples", "make a page of samples", "eval"),
    "listening-test": Command(
        "valle.cli.listening_test",
        "make a listening test, and read its results",
        "eval",
        actions=("make", "results"),
    ),
    "prepare": Command("valle.cli.prepare", "prepare a corpus for training", "train"),
    "doctor": Command("valle.cli.doctor", "check prepared corpora before training", "train"),
    "train": Command("valle.cli.train", "train one of the models", "train"),
    "plan": Command("valle.cli.plan", "what a corpus takes to prepare and train on", "train"),
    "average": Command("valle.cli.train", "average the weights of several training runs", "train"),
    "export": Command("valle.cli.export", "write trained models as a bundle", "train"),
    "cohort": Command("valle.cli.cohort", "add an impostor cohort to a bundle", "train"),
    "import": Command("valle.cli.export", "unpack a bundle to continue training", "train"),
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as all errors of the command line are."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with argparse's message."""
        raise UsageError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the command line without the program's name; None for the process's own.

    Returns:
        The exit code: 0, that of an `Error`, or 130 after an interrupt.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files, voices and texts may have characters that it cannot carry.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        run_command(list(sys.argv[1:] if argv is None else argv))
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a closed pipe can still be reported
        return 0
    except SystemExit as error:  # argparse has shown the help
        return int(error.code or 0)
    except KeyboardInterrupt as interrupt:
        return _fail(str(interrupt) or "interrupted; nothing was left half-written", INTERRUPTED)
    except BrokenPipeError:
        # Python flushes again at exit, which would fail a second time.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail("standard output was closed early", OutputError.exit_code)
    except Error as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in _ENVIRONMENT:
            return _fail_internally(error)
        return _fail(
            f"cannot read or write {error.filename or 'a file'}: {error.strerror}",
            OutputError.exit_code,
        )
    except Exception as error:
        if _comes_from_a_graph(error):
            return _fail(
                f"the bundle cannot be run: {error}; use another, or export it again",
                BundleError.exit_code,
            )
        return _fail_internally(error)


def run_command(argv: Sequence[str]) -> None:
    """Run one command; its failures are raised.

    Args:
        argv: the command line without the program's name.
    """
    disable_telemetry()  # here too, for packages that import ONNX Runtime by themselves
    argv = _hyphenate(argv)
    overview = Parser(
        prog="valle",
        description="Zero-shot voice cloning: a short recording and a text in, speech out.",
        epilog="commands:\n"
        + "".join(f"  {name:<14} {command.summary}\n" for name, command in COMMANDS.items())
        + "\n`valle COMMAND --help` lists the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    overview.add_argument("--version", action="version", version=f"valle {__version__}")
    overview.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    # Only the first word: the rest belongs to the command's own parser.
    name = overview.parse_args(argv[:1]).command
    arguments = make_parser(name).parse_args(_name_action(name, argv[1:]))
    function = f"{name}_" if keyword.iskeyword(name) else name.replace("-", "_")
    getattr(_import_module(name), function)(arguments)


def make_parser(name: str) -> Parser:
    """The parser of one command.

    Raises:
        UsageError: a package that the command needs is missing.
    """
    parser = Parser(prog=f"valle {name}", description=COMMANDS[name].summary, allow_abbrev=False)
    getattr(_import_module(name), f"{name.replace('-', '_')}_arguments")(parser)
    return parser


def _import_module(name: str) -> object:
    command = COMMANDS[name]
    try:
        return importlib.import_module(command.module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if command.extra is None or missing.partition(".")[0] == "valle":
            raise
        raise UsageError(
            f"`valle {name}` needs the package {missing}: pip install 'valle[{command.extra}]'"
        ) from error


def _name_action(name: str, argv: list[str]) -> list[str]:
    """Put the first action of a command before arguments that name none."""
    actions = COMMANDS[name].actions
    if not actions or not argv or argv[0] in (*actions, "-h", "--help"):
        return argv
    return [actions[0], *argv]


def _hyphenate(argv: Sequence[str]) -> list[str]:
    """Spell options with hyphens: both `--top-p` and `--top_p` are accepted."""
    argv = list(argv)
    end = argv.index("--") if "--" in argv else len(argv)
    for index, word in enumerate(argv[:end]):
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            argv[index] = option.replace("_", "-") + equals + value
    return argv


def _comes_from_a_graph(error: Exception) -> bool:
    """Whether ONNX Runtime raised an error: one of a graph's sizes is not what it says."""
    return type(error).__module__.partition(".")[0] == "onnxruntime"


def _fail_internally(error: Exception) -> int:
    if os.environ.get("VALLE_DEBUG"):
        traceback.print_exc()
    return _fail(
        f"internal error, {type(error).__name__}: {error}; "
        "set VALLE_DEBUG=1 for a traceback, and please report it",
        Error.exit_code,
    )


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr may be closed too
        line = make_printable(" ".join(message.split()), longest=20_000)
        print(f"valle: {line}", file=sys.stderr)
    return code
