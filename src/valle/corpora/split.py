"""Which sentences are kept for evaluation, and which speakers for calibration.

Made speech must not say the former, and evaluation says no others.

The split is a property of the words alone, so training and evaluation agree on it without a
shared list, and a sentence added later falls on one side for good.
"""

import hashlib
import re
import unicodedata

# One sentence in 32: of 46 thousand about 1,440, of which evaluation draws its 40.
_ONE_IN = 32

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_APOSTROPHES = str.maketrans("\u2019\u2018\u02bc`", "''''")


def plain_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation: "It's  Late!" -> ["it's", "late"]."""
    folded = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    return _WORD.findall(folded)


def is_evaluation_sentence(text: str) -> bool:
    """Whether this sentence is kept for evaluation, and must be in no training text.

    Case, punctuation and spacing do not matter, so a sentence printed two ways is on one side.
    Text without words is on neither side: it is no evaluation sentence.
    """
    words = plain_words(text)
    if not words:
        return False
    digest = hashlib.sha256(" ".join(words).encode("utf-8")).digest()
    return int.from_bytes(digest[:4], "big") % _ONE_IN == 0


def is_held(model: str, speaker: str, one_in: int) -> bool:
    """Whether a speaker calibrates a model, and is not learnt from: by name, for good.

    Args:
        model: the stage's name; each keeps other speakers.
        speaker: the speaker's name in a store.
        one_in: a share of one speaker in so many is kept.
    """
    digest = hashlib.sha256(f"{model} {speaker}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % one_in == 0
