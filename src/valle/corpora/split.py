"""The split of sentences and speakers: which are trained on, and which are held out.

Synthetic training speech never uses evaluation sentences, and evaluation uses no others.

Both splits are a hash of the words or of the speaker's name, so training and evaluation agree on
them without a shared list, and sentences that are added later do not move the others.
"""

import hashlib
import re
import unicodedata

# One sentence in 32: about 1,440 of 46 thousand, of which evaluation samples its 40.
_ONE_IN = 32

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_APOSTROPHES = str.maketrans("\u2019\u2018\u02bc`", "''''")


def plain_words(text: str) -> list[str]:
    """Split a text into lower-case words without punctuation: "It's  Late!" -> ["it's", "late"]."""
    folded = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    return _WORD.findall(folded)


def is_evaluation_sentence(text: str) -> bool:
    """Whether a sentence is reserved for evaluation and must not be in any training text.

    Case, punctuation and spacing do not matter, so that two prints of a sentence are on the same
    side. A text without words is not an evaluation sentence.
    """
    words = plain_words(text)
    if not words:
        return False
    digest = hashlib.sha256(" ".join(words).encode("utf-8")).digest()
    return int.from_bytes(digest[:4], "big") % _ONE_IN == 0


def is_calibration_speaker(model: str, speaker: str, one_in: int) -> bool:
    """Whether a speaker is held out of a model's training to calibrate it, decided by name.

    Args:
        model: the stage's name; each stage holds out different speakers.
        speaker: the speaker's name in a store.
        one_in: one speaker in this many is held out.
    """
    digest = hashlib.sha256(f"{model} {speaker}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % one_in == 0
