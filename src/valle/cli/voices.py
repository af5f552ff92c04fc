"""`valle enroll` and `valle voices`: voices made, and kept by name."""

from __future__ import annotations

import argparse
from typing import Any

from valle.cli.common import common_arguments, consent_arguments, enrolled, note, print_json, warn
from valle.consent.agreement import check_given
from valle.synthesis.model import load
from valle.voices import registry
from valle.voices.voice import Voice


def enroll_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `valle enroll`."""
    parser.add_argument("recording", metavar="FILE", help="1.5 s or more of one person speaking")
    parser.add_argument("--name", required=True, help="the name to keep the voice under")
    consent_arguments(parser)
    common_arguments(parser)


def enroll(arguments: argparse.Namespace) -> None:
    """Keep a voice from a recording under a name."""
    check_given(arguments.attest, arguments.consent, arguments.challenge)
    registry.check_free(arguments.name)
    model = load(arguments.bundle, threads=arguments.threads)
    voice = enrolled(model, arguments.recording, arguments.name, arguments)
    registry.add(voice)
    warn(arguments, voice, arguments.recording)
    if arguments.json:
        print_json(_described(voice))
    else:
        note(arguments, f"kept as {arguments.name!r}; say something with --voice")


def voices_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `valle voices`."""
    parser.set_defaults(action="list")
    actions = parser.add_subparsers(metavar="ACTION", parser_class=type(parser))
    for action, names, help in (
        ("list", (), "name every voice (the default)"),
        ("show", ("name",), "tell what is known of one"),
        ("rename", ("name", "new_name"), "give one another name"),
        ("remove", ("name",), "delete one"),
    ):
        sub = actions.add_parser(action, help=help, description=help, allow_abbrev=False)
        sub.set_defaults(action=action)
        for name in names:
            sub.add_argument(name, metavar=name.upper().replace("_NAME", "-NAME"))
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON")


def voices(arguments: argparse.Namespace) -> None:
    """List, show, rename or remove the voices kept."""
    if arguments.action == "list":
        names = registry.names()
        if arguments.json:
            print_json(names)
        else:
            print("".join(f"{name}\n" for name in names), end="")
        return
    if arguments.action == "rename":
        registry.rename(arguments.name, arguments.new_name)
        found = {"renamed": arguments.name, "name": arguments.new_name}
    elif arguments.action == "remove":
        registry.remove(arguments.name)
        found = {"removed": arguments.name}
    else:
        found = _described(registry.load(arguments.name))
    if arguments.json:
        print_json(found)
    elif arguments.action == "show":
        for key, value in found.items():
            print(f"{key}: {value}")


def _described(voice: Voice) -> dict[str, Any]:
    return {
        "name": voice.name,
        "seconds": round(len(voice.audio) / voice.sample_rate, 3),
        "sample_rate": voice.sample_rate,
        "symbols": "".join(voice.symbols),
        "consent": voice.consent,
        "warnings": list(voice.warnings),
    }
