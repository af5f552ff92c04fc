"""Words with two pronunciations, in espeak-ng's IPA: as verbs and as nouns, and by their sense."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Forms:
    """The pronunciations of a word; "" keeps espeak's."""

    verb: str
    other: str
    """As a noun or an adjective."""
    adjective: str = ""
    """Only where it differs from the noun."""


# fmt: off
# verb, noun, adjective if it is another; stress moves in most of them
VERB_AND_NOUN: dict[str, Forms] = {word: Forms(*forms.split()) for word, forms in {
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
    "affect": "ɐfˈɛkt ˈæfɛkt", "confine": "kənfˈaɪn kˈɑːnfaɪn",
    "upset": "ʌpsˈɛt ˈʌpsɛt ʌpsˈɛt",
    "overlap": "ˌoʊvɚlˈæp ˈoʊvɚlˌæp", "upgrade": "ʌpɡɹˈeɪd ˈʌpɡɹeɪd", "tear": "tˈɛɹ tˈɪɹ",
    "wind": "wˈaɪnd wˈɪnd", "perfect": "pɚfˈɛkt pˈɜːfɛkt pˈɜːfɛkt",
    "frequent": "fɹiːkwˈɛnt fɹˈiːkwənt fɹˈiːkwənt", "compact": "kəmpˈækt kˈɑːmpækt kˈɑːmpækt",
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
    "abstract": "æbstɹˈækt ˈæbstɹækt", "affiliate": "ɐfˈɪlɪˌeɪt ɐfˈɪlɪət",
    "conglomerate": "kəŋɡlˈɑːmɚɹˌeɪt kəŋɡlˈɑːmɚɹət", "conjugate": "kˈɑːndʒuːɡˌeɪt kˈɑːndʒuːɡət",
    "correlate": "kˈɔɹɪlˌeɪt kˈɔɹɪlət", "deviate": "dˈiːvɪˌeɪt dˈiːvɪət",
    "discard": "dɪskˈɑːɹd dˈɪskɑːɹd", "expatriate": "ɛkspˈeɪtɹɪˌeɪt ɛkspˈeɪtɹɪət",
    "implement": "ˈɪmplɪmˌɛnt ˈɪmplɪmənt", "increment": "ˈɪŋkɹɪmˌɛnt ˈɪŋkɹɪmənt",
    "insert": "ɪnsˈɜːt ˈɪnsɜːt", "instrument": "ˈɪnstɹəmˌɛnt ˈɪnstɹəmənt",
    "interchange": "ˌɪntɚtʃˈeɪndʒ ˈɪntɚtʃˌeɪndʒ", "isolate": "ˈaɪsəlˌeɪt ˈaɪsələt",
    "ornament": "ˈɔːɹnəmˌɛnt ˈɔːɹnəmənt", "overthrow": "ˌoʊvɚθɹˈoʊ ˈoʊvɚθɹˌoʊ",
    "perfume": "pɚfjˈuːm pˈɜːfjuːm", "pervert": "pɚvˈɜːt pˈɜːvɚt",
    "recount": "ɹᵻkˈaʊnt ɹˈiːkaʊnt", "rerelease": "ɹˌiːɹᵻlˈiːs ɹˈiːɹᵻlˌiːs",
    "transform": "tɹænsfˈɔːɹm tɹˈænsfɔːɹm", "transplant": "tɹænsplˈænt tɹˈænsplænt",
    "analyses": "ˈænəlˌaɪzᵻz ɐnˈæləsˌiːz", "diagnoses": "dˌaɪəɡnˈoʊsᵻz dˌaɪəɡnˈoʊsiːz",
    "designate": "dˈɛzɪɡnˌeɪt dˈɛzɪɡnət", "incorporate": "ɪnkˈɔːɹpɚɹˌeɪt ɪnkˈɔːɹpɚɹət",
}.items()}
BY_SENSE: dict[str, tuple[str, str]] = {
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
    "celtic": ("kˈɛltɪk", "sˈɛltɪk"), "mobile": ("mˈoʊbəl", "moʊbˈiːl"),
    "reading": ("ɹˈiːdɪŋ", "ɹˈɛdɪŋ"), "sake": ("sˈeɪk", "sˈɑːkeɪ"),
    "unionized": ("jˈuːniənˌaɪzd", "ʌnˈaɪənˌaɪzd"),
}
# fmt: on


def _add_s(ipa: str) -> str:
    if ipa.endswith(("s", "z", "ʃ", "ʒ", "dʒ", "tʃ")):
        return ipa + "ᵻz"
    return ipa + ("s" if ipa.endswith(("p", "t", "k", "f", "θ")) else "z")


def _pluralize(word: str) -> str:
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")


PLURALS = {
    _pluralize(word): (_add_s(forms.verb), _add_s(forms.other))
    for word, forms in VERB_AND_NOUN.items()
    if word
    not in (
        "live",
        "perfect",
        "august",
        "absent",
        "minute",
        "frequent",
        "ally",
        "multiply",
        "analyses",
        "diagnoses",
    )
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
PARTICIPLES = {
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
