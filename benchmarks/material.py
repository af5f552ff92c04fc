"""What is measured on: a bundle, a voice, texts, and what each part of the model takes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

import valle
from valle.runtime.ar import ARDecoder
from valle.runtime.kv_cache import PromptCache
from valle.runtime.pointer import stays
from valle.runtime.sampling import Pace, Sampling
from valle.synthesis.durations import Symbols
from valle.text.segmentation import utterances
from valle.text.symbols import BORDERS

RECORDING = Path(__file__).parent.parent / "examples" / "voice.wav"
STATEMENT = "I hold the rights to this voice"
SENTENCES = (
    "This voice was never recorded saying these words, and yet it says them now.",
    "The old clock in the hall had stopped at a quarter past nine, as it did each winter.",
    "She asked for three fresh pears, two loaves of bread, and a jug of cold milk.",
    "Nobody knew how the garden gate came to be open, or who had shut it again.",
)
PROMPT_SECONDS = 3.0  # of the voice, where nothing else is said
SPOKEN_SECONDS = 4.0  # of one sentence


@dataclass(frozen=True)
class Material:
    """A model, and a voice of PROMPT_SECONDS."""

    model: valle.Model
    voice: valle.Voice

    @property
    def frames(self) -> int:
        """Of one sentence."""
        return round(SPOKEN_SECONDS * self.model.frame_rate)

    def sentence(self, text: str = SENTENCES[0]) -> Symbols:
        """The symbols of a text, as the models read them."""
        config = self.model.bundle.config
        ids = {symbol: index for index, symbol in enumerate(config.symbols)}
        (said,) = utterances(text, config.language)
        assert said.sentence is not None
        phonemes = said.sentence.phonemes
        return Symbols(
            np.array([ids.get(phoneme.symbol, 0) for phoneme in phonemes], np.int64),
            np.array([phoneme.stress for phoneme in phonemes], np.int64),
            np.array([phoneme.symbol in BORDERS for phoneme in phonemes]),
        )


def open_material(folder: Path | None, threads: int | None) -> Material:
    """The material of a bundle; None is the one in the package."""
    model = valle.load(folder, threads=threads)
    return Material(model, voice_of(model, PROMPT_SECONDS))


def voice_of(model: valle.Model, seconds: float) -> valle.Voice:
    """The voice from a recording of this length: the sample voice cut, or said again and again."""
    audio, rate = soundfile.read(RECORDING, dtype="float32")
    count = round(seconds * rate)
    return model.enroll((np.resize(audio, count), rate), attest=STATEMENT)


def random_prompt(decoder: ARDecoder, frames: int, symbols: Symbols) -> PromptCache:
    """A prompt of random codes: it costs what any prompt costs."""
    rng = np.random.default_rng(0)
    at = np.sort(rng.integers(0, len(symbols.ids), frames))
    encoded = decoder.encode(symbols.ids, symbols.stress, np.zeros(192, np.float32))
    return decoder.prompt(rng.integers(0, 1024, (frames, 8)), encoded[at], stays(at))


def said_by_ar(
    decoder: ARDecoder, prompt: PromptCache, symbols: Symbols, frames: int, seed: int = 0
) -> Iterator[tuple[int, int]]:
    """The AR's frames of one sentence, exactly so many of them."""
    encoded: NDArray[np.float32] = decoder.encode(
        symbols.ids, symbols.stress, np.zeros(192, np.float32)
    )
    pace = Pace(frames, np.ones(len(symbols.ids)))
    rng = np.random.default_rng(seed)
    return decoder.generate(prompt, encoded, symbols.borders, Sampling(), rng, pace)
