"""The clips of a sample page, each measured by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from valle.audio.recording import resample
from valle.editing.changes import replace_words
from valle.editing.edit import edit_recording
from valle.errors import TextError
from valle.evaluation.evaluator import PhonemeErrors
from valle.evaluation.item_clips import ItemClip, ItemSpeaker, read_system
from valle.evaluation.item_evaluator import pad_short
from valle.evaluation.items import Item
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.metrics.whisper import Transcriber
from valle.evaluation.metrics.word_errors import WordErrorCounter, WordErrors
from valle.evaluation.protocols.zero_shot import SYNTHESIZED
from valle.styles import parse_style

PROMPT = "prompt"
EDITED = "edited"


@dataclass(frozen=True, eq=False)
class SampleClip:
    """A clip of the page, and how well it says what it should."""

    clip: ItemClip
    text: str
    """What it should say; "" for a prompt without a transcript."""
    similarity: float | None
    """Resemblyzer, to the prompt; None for the prompt itself."""
    phoneme_error_rate: float | None
    words: WordErrors | None
    transcript: str | None
    """What Whisper hears; None where it was not asked."""
    changed: tuple[float, float] | None = None
    """Seconds of the new words of an edited recording."""

    @property
    def badness(self) -> tuple[float, float, float]:
        """For sorting, the worst clip highest: word errors, phoneme errors, another voice."""
        words = self.words
        rate = words.word_edits / max(1, words.words) if words else 0.0
        return rate, self.phoneme_error_rate or 0.0, -(self.similarity or 0.0)


@dataclass(frozen=True)
class SampleMetrics:
    """What clips are measured with."""

    encoder: ResemblyzerEncoder
    phoneme_errors: PhonemeErrors
    transcriber: Transcriber | None = None
    """None leaves word errors out."""


@dataclass(frozen=True)
class SampleSettings:
    """What is on the page."""

    seeds: tuple[int, ...] = (0, 1)
    systems: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    """Other systems' folders of clips by their names."""
    styles: Sequence[str] = ()
    """Styles in which every text is said too, with the first seed, as `parse_style` reads them."""
    edits: Sequence[tuple[str, str]] = ()
    """Words to replace in the ground truth of items that say them, and what replaces them."""


class SampleMaker:
    """Makes and measures the clips of items."""

    def __init__(
        self, speaker: ItemSpeaker, metrics: SampleMetrics, settings: SampleSettings
    ) -> None:
        self._speaker = speaker
        self._metrics = metrics
        self._settings = settings
        self._counter = WordErrorCounter() if metrics.transcriber else None

    def make(self, item: Item) -> Iterator[SampleClip]:
        """All clips of an item: prompt, truth, codec, synthesized, styles, other systems, edits.

        Raises:
            Error: a recording or text cannot be used.
        """
        prompt = item.read_prompt()
        embedding = self._metrics.encoder.embed(prompt)
        text = item.prompt_text if item.prompt_seconds is None else None
        yield self._measure(ItemClip(item, PROMPT, prompt), text or "", None)
        for clip in self._speaker.recorded(item):
            yield self._measure(clip, item.text, embedding)
        for seed in self._settings.seeds:
            yield self._measure(self._speaker.speak(item, seed), item.text, embedding)
        for style in self._settings.styles:
            clip = self._speaker.speak(item, self._settings.seeds[0], parse_style(style))
            styled = dataclasses.replace(clip, row=f"{SYNTHESIZED}, {style}")
            yield self._measure(styled, item.text, embedding)
        for name, folder in self._settings.systems.items():
            samples = read_system(folder, item)
            if samples is not None:
                yield self._measure(ItemClip(item, name, samples), item.text, embedding)
        for old, new in self._settings.edits:
            edited = self._edit(item, old, new)
            if edited is not None:
                clip, text, changed = edited
                measured = self._measure(clip, text, embedding)
                yield dataclasses.replace(measured, changed=changed)

    def _edit(
        self, item: Item, old: str, new: str
    ) -> tuple[ItemClip, str, tuple[float, float]] | None:
        """The item's ground truth after an edit; None where it does not say the words."""
        model, truth = self._speaker.model, item.read_truth()
        if truth is None:
            return None
        samples = resample(truth, EVALUATION_RATE, model.sample_rate)
        try:
            transcript = model.align(samples, item.text)
            change = replace_words(transcript, old, new)
        except TextError:
            return None
        recording = (samples, model.sample_rate)
        voice = self._speaker.enroll(item)
        edited = edit_recording(model, recording, transcript, [change], voice)
        result = resample(edited.samples.mean(axis=1), edited.sample_rate, EVALUATION_RATE)
        clip = ItemClip(item, EDITED, result.astype(np.float32))
        return clip, edited.text, edited.spans[0].new_speech

    def _measure(self, clip: ItemClip, text: str, embedding: np.ndarray | None) -> SampleClip:
        samples, metrics = pad_short(clip.samples), self._metrics
        clip = dataclasses.replace(clip, samples=samples)
        if clip.words is None:
            words = self._speaker.align(samples, text) if text else ()
            clip = dataclasses.replace(clip, words=words)
        transcript, word_errors, error_rate = None, None, None
        if metrics.transcriber and self._counter:
            transcript = metrics.transcriber.transcribe(samples)
            word_errors = self._counter.count(text, transcript) if text else None
        if text:
            edits, phonemes = metrics.phoneme_errors(samples, text)
            error_rate = edits / max(1, phonemes)
        similarity = None
        if embedding is not None:
            similarity = float(embedding @ metrics.encoder.embed(samples))
        return SampleClip(clip, text, similarity, error_rate, word_errors, transcript)


def select_worst(groups: Sequence[list[SampleClip]], count: int) -> list[list[SampleClip]]:
    """The items of the worst synthesized clips, the worst first.

    Of each, only that clip is kept beside the prompt, the recordings and other systems.

    Args:
        groups: the clips of each item.
        count: how many clips.
    """
    ranked = sorted(
        (
            (clip.badness, place, clip)
            for place, group in enumerate(groups)
            for clip in group
            if clip.clip.row == SYNTHESIZED
        ),
        key=lambda entry: entry[:2],
        reverse=True,
    )
    return [
        [c for c in groups[place] if c is worst or c.clip.row != SYNTHESIZED]
        for _, place, worst in ranked[:count]
    ]
