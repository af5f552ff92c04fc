"""Rules that tell the parts of speech of homographs by the words around them.

A rule sees a `Context`: the words of a sentence in small letters ("," for a pause) and one place in
it. Words are judged by closed classes (determiners, pronouns, auxiliaries, prepositions), by
endings, and by lists of what goes with a sense.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PRONOUNS = frozenset("i you we they he she it who".split())
PLURAL_SUBJECTS = frozenset("i you we they people who".split())
DETERMINERS = frozenset(
    "a an the my your his her its our their this that these those every each some any no "
    "another what which whose much many few several all both either neither one's one two three "
    "four five six seven eight nine ten most more less enough such".split()
)
MODALS = frozenset(
    "to will would can could shall should may might must do does did don't doesn't didn't won't "
    "wouldn't can't cannot couldn't shouldn't let's let please never always often i'll you'll "
    "he'll she'll we'll they'll it'll i'd you'd we'd they'd he'd she'd not help usually rarely "
    "sometimes ought gonna wanna mustn't needn't mightn't".split()
)
BE = frozenset(
    "am is are was were be been being i'm you're we're they're he's she's it's that's isn't "
    "aren't wasn't weren't ain't feel feels felt seem seems seemed look looks looked remain "
    "remains remained become became stay sounds sounded".split()
)
HAVE = frozenset("have has had having haven't hasn't hadn't i've you've we've they've".split())
PREPOSITIONS = frozenset(
    "of in on at by for with from into about over under between through during without within "
    "against after before near behind beyond across along around onto upon toward towards per "
    "via despite as than like until since off".split()
)
CONJUNCTIONS = frozenset("and or but nor then so".split())
ADVERBS = frozenset(
    "just only also now then often always never usually really quickly slowly still soon again "
    "once twice already even ever sometimes first kindly simply merely seldom rarely carefully "
    "gently firmly further better".split()
)
OBJECTS = frozenset(
    "me him them us it you yourself himself herself themselves ourselves myself itself each".split()
)
DEGREE = frozenset(
    "very so too quite more most less rather fairly extremely really pretty highly increasingly "
    "as how perfectly".split()
)
_TO_NOUN = frozenset(
    "due thanks according in addition access entrance next close similar equal prior compared "
    "respect regard relation damage back up related subject response reply answer key approach "
    "return attention amounts leads led listen listened listens listening devoted contrary".split()
)
# Verbs that take a clause or an infinitive without "to".
_CAUSES = frozenset(
    "let lets make makes made help helps helped see saw watch watched hear heard have had".split()
)


@dataclass(frozen=True)
class Context:
    """A word of a sentence."""

    words: Sequence[str]
    at: int
    written: str
    """The word as it is written."""

    @property
    def word(self) -> str:
        """The word in small letters."""
        return self.words[self.at]

    def before(self, distance: int = 1) -> str:
        """Return a word before it; "" at the beginning of the sentence."""
        at = self.at - distance
        return self.words[at] if at >= 0 else ""

    def after(self, distance: int = 1) -> str:
        """Return a word after it; "" at the end of the sentence."""
        at = self.at + distance
        return self.words[at] if at < len(self.words) else ""

    def near(self, words: frozenset[str], reach: int = 6) -> bool:
        """Return whether one of `words` stands within `reach` words."""
        start = max(self.at - reach, 0)
        around = self.words[start : self.at + reach + 1]
        return any(word in words or word.removesuffix("s") in words for word in around)

    def skip_adverbs(self) -> tuple[str, int]:
        """Return the word before it and before adverbs, and its distance."""
        distance = 1
        while _is_adverb(self.before(distance)) and distance < 4:
            distance += 1
        return self.before(distance), distance


def _is_adverb(word: str) -> bool:
    return word in ADVERBS or (
        word.endswith("ly") and word not in ("family", "only", "reply", "july", "supply", "early")
    )


def is_start(word: str) -> bool:
    """Return whether a word before is none: the sentence or a clause begins."""
    return word in ("", ",")


def begins_object(word: str) -> bool:
    """Return whether a word begins the object of a verb: "the", "my", "it"."""
    return (
        word in DETERMINERS and word not in ("much", "more", "most", "less", "no", "one's")
    ) or word in OBJECTS


def is_verb(context: Context) -> bool:
    """Return whether a word that is also a noun or an adjective is a verb in its base form."""
    before, distance = context.skip_adverbs()
    second, after = context.before(distance + 1), context.after()
    if before == "to":
        return _is_infinitive(context, second, after)
    if before in MODALS:
        return not (
            before in ("do", "does", "did", "not") and second in BE and after not in DETERMINERS
        )
    if before in PRONOUNS and (before != "it" or second in _CAUSES):
        if before in ("he", "she", "it"):
            return second in _CAUSES or second in MODALS  # "will he record it?"
        return after not in BE or before in PLURAL_SUBJECTS
    if before in ("me", "him", "them", "us", "her", "you") and second in _CAUSES | {"to"}:
        return before != "her" or after in DETERMINERS
    if is_start(before):
        return _is_imperative(context, before, after)
    if before in CONJUNCTIONS:
        return _continues_verb(context, distance, after)
    if before in DETERMINERS or before in PREPOSITIONS or before in BE or before in HAVE:
        return False
    if before.endswith(("'s", "s'")):
        return False
    return _follows_plural(before, second, after)


def _is_infinitive(context: Context, second: str, after: str) -> bool:
    if second in _TO_NOUN and after not in DETERMINERS and after not in OBJECTS:
        return False
    if second in ("from", "was") and not begins_object(after):
        return second != "from"
    return not (after in BE and second not in BE and context.at > 2 and not begins_object(after))


def _is_imperative(context: Context, before: str, after: str) -> bool:
    if before == "," and context.at > 0 and context.before(2) in DETERMINERS:
        return False
    if begins_object(after) or _is_adverb(after):
        return True
    if after in ("and", "or"):
        return begins_object(context.after(2)) and context.after(3) != ""
    return (
        after in ("with", "against", "to", "up", "down", "back")
        and before == ""
        and (begins_object(context.after(2)) or after in ("up", "down", "back"))
    )


def _continues_verb(context: Context, distance: int, after: str) -> bool:
    """Return whether a word after "and" is another verb: "open and close the door"."""
    if begins_object(after):
        return (
            not any(
                context.before(index) in DETERMINERS and context.before(index - 1) not in PRONOUNS
                for index in (distance + 2,)
            )
            or after in OBJECTS
        )
    return context.before(distance + 2) in MODALS and context.before(distance + 2) != "not"


def _follows_plural(before: str, second: str, after: str) -> bool:
    """Return whether the word follows a subject in the plural: "the results conflict with it"."""
    is_plural = before in ("people", "men", "women", "children", "police", "everyone") or (
        before.endswith("s") and not before.endswith(("ss", "us", "is", "'s")) and len(before) > 3
    )
    if not is_plural or before in ("sales", "sports", "news"):
        return False
    ends = begins_object(after) or after in PREPOSITIONS or after == "to" or _is_adverb(after)
    is_alone = after == "" and (second in DETERMINERS or second == "")
    return ends or is_alone or after in ("up", "down", "out")


def is_verb_in_s(context: Context) -> bool:
    """Return whether a word in -s is a verb of the third person, and not a plural."""
    before, distance = context.skip_adverbs()
    after = context.after()
    if before in frozenset("he she it who that which this everyone nobody one someone".split()):
        return before not in ("this", "which", "one") or begins_object(after)
    if before in DETERMINERS or before in PREPOSITIONS or before in BE or before in HAVE:
        return False
    if before == "and" and context.before(distance + 1).endswith("s"):
        return begins_object(after)
    if is_start(before) or before in CONJUNCTIONS or before in MODALS:
        return False
    if before.endswith("s") and not before.endswith("ss"):
        return False
    if after in BE or after in MODALS - {"to", "not", "never", "always", "often", "please"}:
        return False
    return (
        begins_object(after)
        or after in PREPOSITIONS - {"of"}
        or (
            after in ("", "to", "up")
            and (
                context.before(distance + 1) in DETERMINERS
                and not before.endswith(("ing", "ed", "al", "ic"))
                and after != ""
            )
        )
    )


def is_adjective(context: Context) -> bool:
    """Return whether a word that is also a noun is an adjective."""
    before, _ = context.skip_adverbs()
    after = context.after()
    if context.before() in DEGREE or before in DEGREE:
        return True
    if before in BE:
        return True
    if context.word in ("perfect", "frequent", "absent", "alternate", "separate"):
        return True
    if context.word == "content":
        return (before in ("perfectly", "were", "not") and after != "is") or after == "with"
    return (
        before in DETERMINERS
        and after != ""
        and after
        not in (BE | PREPOSITIONS | CONJUNCTIONS | MODALS | HAVE | {",", "who", "that", "which"})
        and context.word in ("compact", "invalid", "upset")
        and not after.endswith("s'")
    )


def closes(context: Context) -> bool:
    """Return whether "close" is the verb, or the noun of the end: "at the close of day"."""
    before, distance = context.skip_adverbs()
    after = context.after()
    if before in DEGREE or before in BE or context.before() in DEGREE:
        return False
    if before in frozenset(
        "come came get got stand stood stay sit hold held keep live lived draw drew comes getting "
        "coming far".split()
    ):
        return before == "to"
    if before == "the" or before == "a":
        return after in ("of", "", ",") and before == "the"
    if before in ("to",) and after in ("to",):
        return False
    if before in ("in", "up", "from") or after in (
        "to",
        "by",
        "enough",
        "call",
        "friend",
        "friends",
    ):
        return False
    if is_start(before):
        return (
            begins_object(after)
            or after in ("up", "down", "your")
            or (after != "" and after not in PREPOSITIONS)
        )
    if before in DETERMINERS:
        return False
    if before in CONJUNCTIONS:
        return (
            begins_object(after)
            or context.before(distance + 1) in ("open", "opens")
            or (context.before(distance + 2) in MODALS)
        )
    if before in MODALS or before in PRONOUNS:
        return True
    return before.endswith("s") or before in ("people", "banks")


def lives(context: Context) -> bool:
    """Return whether "live" is the verb."""
    before, _ = context.skip_adverbs()
    after = context.after()
    if after in frozenset(
        "music show shows concert audience broadcast stream wire wires coverage album recording "
        "band performance performances event events animals bait ammunition television tv video "
        "chat feed".split()
    ):
        return False
    if before in DETERMINERS or before in BE or before in DEGREE:
        return False
    if before in frozenset(
        "go goes went gone going performed perform broadcast streamed recorded played sing sang "
        "watch watched airs aired shown it reporting stream play playing appear appeared "
        "happen".split()
    ):
        return False
    if before == "of":
        return False
    if is_start(before):
        return after in (
            "",
            "in",
            "with",
            "for",
            "by",
            "your",
            "and",
            "as",
            "a",
            "the",
            "like",
            "well",
            "long",
            "up",
        )
    return True
