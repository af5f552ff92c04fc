"""What commands print: results on standard output, notes on standard error."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from valle.voices.voice import Voice


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, escaped where standard output cannot carry it as it is."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (AttributeError, UnicodeEncodeError):  # no UTF-8, or a file name of undecodable bytes
        text = json.dumps(value)
    print(text)


def print_result(arguments: argparse.Namespace, value: Any, text: str) -> None:
    """Print `value` where `--json` was given, else `text`, if there is any."""
    if arguments.json:
        print_json(value)
    elif text:
        print(text)


def note(arguments: argparse.Namespace, message: str) -> None:
    """Print a line on standard error unless `--quiet` was given."""
    if not arguments.quiet and sys.stderr is not None:
        print(message, file=sys.stderr)


def note_warnings(arguments: argparse.Namespace, voice: Voice, recording: str | None) -> None:
    """Note what may make a new voice less like its speaker; `recording` is None for a saved one."""
    if recording is not None:
        for warning in voice.warnings:
            note(arguments, f"{recording}: {warning}")
