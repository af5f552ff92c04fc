"""Written text to words that can be said, each with its span in the source."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from re import Match

from valle.text import lexicon
from valle.text.numbers import MONTHS, cardinal, digits, figure, number, ordinal, roman
from valle.text.spelling import script_runs, spoken_word, to_ascii

LONGEST_WORD = 40  # letters; espeak's buffers end at 160 bytes, and no English word is longer


@dataclass(frozen=True)
class Token:
    """A written word, or a border.

    `kind` is "word" (`spoken` holds the words to say; a single capital is the letter's name),
    "ipa" (`spoken` holds one string of IPA) or "border" (`spoken` holds one of , . ? !).
    `start`, `end` is its span in the source.
    """

    kind: str
    spoken: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Skipped:
    """A stretch `text` = source[start:end] that is not spoken, and why."""

    start: int
    end: int
    text: str
    why: str


# Invisible and allowed inside of words: soft hyphen, zero-width (non-)joiners and spaces.
_HIDDEN = "\u00ad\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff\u202a-\u202e"
_INVISIBLE = re.compile(f"[{_HIDDEN}]")
_LETTER = rf"[^\W\d_][\u0300-\u036f{_HIDDEN}]*"
_WORD = re.compile(rf"(?:{_LETTER})+(?:['’](?:{_LETTER})+)*")
_IPA = re.compile(r"\[\[([^\[\]]{1,1000})\]\]")
_TLD = "com|org|net|edu|gov|io|co|uk|us|de|fr|ca|au|eu|info|dev|app|ai|me|tv|fm|ly|be"
_ADDRESS = re.compile(
    r"(?:https?://|www\.)(?P<url>[^\s<>\"“”]{1,2000})"
    r"|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}"
    rf"|(?:[\w-]{{1,63}}\.){{1,5}}(?:{_TLD})(?![\w-]|\.\w)(?:/[^\s<>\"“”]{{0,2000}})?",
    re.IGNORECASE,
)
_DOTTED = re.compile(r"((?:[A-Za-z]\.){2,12}|Ph\.D\.)(['’]?s\b)?")
_DIGITS = re.compile(r"\d{1,40}")
_SPACE = re.compile(r"\s+")
_PARAGRAPH = re.compile(r"[^\S\n]*\n\s*\n|[^\S\n]*\n\s*(?=(?:[-*•·]|\d{1,3}[.)])\s)|[\u2029\f]")
_END = re.compile(r"(?:[.!?…‽。！？]['\"’”)\]]{0,2}){1,200}")
_BREAK = re.compile(r"(?:[,;:()\[\]{}—–‒―、，；：]|-{2,}|={3,}|\*{3,}|_{3,}|~{3,}){1,200}")
_NEXT = re.compile(r"[\s\"'“”‘’(\[]*(\w*)")
_LOOSE_FIGURE = re.compile(rf"[-−–+.'’(]?[{re.escape('$€£¥₹₩₽₿')}]?\.?\d|\+\d")
_MONTHS = frozenset(month[:3] for month in MONTHS)


def normalise(text: str) -> tuple[list[Token], list[Skipped]]:
    """Tokens of `text` in order, and what cannot be said. Takes any Unicode string."""
    reader = _Reader(text)
    at = 0
    while at < len(text):
        at = max(reader.read(at), at + 1)
    skipped = [Skipped(start, end, text[start:end], why) for start, end, why in reader.skipped]
    return reader.tokens, skipped


class _Reader:
    """Reads a text from left to right; each `_...` method takes what begins at its position."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []
        self.skipped: list[tuple[int, int, str]] = []
        letters = [c for c in text[:100_000] if c.isalpha()]
        # in a text of capitals, capitals are no sign of an acronym
        self.shouting = sum(c.isupper() for c in letters) > 0.7 * len(letters)

    def read(self, at: int) -> int:
        """Take what stands at `at`; the position after it."""
        char = self.text[at]
        if char.isspace():
            return self._space(at)
        if char.isalpha():
            return self._letters(at)
        if _LOOSE_FIGURE.match(self.text, at):
            found = self._address(at) or self._figure(at)
            if found:
                return found
        if char == "[" and (ipa := _IPA.match(self.text, at)):
            self._add("ipa", (ipa[1],), at, ipa.end())
            return ipa.end()
        return self._punctuation(at)

    def _add(self, kind: str, spoken: tuple[str, ...], start: int, end: int) -> None:
        self.tokens.append(Token(kind, spoken, start, end))

    def _skip(self, start: int, end: int, why: str) -> None:
        if self.skipped:
            first, last, reason = self.skipped[-1]
            if reason == why and start - last < 4 and not self.text[last:start].strip():
                self.skipped.pop()
                start = first
        self.skipped.append((start, end, why))

    def _space(self, at: int) -> int:
        if paragraph := _PARAGRAPH.match(self.text, at):
            self._add("border", (".",), at, at)
            return paragraph.end()
        space = _SPACE.match(self.text, at)
        # a blank line may begin after some spaces, so leave line ends to the next call
        end = space.end() if space else at + 1
        line = self.text.find("\n", at + 1, end)
        return line if line > at else end

    def _address(self, at: int) -> int | None:
        match = _ADDRESS.match(self.text, at)
        if not match or not any(c.isascii() and c.isalnum() for c in match[0]):
            return None
        end = at + len(match[0].rstrip(".,;:!?)]}'\"’”"))
        body = self.text[match.start("url") if match["url"] else at : end]
        if not body:
            return None
        spoken: list[str] = []
        for part in re.findall(r"[A-Za-z]+|\d+|[^A-Za-z\d]", body.rstrip("/")):
            if part.isdecimal():
                spoken += cardinal(part) if len(part) < 5 and part[0] != "0" else digits(part)
            elif part.lower() == "www" or (len(part) == 2 and spoken[-1:] == ["dot"]):
                spoken += part.upper()  # "uk", "io"
            elif part.isascii() and part.isalpha():
                spoken += spoken_word(part, capitals=False)
            elif part in lexicon.ADDRESS_SIGNS:
                spoken += lexicon.ADDRESS_SIGNS[part].split()
        if not spoken:
            return None
        self._add("word", tuple(spoken), at, end)
        return end

    def _figure(self, at: int) -> int | None:
        before = self.text[at - 1 : at]
        run = _DIGITS.match(self.text, at)
        if run and before.isalnum():
            # "B2B", "MP3": what follows is neither a unit nor a date; or the rest of a number
            # that is too long to be one
            said, end = digits(run[0]) if before.isdecimal() else number(run[0]), run.end()
        elif found := figure(self.text, at):
            said, end = found
        else:
            return None
        self._add("word", tuple(said), at, end)
        if self.text[end - 2 : end].lower() == "m." and self._ends(end):
            return end - 1  # the point of "p.m." ends the sentence too
        following = self._following(end + 1)
        if self.text[end - 1].isalpha() and self.text[end : end + 1] == "." and following:
            return end if following[0].isupper() else end + 1  # "6 ft. tall"
        return end

    def _letters(self, at: int) -> int:
        text = self.text
        match = _WORD.match(text, at)
        if not match:
            return self._punctuation(at)
        end = match.end()
        after = text[end : end + 1]
        may_go_on = after in (".", "@", ":", "-", "+", "/", "_") or after.isdigit()
        if may_go_on and (found := self._address(at) or self._dotted(at)):
            return found
        word = match[0]
        if not word.isascii():
            # "x²": to the pattern every sign that counts is a letter
            end = next((at + i for i, c in enumerate(word) if unicodedata.category(c) == "No"), end)
            after = text[end : end + 1]
            match = _WORD.match(text, at, end) or match
            word = unicodedata.normalize("NFKC", match[0].replace("’", "'"))
            word = _INVISIBLE.sub("", word)
        before = text[at - 1 : at]
        if word[:3] in _MONTHS and (found := self._figure(at)):
            return found
        if after == "." and (found := self._abbreviation(word, at, end)):
            return found
        key = word.lower()
        if key == "w" and after == "/":
            end += 2 if text[end : end + 2].lower() == "/o" else 1
            self._add("word", ("with" if text[end - 1] == "/" else "without",), at, end)
        elif word in ("A", "a"):
            self._add("word", ("a" if self._article(word, end) else "A",), at, end)
        elif len(word) < 4 and word.isascii() and word.isupper() and "&" in (after, before):
            self._add("word", tuple(word), at, end)  # "AT&T"
        elif key in lexicon.BARE:
            self._add("word", tuple(lexicon.BARE[key].split()), at, end)
        elif key in lexicon.SOUNDS:
            self._add("ipa", (lexicon.SOUNDS[key],), at, end)
        elif number := self._numeral(word, at):
            self._add("word", tuple(number), at, end)
        elif word.isascii():
            self._plain(word, at, end)
        else:
            self._foreign(match)
        return end

    def _article(self, word: str, end: int) -> bool:
        """Whether "A" or "a" is the article; else it is the letter's name."""
        if word == "a" or self.shouting:
            return True
        following = self._following(end) if self.text[end : end + 1].isspace() else ""
        first = not self.tokens or self.tokens[-1].kind == "border"
        return following[:1].isupper() or (first and following not in ("", "and", "or", "is"))

    def _plain(self, word: str, start: int, end: int) -> None:
        for offset in range(0, max(len(word), 1), LONGEST_WORD):
            piece = word[offset : offset + LONGEST_WORD]
            last = offset + LONGEST_WORD >= len(word)
            left = min(start + offset, end - 1)  # compatible forms may be longer than the source
            right = end if last else min(left + LONGEST_WORD, end)
            if spoken := spoken_word(piece, capitals=self.shouting):
                self._add("word", tuple(spoken), left, right)

    def _foreign(self, match: Match[str]) -> None:
        """A word with letters outside of ASCII: its Latin stretches are said."""
        start = match.start()
        for latin, run in script_runs(match[0]):
            end = start + len(run)
            plain = to_ascii(run) if latin == "LATIN" else ""
            if plain.strip("'"):
                self._plain(plain, start, end)
            elif latin == "GREEK" and len(run) == 1:
                parts = unicodedata.name(unicodedata.normalize("NFKC", run), "").split()
                self._add("word", (parts[-1].lower() if parts else "letter",), start, end)
            elif latin:
                name = lexicon.SCRIPTS.get(latin, latin.title())
                self._skip(start, end, f"{name} letters; this voice speaks English")
            start = end

    def _dotted(self, at: int) -> int | None:
        match = _DOTTED.match(self.text, at)
        if not match or (at and self.text[at - 1].isalnum()):
            return None
        letters = match[1].replace(".", "")
        said = lexicon.DOTTED.get(letters.lower(), " ".join(letters.upper())).split()
        if match[2]:
            said[-1] = said[-1].lower() + "'s"
        self._add("word", tuple(said), at, match.end())
        if match[2]:
            return match.end()
        # the last point may end the sentence too
        return match.end() - 1 if self._ends(match.end()) else match.end()

    def _following(self, at: int) -> str:
        """The word after `at`, or "" at the end of a paragraph."""
        match = _NEXT.match(self.text, at, at + 100)
        return match[1] if match and "\n\n" not in match[0] else ""

    def _ends(self, at: int) -> bool:
        """Whether a point before `at`, that belongs to an abbreviation, ends a sentence too."""
        following = self._following(at)
        return not following or following in lexicon.STARTERS

    def _abbreviation(self, word: str, at: int, end: int) -> int | None:
        """A word with a point after it; None where the point is only the sentence's end."""
        key = word.lower()
        following = self._following(end + 1)
        said = lexicon.BEFORE_FIGURES.get(key) if following[:1].isdigit() else None
        if key == "st" and not following[:1].isupper():
            said = "Street"
        said = said or lexicon.TITLES.get(key)
        if said:
            self._add("word", tuple(said.split()), at, end + 1)
            return end + 1
        said = lexicon.ABBREVIATIONS.get(key)
        ends = self._ends(end + 1)
        if said and not (key in ("mar", "sec", "min") and ends):
            self._add("word", tuple(said.split()), at, end if ends else end + 1)
            return end if ends else end + 1
        initial = len(word) == 1 and word.isascii() and word.isupper() and word != "I"
        if initial and following[:1].isupper() and not ends:
            self._add("word", (word,), at, end + 1)
            return end + 1
        return None

    def _numeral(self, word: str, at: int) -> list[str] | None:
        """A Roman numeral after a name: "Henry VIII", "World War II"."""
        stem = word.removesuffix("'s")
        value = roman(stem) if len(stem) <= 6 and set(stem) <= set("IVX") else None
        before = self.tokens[-1] if self.tokens else None
        if not value or not before or before.kind != "word" or at - before.end != 1:
            return None
        name = self.text[before.start : before.end].rstrip(".")
        if before.spoken[-1].title() in lexicon.NUMBERED:
            return cardinal(str(value))
        if len(stem) > 1 and name[:1].isupper() and name[1:] and name not in lexicon.STARTERS:
            *words, last_word = ["the", *ordinal(str(value))]
            return [*words, last_word + word[len(stem) :]]
        return None

    def _punctuation(self, at: int) -> int:
        text, char = self.text, self.text[at]
        if end := _END.match(text, at):
            return self._end(at, end)
        if brk := _BREAK.match(text, at):
            self._add("border", (",",), at, brk.end())
            return brk.end()
        before, after = text[at - 1 : at], text[at + 1 : at + 2]
        if char in "-‐‑":
            if not (before.isalnum() and after.isalnum()):  # else a hyphen: nothing to hear
                self._add("border", (",",), at, at + 1)
        elif char == "/" and not (before.isalnum() and after.isalnum()):
            pass
        elif char == "/" and text[at - 3 : at].lower() == "and":
            pass  # and/or
        elif char == "#" and after.isdigit():
            self._add("word", ("number",), at, at + 1)
        elif char == "#" and after.isalpha():
            self._add("word", ("hashtag",), at, at + 1)
        elif char in lexicon.SIGNS:
            self._add("word", tuple(lexicon.SIGNS[char].split()), at, at + 1)
        elif char not in lexicon.SILENT:
            self._other(at)
        return at + 1

    def _end(self, at: int, match: Match[str]) -> int:
        run, end = match[0], match.end()
        after = self.text[end : end + 1]
        following = self._following(end)
        mark = (
            "?"
            if any(c in run for c in "?？‽")
            else "."
            if not any(c in run for c in "!！")
            else "!"
        )
        if run == "." and after.isalnum():
            # "file.txt", but "the end.Next" lacks a space only
            if not (after.isupper() and self.text[at - 1 : at].islower()):
                if self.text[at - 1 : at].isalnum():
                    self._add("word", ("dot",), at, end)
                return end
        elif mark == "." and following[:1].islower():
            mark = ","  # an ellipsis, or the point of an unknown abbreviation
        self._add("border", (mark,), at, end)
        return end

    def _other(self, at: int) -> None:
        """A character with no meaning of its own here: its compatible form, or skipped."""
        char = self.text[at]
        category = unicodedata.category(char)
        plain = unicodedata.normalize("NFKC", char)
        if plain != char and any(c.isalnum() or c in lexicon.SIGNS for c in plain):
            tokens = normalise(plain)[0]
            for token in tokens:
                if token.kind != "border":
                    self._add(token.kind, token.spoken, at, at + 1)
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
