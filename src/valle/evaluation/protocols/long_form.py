"""`valle evaluate long`: whether a long text is spoken as well at its end as at its beginning.

Every voice speaks the whole text in one go. Its sentences are cut out at their times and evaluated
one by one. The rows are the quarters of the text: they show a voice that drifts, a pace that
changes and words that get lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tqdm import tqdm

from valle.arrays import Samples
from valle.errors import UsageError
from valle.evaluation.item_clips import ItemClip, ItemSpeaker
from valle.evaluation.item_evaluator import ItemEvaluator
from valle.evaluation.items import Item
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.report import Clip

QUARTERS = ("first quarter", "second quarter", "third quarter", "last quarter")
REPORTED = (
    "word_error_rate",
    "character_error_rate",
    "error_free_clips",
    "deletion_rate",
    "insertion_rate",
    "speaker_similarity",
    "similarity_to_others",
    "dnsmos",
    "phoneme_error_rate",
    "pitch_range_semitones",
    "words_per_second",
    "pauses_per_minute",
    "pause_seconds",
    "failure_rate",
    "rtf",
)
"""Metrics of the table."""
_MARGIN = 0.1  # seconds around a sentence, as far as its pauses reach


def select_voices(items: Sequence[Item], text: str, count: int | None) -> list[Item]:
    """One item for each voice of a list, which speaks the whole text.

    Args:
        items: of the list.
        text: what each of them speaks.
        count: how many voices, from the first; None for all.
    """
    first = {item.speaker: item for item in reversed(items)}
    voices = [first[name] for name in sorted(first)][:count]
    return [replace(item, text=text, truth=None, is_continuation=False) for item in voices]


def run(
    speaker: ItemSpeaker,
    voices: Sequence[Item],
    evaluator: ItemEvaluator,
    seed: int = 0,
    quiet: bool = True,
) -> list[Clip]:
    """Speak the text in every voice, and evaluate its sentences.

    Args:
        speaker: of the model.
        voices: from `select_voices`.
        evaluator: of these items.
        seed: of the speech.
        quiet: no progress bar.

    Returns:
        A clip for each sentence and voice; its row is the quarter of the text.

    Raises:
        UsageError: the text has fewer than four sentences.
        Error: a prompt cannot be used, or the text cannot be spoken.
    """
    clips: list[Clip] = []
    for item in tqdm(voices, desc="evaluate", unit="voice", disable=quiet or None):
        evaluator.set_prompt(item, None)
        spoken = speaker.speak(item, seed)
        if len(spoken.sentences) < len(QUARTERS):
            raise UsageError(
                f"the text has {len(spoken.sentences)} sentences; a long one has at least "
                f"{len(QUARTERS)}, and better a hundred"
            )
        seconds = len(spoken.samples) / EVALUATION_RATE
        rtf = (spoken.work_seconds or 0.0) / seconds
        for place, sentence in enumerate(spoken.sentences):
            samples = _cut(spoken.samples, sentence.start, sentence.end)
            clip = ItemClip(
                replace(item, key=f"{item.key}-{place + 1}"),
                QUARTERS[place * len(QUARTERS) // len(spoken.sentences)],
                samples,
                seed,
                work_seconds=rtf * len(samples) / EVALUATION_RATE,
            )
            clips.append(evaluator.evaluate(clip, sentence.text))
    return sorted(clips, key=lambda clip: QUARTERS.index(clip.row))


def _cut(samples: Samples, start: float, end: float) -> Samples:
    first = max(0, round((start - _MARGIN) * EVALUATION_RATE))
    return samples[first : round((end + _MARGIN) * EVALUATION_RATE)]
