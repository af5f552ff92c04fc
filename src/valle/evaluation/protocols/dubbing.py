"""`valle evaluate dubbing`: whether cues of a film begin, end and are paced as they should be.

Each voice dubs a film with cues that need 0.75 to 1.35 times its own pace, and the film that was
written is measured: where sound begins and ends by another method than the one that placed it,
which phonemes and words are recognized, and how fast each cue is beside its neighbor. The same
lines at the voice's own pace tell how hard they are to recognize.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.dubbing.dub import dub_film
from valle.dubbing.report import DubbedCue, DubResult
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
    def is_in_time(self) -> bool:
        """Whether the cue begins and ends when it should, and its last word is heard."""
        begins = round(abs(self.start_error), 3) <= _START_LIMIT
        return begins and self.overrun <= 0.0 and self.is_end_heard


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
    for item in tqdm(voices, desc="dubbing", unit="voice", disable=quiet or None):
        voice = speaker.enroll(item)
        with tempfile.TemporaryDirectory() as folder:
            measured = _MeasuredFilm(speaker.model, voice, write_lines(cues), Path(folder))
            for clip in measured.clips():
                yield clip.measure(item.speaker, measured.counter, metrics)


@dataclass(frozen=True)
class _Clip:
    """A cue as it is heard in the film, and its line at the voice's own pace."""

    dubbed: DubbedCue
    heard: Samples
    """[N] at 48 kHz, from `begin` of the film on."""
    begin: float
    free: CueSpeech
    pace: float

    def measure(self, speaker: str, counter: PhonemeCounter, metrics: ItemMetrics) -> Trial:
        text, slot = self.dubbed.cue.text, self.dubbed.slot
        first, last = find_level(self.heard, _RATE)
        clips = {FREE: self._cut_free(), DUBBED: resample(self.heard, _RATE, EVALUATION_RATE)}
        phonemes = {row: counter.count_errors(samples, text) for row, samples in clips.items()}
        words: dict[str, tuple[int, int]] = {}
        if metrics.transcriber:
            for row, samples in clips.items():
                errors = WordErrorCounter().count(text, metrics.transcriber.transcribe(samples))
                words[row] = errors.word_edits, errors.words
        return Trial(
            speaker,
            text,
            self.begin + first - slot.start,
            self.begin + last - slot.limit,
            phonemes[DUBBED][2] or not phonemes[FREE][2],
            self.pace,
            self.dubbed.placement.compression,
            {row: figures[:2] for row, figures in phonemes.items()},
            words,
        )

    def _cut_free(self) -> Samples:
        samples, rate = self.free.decode()
        begin, end = max(0.0, self.free.begin - _AROUND), self.free.end + _AROUND
        return resample(samples[round(begin * rate) : round(end * rate)], rate, EVALUATION_RATE)


class _MeasuredFilm:
    """A film that was made for a voice, and dubbed."""

    def __init__(self, model: Model, voice: Voice, lines: Sequence[str], folder: Path) -> None:
        self.counter = PhonemeCounter(model)
        seen: dict[str, int] = {}
        requests = []
        for line in lines:  # as `dub_film` chooses seeds, so that these are the same samples
            requests.append(CueRequest(line, voice, seen.get(line, 0)))
            seen[line] = seen.get(line, 0) + 1
        speaker = CueSpeaker(model, cache=DiskCache("cues"))
        self._free = dict(speaker.speak_all(requests))
        # A later take of a line differs in length by 7 %: its pace is that of the first one.
        self._paces = dict(CueSpeaker(model, retries=0).speak_all(requests))
        times = lay_out([self._free[index].seconds for index in range(len(lines))])
        film = write_film(folder / "film.mp4", times[-1][1] + 3)
        cues = to_srt((start, end, line) for (start, end), line in zip(times, lines, strict=True))
        (folder / "film.srt").write_text(cues)
        self._result: DubResult = dub_film(
            model, film, folder / "film.srt", voice, folder / "out.mp4"
        )
        out = read_film(folder / "out.mp4")
        self._sound = np.concatenate(list(read_sound(out, out.sounds[0], _RATE)), axis=1)[0]

    def clips(self) -> Iterator[_Clip]:
        """Yield what is heard of each cue."""
        for index, dubbed in enumerate(self._result.cues):
            start, end = dubbed.placement.start, dubbed.placement.end
            # From the end of the cue before, whose last sound would be taken for this one's first.
            before = self._result.cues[index - 1].placement.end if index else 0.0
            begin = max(0.0, start - _AROUND, min(before, start))
            after = [later.placement.start for later in self._result.cues[index + 1 : index + 2]]
            stop = min([end + _AROUND, *after])
            own = self._paces[index].word_seconds / dubbed.speech.word_seconds
            yield _Clip(
                dubbed,
                self._sound[round(begin * _RATE) : round(stop * _RATE)],
                begin,
                self._free[index],
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
    begins = [round(abs(trial.start_error), 3) <= _START_LIMIT for trial in trials]
    shares = {
        "begin within 20 ms": zip(trials, begins, strict=True),
        "end in time": ((trial, trial.overrun <= 0.0) for trial in trials),
        "last word heard": ((trial, trial.is_end_heard) for trial in trials),
        "all of these": ((trial, trial.is_in_time) for trial in trials),
    }
    figures: dict[str, Any] = {
        name: figure_by_speaker((trial.speaker, float(held), 1) for trial, held in of_all)
        for name, of_all in shares.items()
    }
    figures["neighbors' paces within 10 %"] = figure_by_speaker(
        (speaker, float(held), 1) for speaker, held in pairs
    )
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
