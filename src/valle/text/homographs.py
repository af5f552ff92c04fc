"""Words with two pronunciations, told apart by their grammar: "to record", "a record".

A small tagger: each occurrence is judged by the words around it, within its sentence. The sources
of the pronunciations are espeak-ng's own, in the contexts where it tells the words apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from valle.text import grammar, senses, tense
from valle.text.grammar import Context
from valle.text.tokens import Token


@dataclass(frozen=True)
class _Forms:
    """The pronunciations of a word; "" keeps espeak's."""

    verb: str
    other: str
    """As a noun or an adjective."""
    adjective: str = ""
    """Only where it differs from the noun."""


# fmt: off
# verb, noun, adjective if it is another; stress moves in most of them
_VERB_AND_NOUN: dict[str, _Forms] = {word: _Forms(*forms.split()) for word, forms in {
    "close": "klˈoʊz klˈoʊs", "excuse": "ɛkskjˈuːz ɛkskjˈuːs", "use": "jˈuːz jˈuːs",
    "misuse": "mɪsjˈuːz mɪsjˈuːs", "abuse": "ɐbjˈuːz ɐbjˈuːs", "house": "hˈaʊz hˈaʊs",
    "refuse": "ɹᵻfjˈuːz ɹˈɛfjuːs", "diffuse": "dᵻfjˈuːz dᵻfjˈuːs", "advise": "ɐdvˈaɪz ɐdvˈaɪz",
    "record": "ɹᵻkˈɔːɹd ɹˈɛkɚd", "conduct": "kəndˈʌkt kˈɑːndʌkt", "mouth": "mˈaʊð mˈaʊθ",
    "subject": "səbdʒˈɛkt sˈʌbdʒɛkt", "object": "əbdʒˈɛkt ˈɑːbdʒɛkt",
    "present": "pɹɪzˈɛnt pɹˈɛzənt", "project": "pɹədʒˈɛkt pɹˈɑːdʒɛkt",
    "produce": "pɹədˈuːs pɹˈoʊduːs", "permit": "pɚmˈɪt pˈɜːmɪt",
    "contract": "kəntɹˈækt kˈɑːntɹækt", "conflict": "kənflˈɪkt kˈɑːnflɪkt",
    "contrast": "kəntɹˈæst kˈɑːntɹæst", "contest": "kəntˈɛst kˈɑːntɛst",
    "desert": "dᵻzˈɜːt dˈɛzɚt", "rebel": "ɹᵻbˈɛl ɹˈɛbəl", "reject": "ɹᵻdʒˈɛkt ɹˈiːdʒɛkt",
    "insult": "ɪnsˈʌlt ˈɪnsʌlt", "increase": "ɪŋkɹˈiːs ˈɪŋkɹiːs", "decrease": "dᵻkɹˈiːs dˈiːkɹiːs",
    "import": "ɪmpˈɔːɹt ˈɪmpɔːɹt", "export": "ɛkspˈɔːɹt ˈɛkspɔːɹt",
    "suspect": "səspˈɛkt sˈʌspɛkt", "survey": "sɚvˈeɪ sˈɜːveɪ",
    "transport": "tɹænspˈɔːɹt tɹˈænspɔːɹt", "transfer": "tɹænsfˈɜː tɹˈænsfɜː",
    "torment": "tɔːɹmˈɛnt tˈɔːɹmɛnt", "progress": "pɹəɡɹˈɛs pɹˈɑːɡɹɛs",
    "protest": "pɹətˈɛst pɹˈoʊtɛst", "convert": "kənvˈɜːt kˈɑːnvɜːt",
    "convict": "kənvˈɪkt kˈɑːnvɪkt", "defect": "dᵻfˈɛkt dˈiːfɛkt", "digest": "daɪdʒˈɛst dˈaɪdʒɛst",
    "discharge": "dɪstʃˈɑːɹdʒ dˈɪstʃɑːɹdʒ", "extract": "ɛkstɹˈækt ˈɛkstɹækt",
    "ferment": "fɚmˈɛnt fˈɜːmɛnt", "implant": "ɪmplˈænt ˈɪmplænt", "incline": "ɪŋklˈaɪn ˈɪnklaɪn",
    "recall": "ɹᵻkˈɔːl ɹˈiːkɔːl", "refund": "ɹᵻfˈʌnd ɹˈiːfʌnd", "refill": "ɹᵻfˈɪl ɹˈiːfɪl",
    "remake": "ɹᵻmˈeɪk ɹˈiːmeɪk", "rewrite": "ɹᵻɹˈaɪt ɹˈiːɹaɪt", "replay": "ɹᵻplˈeɪ ɹˈiːpleɪ",
    "resume": "ɹᵻzˈuːm ɹˈɛzʊmˌeɪ", "escort": "ɛskˈɔːɹt ˈɛskɔːɹt", "exploit": "ɛksplˈɔɪt ˈɛksplɔɪt",
    "construct": "kənstɹˈʌkt kˈɑːnstɹʌkt", "console": "kənsˈoʊl kˈɑːnsoʊl",
    "converse": "kənvˈɜːs kˈɑːnvɜːs", "combine": "kəmbˈaɪn kˈɑːmbaɪn",
    "compound": "kəmpˈaʊnd kˈɑːmpaʊnd", "compress": "kəmpɹˈɛs kˈɑːmpɹɛs",
    "entrance": "ɛntɹˈæns ˈɛntɹəns", "invalid": "ɪnvˈælɪd ˈɪnvəlɪd ɪnvˈælɪd",
    "invite": "ɪnvˈaɪt ˈɪnvaɪt", "intern": "ɪntˈɜːn ˈɪntɜːn", "relapse": "ɹᵻlˈæps ɹˈiːlæps",
    "attribute": "ɐtɹˈɪbjuːt ˈætɹɪbjˌuːt", "addict": "ɐdˈɪkt ˈædɪkt", "ally": "ɐlˈaɪ ˈælaɪ",
    "affect": "ɐfˈɛkt ˈæfɛkt", "confine": "kənfˈaɪn kˈɑːnfaɪn", "upset": "ʌpsˈɛt ˈʌpsɛt ʌpsˈɛt",
    "overlap": "ˌoʊvɚlˈæp ˈoʊvɚlˌæp", "upgrade": "ʌpɡɹˈeɪd ˈʌpɡɹeɪd", "tear": "tˈɛɹ tˈɪɹ",
    "wind": "wˈaɪnd wˈɪnd", "perfect": "pɚfˈɛkt pˈɜːfɛkt pˈɜːfɛkt",
    "frequent": "fɹiːkwˈɛnt fɹˈiːkwənt fɹˈiːkwənt", "compact": "kəmpˈækt kˈɑːmpækt kəmpˈækt",
    "content": "kəntˈɛnt kˈɑːntɛnt kəntˈɛnt", "live": "lˈɪv lˈaɪv lˈaɪv",
    "absent": "ɐbsˈɛnt ˈæbsənt ˈæbsənt", "minute": "mˈɪnɪt mˈɪnɪt maɪnˈuːt",
    "alternate": "ˈɔltɚnˌeɪt ˈɔltɚnət ˈɔltɚnət", "separate": "sˈɛpɚɹˌeɪt sˈɛpɹət sˈɛpɹət",
    "estimate": "ˈɛstᵻmˌeɪt ˈɛstᵻmət", "graduate": "ɡɹˈædʒuːˌeɪt ɡɹˈædʒuːət",
    "moderate": "mˈɑːdɚɹˌeɪt mˈɑːdɚɹət", "deliberate": "dᵻlˈɪbɚɹˌeɪt dᵻlˈɪbɚɹət",
    "duplicate": "dˈuːplᵻkˌeɪt dˈuːplᵻkət", "delegate": "dˈɛlɪɡˌeɪt dˈɛlɪɡət",
    "appropriate": "ɐpɹˈoʊpɹɪˌeɪt ɐpɹˈoʊpɹɪət", "approximate": "ɐpɹˈɑːksɪmˌeɪt ɐpɹˈɑːksɪmət",
    "articulate": "ɑːɹtˈɪkjʊlˌeɪt ɑːɹtˈɪkjʊlət", "associate": "ɐsˈoʊsɪˌeɪt ɐsˈoʊsɪət",
    "advocate": "ˈædvəkˌeɪt ˈædvəkət", "aggregate": "ˈæɡɹɪɡˌeɪt ˈæɡɹɪɡət",
    "animate": "ˈænɪmˌeɪt ˈænɪmət", "coordinate": "koʊˈɔːɹdɪnˌeɪt koʊˈɔːɹdᵻnət",
    "elaborate": "ᵻlˈæbɚɹˌeɪt ᵻlˈæbɚɹət", "intimate": "ˈɪntᵻmˌeɪt ˈɪntᵻmət",
    "predicate": "pɹˈɛdᵻkˌeɪt pɹˈɛdᵻkət", "syndicate": "sˈɪndᵻkˌeɪt sˈɪndᵻkət",
    "initiate": "ᵻnˈɪʃɪˌeɪt ᵻnˈɪʃɪət", "subordinate": "səbˈɔːɹdᵻnˌeɪt səbˈɔːɹdᵻnət",
    "degenerate": "dᵻdʒˈɛnɚɹˌeɪt dᵻdʒˈɛnɚɹət", "desolate": "dˈɛsəlˌeɪt dˈɛsələt",
    "supplement": "sˈʌplɪmˌɛnt sˈʌplɪmənt", "document": "dˈɑːkjuːmˌɛnt dˈɑːkjuːmənt",
    "consort": "kənsˈɔːɹt kˈɑːnsɔːɹt", "incense": "ɪnsˈɛns ˈɪnsɛns", "impact": "ɪmpˈækt ˈɪmpækt",
    "finance": "faɪnˈæns fˈaɪnæns", "recap": "ɹᵻkˈæp ɹˈiːkæp",
    "conscript": "kənskɹˈɪpt kˈɑːnskɹɪpt",
    "commune": "kəmjˈuːn kˈɑːmjuːn", "multiply": "mˈʌltᵻplˌaɪ mˈʌltᵻplˌaɪ",
    "sow": "sˈoʊ sˈaʊ", "discount": "dɪskˈaʊnt dˈɪskaʊnt", "buffet": "bˈʌfɪt bəfˈeɪ",
    "august": "ˈɔːɡəst ˈɔːɡəst ɔːɡˈʌst", "research": "ɹᵻsˈɜːtʃ ɹˈiːsɜːtʃ",
    "address": "ɐdɹˈɛs ˈædɹɛs", "detail": "dᵻtˈeɪl dˈiːteɪl", "segment": "sɛɡmˈɛnt sˈɛɡmənt",
    "augment": "ɔːɡmˈɛnt ɔːɡmˈɛnt", "fragment": "fɹæɡmˈɛnt fɹˈæɡmənt",
    "retake": "ɹiːtˈeɪk ɹˈiːteɪk",
    "retard": "ɹᵻtˈɑːɹd ɹˈiːtɑːɹd", "redress": "ɹᵻdɹˈɛs ɹˈiːdɹɛs", "mandate": "mˈændeɪt mˈændeɪt",
    "certificate": "sɚtˈɪfᵻkˌeɪt sɚtˈɪfᵻkət", "laminate": "lˈæmᵻnˌeɪt lˈæmᵻnət",
    "legitimate": "lᵻdʒˈɪtᵻmˌeɪt lᵻdʒˈɪtᵻmət", "consummate": "kˈɑːnsəmˌeɪt kənsˈʌmət",
    "precipitate": "pɹᵻsˈɪpᵻtˌeɪt pɹᵻsˈɪpᵻtət", "postulate": "pˈɑːstʃəlˌeɪt pˈɑːstʃələt",
    "designate": "dˈɛzɪɡnˌeɪt dˈɛzɪɡnət", "incorporate": "ɪnkˈɔːɹpɚɹˌeɪt ɪnkˈɔːɹpɚɹət",
}.items()}
_NO_NOUN_AFFECT = frozenset(("affect", "confine", "absent"))
_BY_SENSE: dict[str, tuple[str, str]] = {
    # the first is the more usual
    "bow": ("bˈoʊ", "bˈaʊ"), "row": ("ɹˈoʊ", "ɹˈaʊ"), "bass": ("bˈeɪs", "bˈæs"),
    "sewer": ("sˈuːɚ", "sˈoʊɚ"), "polish": ("pˈɑːlɪʃ", "pˈoʊlɪʃ"), "does": ("dˈʌz", "dˈoʊz"),
    "lead": ("lˈiːd", "lˈɛd"), "read": ("ɹˈiːd", "ɹˈɛd"), "dove": ("dˈʌv", "dˈoʊv"),
    "wound": ("wˈuːnd", "wˈaʊnd"), "number": ("nˈʌmbɚ", "nˈʌmɚ"), "job": ("dʒˈɑːb", "dʒˈoʊb"),
    "moped": ("mˈoʊpɛd", "mˈoʊpt"), "axes": ("ˈæksᵻz", "ˈæksiːz"), "bases": ("bˈeɪsᵻz", "bˈeɪsiːz"),
    "tower": ("tˈaʊɚ", "tˈoʊɚ"), "learned": ("lˈɜːnd", "lˈɜːnᵻd"), "blessed": ("blˈɛst", "blˈɛsᵻd"),
    "aged": ("ˈeɪdʒd", "ˈeɪdʒᵻd"), "dogged": ("dˈɑːɡᵻd", "dˈɔɡd"), "wicked": ("wˈɪkᵻd", "wˈɪkt"),
    "putting": ("pˈʊɾɪŋ", "pˈʌɾɪŋ"), "slough": ("slˈʌf", "slˈuː"), "lather": ("lˈæðɚ", "lˈæðɚ"),
    "agape": ("ɐɡˈeɪp", "ɐɡˈɑːpeɪ"), "nice": ("nˈaɪs", "nˈiːs"), "tarry": ("tˈæɹi", "tˈɑːɹi"),
    "pate": ("pˈeɪt", "pɑːtˈeɪ"), "rose": ("ɹˈoʊz", "ɹˈoʊz"), "denier": ("dᵻnˈaɪɚ", "dˈɛnjɚ"),
    "shower": ("ʃˈaʊɚ", "ʃˈoʊɚ"), "evening": ("ˈiːvnɪŋ", "ˈiːvnɪŋ"),
    "unionized": ("jˈuːniənˌaɪzd", "ʌnˈaɪənˌaɪzd"),
}
# fmt: on
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
    chosen: dict[int, str] = {}
    for start, end in _find_sentences(tokens):
        words = [
            token.spoken[0].lower() if not token.is_border else "," for token in tokens[start:end]
        ]
        for offset in range(end - start):
            token = tokens[start + offset]
            if token.kind != "word" or len(token.spoken) != 1:
                continue
            ipa = _choose(Context(words, offset, token.spoken[0]))
            if ipa:
                chosen[start + offset] = ipa
    return chosen


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
    word = context.word
    if word in _SENSES:
        usual, other = _BY_SENSE[word]
        if word == "polish" and context.written[0].islower():
            return usual
        return other if _SENSES[word](context) else usual
    if forms := _VERB_AND_NOUN.get(word):
        return _choose_form(context, forms)
    stem = word.removesuffix("s")
    if stem != word and (plural := _PLURALS.get(word)):
        return plural[0] if grammar.is_verb_in_s(context) else plural[1]
    if word in _PARTICIPLES:
        return _PARTICIPLES[word]
    return ""


def _choose_form(context: Context, forms: _Forms) -> str:
    word = context.word
    if word == "live":
        return forms.verb if grammar.lives(context) else forms.other
    if word == "minute":
        return forms.adjective if senses.is_tiny(context) else forms.other
    if word == "august":
        return forms.other if context.written[0].isupper() else forms.adjective
    if word == "close":
        return forms.verb if grammar.closes(context) else forms.other
    if word in _NO_NOUN_AFFECT and word != "absent":
        return forms.verb
    if grammar.is_verb(context):
        return forms.verb
    if forms.adjective and grammar.is_adjective(context):
        return forms.adjective
    return forms.other


def _add_s(ipa: str) -> str:
    if ipa.endswith(("s", "z", "ʃ", "ʒ", "dʒ", "tʃ")):
        return ipa + "ᵻz"
    return ipa + ("s" if ipa.endswith(("p", "t", "k", "f", "θ")) else "z")


def _pluralize(word: str) -> str:
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")


_PLURALS = {
    _pluralize(word): (_add_s(forms.verb), _add_s(forms.other))
    for word, forms in _VERB_AND_NOUN.items()
    if word not in ("live", "perfect", "august", "absent", "minute", "frequent", "ally", "multiply")
} | {
    "houses": ("hˈaʊzᵻz", "hˈaʊzᵻz"),
    "lives": ("lˈɪvz", "lˈaɪvz"),
    "mouths": ("mˈaʊðz", "mˈaʊðz"),
    "contents": ("kəntˈɛnts", "kˈɑːntɛnts"),
    "allies": ("ɐlˈaɪz", "ˈælaɪz"),
    "leads": ("lˈiːdz", "lˈiːdz"),
    "winds": ("wˈaɪndz", "wˈɪndz"),
    "tears": ("tˈɛɹz", "tˈɪɹz"),
}
_PARTICIPLES = {
    "closed": "klˈoʊzd",
    "used": "",
    "housed": "hˈaʊzd",
    "excused": "ɛkskjˈuːzd",
    "lived": "lˈɪvd",
    "winding": "wˈaɪndɪŋ",
    "living": "lˈɪvɪŋ",
    "housing": "hˈaʊzɪŋ",
    "misread": "mɪsɹˈɛd",
    "closely": "klˈoʊsli",
    "closer": "klˈoʊsɚ",
    "closest": "klˈoʊsᵻst",
    "unwind": "ʌnwˈaɪnd",
    "rewind": "ɹiːwˈaɪnd",
    "reread": "ɹiːɹˈiːd",
    "mislead": "mɪslˈiːd",
}
