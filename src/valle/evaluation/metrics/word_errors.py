"""Word and character error rates: the edits between a text and a transcript of its recording.

Both are normalized first by the English normalizer published with Whisper (Radford et al. 2022,
"Robust Speech Recognition via Large-Scale Weak Supervision", appendix C), so that spelling
variants, punctuation and the way numbers are written do not count as errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from valle.evaluation.metrics.packages import import_optional

NORMALIZER_PACKAGE = "whisper-normalizer"


@dataclass(frozen=True)
class WordErrors:
    """The edits of one clip, of a normalized reference text."""

    reference: str
    hypothesis: str
    substitutions: int
    deletions: int
    insertions: int
    words: int
    """Words of the reference."""
    character_edits: int
    characters: int
    """Characters of the reference, spaces included."""

    @property
    def word_edits(self) -> int:
        """The numerator of the word error rate."""
        return self.substitutions + self.deletions + self.insertions


class WordErrorCounter:
    """Counts the edits between reference texts and transcripts.

    Raises:
        UsageError: `jiwer` or `whisper-normalizer` is not installed.
    """

    def __init__(self) -> None:
        self._jiwer = import_optional("jiwer")
        english = import_optional("whisper_normalizer.english", NORMALIZER_PACKAGE)
        self._normalize = english.EnglishTextNormalizer()

    def count(self, reference: str, transcript: str) -> WordErrors:
        """Compare a transcript with the text that was to be said.

        Fillers ("hmm") are removed by the normalizer; of a reference of nothing else, every word
        of the transcript is an insertion.
        """
        expected: str = self._normalize(reference)
        recognized: str = self._normalize(transcript)
        if not expected:
            inserted = len(recognized.split())
            return WordErrors("", recognized, 0, 0, inserted, 0, len(recognized), 0)
        words = self._jiwer.process_words(expected, recognized)
        characters = self._jiwer.process_characters(expected, recognized)
        return WordErrors(
            reference=expected,
            hypothesis=recognized,
            substitutions=words.substitutions,
            deletions=words.deletions,
            insertions=words.insertions,
            words=len(expected.split()),
            character_edits=characters.substitutions + characters.deletions + characters.insertions,
            characters=len(expected),
        )

    def describe(self) -> dict[str, Any]:
        """Names and versions of the packages, for the JSON of a report."""
        return {
            "normalizer": f"{NORMALIZER_PACKAGE} EnglishTextNormalizer",
            "normalizer_version": version(NORMALIZER_PACKAGE),
            "jiwer_version": version("jiwer"),
        }
