"""Word and character error rates: the edits between a text and a transcript of its recording.

Both are normalized first, in one of two ways:

- `NORMALIZED`: the English normalizer published with Whisper (Radford et al. 2022, "Robust Speech
  Recognition via Large-Scale Weak Supervision", appendix C), so that spelling variants, punctuation
  and the way numbers are written do not count as errors;
- `PUBLISHED`: lower case without punctuation other than apostrophes, as seed-tts-eval does
  (Anastassiou et al. 2024), where "50" for "fifty" is an error. Published tables have it so.
"""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

from valle.evaluation.metrics.packages import import_optional

NORMALIZER_PACKAGE = "whisper-normalizer"
NORMALIZED: Final = "normalized"
PUBLISHED: Final = "published"
Normalization = Literal["normalized", "published"]

# The quotes and dashes that texts have in addition to those of ASCII.
_PUNCTUATION = str.maketrans("", "", (string.punctuation + "“”‘…–—").replace("'", ""))


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


def normalize_as_published(text: str) -> str:
    """Lower case without punctuation other than apostrophes; numbers stay as they are written."""
    return " ".join(text.replace("’", "'").translate(_PUNCTUATION).lower().split())


class WordErrorCounter:
    """Counts the edits between reference texts and transcripts.

    Args:
        normalization: of both texts.

    Raises:
        UsageError: `jiwer` or `whisper-normalizer` is not installed.
    """

    def __init__(self, normalization: Normalization = "normalized") -> None:
        self._jiwer = import_optional("jiwer")
        self._english = import_optional("whisper_normalizer.english", NORMALIZER_PACKAGE)
        self._normalize = (
            self._english.EnglishTextNormalizer()
            if normalization == NORMALIZED
            else normalize_as_published
        )

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
        """Names, versions and hashes of what counts, for the JSON of a report."""
        module = Path(self._english.__file__)
        rules = [module, module.with_name("normalizers") / "english.json"]
        digest = hashlib.sha256(b"".join(p.read_bytes() for p in rules if p.is_file()))
        return {
            "normalizer_sha256": digest.hexdigest(),
            "published_normalizer": "seed-tts-eval: lower case, no punctuation but apostrophes",
            "normalizer": f"{NORMALIZER_PACKAGE} EnglishTextNormalizer",
            "normalizer_version": version(NORMALIZER_PACKAGE),
            "jiwer_version": version("jiwer"),
        }
