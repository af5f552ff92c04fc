"""Sentence identification on a real recording."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation_samples import OTHERS, TRANSCRIPT
from valle.arrays import Samples
from valle.errors import UsageError
from valle.evaluation.metrics.sentence_identification import SentenceIdentifier

CHOICES = [*OTHERS[:2], TRANSCRIPT, OTHERS[2]]


def test_the_spoken_sentence_is_identified(
    identifier: SentenceIdentifier, recorded: Samples
) -> None:
    assert identifier.identify(recorded, CHOICES) == 2
    assert identifier.identify(recorded, CHOICES[::-1]) == 1
    assert identifier.identify(recorded[:0], OTHERS) is None


def test_results_do_not_depend_on_earlier_recordings(
    identifier: SentenceIdentifier, recorded: Samples
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, 16_000).astype(np.float32)
    first = identifier.identify(noise, CHOICES)
    identifier.identify(recorded, CHOICES)
    assert identifier.identify(noise, CHOICES) == first


def test_unknown_and_repeated_sentences_are_refused(
    identifier: SentenceIdentifier, recorded: Samples
) -> None:
    assert not identifier.knows("A zzyxian garden")
    assert not identifier.knows("?!")
    with pytest.raises(UsageError, match="dictionary"):
        identifier.identify(recorded, ["The zzyxian garden."])
    with pytest.raises(UsageError, match="twice"):
        identifier.identify(recorded, ["The garden.", "the GARDEN!"])
