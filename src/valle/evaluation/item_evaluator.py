"""All metrics of the clips of a test list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from valle.arrays import Floats, Samples
from valle.evaluation.evaluator import PhonemeErrors
from valle.evaluation.item_clips import ItemClip
from valle.evaluation.items import Item
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.audio_quality import DNSMOS
from valle.evaluation.metrics.pauses import measure_pauses
from valle.evaluation.metrics.pitch_range import pitch_range
from valle.evaluation.metrics.speaker_model import SpeakerModel
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.metrics.whisper import Transcriber
from valle.evaluation.metrics.word_alignment import LONGEST, SHORTEST
from valle.evaluation.metrics.word_errors import PUBLISHED, WordErrorCounter
from valle.evaluation.report import Clip

_SILENT = 1e-4  # the greatest magnitude of an empty clip
_SHORTEST = EVALUATION_RATE // 2  # samples
_MARGIN = 0.5  # seconds of silence before and after


@dataclass(frozen=True)
class ItemMetrics:
    """The evaluators; None leaves the columns of one empty."""

    encoder: ResemblyzerEncoder
    transcriber: Transcriber | None = None
    quality: DNSMOS | None = None
    speaker_model: SpeakerModel | None = None
    phoneme_errors: PhonemeErrors | None = None


@dataclass(frozen=True)
class _Reference:
    """The embeddings of a prompt and of its codec resynthesis, by both encoders."""

    original: Floats
    resynthesized: Floats | None
    by_model: Floats | None
    by_model_resynthesized: Floats | None


class ItemEvaluator:
    """Evaluates clips against the prompts of all speakers of a list.

    Args:
        items: the list.
        metrics: the evaluators.
    """

    def __init__(self, items: Sequence[Item], metrics: ItemMetrics) -> None:
        self._metrics = metrics
        self._counters = (
            (WordErrorCounter(), WordErrorCounter(PUBLISHED)) if metrics.transcriber else None
        )
        first = {item.speaker: item for item in reversed(items)}
        self._names = sorted(first)
        self._prompts = np.stack(
            [metrics.encoder.embed(first[name].read_prompt()) for name in self._names]
        )
        self._references: dict[tuple[Path, float | None], _Reference] = {}

    def set_prompt(self, item: Item, resynthesized: Samples | None) -> None:
        """Take the prompt of an item, before its clips are evaluated.

        Args:
            item: whose prompt it is.
            resynthesized: the prompt through the codec; None leaves SIM-r empty.
        """
        place = (item.prompt, item.prompt_seconds)
        if place in self._references:
            return
        prompt, encoder, model = (
            item.read_prompt(),
            self._metrics.encoder,
            self._metrics.speaker_model,
        )
        self._references[place] = _Reference(
            encoder.embed(prompt),
            None if resynthesized is None else encoder.embed(resynthesized),
            model.embed(prompt) if model else None,
            model.embed(resynthesized) if model and resynthesized is not None else None,
        )

    def evaluate(self, clip: ItemClip, text: str | None = None, error: str | None = None) -> Clip:
        """All metrics of one clip.

        Args:
            clip: of an item whose prompt was set.
            text: what it should say; None for the item's own text.
            error: why it could not be made, if it could not; it then counts as silence.
        """
        metrics, item = self._metrics, clip.item
        samples = pad_short(clip.samples)
        expected = item.text if text is None else text
        reference = self._references[item.prompt, item.prompt_seconds]
        embedding = metrics.encoder.embed(samples)
        similarities = self._prompts @ embedding
        target = self._names.index(item.speaker)
        others = np.delete(similarities, target)
        own = float(reference.original @ embedding)
        by_model = metrics.speaker_model.embed(samples) if metrics.speaker_model else None
        words, published = None, None
        if metrics.transcriber and self._counters:
            transcript = metrics.transcriber.transcribe(samples)
            words, published = (counter.count(expected, transcript) for counter in self._counters)
        pauses = measure_pauses(samples, EVALUATION_RATE)
        errors, phonemes = None, 0
        if metrics.phoneme_errors:
            errors, phonemes = metrics.phoneme_errors(samples, expected)
        return Clip(
            row=clip.row,
            speaker=item.speaker,
            corpus="",
            text=expected,
            seconds=len(samples) / EVALUATION_RATE,
            similarity=own,
            similarity_to_others=float(others.mean()) if len(others) else 0.0,
            speaker_identified=bool((others < own).all()),
            pitch_range=pitch_range(samples),
            words=words,
            published_words=published,
            quality=metrics.quality.rate(samples) if metrics.quality else None,
            phoneme_errors=errors,
            phonemes=phonemes,
            work_seconds=clip.work_seconds,
            key=item.key,
            seed=clip.seed,
            similarity_resynthesized=_dot(reference.resynthesized, embedding),
            model_similarity=_dot(reference.by_model, by_model),
            model_similarity_resynthesized=_dot(reference.by_model_resynthesized, by_model),
            first_seconds=clip.first_seconds,
            pauses=len(pauses),
            paused_seconds=sum(pauses),
            failure=error or find_failure(samples, phonemes),
        )


def pad_short(samples: Samples) -> Samples:
    """Samples [N] at 16 kHz with silence after them up to half a second; less is not measured."""
    missing = max(0, _SHORTEST - len(samples))
    return np.pad(samples, (0, missing)) if missing else samples


def find_failure(samples: Samples, phonemes: int) -> str:
    """Why a clip cannot be speech of its text: empty, cut off or run on; "" if it can.

    Args:
        samples: [N] at 16 kHz.
        phonemes: of the text; 0 where they are not known.
    """
    seconds = len(samples) / EVALUATION_RATE
    if not len(samples) or np.abs(samples).max() < _SILENT:
        return "empty"
    if phonemes and seconds < SHORTEST * phonemes:
        return "cut off"
    if phonemes and seconds > LONGEST * phonemes + _MARGIN:
        return "run on"
    return ""


def _dot(reference: Floats | None, embedding: Floats | None) -> float | None:
    return None if reference is None or embedding is None else float(reference @ embedding)
