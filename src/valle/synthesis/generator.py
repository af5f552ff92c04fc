"""Saying one sentence in one voice: from phonemes to blocks of codes.

What the models keep of a voice is made when it is first used, and serves every sentence after that.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Codes, Ints
from valle.audio.recording import resample
from valle.bundle.bundle import Bundle
from valle.options import SpeakOptions
from valle.runtime.ar import ARDecoder
from valle.runtime.batching import Frames
from valle.runtime.codec import Codec
from valle.runtime.conditioning import is_asked
from valle.runtime.kv_cache import PromptCache
from valle.runtime.nar import NAR, NARPrompt
from valle.runtime.pointer import durations, stays
from valle.runtime.sampling import Pace, Sampling, expected_frames
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.synthesis.durations import Slot, Symbols, Task
from valle.text.phonemes import Sentence
from valle.text.symbols import BORDERS
from valle.voices.voice import Voice


@dataclass(frozen=True)
class Reader:
    """What the models keep of a voice; it serves every text."""

    ar: PromptCache
    nar: NARPrompt
    symbols: Symbols
    durations: Ints  # [symbols] frames


@dataclass(frozen=True)
class Begun:
    """A sentence that the AR model has begun to say."""

    frames: Frames
    style: Ints | None  # [5] classes as in `valle.audio.prosody`


class Sayer:
    """The AR and the NAR of a bundle, and what they keep of each voice."""

    def __init__(self, bundle: Bundle, codec: Codec) -> None:
        self._bundle = bundle
        self._codec = codec
        self._speaker = SpeakerEncoder(bundle)
        self._ar = ARDecoder(bundle)
        self._nar = NAR(bundle)
        self._ids = {symbol: index for index, symbol in enumerate(bundle.config.symbols)}
        self._readers: weakref.WeakKeyDictionary[Voice, Reader] = weakref.WeakKeyDictionary()

    def reader(self, voice: Voice) -> Reader:
        """What the models keep of a voice; made once."""
        if voice not in self._readers:
            codes = self._codes(voice)
            # A voice made with another codec may have another number of frames.
            frames = np.arange(len(codes)) * len(voice.frame_symbol) // len(codes)
            at = voice.frame_symbol[frames]
            symbols = self.symbols(voice.symbols, voice.stress)
            embedding = self.embedding(voice)
            encoded = self._ar.encode(symbols.ids, symbols.stress, embedding)
            self._readers[voice] = Reader(
                self._ar.prompt(codes, encoded[at], stays(at)),
                self._nar.prompt(codes, symbols.ids[at], symbols.stress[at], embedding),
                symbols,
                durations(at, len(symbols.ids)),
            )
        return self._readers[voice]

    def task(self, sentence: Sentence, reader: Reader) -> Task:
        """A sentence as the models read it, with the frames it would take in this voice."""
        phonemes = sentence.phonemes
        symbols = self.symbols([p.symbol for p in phonemes], [p.stress for p in phonemes])
        voice = reader.symbols
        expected = expected_frames(
            symbols.ids, symbols.borders, voice.ids, voice.borders, reader.durations
        )
        return Task(sentence, symbols, expected)

    def begin(
        self,
        reader: Reader,
        slot: Slot,
        options: SpeakOptions,
        index: int,
        attempt: int,
        style: Ints | None = None,
    ) -> Begun:
        """Begin to say a sentence, the `index`th of a text, for the `attempt`th time.

        style: classes [5] as in `valle.audio.prosody`; None leaves it to the prompt.
        """
        # Each sentence and attempt has chances of its own, whatever was said before it.
        rng = np.random.default_rng((options.seed, index, attempt))
        symbols = slot.task.symbols
        encode = partial(self._ar.encode, symbols.ids, symbols.stress, reader.nar.voice)
        plain = encode() if is_asked(style) else None
        sampling = Sampling(options.temperature, options.top_p)
        pace = None if slot.frames is None else Pace(slot.frames, slot.task.expected)
        frames = self._ar.generate(
            reader.ar, encode(style), symbols.borders, sampling, rng, pace, plain
        )
        return Begun(frames, style)

    def say(
        self,
        reader: Reader,
        slot: Slot,
        options: SpeakOptions,
        begun: Begun,
        go_on: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[Codes, Ints]]:
        """Blocks of a sentence: codes [n, codebooks] and the symbol index of each frame, [n].

        `go_on` is called whenever a block has been taken, so that the first is there soonest.
        """
        ids, stress = slot.task.symbols.ids, slot.task.symbols.stress
        visited: list[int] = []

        def first_codes() -> Iterator[tuple[int, int, int]]:
            for code, symbol in begun.frames:
                visited.append(symbol)
                yield code, int(ids[symbol]), int(stress[symbol])

        done = 0
        for codes in self._nar.refine(reader.nar, first_codes(), begun.style):
            yield codes, np.array(visited[done : done + len(codes)], np.int64)
            done += len(codes)
            go_on()

    def said(
        self,
        reader: Reader,
        slot: Slot,
        options: SpeakOptions,
        index: int,
        style: Ints | None = None,
    ) -> Codes:
        """All codes [frames, codebooks] of a sentence, begun as by `begin` and said once."""
        begun = self.begin(reader, slot, options, index, 0, style)
        return np.concatenate([codes for codes, _ in self.say(reader, slot, options, begun)])

    def likeness(self, reader: Reader, samples: NDArray[np.floating]) -> float:
        """How like the voice something said [N] is: the cosine of their embeddings, -1 to 1."""
        return float(self._speaker.embed(samples) @ reader.nar.voice)

    def symbols(self, symbols: Sequence[str], stress: Sequence[int]) -> Symbols:
        """Symbols and their stress as the bundle's models read them."""
        return Symbols(
            np.array([self._ids.get(symbol, 0) for symbol in symbols], np.int64),
            np.array(stress, np.int64),
            np.array([symbol in BORDERS for symbol in symbols], bool),
        )

    def _codes(self, voice: Voice) -> Codes:
        graph = self._bundle.graph_hash("codec_encoder")
        codes: Any = voice.derive("codes", graph, lambda: self._codec.encode(self._samples(voice)))
        return self._codec.checked(codes)

    def embedding(self, voice: Voice) -> NDArray[np.float32]:
        """The speaker's embedding [192], of unit length."""
        graph = self._bundle.graph_hash("speaker")
        embedding = voice.derive(
            "embedding", graph, lambda: self._speaker.embed(self._samples(voice))
        )
        return np.asarray(embedding, np.float32)

    def _samples(self, voice: Voice) -> NDArray[np.float32]:
        return resample(voice.audio, voice.sample_rate, self._bundle.config.sample_rate)
