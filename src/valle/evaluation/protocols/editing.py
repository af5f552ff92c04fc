"""`valle evaluate editing`: new words in recordings, whether they are understood and sound alike.

Two to four words in the middle of each recording are replaced by words of another transcript. They
make no sense there, so they are hard to recognize: the same words in plain speech of the whole new
text, and the words that were there, tell how hard. Similarity is that of the words with the rest of
their recording; two halves of a recording tell how similar such short parts can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.arrays import Floats, Samples
from valle.audio.recording import resample
from valle.editing.changes import Change, apply_changes
from valle.editing.edit import EditedRecording, edit_recording
from valle.editing.options import EditOptions
from valle.errors import Error
from valle.evaluation.item_clips import ItemSpeaker
from valle.evaluation.item_evaluator import ItemMetrics
from valle.evaluation.material import Row, read_row
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.protocols.zero_shot import CODEC, GROUND_TRUTH
from valle.evaluation.report import Figure, figure_by_speaker
from valle.text.edit_distance import align
from valle.trust.attestation import ATTESTATION

if TYPE_CHECKING:
    from valle import Model

EDITED, SPOKEN, HALVES = "edited", "whole text spoken", "halves of the recording"
ROWS = (GROUND_TRUTH, CODEC, HALVES, SPOKEN, EDITED)
_SECONDS = (5.0, 9.0)  # of the recordings
_FEWEST_WORDS = 12  # of a recording, so that there is speech on both sides
_DONOR = 7  # recordings further: of another speaker, where there are as many
_JUMP_PERCENTILE = 95


@dataclass(frozen=True)
class Trial:
    """One edit, or why it was refused."""

    speaker: str
    removed: str
    added: str
    word_errors: Mapping[str, tuple[int, int]]
    """By row, the wrong words among the replaced ones, and how many they are; none without
    Whisper."""
    similarities: Mapping[str, float]
    """By row, of the words with the rest of the recording."""
    jumps: tuple[bool, ...] = ()
    """Of each join, whether the level jumps more than at 95 of 100 places of the recording."""
    is_bit_exact: bool = False
    """Whether every sample outside the edit is that of the recording."""
    refusal: str = ""
    """Why there is no edit; "" if there is one."""


@dataclass(frozen=True)
class Settings:
    """How much is edited."""

    edits: int = 20
    seed: int = 0
    quiet: bool = True
    """No progress bar."""


def select_recordings(rows: Sequence[Row], speakers: frozenset[str]) -> list[Row]:
    """Select recordings of 5 to 9 s and 12 words or more: one of each speaker, then the next.

    Args:
        rows: of manifests.
        speakers: that no model was trained on.
    """
    taken: dict[str, int] = {}
    selected = []
    for row in rows:
        text = row["text"] or ""
        fits = _SECONDS[0] <= row["seconds"] <= _SECONDS[1] and len(text.split()) >= _FEWEST_WORDS
        if row["speaker"] in speakers and fits:
            taken[row["speaker"]] = taken.get(row["speaker"], 0) + 1
            selected.append((taken[row["speaker"]], row["speaker"], row))
    return [row for *_, row in sorted(selected, key=lambda entry: entry[:2])]


def run_trials(
    model: Model, rows: Sequence[Row], metrics: ItemMetrics, settings: Settings
) -> Iterator[Trial]:
    """Edit one recording after another, until there are enough edits.

    Args:
        model: the one to evaluate.
        rows: from `select_recordings`.
        metrics: speaker similarity, and Whisper if it is there.
        settings: how many edits, and how they are made.

    Yields:
        A trial for each recording; one whose words are not heard, for example, is refused.
    """
    editor = _Editor(model, metrics, EditOptions.from_keywords(seed=settings.seed))
    edits = 0
    with tqdm(
        total=settings.edits, desc="editing", unit="edit", disable=settings.quiet or None
    ) as bar:
        for number, row in enumerate(rows):
            donor = rows[(number + _DONOR) % len(rows)]["text"].split()
            added = " ".join(donor[2 : 4 + number % 3])
            try:
                trial = editor.edit(row, added)
            except Error as error:
                trial = Trial(row["speaker"], "", added, {}, {}, refusal=str(error))
            yield trial
            if not trial.refusal:
                edits += 1
                bar.update()
            if edits == settings.edits:
                return


class _Editor:
    """Edits and measures single recordings."""

    def __init__(self, model: Model, metrics: ItemMetrics, options: EditOptions) -> None:
        self._model, self._metrics, self._options = model, metrics, options
        self._speaker = ItemSpeaker(model, ATTESTATION)

    def edit(self, row: Row, added: str) -> Trial:
        """Replace the middle of a recording by as many words as `added` has.

        Raises:
            Error: the recording cannot be aligned or edited.
        """
        samples, model = read_row(row), self._model
        audio = (samples, EVALUATION_RATE)
        voice = model.enroll(audio, name="Evaluated", attest=ATTESTATION)
        transcript = model.align(audio, row["text"])
        first = len(transcript.words) // 2
        last = first + len(added.split())
        change = Change(first, last, added)
        edited = edit_recording(model, audio, transcript, [change], voice, self._options)
        text, (place,) = apply_changes(transcript, [change])
        speech = model.speak(text, voice, seed=self._options.seed)
        spoken = resample(speech.audio, speech.sample_rate, EVALUATION_RATE)
        (span,) = edited.spans
        mono = np.ascontiguousarray(edited.samples[:, 0], np.float32)
        replaced = transcript.words[first:last]
        old_place = replaced[0].text_start, replaced[-1].text_end
        errors: dict[str, tuple[int, int]] = {}
        if (transcriber := self._metrics.transcriber) is not None:
            for kind, said, part, clip in (
                (GROUND_TRUTH, transcript.text, old_place, samples),
                (SPOKEN, text, place, spoken),
                (EDITED, text, place, mono),
            ):
                errors[kind] = count_errors(said, part, transcriber.transcribe(clip))
        return Trial(
            row["speaker"],
            span.removed,
            span.added,
            errors,
            self._compare_voices(samples, mono, span.was, span.now),
            tuple(measure_jumps(edited)),
            _is_bit_exact(samples, mono, span.now),
        )

    def _compare_voices(
        self,
        samples: Samples,
        edited: Samples,
        was: tuple[float, float],
        now: tuple[float, float],
    ) -> dict[str, float]:
        """The similarity of words with the rest of their recording, by row."""
        old, rest = _split(samples, was)
        coded, _ = _split(self._speaker.through_codec(samples), was)
        half = len(samples) // 2
        pairs: dict[str, tuple[Samples, Samples]] = {
            GROUND_TRUTH: (old, rest),
            CODEC: (coded, rest),
            HALVES: (samples[:half], samples[half:]),
            EDITED: _split(edited, now),
        }
        embed = self._metrics.encoder.embed
        return {row: float(embed(a) @ embed(b)) for row, (a, b) in pairs.items()}


def _split(samples: Samples, seconds: tuple[float, float]) -> tuple[Samples, Samples]:
    """A part of a recording at 16 kHz, and the rest."""
    start, end = (round(second * EVALUATION_RATE) for second in seconds)
    return samples[start:end], np.concatenate([samples[:start], samples[end:]])


def _is_bit_exact(samples: Samples, edited: Samples, seconds: tuple[float, float]) -> bool:
    start, end = (round(second * EVALUATION_RATE) for second in seconds)
    tail = len(edited) - end
    return np.array_equal(edited[:start], samples[:start]) and np.array_equal(
        edited[end:], samples[len(samples) - tail :]
    )


def count_errors(text: str, place: tuple[int, int], heard: str) -> tuple[int, int]:
    """Count the word errors within a part of a text.

    Args:
        text: what is to be said.
        place: where the part begins and ends in it, in characters.
        heard: the transcript of all of it.

    Returns:
        Errors, and how many words the part has.
    """
    inside = [len(text[: place[0]].split()), len(text[: place[1]].split())]
    reference, hypothesis = (
        ["".join(c for c in word if c.isalnum()) for word in words.casefold().split()]
        for words in (text, heard)
    )
    errors, position = 0, 0
    for i, j in align(reference, hypothesis):
        position = i if i >= 0 else position
        if inside[0] <= position < inside[1]:
            errors += i < 0 or j < 0 or reference[i] != hypothesis[j]
    return errors, inside[1] - inside[0]


def measure_jumps(edited: EditedRecording) -> list[bool]:
    """Tell of both joins of an edit whether the level jumps there as it seldom does in speech.

    A jump is the difference in power of the 10 ms before and after; it counts where it is greater
    than at 95 of 100 places of the recording.
    """
    size = edited.sample_rate // 100

    def jumps(samples: Samples, places: NDArray[np.int64]) -> Floats:
        sums = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
        before, after = sums[places] - sums[places - size], sums[places + size] - sums[places]
        return np.abs(10 * np.log10((before + 1e-8) / (after + 1e-8))).astype(np.float32)

    original, result = edited.original.samples.mean(axis=1), edited.samples.mean(axis=1)
    everywhere = jumps(original, np.arange(size, len(original) - size, size))
    limit = np.percentile(everywhere, _JUMP_PERCENTILE)
    (span,) = edited.spans
    joins = np.array([round(second * edited.sample_rate) for second in span.now])
    return [bool(jump > limit) for jump in jumps(result, joins)]


def summarize(trials: Sequence[Trial]) -> dict[str, Any]:
    """By row, word errors and similarity with intervals over speakers; joins; refusals."""
    edits = [trial for trial in trials if not trial.refusal]
    rows = {}
    for row in ROWS:
        words = [(t.speaker, *t.word_errors[row]) for t in edits if row in t.word_errors]
        voices = [(t.speaker, t.similarities[row], 1) for t in edits if row in t.similarities]
        rows[row] = {"word_error_rate": figure_by_speaker(words)}
        rows[row]["similarity"] = figure_by_speaker(voices)
    joins = [jump for trial in edits for jump in trial.jumps]
    return {
        "rows": rows,
        "edits": len(edits),
        "bit_exact": sum(trial.is_bit_exact for trial in edits),
        "joins_beyond_95th_percentile": float(np.mean(joins)) if joins else None,
        "refused": [trial.refusal for trial in trials if trial.refusal],
    }


def table(summary: dict[str, Any]) -> str:
    """The figures as text, intervals in brackets."""
    lines = [f"{'':24}{'WER of the words':>26}{'similarity with the rest':>28}"]
    for row, figures in summary["rows"].items():
        cells = [
            str(Figure(**figures[name])) if figures[name] else "-"
            for name in ("word_error_rate", "similarity")
        ]
        lines.append(f"{row:24}{cells[0]:>26}{cells[1]:>28}")
    jumps = summary["joins_beyond_95th_percentile"]
    share = "-" if jumps is None else f"{jumps:.3f}"
    lines += [
        f"{summary['edits']} edits, {summary['bit_exact']} of them bit-exact outside the new words",
        f"joins whose level jumps more than at 95 of 100 places: {share}",
        f"refused: {len(summary['refused'])}",
    ]
    return "\n".join(lines)
