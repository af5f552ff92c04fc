"""Train the weights of `valle.text.homograph_model` and print how often it is right, as JSON.

    python tools/train_homographs.py DATA SENTENCES -o src/valle/text/homograph_weights.npz

DATA is the folder `data` of github.com/google-research-datasets/WikipediaHomographData (Apache
License 2.0): 16 thousand sentences of Wikipedia, apart for training and evaluation. SENTENCES holds
our own (a sentence, the homograph and the number of its pronunciation per line, with tabs between),
as people speak, which Wikipedia lacks; `tools/homograph_sentences.tsv`.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from valle.text import homograph_model, homographs
from valle.text.grammar import Context
from valle.text.normalization import normalize

EPOCHS, RATE, DECAY = 6, 0.1, 1e-2
RULE_LOGIT = 3.0  # how sure the rules are: 0.95
FEWEST = 4  # examples with a feature that is kept
SEED = 1
# Labels of the data that are the first pronunciation here, and the second, beside "..._vrb".
FIRST = frozenset(
    "content_adj-nou-vrb invalid_adj compress affect isolate transform correlate_nou-vrb bass "
    "blessed_vrb bow_nou-knot axes_nou-vrb aged dove job lead_nou-vrb learned_vrb moped_nou polish "
    "read_present row_1 wound_nou-vrb sow celtic mobile mobile_nou-art reading_en sake "
    "minute".split()
)
SECOND = frozenset("blessed_adj dove_vrb moped_vrb wound_vrb".split())


class Example(NamedTuple):
    """A homograph in a sentence."""

    features: np.ndarray  # indices of weights
    is_first: bool
    by_rule: bool


def find_contexts(sentence: str) -> Iterator[tuple[int, int, Context]]:
    """Yield the start, the end and the context of every homograph of a sentence."""
    tokens, _ = normalize(sentence, plain=True)
    for index, context in homographs.find_contexts(tokens):
        if homographs.find_pair(context):
            yield tokens[index].start, tokens[index].end, context


def make_example(context: Context, is_first: bool) -> Example:
    """Return the features of a context with its label."""
    by_rule = homographs.decide_by_rule(context)
    kind = homographs.find_kind(context.word)
    features = homograph_model.list_features(context, kind, by_rule)
    indices = np.array([homograph_model.hash_feature(feature) for feature in features])
    return Example(indices, is_first, by_rule)


def read_labelled(folder: Path) -> Iterator[Example]:
    """Yield the examples of a folder of the data."""
    for path in sorted(folder.glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                label, sentence = row["wordid"], row["sentence"]
                is_verb = label.endswith("_vrb") and label not in SECOND
                at = len(sentence.encode()[: int(row["start"])].decode("utf-8", "ignore"))
                for start, end, context in find_contexts(sentence):
                    if start <= at < end and context.word == row["homograph"].lower():
                        yield make_example(context, is_verb or label in FIRST)


def read_own(path: Path) -> Iterator[Example]:
    """Yield the examples of our own sentences."""
    for line in path.read_text("utf-8").splitlines():
        sentence, word, number = line.split("\t")
        for _, _, context in find_contexts(sentence):
            if context.word == word:
                yield make_example(context, number == "1")
                break


def train(examples: list[Example]) -> np.ndarray:
    """Return weights [BUCKETS] of a logistic regression, by AdaGrad with weight decay."""
    counts = np.zeros(homograph_model.BUCKETS, np.int64)
    for example in examples:
        counts[np.unique(example.features)] += 1
    kept = counts >= FEWEST
    rng = np.random.default_rng(SEED)
    weights = np.zeros(homograph_model.BUCKETS)
    squares = np.full(homograph_model.BUCKETS, 1e-6)
    total = np.zeros(homograph_model.BUCKETS)
    for _ in range(EPOCHS):
        for index in rng.permutation(len(examples)):
            example = examples[index]
            at = example.features[kept[example.features]]
            logit = weights[at].sum() + (RULE_LOGIT if example.by_rule else -RULE_LOGIT)
            gradient = 1 / (1 + np.exp(-logit)) - example.is_first + DECAY * weights[at]
            squares[at] += gradient**2
            weights[at] -= RATE * gradient / np.sqrt(squares[at])
        total += weights
    return total / EPOCHS


def measure(examples: list[Example], weights: np.ndarray, by_rule: int) -> float:
    """Return the share of examples that are right."""
    right = 0
    for example in examples:
        score = int(weights[example.features].sum(dtype=np.int64))
        right += (score + (by_rule if example.by_rule else -by_rule) > 0) == example.is_first
    return round(right / len(examples), 4)


def main() -> None:
    """Train, write the weights and print the measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    training = list(read_labelled(arguments.data / "train"))
    evaluation = list(read_labelled(arguments.data / "eval"))
    weights = train([*training, *read_own(arguments.sentences)])
    scale = 127 / np.abs(weights).max()
    quantized = np.round(weights * scale).astype(np.int8)
    by_rule = round(RULE_LOGIT * scale)
    hashes = np.flatnonzero(quantized).astype(np.uint32)
    np.savez_compressed(arguments.output, hashes=hashes, weights=quantized[hashes], by_rule=by_rule)
    right = sum(example.by_rule == example.is_first for example in evaluation)
    print(
        json.dumps(
            {
                "training": len(training),
                "evaluation": len(evaluation),
                "rules": round(right / len(evaluation), 4),
                "model": measure(evaluation, quantized, by_rule),
                "weights": int(np.count_nonzero(quantized)),
            }
        )
    )


if __name__ == "__main__":
    main()
