"""`valle enroll` and `valle voices`: voices saved by name."""

from __future__ import annotations

import argparse
from typing import Any

from valle.cli.arguments import (
    add_bundle,
    add_consent,
    add_json,
    add_quiet,
    add_threads,
    nonempty,
)
from valle.cli.console import note, print_json
from valle.consent.issuing import GivenConsent, check_given
from valle.errors import UsageError
from valle.options import flag
from valle.synthesis.model import Model, load
from valle.voices import registry
from valle.voices.suitability import is_about_excerpt, rate_recording
from valle.voices.voice import Voice

_GOOD_SCORE = 80  # of 100; a recording with less can be bettered by what is advised
_ADVICE = (
    "to do better: 6 to 10 s of one person, at arm's length from the microphone, in a quiet room "
    "without music, neither shouting nor whispering"
)

# action: (its arguments, its line in the help)
_ACTIONS = {
    "list": ((), "list the names of all saved voices (the default)"),
    "show": (("name",), "show what is stored about a voice"),
    "rename": (("name", "new_name"), "rename a voice"),
    "remove": (("name",), "delete a voice"),
}


def enroll_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle enroll`."""
    parser.add_argument(
        "recording",
        type=nonempty,
        metavar="FILE",
        help="recording of one person speaking, 1.5 s or longer; the best 10 s are used",
    )
    parser.add_argument(
        "--name",
        type=nonempty,
        required=True,
        metavar="NAME",
        help="name to save the voice under",
    )
    add_consent(parser)
    add_bundle(parser)
    add_threads(parser)
    add_json(parser)
    add_quiet(parser)


def enroll(arguments: argparse.Namespace) -> None:
    """Save a voice from a recording under a name.

    Raises:
        UsageError: the name is taken or cannot be one, or options exclude each other.
        RecordingError: the recording cannot be used.
        ConsentError: it comes without consent, or the consent does not hold.
    """
    check_given(given_consent(arguments))
    registry.check_free(arguments.name)
    model = load(arguments.bundle, threads=arguments.threads)
    voice = enroll_recording(model, arguments.recording, arguments, arguments.name)
    registry.add(voice)
    faults = [warning for warning in voice.warnings if not is_about_excerpt(warning)]
    score, reasons = rate_recording(voice.audio, voice.sample_rate, len(faults))
    if arguments.json:
        print_json(_describe(voice) | {"score": score})
        return
    for line in _describe_recording(arguments.recording, voice, faults):
        note(arguments, line)
    note(arguments, f"quality {score} of 100: {reasons}")
    if score < _GOOD_SCORE:
        note(arguments, _ADVICE)
    note(arguments, f"saved as {arguments.name!r}; use it with --voice")


def _describe_recording(recording: str, voice: Voice, faults: list[str]) -> list[str]:
    """Say what was taken of a recording, and what is wrong with it."""
    taken = [warning for warning in voice.warnings if is_about_excerpt(warning)]
    if not taken:
        taken = [f"all of its {len(voice.audio) / voice.sample_rate:.1f} s of sound were used"]
    return [f"{recording}: {line}" for line in [*taken, *faults]]


def given_consent(arguments: argparse.Namespace) -> GivenConsent:
    """What is given by the options that `add_consent` added."""
    return GivenConsent(arguments.attest, arguments.consent, arguments.challenge, arguments.speaker)


def check_consent_options(arguments: argparse.Namespace, is_new: bool) -> None:
    """Check the options that `add_consent` added, before any work.

    Args:
        arguments: Of the command.
        is_new: Whether a new recording is enrolled; a saved voice has all of this already.

    Raises:
        UsageError: An option is given for a saved voice, or does not go with another.
        ConsentError: The recording comes without consent.
    """
    if is_new:
        check_given(given_consent(arguments))
        return
    for name in ("ref_text", "attest", "consent", "challenge", "speaker"):
        if getattr(arguments, name) is not None:
            raise UsageError(
                f"{flag(name)} is for a new recording; a saved voice has its own, so leave it out"
            )


def check_voice(arguments: argparse.Namespace) -> None:
    """Check the options that `add_voice` added, before any work.

    Raises:
        UsageError: The voice was not given in one way; and what `check_consent_options` raises.
        ConsentError: The recording comes without consent.
    """
    if (arguments.voice is None) == (arguments.ref_audio is None):
        raise UsageError("give the voice in one way: --voice NAME|FILE or --ref-audio FILE")
    check_consent_options(arguments, is_new=arguments.voice is None)


def enroll_recording(
    model: Model, recording: str, arguments: argparse.Namespace, name: str | None = None
) -> Voice:
    """Make a voice from a recording, with the options that `add_consent` added."""
    return model.enroll(
        recording,
        name=name,
        ref_text=arguments.ref_text,
        consent=arguments.consent,
        attest=arguments.attest,
        challenge=arguments.challenge,
        speaker=arguments.speaker,
    )


def voices_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `valle voices`."""
    parser.set_defaults(action="list")
    actions = parser.add_subparsers(metavar="ACTION", parser_class=type(parser))
    for action, (names, summary) in _ACTIONS.items():
        action_parser = actions.add_parser(
            action, help=summary, description=summary, allow_abbrev=False
        )
        action_parser.set_defaults(action=action)
        for name in names:
            action_parser.add_argument(
                name, type=nonempty, metavar=name.upper().replace("_NAME", "-NAME")
            )
        action_parser.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON"
        )
    parser.add_argument("--json", action="store_true", help="print JSON")


def voices(arguments: argparse.Namespace) -> None:
    """List, show, rename or remove saved voices.

    Raises:
        UsageError: there is no such voice, or the new name cannot be used.
    """
    if arguments.action == "list":
        names = registry.names()
        if arguments.json:
            print_json(names)
        else:
            print("".join(f"{name}\n" for name in names), end="")
        return
    if arguments.action == "rename":
        registry.rename(arguments.name, arguments.new_name)
        result = {"renamed": arguments.name, "name": arguments.new_name}
    elif arguments.action == "remove":
        registry.remove(arguments.name)
        result = {"removed": arguments.name}
    else:
        result = _describe(registry.load(arguments.name))
    if arguments.json:
        print_json(result)
    elif arguments.action == "show":
        for key, value in result.items():
            print(f"{key}: {value}")


def _describe(voice: Voice) -> dict[str, Any]:
    return {
        "name": voice.name,
        "seconds": round(len(voice.audio) / voice.sample_rate, 3),
        "sample_rate": voice.sample_rate,
        "symbols": "".join(voice.symbols),
        "consent": voice.consent,
        "warnings": list(voice.warnings),
    }
