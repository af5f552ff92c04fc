"""The notations that a text may be written in."""

from __future__ import annotations

from valle.text.delivery import DirectedText
from valle.text.markup_tags import parse_tags
from valle.text.ssml import parse_ssml


def parse_text(text: str, plain: bool = False, ssml: bool = False) -> DirectedText:
    """Return a text with the directions in it.

    Args:
        text: Any Unicode string.
        plain: Whether tags in brackets are text, too.
        ssml: Whether it is SSML, in which brackets are text.

    Raises:
        TextError: A tag or an element is unknown, or has a wrong value; the message names the line.
    """
    if ssml:
        return parse_ssml(text)
    return DirectedText.without_directions(text) if plain else parse_tags(text)
