"""What stands around a position of a text: the words before and after a number or a word."""

from __future__ import annotations

import re

_LOOKBEHIND = 40  # characters in which a previous word must lie
_PREVIOUS_WORDS = re.compile(r"([^\W\d_]+(?:['’.][^\W\d_]+)*\.?)[\s\"“‘'(\-]*$")
_NEXT_NAME = re.compile(r"(?:\.\s(?=[a-z])|[\s-]){1,8}([^\W\d_]+)")
_AFTER_ARTICLE = re.compile(
    r"(?:^|[^\w'’])(?:an?|another|every|each|one|this|that|per)[\s\"“]+(?:[a-z]{2,12}\s+)?$", re.I
)
_AFTER_DETERMINER = re.compile(
    r"(?:^|[^\w'’])(?:the|my|your|his|her|its|our|their|\w+['’]s)\s+(?:[a-z]{2,12}\s+)?$", re.I
)
# After a measure these begin something else than the noun that it describes: "the 5 km of road".
FUNCTION_WORDS = frozenset(
    "a an the and or of in on at to from by for with is are was were be been has have had it he "
    "she they we you i that which who than as but so if when while per each away ago more less "
    "later left before after above below into over under up down out off apart not do did does "
    "will would can could should must may might off only just also then here there this these "
    "those back every between through during within without until since because today tomorrow "
    "yesterday now again too total".split()
)
# Nouns that a measure or a price describes also without an article: "3.5 mm jack", "$5 bills".
SIZED_NOUNS = frozenset(
    "bill note coin gift card fee fine tip ticket prize bonus bet loan deal budget salary company "
    "home house mansion lawsuit contract check cheque donation grant investment raise discount "
    "coupon reward bailout package stake fund jackpot settlement lunch dinner meal subscription "
    "stock startup valuation movie film blockbuster tax deposit question wage entry cover minimum "
    "jack plug lens round pistol rifle cable cord bottle bulb sprint race dash walk drive hike "
    "ride swim screen tv television monitor display laptop battery engine charger adapter radius "
    "limit zone bag box jar jug pack dose tablet pill capsule tank ladder pipe rope wall fence "
    "tree pizza sub pan nail screw drill bit gap hole margin tolerance speaker amplifier fuse "
    "outlet camera sensor phone router connection download upload signal antenna motor truck "
    "trailer carton barrel steak burger roast turkey baby fish buffer socket wrench hose belt "
    "fall jump throw putt freestyle relay hurdles loop trail stretch commute radiator heater ssd "
    "stick module file disk partition image video panel lamp led laser pool suitcase backpack "
    "dumbbell kettlebell plate weight vest".split()
)


def find_previous_word(text: str, at: int) -> str:
    """Return the word that ends before `at`, spaces between them aside, or ""."""
    match = _PREVIOUS_WORDS.search(text, max(at - _LOOKBEHIND, 0), at)
    return match[1] if match else ""


def follows_article(text: str, at: int) -> bool:
    """Return whether "a" or another word for one thing stands before `at`."""
    return _AFTER_ARTICLE.search(text, max(at - _LOOKBEHIND, 0), at) is not None


def describes_noun(text: str, start: int, end: int) -> bool:
    """Return whether the measure at `start` to `end` describes the next word: "a 5 km run"."""
    following = _NEXT_NAME.match(text, end, end + _LOOKBEHIND)
    if not following or following[1].lower() in FUNCTION_WORDS:
        return False
    if follows_article(text, start) or text[end : end + 1] == "-":
        return True
    noun = following[1].lower()
    if noun in SIZED_NOUNS or (noun[-1] == "s" and noun[:-1] in SIZED_NOUNS):
        return True  # "$5 bills", "3.5 mm jack"
    if not _AFTER_DETERMINER.search(text, max(start - _LOOKBEHIND, 0), start):
        return False
    # "the 5 km run"; a plural or a verb in -ed is not a thing of that size
    return not following[1].endswith(("ed", "ing"))
