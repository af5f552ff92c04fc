"""Argument types and argument groups that several commands share.

A type refuses a bad value while the command line is parsed, before any work: the command then ends
with exit code 2 and one line that names the option and what it takes.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from dataclasses import dataclass
from pathlib import Path

from valle.trust.attestation import ATTESTATION

BUNDLE = "FOLDER|hf://OWNER/NAME"


def nonempty(value: str) -> str:
    """A string with something in it: a name, a file, an identifier."""
    if not value.strip() or "\0" in value:
        raise argparse.ArgumentTypeError("must not be empty")
    return value


def path(value: str) -> Path:
    """The name of a file or a folder. `Path("")` would silently be the current folder."""
    return Path(nonempty(value))


@dataclass(frozen=True)
class Integer:
    """A whole number in a range; both ends belong to it."""

    minimum: int
    maximum: int | None = None

    def __call__(self, value: str) -> int:
        """Parse one value."""
        number: int | None = None
        with contextlib.suppress(ValueError):
            number = int(value)
        top = math.inf if self.maximum is None else self.maximum
        if number is None or not self.minimum <= number <= top:
            limits = f"{self.minimum} or more"
            if self.maximum is not None:
                limits = f"from {self.minimum} to {self.maximum}"
            raise argparse.ArgumentTypeError(f"must be a whole number, {limits}, not {value!r}")
        return number


@dataclass(frozen=True)
class Number:
    """A finite number in a range; `minimum` belongs to it unless it is `exclusive`."""

    minimum: float
    maximum: float | None = None
    exclusive: bool = False

    def __call__(self, value: str) -> float:
        """Parse one value."""
        number = math.nan
        with contextlib.suppress(ValueError):
            number = float(value)
        above = number > self.minimum if self.exclusive else number >= self.minimum
        below = self.maximum is None or number <= self.maximum
        if not (math.isfinite(number) and above and below):
            limits = f"above {self.minimum:g}" if self.exclusive else f"{self.minimum:g} or more"
            if self.maximum is not None:
                limits += f" and at most {self.maximum:g}"
            raise argparse.ArgumentTypeError(f"must be a number, {limits}, not {value!r}")
        return number


SEED = Integer(0, 2**63 - 1)
POSITIVE = Number(0.0, exclusive=True)


def add_bundle(
    parser: argparse.ArgumentParser, summary: str = "the model to use (default: the built-in one)"
) -> None:
    """`--bundle`: a folder, or a repository of a model hub."""
    parser.add_argument("--bundle", type=nonempty, metavar=BUNDLE, help=summary)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """`--threads`: of ONNX Runtime."""
    parser.add_argument(
        "--threads",
        type=Integer(1, 1024),
        metavar="N",
        help="processor threads to use (default: one per core)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_quiet(
    parser: argparse.ArgumentParser, summary: str = "show no progress bar and no notes"
) -> None:
    """`-q`, `--quiet`."""
    parser.add_argument("-q", "--quiet", action="store_true", help=summary)


def add_runs(parser: argparse.ArgumentParser, summary: str) -> None:
    """`--runs`: the folder of the trained models, one folder per stage in it."""
    parser.add_argument(
        "--runs",
        type=path,
        default=Path("runs"),
        metavar="FOLDER",
        help=f"{summary} (default: %(default)s)",
    )


def add_manifest(parser: argparse.ArgumentParser) -> None:
    """`--manifest`: a JSONL list of recordings."""
    parser.add_argument(
        "--manifest",
        type=path,
        required=True,
        metavar="FILE.jsonl",
        help="list of recordings, one JSON object per line: audio (a path relative to the list), "
        "corpus, speaker, text or null, seconds",
    )


def add_heldout(parser: argparse.ArgumentParser) -> None:
    """`--heldout`: speakers to leave out."""
    parser.add_argument(
        "--heldout",
        type=path,
        metavar="FILE",
        help="list of speakers to leave out, one per line (default: none)",
    )


def add_consent(parser: argparse.ArgumentParser) -> None:
    """What a new recording needs: its transcript, and its owner's consent."""
    parser.add_argument(
        "--ref-text",
        type=nonempty,
        metavar="TEXT",
        help="transcript of the recording (default: recognized)",
    )
    consent = parser.add_mutually_exclusive_group()
    # Empty words are not a usage error: they are no consent, which has its own exit code.
    consent.add_argument(
        "--attest", metavar="WORDS", help=f'your statement of your rights: "{ATTESTATION}"'
    )
    consent.add_argument(
        "--i-hold-the-rights",
        dest="attest",
        action="store_const",
        const=ATTESTATION,
        help="short for --attest with that sentence",
    )
    consent.add_argument(
        "--consent",
        type=nonempty,
        metavar="FILE",
        help="recording of the speaker reading what `valle consent new` printed",
    )
    parser.add_argument(
        "--speaker",
        type=nonempty,
        metavar="NAME",
        help="the speaker's name in the consent statement (default: the voice's name)",
    )
    parser.add_argument(
        "--challenge",
        type=nonempty,
        metavar="ID",
        help="which consent statement was read (default: the newest open one)",
    )
