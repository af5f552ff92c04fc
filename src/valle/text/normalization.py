"""Written text to words that can be spoken, each with its span in the source.

A text is read from left to right. What a position begins with (letters, a number, a sign) selects a
table of rules, and the first rule that applies takes as much text as it reads.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from re import Match
from typing import Literal

from valle.text import lexicon, word_rules
from valle.text.abbreviations import (
    find_next_word,
    sentence_continues,
    sentence_ends,
    verbalize_initials,
)
from valle.text.addresses import verbalize_address
from valle.text.capitals import is_in_capitals, is_initialism
from valle.text.markup import strip_markup
from valle.text.money import CURRENCY_CODES, CURRENCY_SIGNS, verbalize_rate
from valle.text.number_rules import verbalize_number
from valle.text.numbers import to_cardinal
from valle.text.operators import verbalize_operator, verbalize_power
from valle.text.spelling import split_scripts, to_ascii, verbalize_word
from valle.text.tokens import Skipped, Token
from valle.text.words import (
    WORD,
    Word,
    describe_word,
    is_acronym_part,
    is_plain,
    is_roman_numeral,
    may_start_address,
    may_start_date,
    may_start_expression,
)

_MAX_RUN = 1000  # letters that are looked at as one word
MAX_WORD_LETTERS = 40  # espeak's buffers end at 160 bytes, and no English word is longer


def normalize(
    text: str, plain: bool = False, known_words: Collection[str] = ()
) -> tuple[list[Token], list[Skipped]]:
    """Return the tokens of any Unicode string in order, and what of it cannot be spoken.

    Args:
        text: What is read; marks of Markdown and HTML in it are not spoken (`valle.text.markup`).
        plain: Whether such marks are text too.
        known_words: Words in small letters that are spoken as they are, and never spelled out.
    """
    marked = strip_markup(text, plain)
    normalizer = _Normalizer(marked.text, known_words)
    at = 0
    while at < len(marked.text):
        at = max(normalizer.read(at), at + 1)
    tokens = [
        Token(token.kind, token.spoken, *marked.locate(token.start, token.end))
        for token in normalizer.tokens
    ]
    spans = [(*marked.locate(start, end), why) for start, end, why in normalizer.skipped]
    return tokens, [Skipped(start, end, text[start:end], why) for start, end, why in spans]


_IPA = re.compile(r"\[\[([^\[\]]{1,1000})\]\]")
_SPACE = re.compile(r"\s+")
# a blank line, a line that begins a list item, a paragraph separator
_PARAGRAPH = re.compile(r"[^\S\n]*\n\s*\n|[^\S\n]*\n\s*(?=(?:[-*•·]|\d{1,3}[.)])\s)|[\u2029\f]")
_SENTENCE_END = re.compile(r"(?:[.!?…‽。！？]['\"’”)\]]{0,2}){1,200}")
_PAUSE = re.compile(r"(?:[,;:()\[\]{}—–‒―、，；：]|-{2,}|={3,}|\*{3,}|_{3,}|~{3,}){1,200}")
_NUMBER_START = re.compile(rf"[-−–+.'’(]?[{re.escape(CURRENCY_SIGNS)}]?\.?\d|\+\d")
_SUSPENDED = re.compile(r"-\s(?:or|and|to)\s")
_AND_OR = re.compile(r"\b(?:and|either)$", re.IGNORECASE)


class _Normalizer:
    """Reads one text; each `read...` method returns the position after what it read.

    The methods in the tables of rules return None where they do not apply after all.
    """

    def __init__(self, text: str, known_words: Collection[str] = ()) -> None:
        self.text = text
        self.known_words = known_words
        self.tokens: list[Token] = []
        self.skipped: list[tuple[int, int, str]] = []
        # in a text of capitals, capitals do not mark acronyms
        self.all_capitals = is_in_capitals(text)

    def read(self, at: int) -> int:
        """Read what stands at `at`."""
        char = self.text[at]
        if char.isspace():
            return self._read_space(at)
        if char.isalpha() and (word := WORD.match(self.text, at, at + _MAX_RUN)):
            return self._read_word(word)
        if _NUMBER_START.match(self.text, at):
            end = self._read_address(at) or self._read_number(at)
            if end:
                return end
        if char == "[" and (ipa := _IPA.match(self.text, at)):
            return self._add("ipa", (ipa[1],), at, ipa.end())
        return self._read_sign(at)

    def _add(
        self, kind: Literal["word", "ipa"], spoken: tuple[str, ...], start: int, end: int
    ) -> int:
        self.tokens.append(Token(kind, spoken, start, end))
        return end

    def _add_border(self, mark: str, start: int, end: int) -> int:
        self.tokens.append(Token("border", (mark,), start, end))
        return end

    def _skip(self, start: int, end: int, why: str) -> None:
        if self.skipped:
            last_start, last_end, reason = self.skipped[-1]
            if reason == why and start - last_end < 4 and not self.text[last_end:start].strip():
                self.skipped.pop()
                start = last_start
        self.skipped.append((start, end, why))

    def _read_space(self, at: int) -> int:
        if paragraph := _PARAGRAPH.match(self.text, at):
            self._add_border(".", at, at)
            return paragraph.end()
        space = _SPACE.match(self.text, at)
        # a blank line may begin after some spaces, so leave line ends to the next call
        end = space.end() if space else at + 1
        line = self.text.find("\n", at + 1, end)
        return line if line > at else end

    def _read_address(self, at: int) -> int | None:
        if address := verbalize_address(self.text, at):
            words, end = address
            return self._add("word", tuple(words), at, end)
        return None

    def _read_number(self, at: int) -> int | None:
        number = verbalize_number(self.text, at)
        if not number:
            return None
        words, end = number
        self._add("word", tuple(words), at, end)
        text = self.text
        if text[end - 2 : end].lower() == "m." and sentence_ends(text, end):
            return end - 1  # the period of "p.m." ends the sentence too
        if text[end - 1].isalpha() and text[end : end + 1] == ".":  # of a unit
            following = find_next_word(text, end + 1)
            is_lower = following and not following[0].isupper()  # "6 ft. tall"
            return end + 1 if is_lower or sentence_continues(text, end + 1) else end
        return end

    def _read_word(self, match: Match[str]) -> int:
        word = describe_word(self.text, match)
        if self.known_words and word.key.removesuffix("'s") in self.known_words:
            return self._add("word", (word.letters,), word.start, word.end)
        if is_plain(word):
            return self._read_english(word)
        for applies, read in _WORD_RULES:
            if applies(word) and (read_end := read(self, word)):
                return read_end
        return word.end

    def _read_initials(self, word: Word) -> int | None:
        if initials := verbalize_initials(self.text, word.start):
            words, end = initials
            self._add("word", tuple(words), word.start, end)
            # the last period may end the sentence too
            ends = self.text[end - 1] == "." and sentence_ends(self.text, end)
            return end - 1 if ends else end
        return None

    def _read_ambiguous_capitals(self, word: Word) -> int | None:
        spelled = is_initialism(self.text, word.start, word.end, self.all_capitals)
        if spelled is None:
            return None
        spoken = tuple(word.letters) if spelled else (word.key,)
        return self._add("word", spoken, word.start, word.end)

    def _read_plural_letter(self, word: Word) -> int | None:
        """Read "two As", "straight As"."""
        previous = self.tokens[-1].spoken[-1] if self.tokens else ""
        if previous.lower() not in lexicon.COUNTING_WORDS:
            return None
        return self._add("word", (word.letters[0] + "'s",), word.start, word.end)

    def _read_single_a(self, word: Word) -> int:
        """Read the article, or else the name of the letter."""
        is_article = word.letters == "a" or self.all_capitals
        if not is_article:
            following = find_next_word(self.text, word.end) if word.after.isspace() else ""
            begins = not self.tokens or self.tokens[-1].is_border
            is_article = following[:1].isupper() or (
                begins and following not in ("", "and", "or", "is")
            )
        return self._add("word", ("a" if is_article else "A",), word.start, word.end)

    def _read_interjection(self, word: Word) -> int:
        return self._add("ipa", (lexicon.INTERJECTIONS[word.squeezed],), word.start, word.end)

    def _read_english(self, word: Word) -> int:
        self._add_letters(word.letters, word.start, word.end)
        return word.end

    def _add_letters(self, letters: str, start: int, end: int) -> None:
        for offset in range(0, max(len(letters), 1), MAX_WORD_LETTERS):
            piece = letters[offset : offset + MAX_WORD_LETTERS]
            is_last = offset + MAX_WORD_LETTERS >= len(letters)
            # compatible forms may be longer than the source
            piece_start = min(start + offset, end - 1)
            piece_end = end if is_last else min(piece_start + MAX_WORD_LETTERS, end)
            if spoken := verbalize_word(piece, self.all_capitals):
                self._add("word", tuple(spoken), piece_start, piece_end)

    def _read_foreign(self, word: Word) -> int:
        """Read a word with letters outside ASCII; its Latin stretches are spoken."""
        start = word.start
        for script, run in split_scripts(word.match[0]):
            end = start + len(run)
            latin = to_ascii(run) if script == "LATIN" else ""
            if latin.strip("'"):
                self._add_letters(latin, start, end)
            elif script == "GREEK" and len(run) == 1:
                parts = unicodedata.name(unicodedata.normalize("NFKC", run), "").split()
                self._add("word", (parts[-1].lower() if parts else "letter",), start, end)
            elif script:
                name = lexicon.SCRIPT_NAMES.get(script, script.title())
                self._skip(start, end, f"{name} letters; this voice speaks English")
            start = end
        return word.end

    def _read_sign(self, at: int) -> int:
        if expression := verbalize_operator(self.text, at) or verbalize_power(self.text, at):
            words, end = expression
            return self._add("word", tuple(words), at, end)
        if match := _SENTENCE_END.match(self.text, at):
            return self._read_sentence_end(match)
        if match := _PAUSE.match(self.text, at):
            return self._add_border(",", at, match.end())
        if read := _SIGN_RULES.get(self.text[at]):
            return read(self, at)
        if self.text[at] not in lexicon.SILENT_SIGNS:
            self._read_other(at)
        return at + 1

    def _read_sentence_end(self, match: Match[str]) -> int:
        run, (at, end) = match[0], match.span()
        before, after = self.text[at - 1 : at], self.text[end : end + 1]
        # "file.txt", but "the end.Next" only lacks a space
        is_next = after.isupper() and (before.islower() or self.text[end + 1 : end + 2].islower())
        if run == "." and after.isalnum() and not is_next:
            is_dot = before.isalnum() or (before in ("", " ", "(") and after.isalpha())
            return self._add("word", ("dot",), at, end) if is_dot else end
        mark = "."
        following = find_next_word(self.text, end)
        if any(char in run for char in "?？‽"):
            mark = "?"
        elif any(char in run for char in "!！"):
            mark = "!"
        elif following[:1].islower() or (run == "." and after in (",", ";", ":")):
            mark = ","  # an ellipsis, or the period of an unknown abbreviation
        return self._add_border(mark, at, end)

    def _read_hyphen(self, at: int) -> int:
        """Read a hyphen: inside a word it is silent, any other is a dash."""
        before, after = self.text[at - 1 : at], self.text[at + 1 : at + 2]
        previous = self.tokens[-1] if self.tokens else None
        if before.isalpha() and _SUSPENDED.match(self.text, at):
            return at + 1  # "two- or three-day"
        # "U.S.-based"
        follows_abbreviation = bool(
            before == "." and previous and not previous.is_border and previous.end == at
        )
        if not (after.isalnum() and (before.isalnum() or follows_abbreviation)):
            self._add_border(",", at, at + 1)
        return at + 1

    def _read_slash(self, at: int) -> int:
        """Read a slash: it is spoken inside words, but not in "and/or"."""
        before, after = self.text[at - 1 : at], self.text[at + 1 : at + 2]
        is_inside = before.isalnum() and after.isalnum()
        if is_inside and (rate := verbalize_rate(self.text, at)):
            words, end = rate
            return self._add("word", tuple(words), at, end)
        if is_inside and not _AND_OR.search(self.text, max(at - 6, 0), at):
            self._read_named_sign(at)
        return at + 1

    def _read_hash(self, at: int) -> int:
        """Read "#1" as "number one" and "#voice" as "hashtag voice"."""
        after = self.text[at + 1 : at + 2]
        if after.isdigit() or after.isalpha():
            self._add("word", ("number" if after.isdigit() else "hashtag",), at, at + 1)
        return at + 1

    def _read_named_sign(self, at: int) -> int:
        return self._add("word", tuple(lexicon.SIGNS[self.text[at]].split()), at, at + 1)

    def _read_other(self, at: int) -> None:
        """Read a character without a rule: by its compatible form, or else it is skipped."""
        char = self.text[at]
        category = unicodedata.category(char)
        compatible = unicodedata.normalize("NFKC", char)
        if category == "Nl" and (value := unicodedata.numeric(char, 0)):  # "Ⅳ"
            self._add("word", tuple(to_cardinal(str(int(value)))), at, at + 1)
            return
        if compatible != char and any(c.isalnum() or c in lexicon.SIGNS for c in compatible):
            tokens = normalize(compatible, plain=True)[0]
            self.tokens += [
                Token(token.kind, token.spoken, at, at + 1)
                for token in tokens
                if not token.is_border
            ]
            if tokens:
                return
        if category == "Cf" or 0xFE00 <= ord(char) <= 0xFE0F:
            return
        if category[0] == "M" and self.skipped and self.skipped[-1][1] == at:
            self._skip(at, at + 1, self.skipped[-1][2])
        elif category[0] == "C":
            self._skip(at, at + 1, "not a printable character")
        elif category[0] != "M":
            self._skip(at, at + 1, "a sign with no spoken form")


def _say(
    verbalize: Callable[[str, Word], tuple[list[str], int] | None],
) -> Callable[[_Normalizer, Word], int | None]:
    """Return a rule that adds the words that `verbalize` gives for a word."""

    def read(normalizer: _Normalizer, word: Word) -> int | None:
        said = verbalize(normalizer.text, word)
        return normalizer._add("word", tuple(said[0]), word.start, said[1]) if said else None

    return read


# (does the rule apply?, read the word); the first one that does not return None takes it
_WORD_RULES: tuple[
    tuple[Callable[[Word], bool], Callable[[_Normalizer, Word], int | None]], ...
] = (
    (
        lambda word: word.after == "$" or word.letters in CURRENCY_CODES,
        lambda normalizer, word: normalizer._read_number(word.start),
    ),
    (lambda word: word.key == "x" and word.after == " ", _say(word_rules.say_by)),
    (
        lambda word: len(word.letters) < 4 and word.after in lexicon.BEFORE_SIGNS,
        _say(word_rules.say_variables),
    ),
    (may_start_expression, _say(word_rules.say_expression)),
    (
        lambda word: word.after == "." and is_roman_numeral(word),
        _say(word_rules.say_roman_numeral),
    ),
    (may_start_address, lambda normalizer, word: normalizer._read_address(word.start)),
    (may_start_address, _Normalizer._read_initials),
    (may_start_date, lambda normalizer, word: normalizer._read_number(word.start)),
    (may_start_date, _say(word_rules.say_short_date)),
    (
        lambda word: word.key in lexicon.NUMBERED_BARE and word.after == " ",
        _say(word_rules.say_numbered),
    ),
    (lambda word: word.key in lexicon.STREETS, _say(word_rules.say_street)),
    (lambda word: word.after == ".", _say(word_rules.say_abbreviation)),
    (
        lambda word: word.letters in lexicon.AMBIGUOUS_CAPITALS,
        _Normalizer._read_ambiguous_capitals,
    ),
    (
        lambda word: word.letters in ("As", "Is", "Es", "Os", "Us", "Ms", "Ns", "Hs"),
        _Normalizer._read_plural_letter,
    ),
    (lambda word: word.key == "w" and word.after == "/", _say(word_rules.say_with)),
    (lambda word: word.letters in ("A", "a"), _Normalizer._read_single_a),
    (is_acronym_part, _say(word_rules.say_letter_names)),
    (lambda word: word.key in lexicon.WITHOUT_PERIOD, _say(word_rules.say_bare_abbreviation)),
    (lambda word: word.squeezed in lexicon.INTERJECTIONS, _Normalizer._read_interjection),
    (is_roman_numeral, _say(word_rules.say_roman_numeral)),
    (lambda word: word.letters.isascii(), _Normalizer._read_english),
    (lambda _word: True, _Normalizer._read_foreign),
)
_SIGN_RULES: dict[str, Callable[[_Normalizer, int], int]] = {
    **dict.fromkeys(lexicon.SIGNS, _Normalizer._read_named_sign),
    **dict.fromkeys("-‐‑", _Normalizer._read_hyphen),
    "/": _Normalizer._read_slash,
    "#": _Normalizer._read_hash,
}
