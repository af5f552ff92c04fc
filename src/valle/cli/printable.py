"""Text that comes from elsewhere, made safe for a terminal."""

from __future__ import annotations


def make_printable(text: object, longest: int = 1000) -> str:
    """Make text that comes from elsewhere safe for a terminal: file names, bundles, recordings.

    Control characters, which could move the cursor or hide what follows, become question marks.
    """
    printable = "".join(c if c.isprintable() else "?" for c in str(text))
    return printable if len(printable) <= longest else printable[:longest] + "..."
