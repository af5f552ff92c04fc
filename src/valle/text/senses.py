"""Rules that tell the senses of homographs by the words that go with them: a bow and arrow."""

from __future__ import annotations

from valle.text.grammar import (
    BE,
    DEGREE,
    DETERMINERS,
    HAVE,
    MODALS,
    OBJECTS,
    PREPOSITIONS,
    PRONOUNS,
    Context,
    begins_object,
    is_start,
)


def is_tiny(context: Context) -> bool:
    """Return whether "minute" is the adjective: "minute traces"."""
    before, after = context.before(), context.after()
    if before in DEGREE - {"more", "less"} or (before in BE and after in ("", ",", "and", "in")):
        return True
    return after in frozenset(
        "detail details particles amount amounts traces quantities fraction differences changes "
        "difference cracks print grains quantity creatures".split()
    )


_METAL = frozenset(
    "pipe paint poison poisoning metal toxic heavy lined bullet gold copper zinc tin iron "
    "mercury roof solder alloy pencil weight glass weights shielding contamination contaminated "
    "element molten melt melted battery batteries acid apron grey gray sinker exposure cadmium "
    "arsenic silver tetraethyl ore leaded content unleaded".split()
)


def is_metal(context: Context) -> bool:
    """Return whether "lead" is the metal."""
    before, after = context.before(), context.after()
    if (
        before in MODALS - {"not", "of"}
        or before in PRONOUNS
        or after in ("to", "us", "me", "them", "him", "you", "the")
    ):
        return False
    if after in frozenset(
        "singer role actor time guitar character author vocals by over story".split()
    ):
        return False
    if after in _METAL:
        return True
    if before in frozenset("the a his her their its in early big".split()) and not context.near(
        _METAL, 5
    ):
        return before == "in" and False
    if before in frozenset("of with like from contains containing is was as molten heavy".split()):
        return before not in ("is", "was") or context.near(_METAL, 5)
    return context.near(_METAL, 5) and not begins_object(after)


def is_past_of_dive(context: Context) -> bool:
    """Return whether "dove" is the past tense of "dive"."""
    before, _ = context.skip_adverbs()
    after = context.after()
    if before in DETERMINERS or before in ("white", "turtle", "gray", "mourning", "of"):
        return False
    return before in PRONOUNS or after in frozenset(
        "in into under down off for deep headfirst at from right straight".split()
    )


def is_past_of_wind(context: Context) -> bool:
    """Return whether "wound" is the past tense of "wind"."""
    before, _ = context.skip_adverbs()
    after = context.after()
    if after in frozenset(
        "up around round through down its along tightly back his their tight".split()
    ):
        return True
    if (
        before in DETERMINERS
        or before in MODALS
        or before in ("gunshot", "head", "stab", "flesh", "of", "knife")
    ):
        return False
    if before in BE or before in HAVE:
        return True
    if before in PRONOUNS or before in frozenset(
        "river road path who and trail procession stream".split()
    ):
        return True
    return begins_object(after) and not is_start(before)


def bends(context: Context) -> bool:
    """Return whether "bow" is the bend of the body, or the front of a ship."""
    before, _ = context.skip_adverbs()
    after = context.after()
    if after in ("tie", "ties", "string", "hunting", "legged", "window", "hunter"):
        return False
    if context.near(
        frozenset(
            "arrow violin cello hair ribbon ribbons gift fiddle archer strings string tied "
            "quiver cross".split()
        )
    ):
        return False
    if context.near(
        frozenset("ship boat vessel stern deck stage audience curtain applause prow".split())
    ):
        return True
    if (
        before in MODALS
        or before in PRONOUNS
        or after in ("down", "to", "before", "out", "your", "his", "her", "their")
    ):
        return True
    return before in ("a", "deep", "low", "final") and context.near(
        frozenset("took take gave made take deep low final".split()), 3
    )


def quarrels(context: Context) -> bool:
    """Return whether "row" is a quarrel."""
    return context.near(
        frozenset("angry blazing quarrel argument shouting furious terrible heated".split()), 3
    ) and (context.after() not in ("of", "the", "a"))


def is_fish(context: Context) -> bool:
    """Return whether "bass" is the fish."""
    if context.near(
        frozenset(
            "guitar drum drums player line clef sound voice music singer double amp treble song "
            "band played plays".split()
        )
    ):
        return False
    return context.near(
        frozenset(
            "fish fishing caught catch lake river striped sea largemouth smallmouth water "
            "grilled ate hook angler trout pond".split()
        )
    )


def sews(context: Context) -> bool:
    """Return whether "sewer" is one who sews."""
    return context.near(
        frozenset(
            "fabric quilt quilts needle thread dress dresses skilled seamstress tailor sewing "
            "cloth".split()
        )
    )


def is_nationality(context: Context) -> bool:
    """Return whether "Polish" with a capital is of Poland."""
    if context.before() == "" or context.before() == ",":
        return context.after() not in DETERMINERS and context.after() not in OBJECTS
    return True


def is_deer(context: Context) -> bool:
    """Return whether "does" is the plural of "doe"."""
    before, after = context.before(), context.after()
    if after in PRONOUNS or after in DETERMINERS or after == "not":
        return False
    if before in frozenset("two three four five six several many the bucks some and".split()):
        return context.near(
            frozenset(
                "buck bucks deer fawn fawns stag stags forest meadow field two three four five "
                "six several".split()
            ),
            5,
        )
    return False


def is_more_numb(context: Context) -> bool:
    """Return whether "number" is the comparative of "numb"."""
    return context.near(
        frozenset("fingers toes lips feet legs hands numb".split()), 5
    ) and context.before() in frozenset(
        "grew felt got even and were was became becoming is are".split()
    )


def is_name_of_job(context: Context) -> bool:
    """Return whether "Job" is the name in the Bible."""
    if not context.written[0].isupper() or context.at == 0:
        return False
    return context.before() in (
        "of",
        "to",
        "patient",
        "and",
        "like",
        "when",
    ) or context.after() in ("was", "said", "had", "chapter")


def is_verb_form(context: Context) -> bool:
    """Return whether a word in -ed is the past tense of a verb: "he moped"."""
    before, _ = context.skip_adverbs()
    return before in PRONOUNS or context.after() in ("around", "about", "him", "her", "them", "by")


def describes_person(context: Context) -> bool:
    """Return whether "learned" is the adjective: "a learned man"."""
    before, after = context.before(), context.after()
    return before in DETERMINERS | DEGREE and after in frozenset(
        "man men woman scholar scholars professor judge society friend journal doctor book paper "
        "profession colleague debate people".split()
    )


def describes_thing(context: Context) -> bool:
    """Return whether "blessed" is the adjective: "the blessed day"."""
    before, after = context.before(), context.after()
    is_noun = after not in BE | PREPOSITIONS | PRONOUNS | OBJECTS | {"", ",", "the", "a", "with"}
    return before in ("the", "a", "every", "this", "that", "most") and is_noun


def describes_group(context: Context) -> bool:
    """Return whether "aged" is the adjective: "an aged man", "the aged"."""
    before, after = context.before(), context.after()
    if after[:1].isdigit() or after in NUMBER_WORDS:
        return False
    return before in ("an", "the", "his", "her", "my") and after not in frozenset(
        "cheese wine beef whiskey in well rum steak cheddar like".split()
    )


NUMBER_WORDS = frozenset(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "between".split()
)


def is_golf(context: Context) -> bool:
    """Return whether "putting" is the stroke of golf."""
    return context.after() in ("green", "greens") or context.near(
        frozenset("golf golfer putter".split())
    )


def is_city(context: Context) -> bool:
    """Return whether "Nice" is the city."""
    return context.written[0].isupper() and context.before() in (
        "in",
        "to",
        "from",
        "near",
        "of",
        "visited",
    )


def is_geometry(context: Context) -> bool:
    """Return whether "axes" is the plural of "axis"."""
    return context.near(
        frozenset(
            "x y z graph plot coordinate vertical horizontal chart label labels rotation parallel "
            "perpendicular two three".split()
        ),
        5,
    )


def is_plural_of_basis(context: Context) -> bool:
    """Return whether "bases" is the plural of "basis"."""
    return context.near(
        frozenset(
            "vector theory legal theoretical scientific argument decision theories moral".split()
        ),
        4,
    )


def is_tow(context: Context) -> bool:
    """Return whether "tower" is one who tows; never without more context than a sentence has."""
    return context.before() == "glider"
