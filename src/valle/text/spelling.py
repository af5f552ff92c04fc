"""How one written word is read: acronyms, letters of other alphabets, capitals inside a word."""

from __future__ import annotations

import re
import unicodedata

from valle.text import lexicon
from valle.text.pronunciations import find_loan_word

_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Accented letters that espeak's English reads.
_PLURAL_LETTERS = frozenset("BCDFGJKLPQRSTVWXYZ")
_VOWEL_LETTERS = frozenset("aeiouyéèêëáàâäãåíìîïóòôöõúùûü")
_KNOWN_ACCENTS = frozenset("éèêëáàâäãåçñíìîïóòôöõúùûüÉ")


def split_scripts(word: str) -> list[tuple[str, str]]:
    """Split a word into stretches of one script, such as ("LATIN", "abc").

    Marks and apostrophes belong to the letter before them.
    """
    runs: list[tuple[str, str]] = []
    for char in word:
        script = _script_of(char)
        if runs and script in ("", runs[-1][0]):
            runs[-1] = (runs[-1][0], runs[-1][1] + char)
        else:
            runs.append((script, char))
    return runs


def _script_of(char: str) -> str:
    """Return the script of a letter, the first word of its Unicode name; "" for marks."""
    if not char.isalpha():
        return ""
    compatible = unicodedata.normalize("NFKC", char)[:1]
    return unicodedata.name(compatible, "UNKNOWN").split()[0]


def to_ascii(word: str) -> str:
    """Reduce a Latin word to letters that espeak's English reads: ASCII and common accents."""
    letters: list[str] = []
    for char in unicodedata.normalize("NFC", unicodedata.normalize("NFKC", word)):
        if char.isascii() or char in _KNOWN_ACCENTS:
            letters.append("'" if char == "’" else char)
            continue
        letter = lexicon.TRANSLITERATIONS.get(char.lower())
        if letter is None:
            letter = "".join(c for c in unicodedata.normalize("NFD", char) if c.isascii())
        letters.append(letter.title() if char.isupper() else letter)
    return "".join(letter for letter in letters if letter.isalpha() or letter == "'")


def verbalize_word(word: str, all_capitals: bool) -> list[str]:
    """Return the spoken words for a written one: itself, its parts, or its letters.

    Args:
        word: Letters and apostrophes.
        all_capitals: Whether the whole text is in capitals, so that capitals do not mark acronyms.
    """
    stem, apostrophe, ending = word.partition("'")
    if len(word) == 1:
        return [word.upper()]
    if not stem:
        return [word]
    is_sound = any(char in _VOWEL_LETTERS for char in stem.lower()) or len(stem) > 5
    if stem in lexicon.SMALL_INITIALISMS or (stem.islower() and not is_sound and not ending):
        return [*stem[:-1].upper(), stem[-1] + "'s"] if ending else list(stem.upper())
    if len(stem) == 2 and stem[1] == "s" and stem[0] in _PLURAL_LETTERS and not ending:
        return [stem[0] + "'s"]  # "Ps and Qs"
    plural = stem[:-1] if stem[-1] == "s" and len(stem) > 2 and stem[:-1].isupper() else ""
    if plural and not apostrophe and _is_spelled_out(plural, all_capitals):
        return [*plural[:-1], plural[-1].lower() + "'s"]
    if stem.isupper() and (len(stem) > 1 or ending in ("s", "S")):
        if stem == "OK":
            return ["okay" + apostrophe + ending.lower()]
        is_negation = stem[-1] == "N" and ending in ("T", "t")  # "DIDN'T"
        if len(stem) > 1 and not is_negation and _is_spelled_out(stem, all_capitals):
            return [*stem[:-1], stem[-1].lower() + "'s"] if ending else list(stem)
        return [word if stem == "I" else word.lower()]
    if stem == "PhD":
        return ["P", "H", "D"]
    parts = _CAMEL_CASE.split(stem)
    if len(parts) == 1 or parts[0] in ("Mc", "De", "La", "Le", "O", "Van", "Fitz"):
        # "sooooo" is "soo" to espeak; a capital inside would be spelled out
        word = re.sub(r"(.)\1{2,}", r"\1\1", word)
        return [word[0] + word[1:].lower()]
    spoken = [piece for part in parts for piece in verbalize_word(part, all_capitals=False)]
    return [*spoken[:-1], spoken[-1] + apostrophe + ending]


def _is_spelled_out(capitals: str, all_capitals: bool) -> bool:
    """Return whether a word in capitals is read letter by letter."""
    if capitals in lexicon.SPELLED_OUT:
        return True
    if not any(char in "AEIOUYÉ" for char in capitals):
        return len(capitals) < 8
    if len(capitals) in (4, 5) and not _is_pronounceable(capitals):
        return capitals not in lexicon.SHORT_WORDS and not find_loan_word(capitals)
    return len(capitals) <= 3 and capitals not in lexicon.SHORT_WORDS and not all_capitals


# Letters that begin and end English words; where capitals have others they are an initialism.
_ONSET = re.compile(
    r"(?:[BCDFGHJKLMNPQRSTVWXYZ]|[BCFGPS]L|[BCDFGPTKVW]R|S[CKMNPQTWVH]|[CGKPSTWRZ]H|[TDK]W|[GKMP]N|QU"
    r"|PS|PT|TS|CZ|DZ|LL|SC[HR]|S[HPT]R|SPL|STR|THR|CHR|PH[LR]|SPH|SCH[MNLWR]|THW|NG|MC)?[AEIOUY]"
)
_CODA = re.compile(
    r"[AEIOUY](?:[BCDFGHJKLMNPQRSTVWXYZ]|C[KTHS]|F[FT]|GH|L[BDFKLMNPSTXV]|M[BNPSF]|N[CDGKNSTXZ]"
    r"|P[HPST]|R[BCDFGKLMNPRSTVX]|S[CHKMPST]|[TDBGKFHW]S|T[HTZ]|CH|DD|GG|ZZ|BB|BT|NS[KT]|W[NLKD]|H[MNL]|GN|EZ|X[TS]"
    r"|[LNRMPSCTGFDKHBWXZ][LNRMPSCTGFDKHBWXZ][STHD]|GHTS|TCH)?$"
)


def _is_pronounceable(capitals: str) -> bool:
    """Return whether capitals may be a word: "NATO", not "NYPD"."""
    return _ONSET.match(capitals) is not None and _CODA.search(capitals) is not None
