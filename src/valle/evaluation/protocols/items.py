"""`valle evaluate list`: any test list, by all evaluators that are there.

Rows: the ground truth, through the codec, synthesized with several seeds, and the clips of other
systems. A continuation is scored twice: what was generated against the words that were left to say,
and with its prompt against the whole text, as Wang et al. (2023) do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.errors import Error
from valle.evaluation.clip_store import ClipStore
from valle.evaluation.item_clips import ItemClip, ItemSpeaker, read_system
from valle.evaluation.item_evaluator import ItemEvaluator
from valle.evaluation.items import Item
from valle.evaluation.protocols.zero_shot import CODEC, GROUND_TRUTH, SYNTHESIZED
from valle.evaluation.report import Clip

WITH_PROMPT = "synthesized, with prompt"
REPORTED = (
    "word_error_rate",
    "published_word_error_rate",
    "character_error_rate",
    "error_free_clips",
    "speaker_similarity",
    "similarity_resynthesized",
    "model_similarity",
    "model_similarity_resynthesized",
    "speaker_identification_accuracy",
    "dnsmos",
    "phoneme_error_rate",
    "pitch_range_semitones",
    "words_per_second",
    "pauses_per_minute",
    "pause_seconds",
    "failure_rate",
    "rtf",
    "first_seconds",
)
"""Metrics of the table."""

SaveClip = Callable[[str, str, int | None, Samples], None]
"""Takes the item's key, the row, the seed and samples at 16 kHz."""


@dataclass(frozen=True)
class Settings:
    """What is made."""

    seeds: tuple[int, ...] = (0, 1, 2)
    systems: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    """Other systems' folders of clips by their names."""
    first_audio: bool = True
    """Whether the time to first audio is measured, which speaks every text a second time."""
    save: SaveClip | None = None
    """Called with every clip that is made."""
    quiet: bool = True
    """No progress bar."""


def run(
    speaker: ItemSpeaker,
    items: Sequence[Item],
    evaluator: ItemEvaluator,
    settings: Settings,
    store: ClipStore,
) -> list[Clip]:
    """Make and evaluate all clips of a list; those in the store are taken from it.

    A text or prompt that the model refuses counts as a failure, with all its words missing.

    Raises:
        RecordingError: a recording of the list cannot be used.
        OutputError: the store or a clip cannot be written.
    """
    clips: list[Clip] = []
    bar = tqdm(items, desc="evaluate", unit="text", disable=settings.quiet or None)
    for item in bar:
        maker = _ItemRows(speaker, evaluator, item, settings)
        for row, seed in maker.rows():
            clip = store.get((item.key, row, seed))
            if clip is None:
                evaluated = maker.evaluate(row, seed)
                if evaluated is None:
                    continue
                clip, samples = evaluated
                if settings.save:
                    settings.save(item.key, row, seed, samples)
                store.add(clip)
            clips.append(clip)
    return sorted(clips, key=lambda clip: _ORDER.get(clip.row, len(_ORDER)))


_ORDER = {row: place for place, row in enumerate((GROUND_TRUTH, CODEC, SYNTHESIZED, WITH_PROMPT))}


class _ItemRows:
    """The rows of one item, made when they are asked for."""

    def __init__(
        self, speaker: ItemSpeaker, evaluator: ItemEvaluator, item: Item, settings: Settings
    ) -> None:
        self._speaker, self._evaluator = speaker, evaluator
        self._item, self._settings = item, settings
        self._continued: dict[int, tuple[ItemClip, str, str | None]] = {}
        self._is_prepared = False

    def rows(self) -> Iterator[tuple[str, int | None]]:
        """The rows and seeds of the item."""
        if self._item.truth is not None:
            yield GROUND_TRUTH, None
            yield CODEC, None
        for seed in self._settings.seeds:
            yield SYNTHESIZED, seed
            if self._item.is_continuation:
                yield WITH_PROMPT, seed
        for name in self._settings.systems:
            yield name, None

    def evaluate(self, row: str, seed: int | None) -> tuple[Clip, Samples] | None:
        """The clip of a row and its samples; None where another system has none."""
        item = self._item
        if not self._is_prepared:
            resynthesized = self._speaker.through_codec(item.read_prompt())
            self._evaluator.set_prompt(item, resynthesized)
            self._is_prepared = True
        text, error = item.text, None
        if row in (SYNTHESIZED, WITH_PROMPT) and seed is not None:
            clip, text, error = self._synthesize(seed)
            if row == WITH_PROMPT:
                joined = np.concatenate([item.read_prompt(), clip.samples])
                clip = dataclasses.replace(
                    clip, row=WITH_PROMPT, samples=joined, first_seconds=None
                )
                text = item.text
        elif row in (GROUND_TRUTH, CODEC):
            clip = next(made for made in self._speaker.recorded(item) if made.row == row)
        else:
            samples = read_system(self._settings.systems[row], item)
            if samples is None:
                return None
            clip = ItemClip(item, row, samples)
        return self._evaluator.evaluate(clip, text, error), clip.samples

    def _synthesize(self, seed: int) -> tuple[ItemClip, str, str | None]:
        """The clip, what it should say, and why it could not be made, if it could not."""
        if seed in self._continued:
            return self._continued[seed]
        item = self._item
        text = find_rest(self._speaker, item) if item.is_continuation else item.text
        spoken = dataclasses.replace(item, text=text)
        error = None
        try:
            clip = dataclasses.replace(self._speaker.speak(spoken, seed), item=item)
            if self._settings.first_audio:
                first = self._speaker.measure_first_audio(spoken, seed)
                clip = dataclasses.replace(clip, first_seconds=first)
        except Error as refused:
            error = str(refused)
            clip = ItemClip(item, SYNTHESIZED, np.zeros(0, np.float32), seed)
        self._continued[seed] = (clip, text, error)
        return self._continued[seed]


def find_rest(speaker: ItemSpeaker, item: Item) -> str:
    """The words of a continuation that its prompt does not say, by alignment of the ground truth.

    A word that the prompt cuts in two belongs to where its middle is.
    """
    truth = item.read_truth()
    if truth is None or item.prompt_seconds is None:
        return item.text
    words = speaker.align(truth, item.text)
    rest = [word for word, start, end in words if (start + end) / 2 >= item.prompt_seconds]
    return " ".join(rest)
