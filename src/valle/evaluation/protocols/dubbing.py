"""`valle evaluate dubbing`: whether cues of a film begin, end and are paced as they should be.

Each voice dubs a film with cues that need 0.75 to 1.35 times its own pace, and the film that was
written is measured: where sound begins and ends by another method than the one that placed it,
which phonemes and words are recognized, and how fast each cue is beside its neighbor. The same
lines at the voice's own pace tell how hard they are to recognize.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.dubbing.dub import dub_film
from valle.dubbing.report import DubbedCue
from valle.dubbing.speaking import CueRequest, CueSpeaker, CueSpeech
from valle.evaluation.films import lay_out, write_film, write_lines
from valle.evaluation.item_clips import ItemSpeaker
from valle.evaluation.item_evaluator import ItemMetrics
from valle.evaluation.items import Item
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.word_errors import WordErrorCounter
from valle.evaluation.report import Figure, figure_by_speaker
from valle.media.disk_cache import DiskCache
from valle.media.films import read_film, read_sound
from valle.media.subtitles import to_srt
from valle.runtime.recognizer import PhonemeRecognizer
from valle.synthesis.model import Model
from valle.text.segmentation import stream_sentences
from valle.voices.voice import Voice

FREE, DUBBED = "own pace", "dubbed"
ROWS = (FREE, DUBBED)
_RATE = 48_000  # Hz, of a film's sound
_AROUND = 0.04  # seconds around a cue that are measured too
_START_LIMIT = 0.020  # seconds that a cue may begin early or late
_PACE_LIMIT = 1.1  # times as fast as its neighbor that a cue may be
_LEVEL_STEPS = 200  # per second
_BELOW_LOUDEST = 1000  # times less power than the loudest step, from which on there is sound


@dataclass(frozen=True)
class Trial:
    """One cue of a film."""

    speaker: str
    text: str
    start_error: float
    """Seconds after the cue's time at which its sound begins."""
    overrun: float
    """Seconds after the gap behind the cue at which its sound ends; 0 or less if in time."""
    is_end_heard: bool
    """Whether its last word is recognized, or is not at the voice's own pace either."""
    pace: float
    """How many times as fast as the voice's own its words are."""
    compression: float
    phoneme_errors: Mapping[str, tuple[float, int]]
    """Wrong phonemes and all phonemes, by row."""
    word_errors: Mapping[str, tuple[int, int]]
    """Wrong words and all words, by row; none without Whisper."""

    @property
    def begins_in_time(self) -> bool:
        """Whether its sound begins within 20 ms of its time."""
        return round(abs(self.start_error), 3) <= _START_LIMIT

    @property
    def ends_in_time(self) -> bool:
        """Whether its sound ends before the gap behind it does."""
        return self.overrun <= 0.0


def run_trials(
    speaker: ItemSpeaker, voices: Sequence[Item], metrics: ItemMetrics, cues: int, quiet: bool
) -> Iterator[Trial]:
    """Dub a film in each voice.

    Args:
        speaker: of the model.
        voices: one item for each voice.
        metrics: Whisper, if it is there.
        cues: of each film.
        quiet: no progress bar.

    Raises:
        UsageError: PyAV is not installed.
        Error: a recording cannot be used, or a line not be spoken.
    """
    phonemes = PhonemeCounter(speaker.model)
    words = WordErrorCounter() if metrics.transcriber else None
    for item in tqdm(voices, desc="dubbing", unit="voice", disable=quiet or None):
        with tempfile.TemporaryDirectory() as folder:
            film = speaker.model, speaker.enroll(item), write_lines(cues), Path(folder)
            for clip in _dub_clips(*film):
                errors: dict[str, tuple[int, int]] = {}
                if metrics.transcriber and words:
                    for row, samples in clip.rows.items():
                        text = metrics.transcriber.transcribe(samples)
                        found = words.count(clip.dubbed.cue.text, text)
                        errors[row] = found.word_edits, found.words
                yield clip.measure(item.speaker, phonemes, errors)


@dataclass(frozen=True)
class _Clip:
    """A cue as it is heard in the film, and its line at the voice's own pace."""

    dubbed: DubbedCue
    heard: Samples
    """[N] at 48 kHz, from `begin` of the film on."""
    begin: float
    free: CueSpeech
    pace: float

    @property
    def rows(self) -> dict[str, Samples]:
        """The samples [N] at 16 kHz in which words are recognized, by row."""
        samples, rate = self.free.decode()
        begin, end = max(0.0, self.free.begin - _AROUND), self.free.end + _AROUND
        free = samples[round(begin * rate) : round(end * rate)]
        return {
            FREE: resample(free, rate, EVALUATION_RATE),
            DUBBED: resample(self.heard, _RATE, EVALUATION_RATE),
        }

    def measure(
        self, speaker: str, counter: PhonemeCounter, word_errors: Mapping[str, tuple[int, int]]
    ) -> Trial:
        """Measure all but the words, whose errors are given."""
        text, slot = self.dubbed.cue.text, self.dubbed.slot
        first, last = find_level(self.heard, _RATE)
        phonemes = {row: counter.count_errors(samples, text) for row, samples in self.rows.items()}
        return Trial(
            speaker,
            text,
            self.begin + first - slot.start,
            self.begin + last - slot.limit,
            phonemes[DUBBED][2] or not phonemes[FREE][2],
            self.pace,
            self.dubbed.placement.compression,
            {row: figures[:2] for row, figures in phonemes.items()},
            word_errors,
        )


def _dub_clips(model: Model, voice: Voice, lines: Sequence[str], folder: Path) -> Iterator[_Clip]:
    """Dub a film that is made for a voice, and yield what is heard of each cue."""
    seen: Counter[str] = Counter()
    requests = []
    for line in lines:  # as `dub_film` chooses seeds, so that these are the same samples
        requests.append(CueRequest(line, voice, seen[line]))
        seen[line] += 1
    free = dict(CueSpeaker(model, cache=DiskCache("cues")).speak_all(requests))
    # A later take of a line differs in length by 7 %: its pace is that of the first one.
    paces = dict(CueSpeaker(model, retries=0).speak_all(requests))
    times = lay_out([free[index].seconds for index in range(len(lines))])
    film = write_film(folder / "film.mp4", times[-1][1] + 3)
    subtitles = folder / "film.srt"
    spoken = ((start, end, line) for (start, end), line in zip(times, lines, strict=True))
    subtitles.write_text(to_srt(spoken))
    cues = dub_film(model, film, subtitles, voice, folder / "out.mp4").cues
    out = read_film(folder / "out.mp4")
    sound = np.concatenate(list(read_sound(out, out.sounds[0], _RATE)), axis=1)[0]
    for index, dubbed in enumerate(cues):
        start, end = dubbed.placement.start, dubbed.placement.end
        # From the end of the cue before, whose last sound would be taken for this one's first.
        before = cues[index - 1].placement.end if index else 0.0
        begin = max(0.0, start - _AROUND, min(before, start))
        stop = min([end + _AROUND, *(later.placement.start for later in cues[index + 1 :][:1])])
        own = paces[index].word_seconds / dubbed.speech.word_seconds
        yield _Clip(
            dubbed,
            sound[round(begin * _RATE) : round(stop * _RATE)],
            begin,
            free[index],
            own * dubbed.placement.compression,
        )


def find_level(samples: Samples, rate: int) -> tuple[float, float]:
    """Begin and end, in seconds, of what is within 30 dB of the loudest 5 ms of samples [N]."""
    frame = rate // _LEVEL_STEPS
    count = len(samples) // frame
    power = np.square(samples[: count * frame].reshape(count, frame)).mean(axis=1)
    loud = np.flatnonzero(power >= power.max() / _BELOW_LOUDEST)
    return float(loud[0]) / _LEVEL_STEPS, float(loud[-1] + 1) / _LEVEL_STEPS


class PhonemeCounter:
    """Counts the phonemes that a bundle's recognizer does not hear as they should be."""

    def __init__(self, model: Model) -> None:
        self._recognizer = PhonemeRecognizer(model.bundle)
        self._language = model.bundle.config.language

    def count_errors(self, samples: Samples, text: str) -> tuple[float, int, bool]:
        """Wrong phonemes, all phonemes, and whether the last word is heard in samples [N]."""
        symbols: list[str] = []
        words: list[str] = []
        for segment in stream_sentences(iter([text]), self._language):
            if segment.sentence is None:
                continue
            known = segment.sentence.words
            for phoneme in segment.sentence.phonemes:
                symbols.append(phoneme.symbol)
                words.append(known[phoneme.word].text if phoneme.word >= 0 else "")
        check = self._recognizer.check(samples, symbols, words)
        last = next(word for word in reversed(words) if word)
        heard = last not in check.missing
        return check.phoneme_error_rate * check.phonemes, check.phonemes, heard


def summarize(trials: Sequence[Trial]) -> dict[str, Any]:
    """All figures, with intervals over voices."""
    pairs = [
        (one.speaker, 1 / _PACE_LIMIT <= other.pace / one.pace <= _PACE_LIMIT)
        for one, other in itertools.pairwise(trials)
        if one.speaker == other.speaker
    ]
    held = [
        (trial.speaker, (trial.begins_in_time, trial.ends_in_time, trial.is_end_heard))
        for trial in trials
    ]
    shares = {
        "begin within 20 ms": [(speaker, begins) for speaker, (begins, _, _) in held],
        "end in time": [(speaker, ends) for speaker, (_, ends, _) in held],
        "last word heard": [(speaker, heard) for speaker, (_, _, heard) in held],
        "all of these": [(speaker, all(checks)) for speaker, checks in held],
        "neighbors' paces within 10 %": pairs,
    }
    figures = {
        name: figure_by_speaker((speaker, float(holds), 1) for speaker, holds in of_all)
        for name, of_all in shares.items()
    }
    return {
        "voices": len({trial.speaker for trial in trials}),
        "cues": len(trials),
        "shares": figures,
        "phoneme_error_rate": {row: _rate(trials, "phoneme_errors", row) for row in ROWS},
        "word_error_rate": {row: _rate(trials, "word_errors", row) for row in ROWS},
    }


def _rate(trials: Sequence[Trial], kind: str, row: str) -> dict[str, float] | None:
    return figure_by_speaker(
        (trial.speaker, *getattr(trial, kind)[row])
        for trial in trials
        if row in getattr(trial, kind)
    )


def table(summary: dict[str, Any]) -> str:
    """The figures as text, intervals in brackets."""
    lines = [f"{summary['cues']} cues of {summary['voices']} voices"]
    named = dict(summary["shares"])
    for kind, heading in (("phoneme_error_rate", "phoneme errors"), ("word_error_rate", "WER")):
        named |= {f"{heading}, {row}": summary[kind][row] for row in ROWS}
    for name, figure in named.items():
        lines.append(f"{name:32}{Figure(**figure) if figure else '-'!s:>26}")
    return "\n".join(lines)
