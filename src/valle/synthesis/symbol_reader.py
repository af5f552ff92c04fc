"""The symbols of a sentence as the AR model reads them, while the sentence may still be coming."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from valle.arrays import Floats, Ints
from valle.runtime.ar import RIGHT_CONTEXT
from valle.runtime.batching import EncodedText
from valle.runtime.conditioning import is_style_set
from valle.synthesis.utterance import Symbols, Utterance
from valle.text.phonemes import Phoneme

# Up to here the beginning of a sentence is spoken with what will likely follow as its context, so
# that it begins a word or two earlier. Mostly it does follow.
LIKELY_UNTIL = 30  # symbols


class SymbolReader:
    """The symbols of an utterance, as far as they have come.

    Attributes:
        symbols: All that are known.
    """

    def __init__(
        self,
        utterance: Utterance,
        to_symbols: Callable[[Sequence[Phoneme]], Symbols],
        encode: Callable[[Symbols, Ints | None], Floats],
    ) -> None:
        """Read an utterance.

        Args:
            utterance: Its sentence may still be coming.
            to_symbols: Returns the symbols of phonemes.
            encode: Returns the rows [symbols, width] of symbols in a style, or in none.
        """
        self._utterance = utterance
        self._to_symbols = to_symbols
        self._encode = encode
        self.symbols = utterance.symbols

    def encode(self) -> EncodedText:
        """Return what is known of the sentence, as the AR model reads it."""
        style, opened = self._utterance.style, self._utterance.opened
        symbols, known, still_coming = self.symbols, len(self.symbols.ids), 0
        if opened is not None and not opened.source.is_complete:
            still_coming = opened.source.still_coming
            known -= RIGHT_CONTEXT
            if len(symbols.ids) < LIKELY_UNTIL:
                likely = opened.source.likely
                known += min(len(likely), RIGHT_CONTEXT)
                symbols = self._to_symbols([*opened.source.sentence.phonemes, *likely])
        rows = slice(max(0, known))
        unconditional = self._encode(symbols, None)[rows] if is_style_set(style) else None
        return EncodedText(
            self._encode(symbols, style)[rows],
            symbols.borders,
            unconditional,
            still_coming,
            self._read_more if opened else None,
        )

    def _read_more(self) -> EncodedText:
        assert self._utterance.opened is not None
        source = self._utterance.opened.source
        source.extend()
        self.symbols = self._to_symbols(source.sentence.phonemes)
        return self.encode()
