"""What `speak`, `enroll` and `voices` have in common: options, notes, JSON."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from valle.synthesis.model import Model
from valle.voices.voice import Voice


def consent_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ref-text", metavar="TEXT", help="what the recording says")
    consent = parser.add_mutually_exclusive_group()
    consent.add_argument("--attest", metavar="WORDS", help='"I hold the rights to this voice"')
    consent.add_argument("--consent", metavar="FILE", help="the owner reading a statement")
    parser.add_argument("--challenge", metavar="ID", help="which statement; the newest open one")


def common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", metavar="FOLDER|hf://OWNER/NAME", help="the model to use")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads to use")
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")


def enrolled(
    model: Model, recording: str, name: str | None, arguments: argparse.Namespace
) -> Voice:
    return model.enroll(
        recording,
        name=name,
        ref_text=arguments.ref_text,
        consent=arguments.consent,
        attest=arguments.attest,
        challenge=arguments.challenge,
    )


def warn(arguments: argparse.Namespace, voice: Voice, recording: str | None) -> None:
    """What may harm the likeness, said once: when the recording is given."""
    if recording is not None:
        for warning in voice.warnings:
            note(arguments, f"{recording}: {warning}")


def note(arguments: argparse.Namespace, message: str) -> None:
    if not arguments.quiet and sys.stderr is not None:
        print(message, file=sys.stderr)


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))
