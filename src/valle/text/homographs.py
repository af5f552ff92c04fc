"""Words with two pronunciations, told apart by their grammar: "to record", "a record".

Each occurrence is judged by the words around it, within its sentence: rules for grammar and sense
say what they find, and a linear model weighs that with the neighbors (`homograph_model`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from valle.text import grammar, homograph_model, senses, tense
from valle.text.grammar import Context
from valle.text.homograph_forms import BY_SENSE, PARTICIPLES, PLURALS, VERB_AND_NOUN
from valle.text.tokens import Token

_MINOR = frozenset(("minute", "august"))  # decided by the adjective, not by the verb
# With too few sentences to learn from, or decided by their capital.
_BY_RULE = frozenset(("august", "number", "nice", "does", "tower", "putting", "bases", "job"))
_SENSES = {
    "bow": senses.bends,
    "row": senses.quarrels,
    "bass": senses.is_fish,
    "sewer": senses.sews,
    "polish": senses.is_nationality,
    "does": senses.is_deer,
    "lead": senses.is_metal,
    "read": tense.is_past,
    "dove": senses.is_past_of_dive,
    "wound": senses.is_past_of_wind,
    "number": senses.is_more_numb,
    "job": senses.is_name_of_job,
    "moped": senses.is_verb_form,
    "learned": senses.describes_person,
    "blessed": senses.describes_thing,
    "aged": senses.describes_group,
    "putting": senses.is_golf,
    "nice": senses.is_city,
    "axes": senses.is_geometry,
    "bases": senses.is_plural_of_basis,
    "tower": senses.is_tow,
    "dogged": senses.is_verb_form,
}


def choose_pronunciations(tokens: Sequence[Token]) -> dict[int, str]:
    """Return IPA for the homographs among tokens, by their index."""
    chosen = ((index, _choose(context)) for index, context in find_contexts(tokens))
    return {index: ipa for index, ipa in chosen if ipa}


def find_contexts(tokens: Sequence[Token]) -> Iterator[tuple[int, Context]]:
    """Yield the index of every written word that is said as one, and its context."""
    for start, end in _find_sentences(tokens):
        words = [
            token.spoken[0].lower() if not token.is_border else "," for token in tokens[start:end]
        ]
        for offset in range(end - start):
            token = tokens[start + offset]
            if token.kind == "word" and len(token.spoken) == 1:
                yield start + offset, Context(words, offset, token.spoken[0])


def _find_sentences(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    start = 0
    for index, token in enumerate(tokens):
        if token.is_border and token.spoken[0] != ",":
            spans.append((start, index))
            start = index + 1
    spans.append((start, len(tokens)))
    return spans


def _choose(context: Context) -> str:
    if context.word in PARTICIPLES:
        return PARTICIPLES[context.word]
    pair = find_pair(context)
    if not pair:
        return ""
    return pair[0] if is_first(context) else pair[1]


def find_pair(context: Context) -> tuple[str, str] | None:
    """Return the two pronunciations of a homograph: as a verb first, or in the usual sense."""
    word = context.word
    if word in BY_SENSE:
        return BY_SENSE[word]
    if forms := VERB_AND_NOUN.get(word):
        return (forms.other, forms.adjective) if word in _MINOR else (forms.verb, forms.other)
    return PLURALS.get(word)


def is_first(context: Context) -> bool:
    """Return whether a homograph has the first of its two pronunciations."""
    by_rule = decide_by_rule(context)
    word = context.word
    if word in _BY_RULE or (word == "polish" and context.written[0].islower()):
        return by_rule
    return homograph_model.is_first(context, find_kind(word), by_rule)


def find_kind(word: str) -> str:
    """Return what tells a homograph: being a verb, a verb in -s, or its sense."""
    if word in VERB_AND_NOUN:
        return "sense" if word in _MINOR or VERB_AND_NOUN[word].adjective else "verb"
    return "verb in -s" if word in PLURALS else "sense"


def decide_by_rule(context: Context) -> bool:
    """Return whether the rules give a homograph the first of its two pronunciations."""
    word = context.word
    if word in BY_SENSE:
        is_usual_only = word == "polish" and context.written[0].islower()
        return is_usual_only or not (word in _SENSES and _SENSES[word](context))
    if word in PLURALS:
        return grammar.is_verb_in_s(context)
    if word == "live":
        return grammar.lives(context)
    if word == "minute":
        return not senses.is_tiny(context)
    if word == "august":
        return context.written[0].isupper()
    if word == "close":
        return grammar.closes(context)
    forms = VERB_AND_NOUN[word]
    if word in ("affect", "confine"):
        return True
    if grammar.is_verb(context):
        return True
    return forms.adjective == forms.verb and grammar.is_adjective(context)
