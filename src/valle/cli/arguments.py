"""Argument types and argument groups that several commands share.

A type refuses a bad value while the command line is parsed, before any work: the command then ends
with exit code 2 and one line that names the option and what it takes.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from valle.errors import UsageError
from valle.options import flag
from valle.trust.attestation import ATTESTATION

BUNDLE = "FOLDER|hf://OWNER/NAME"
_MAX_WORKERS = 1024


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


def add_adapter(parser: argparse.ArgumentParser) -> None:
    """`--adapter`: what `valle train adapt` wrote for the bundle."""
    parser.add_argument(
        "--adapter",
        type=nonempty,
        metavar="FILE",
        help="an adapter for the bundle, from valle train adapt",
    )


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


def add_common(parser: argparse.ArgumentParser) -> None:
    """`--bundle`, `--threads`, `--json` and `-q`, which most commands of the model take."""
    add_bundle(parser)
    add_threads(parser)
    add_json(parser)
    add_quiet(parser)


def add_force(parser: argparse.ArgumentParser) -> None:
    """`--force`."""
    parser.add_argument(
        "--force", action="store_true", help="replace the output files if they exist already"
    )


def add_plot(parser: argparse.ArgumentParser, what: str) -> None:
    """`--plot`: a picture of the result."""
    parser.add_argument(
        "--plot", type=path, metavar="FILE.png", help=f"plot {what}; needs the extra plot"
    )


def add_cast(parser: argparse.ArgumentParser, summary: str) -> None:
    """`--cast`: the voices of speakers, which `parse_cast` reads."""
    parser.add_argument(
        "--cast",
        action="append",
        default=[],
        type=nonempty,
        metavar="SPEAKER=NAME|FILE",
        help=summary,
    )


def add_workers(
    parser: argparse.ArgumentParser, summary: str = "processes to use", default: int = 2
) -> None:
    """`--workers`."""
    parser.add_argument(
        "--workers",
        type=Integer(1, _MAX_WORKERS),
        default=default,
        metavar="N",
        help=f"{summary} (default: %(default)s)",
    )


def add_teacher(parser: argparse.ArgumentParser, use: str) -> None:
    """`--teacher`: a speech recognizer that a model learns from."""
    parser.add_argument(
        "--teacher",
        type=path,
        required=True,
        metavar="FOLDER",
        help=f"faster-whisper model {use}, such as tiny.en",
    )


def add_runs(parser: argparse.ArgumentParser, summary: str) -> None:
    """`--runs`: the folder of the trained models, one folder per stage in it."""
    parser.add_argument(
        "--runs",
        type=path,
        default=Path("runs"),
        metavar="FOLDER",
        help=f"{summary} (default: %(default)s)",
    )


def add_sentences(parser: argparse.ArgumentParser) -> None:
    """`--sentences`: a text file of sentences to speak."""
    parser.add_argument(
        "--sentences",
        type=path,
        required=True,
        metavar="FILE",
        help="sentences to speak, one per line, or lines of source, tab, sentence",
    )


def add_count(
    parser: argparse.ArgumentParser, option: str, default: int, summary: str, least: int = 1
) -> None:
    """An option that takes a number of things, `least` or more."""
    parser.add_argument(
        option,
        type=Integer(least),
        default=default,
        metavar="N",
        help=f"{summary} (default: %(default)s)",
    )


def add_seed(parser: argparse.ArgumentParser, summary: str = "random seed") -> None:
    """`--seed`."""
    parser.add_argument(
        "--seed", type=SEED, default=0, metavar="N", help=f"{summary} (default: %(default)s)"
    )


def add_manifest(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """`--manifest`: a JSONL list of recordings; `several`: it may be given more than once."""
    parser.add_argument(
        "--manifest",
        type=path,
        action="append" if several else "store",
        required=True,
        metavar="FILE.jsonl",
        help="list of recordings, one JSON object per line: audio (a path relative to the list), "
        "corpus, speaker, text or null, seconds, and start for a part of a recording"
        + ("; may be given several times" if several else ""),
    )


def add_heldout(parser: argparse.ArgumentParser) -> None:
    """`--heldout`: speakers to leave out."""
    parser.add_argument(
        "--heldout",
        type=path,
        metavar="FILE",
        help="list of speakers to leave out, one per line (default: none)",
    )


def add_attestation(group: argparse._MutuallyExclusiveGroup) -> None:
    """`--attest`: the user's own word, instead of the consent of the voice's owner."""
    # Empty words are not a usage error: they are no consent, which has its own exit code.
    group.add_argument(
        "--attest", metavar="WORDS", help=f'your statement of your rights: "{ATTESTATION}"'
    )
    group.add_argument(
        "--i-hold-the-rights",
        dest="attest",
        action="store_const",
        const=ATTESTATION,
        help="short for --attest with that sentence",
    )


def add_corpora(parser: argparse.ArgumentParser, summary: str) -> None:
    """`--data`: prepared corpora to train on."""
    parser.add_argument(
        "--data",
        type=path,
        action="append",
        required=True,
        metavar="CORPUS",
        help=f"{summary}; repeat it for several",
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
    add_attestation(consent)
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


def add_voice(parser: argparse.ArgumentParser) -> None:
    """The voice: a saved one, or a new recording with its owner's consent."""
    parser.add_argument(
        "--voice", type=nonempty, metavar="NAME|FILE", help="a saved voice, or a voice file"
    )
    parser.add_argument(
        "--ref-audio",
        type=nonempty,
        metavar="FILE",
        help="a recording of the voice to clone, instead of --voice; needs --consent or --attest",
    )
    add_consent(parser)


def parse_cast(given: Iterable[str]) -> dict[str, str]:
    """Return the voices of speakers, from words such as ANNA=ada.

    Raises:
        UsageError: A word has another form, or a speaker occurs twice; case does not matter.
    """
    cast: dict[str, str] = {}
    for pair in given:
        speaker, equals, voice = (part.strip() for part in pair.partition("="))
        if not (speaker and equals and voice):
            raise UsageError(f"--cast takes SPEAKER=NAME|FILE, such as ANNA=ada, not {pair!r}")
        if speaker.casefold() in {name.casefold() for name in cast}:
            raise UsageError(f"--cast names {speaker!r} twice")
        cast[speaker] = voice
    return cast


def add_fields(
    parser: argparse.ArgumentParser,
    fields: Mapping[str, FieldInfo],
    without: Collection[str] = (),
    parse: Callable[[str], object] = str,
) -> None:
    """Add the fields of an options model, which checks their values.

    What is not given is missing from the parsed arguments (see `given_fields`).

    Args:
        parser: That of a command.
        fields: By their names; the descriptions are the help texts.
        without: Names of fields that mean nothing to the command.
        parse: Reads each value before the model does.
    """
    for name, field in fields.items():
        if name in without:
            continue
        summary = str(field.description).replace("%", "%%")
        if field.default is False:
            parser.add_argument(
                flag(name), action="store_true", default=argparse.SUPPRESS, help=summary
            )
            continue
        is_list = field.default == () or field.default_factory is not None
        has_default = not is_list and field.default is not None
        default = f" (default: {_spell(field.default)})" if has_default else ""
        parser.add_argument(
            flag(name),
            action="append" if is_list else "store",
            default=argparse.SUPPRESS,
            type=parse,
            metavar="X",
            help=summary + default,
        )


def given_fields(
    arguments: argparse.Namespace, model: type[BaseModel], without: Collection[str] = ()
) -> dict[str, Any]:
    """Return the fields of an options model that were given, `without` some that others have."""
    given = vars(arguments)
    return {n: given[n] for n in model.model_fields if n in given and n not in without}


def _spell(default: object) -> str:
    """Return a default as it would be typed."""
    if isinstance(default, dict):
        return ",".join(f"{kind}={value}" for kind, value in default.items())
    return str(default)
