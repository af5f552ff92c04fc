"""Material of the benchmark: a bundle, a voice, texts, and the inputs of each component."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

import valle
from valle.runtime.ar import ARDecoder
from valle.runtime.batching import EncodedText
from valle.runtime.kv_cache import PromptCache
from valle.runtime.pointer import count_frames_on_symbol
from valle.runtime.sampling import DurationController, Sampling
from valle.synthesis.utterance import Symbols
from valle.text.segmentation import stream_sentences
from valle.text.symbols import BORDERS
from valle.trust.attestation import ATTESTATION

RECORDING = Path(__file__).parent.parent / "examples" / "voice.wav"
SENTENCES = (
    "This voice was never recorded saying these words, and yet it says them now.",
    "The old clock in the hall had stopped at a quarter past nine, as it did each winter.",
    "She asked for three fresh pears, two loaves of bread, and a jug of cold milk.",
    "Nobody knew how the garden gate came to be open, or who had shut it again.",
)
PROMPT_SECONDS = 3.0  # of the voice, unless prompts are compared
SPEECH_SECONDS = 4.0  # of one sentence


@dataclass(frozen=True)
class Material:
    """A model, and a voice of PROMPT_SECONDS."""

    model: valle.Model
    voice: valle.Voice

    @property
    def frames(self) -> int:
        """Frames of one sentence."""
        return round(SPEECH_SECONDS * self.model.frame_rate)

    def sentence(self, text: str = SENTENCES[0]) -> Symbols:
        """The symbols of a text as the models read them."""
        config = self.model.bundle.config
        ids = {symbol: index for index, symbol in enumerate(config.symbols)}
        (streamed,) = stream_sentences(text, config.language)
        assert streamed.sentence is not None
        phonemes = streamed.sentence.phonemes
        return Symbols(
            np.array([ids.get(phoneme.symbol, 0) for phoneme in phonemes], np.int64),
            np.array([phoneme.stress for phoneme in phonemes], np.int64),
            np.array([phoneme.symbol in BORDERS for phoneme in phonemes]),
        )


def open_material(folder: Path | None, threads: int | None) -> Material:
    """Load the material of a bundle; None loads the built-in one."""
    model = valle.load(folder, threads=threads)
    return Material(model, enroll_seconds(model, PROMPT_SECONDS))


def enroll_seconds(model: valle.Model, seconds: float) -> valle.Voice:
    """Enroll a recording of this length: the sample voice, cut or repeated."""
    audio, rate = soundfile.read(RECORDING, dtype="float32")
    count = round(seconds * rate)
    return model.enroll((np.resize(audio, count), rate), attest=ATTESTATION)


def random_prompt(decoder: ARDecoder, frames: int, symbols: Symbols) -> PromptCache:
    """A prompt of random codes, which costs what any prompt costs."""
    rng = np.random.default_rng(0)
    at = np.sort(rng.integers(0, len(symbols.ids), frames))
    encoded = decoder.encode(symbols.ids, symbols.stress, np.zeros(192, np.float32))
    return decoder.prefill(
        rng.integers(0, 1024, (frames, 8)), encoded[at], count_frames_on_symbol(at)
    )


def generate_frames(
    decoder: ARDecoder, prompt: PromptCache, symbols: Symbols, frames: int, seed: int = 0
) -> Iterator[tuple[int, int]]:
    """The AR's frames of one sentence, exactly `frames` of them."""
    encoded: NDArray[np.float32] = decoder.encode(
        symbols.ids, symbols.stress, np.zeros(192, np.float32)
    )
    duration = DurationController(frames, np.ones(len(symbols.ids)))
    rng = np.random.default_rng(seed)
    return decoder.generate(
        prompt, EncodedText(encoded, symbols.borders), Sampling(), rng, duration
    )
