"""`valle phonemize`: how a text will be read."""

from __future__ import annotations

import argparse

from valle.cli.arguments import add_json, nonempty, path
from valle.cli.console import print_json
from valle.cli.texts import read_text
from valle.errors import UsageError
from valle.options import SpeakOptions
from valle.text.lines import phonemize as phonemize_lines


def phonemize_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle phonemize`."""
    parser.add_argument(
        "text", nargs="?", metavar="TEXT", help="text to read; - reads standard input"
    )
    parser.add_argument(
        "-i", "--input", type=path, metavar="FILE", help="read the text from a UTF-8 file instead"
    )
    fields = SpeakOptions.model_fields
    parser.add_argument("--plain", action="store_true", help=fields["plain"].description)
    parser.add_argument(
        "--lexicon", type=nonempty, metavar="FILE", help=fields["lexicon"].description
    )
    add_json(parser)


def phonemize(arguments: argparse.Namespace) -> None:
    """Print the words, pauses and phonemes of each line of a text.

    Raises:
        UsageError: no text was given, or the lexicon has a wrong line.
        TextError: the text cannot be read.
    """
    if (arguments.text is None) == (arguments.input is None):
        raise UsageError("give the text in one way: TEXT, - for standard input, or -i FILE")
    text = read_text(arguments.text, arguments.input)
    for line in phonemize_lines(text, plain=arguments.plain, lexicon=arguments.lexicon):
        if arguments.json:
            print_json(line.describe())
            continue
        print(f"{line.spoken}\n  {line.phonemes}")
        for part in line.skipped:
            print(f"  not spoken: {part['text']!r} ({part['why']})")
