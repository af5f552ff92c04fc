"""Clips of test items: ground truth, codec resynthesis and synthesis by a model, other systems."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.audio.whole_recording import read_mono
from valle.errors import Error, UsageError
from valle.evaluation.items import Item
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.plot import TimedWord
from valle.evaluation.protocols.zero_shot import CODEC, GROUND_TRUTH, SYNTHESIZED
from valle.styles import Style
from valle.synthesis.speech import Speech, SpokenSentence

if TYPE_CHECKING:
    from valle import Model, Voice

_SYSTEM_ENDINGS = (".wav", ".flac", ".ogg", ".mp3")


@dataclass(frozen=True, eq=False)
class ItemClip:
    """One clip of an item."""

    item: Item
    row: str
    """How the clip was made."""
    samples: Samples
    """[N] at 16 kHz."""
    seed: int | None = None
    words: tuple[TimedWord, ...] | None = None
    """When its words are said; None where it is not known yet."""
    sentences: tuple[SpokenSentence, ...] = ()
    """Of what was synthesized."""
    work_seconds: float | None = None
    """Time it took to synthesize."""
    first_seconds: float | None = None
    """Time to first audio, as a stream."""


class ItemSpeaker:
    """Makes the clips of items with one model; the prompts of a voice are enrolled once.

    Args:
        model: the one to evaluate.
        attest: statement of the rights to the voices of all items.
    """

    def __init__(self, model: Model, attest: str) -> None:
        self.model = model
        self._attest = attest
        self._enrolled: tuple[tuple[Path, float | None], Voice] | None = None

    def enroll(self, item: Item) -> Voice:
        """The voice of an item's prompt; the last one is kept, since items come by voice.

        Raises:
            RecordingError: the prompt cannot be used.
        """
        place = (item.prompt, item.prompt_seconds)
        if self._enrolled is None or self._enrolled[0] != place:
            # A prompt of which only a part is taken says only a part of its transcript.
            text = item.prompt_text if item.prompt_seconds is None else None
            samples = (item.read_prompt(), EVALUATION_RATE)
            voice = self.model.enroll(samples, attest=self._attest, ref_text=text)
            # The first sentence of a voice also pays for caches that later ones share.
            self.model.speak("Yes.", voice=voice, seed=0)
            self._enrolled = (place, voice)
        return self._enrolled[1]

    def speak(self, item: Item, seed: int, style: Style | None = None) -> ItemClip:
        """The item's text in its voice, said as the style asks.

        Raises:
            Error: the prompt cannot be used, or the text not be spoken.
        """
        voice = self.enroll(item)
        start = time.perf_counter()
        speech = self.model.speak(item.text, voice=voice, seed=seed, style=style)
        work = time.perf_counter() - start
        samples = resample(speech.audio, speech.sample_rate, EVALUATION_RATE)
        words = tuple((word.word, word.start, word.end) for word in speech.words)
        return ItemClip(item, SYNTHESIZED, samples, seed, words, tuple(speech.sentences), work)

    def measure_first_audio(self, item: Item, seed: int) -> float:
        """Seconds from the call until the first piece of a stream."""
        voice = self.enroll(item)
        start = time.perf_counter()
        stream: Iterator[Speech] = self.model.stream(item.text, voice=voice, seed=seed)
        next(piece for piece in stream if len(piece.audio))
        return time.perf_counter() - start

    def through_codec(self, samples: Samples) -> Samples:
        """Samples [N] at 16 kHz through the model's codec and back."""
        codec = self.model.codec
        resampled = resample(samples, EVALUATION_RATE, codec.sample_rate)
        decoded = codec.decode(codec.encode(resampled))[: len(resampled)]
        return resample(decoded, codec.sample_rate, EVALUATION_RATE)

    def recorded(self, item: Item) -> Iterator[ItemClip]:
        """The ground truth, and through the codec; nothing for an item without ground truth."""
        truth = item.read_truth()
        if truth is not None:
            yield ItemClip(item, GROUND_TRUTH, truth)
            yield ItemClip(item, CODEC, self.through_codec(truth))

    def align(self, samples: Samples, text: str) -> tuple[TimedWord, ...]:
        """When the words of a text are said in a recording at 16 kHz; none that is not said."""
        try:
            resampled = resample(samples, EVALUATION_RATE, self.model.sample_rate)
            words = self.model.align(resampled, text).words
        except Error:  # nothing of the text is heard: a clip without words, not a failure
            return ()
        return tuple(
            (word.text, word.start, word.end)
            for word in words
            if word.start is not None and word.end is not None
        )


def read_system(folder: Path, item: Item) -> Samples | None:
    """The clip of an item by another system, `KEY.wav` (or flac, ogg, mp3) in its folder.

    Raises:
        RecordingError: the file cannot be read.
    """
    for ending in _SYSTEM_ENDINGS:
        path = folder / f"{item.key}{ending}"
        if path.is_file():
            return read_mono(path, EVALUATION_RATE)  # even if it is silent: it counts
    return None


def check_systems(systems: Mapping[str, Path], items: list[Item]) -> None:
    """Check that the folder of every other system has a clip of some item.

    Raises:
        UsageError: there is no folder, or no file in it is named after an item.
    """
    for name, folder in systems.items():
        names = {path.stem for path in folder.iterdir()} if folder.is_dir() else set()
        if not names & {item.key for item in items}:
            raise UsageError(
                f"{folder} has no clip of the system {name}; name its clips after the items, "
                f"such as {items[0].key}.wav"
            )
