"""A linear model that tells homographs apart, over what the rules say and the words around.

Its weights were trained by `tools/train_homographs.py` on sentences of Wikipedia with labelled
homographs (Gorman, Mazovetskiy and Nikolaev 2018, "Improving homograph disambiguation with machine
learning", LREC). The rules count as much as `by_rule` says; the model has learned where they err.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

import numpy as np

from valle.text.grammar import (
    ADVERBS,
    BE,
    CONJUNCTIONS,
    DEGREE,
    DETERMINERS,
    HAVE,
    MODALS,
    OBJECTS,
    PREPOSITIONS,
    PRONOUNS,
    Context,
)

BUCKETS = 1 << 22  # values of the hash of a feature
WEIGHTS = "homograph_weights.npz"
_NEAR = 8  # words around a homograph that tell its sense
# In this order: a word of several classes is of the first.
_CLASSES = (
    ("be", BE),
    ("have", HAVE),
    ("pronoun", PRONOUNS),
    ("determiner", DETERMINERS),
    ("modal", MODALS),
    ("preposition", PREPOSITIONS),
    ("conjunction", CONJUNCTIONS),
    ("object", OBJECTS),
    ("degree", DEGREE),
    ("adverb", ADVERBS),
)
_CLASS_OF = {word: name for name, words in reversed(_CLASSES) for word in words}
_ENDING = re.compile(r"(?:'s|s'|ly|ing|ed|tion|ment|ness|ity|ous|ive|ful|al|ic|er|or|ss|us|is|s)$")


def classify_word(word: str) -> str:
    """Return the closed class of a word, or else its ending."""
    if word in ("", ",", "to"):
        return word or "none"
    if known := _CLASS_OF.get(word):
        return known
    if not word[0].isalpha():
        return "number"
    ending = _ENDING.search(word)
    return "-" + ending[0] if ending and len(word) > len(ending[0]) + 1 else "other"


def list_features(context: Context, kind: str, by_rule: bool) -> Iterator[str]:
    """Yield the features of a homograph in its sentence.

    Args:
        context: The homograph.
        kind: "verb" or "verb in -s" if the question is whether it is one, else "sense".
        by_rule: What the rules say.
    """
    at, words, word = context.at, context.words, context.word
    around = {offset: context.before(-offset) for offset in (-3, -2, -1)}
    around |= {offset: context.after(offset) for offset in (1, 2, 3)}
    kinds = {offset: classify_word(near) for offset, near in around.items()}
    case = "A" if context.written[:1].isupper() else "a"
    local = [
        f"rule {by_rule}",
        f"rule {by_rule} {kinds[-1]} {kinds[1]}",
        *(f"{offset} {around[offset]}" for offset in (-2, -1, 1, 2)),
        *(f"{offset} {kinds[offset]}" for offset in (-3, -2, -1, 1, 2, 3)),
        f"-2-1 {around[-2]} {around[-1]}",
        f"-1+1 {around[-1]} {around[1]}",
        f"+1+2 {around[1]} {around[2]}",
        f"-2-1 {kinds[-2]} {kinds[-1]}",
        f"-1+1 {kinds[-1]} {kinds[1]}",
        f"+1+2 {kinds[1]} {kinds[2]}",
        f"-2-1+1 {kinds[-2]} {kinds[-1]} {kinds[1]}",
        f"-1+1+2 {kinds[-1]} {kinds[1]} {kinds[2]}",
        f"-3-2-1 {kinds[-3]} {kinds[-2]} {kinds[-1]}",
        f"case {case} {kinds[-1]}",
    ]
    if kind != "sense":
        form = "ate" if word.rstrip("s").endswith("ate") else "form"
        for feature in local:
            yield f"{kind}|{feature}"
            yield f"{kind}|{form}|{feature}"
    yield f"{word}|"
    for feature in local:
        yield f"{word}|{feature}"
    near = set(words[max(at - _NEAR, 0) : at]) | set(words[at + 1 : at + 1 + _NEAR])
    for neighbor in sorted(near):
        if neighbor not in _CLASS_OF:
            yield f"{word}|near {neighbor}"


def hash_feature(feature: str) -> int:
    """Return the hash under which the weight of a feature is stored."""
    return zlib.crc32(feature.encode("utf-8", "replace")) % BUCKETS


@lru_cache(maxsize=1)
def _load_weights() -> tuple[dict[int, int], int]:
    """Return the weights of the hashes of features (others weigh nothing), and of the rules."""
    with (files("valle.text") / WEIGHTS).open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        hashes, weights = arrays["hashes"].tolist(), arrays["weights"].tolist()
        by_rule = int(arrays["by_rule"])
    return dict(zip(hashes, weights, strict=True)), by_rule


def is_first(context: Context, kind: str, by_rule: bool) -> bool:
    """Return whether a homograph has its first pronunciation; for arguments see `list_features`."""
    weights, rule_weight = _load_weights()
    features = list_features(context, kind, by_rule)
    total = sum(weights.get(hash_feature(feature), 0) for feature in features)
    return total + (rule_weight if by_rule else -rule_weight) > 0
