"""The acoustic model of a bundle: from the phonemes of one sentence to codec codes in a voice.

The AR model samples codebook 1 and says which symbol each frame is at; the NAR model predicts the
other codebooks, block by block as frames come. What both compute of a voice (`VoicePrompt`) is
cached and serves every sentence in that voice.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Codes, Embedding, Floats, Ints
from valle.audio.recording import resample
from valle.bundle.bundle import Bundle
from valle.runtime.ar import ARDecoder
from valle.runtime.batching import Frame, FrameStream
from valle.runtime.codec import Codec
from valle.runtime.kv_cache import PromptCache
from valle.runtime.nar import NAR, FrameInputs, NARPrompt
from valle.runtime.pointer import count_frames_on_symbol, measure_durations
from valle.runtime.sampling import DurationController, expected_frames
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.synthesis.sentence_cache import cache_key
from valle.synthesis.symbol_reader import SymbolReader
from valle.synthesis.utterance import Symbols, Utterance
from valle.text.phonemes import Phoneme
from valle.text.segmentation import Sentence
from valle.text.symbols import BORDERS
from valle.voices.voice import Voice

MAX_MEASURED = 4_096  # utterances whose lengths are kept, about 2 kB each
MAX_CACHED_PROMPTS = 8  # voices; with the default bundle, a prompt of 10 s takes about 10 MB


@dataclass(frozen=True)
class VoicePrompt:
    """What the models compute of a voice, whatever the text."""

    ar: PromptCache
    nar: NARPrompt
    symbols: Symbols
    """What the recording says."""
    durations: Ints
    """[symbols] frames that each symbol takes in the recording."""
    key: str
    """A hash of all that the prompt is computed from."""

    @property
    def embedding(self) -> Embedding:
        """The speaker embedding."""
        return self.nar.speaker


class KnownFrames(Iterator[Frame]):
    """The frames of a sentence that was measured before."""

    is_waiting = False

    def __init__(self, frames: NDArray[np.int32]) -> None:
        """Take frames [frames, 2]: the code and the index of the symbol of each."""
        self._frames = iter(frames.tolist())

    def __next__(self) -> Frame:
        code, symbol = next(self._frames)
        return code, symbol


@dataclass(frozen=True)
class PendingUtterance:
    """An utterance that the AR model has started on; no code of it was read yet."""

    utterance: Utterance
    prompt: VoicePrompt
    frames: FrameStream | KnownFrames
    reader: SymbolReader


@dataclass(frozen=True)
class _Measured:
    """What is known of an utterance without its sound."""

    per_symbol: Ints
    """[symbols] frames."""
    frames: NDArray[np.int32] | None
    """[frames, 2] as in `KnownFrames`, where they were not used yet."""


class AcousticModel:
    """The AR and the NAR model of a bundle, with the prompts of the voices used last.

    Safe to share between threads.
    """

    def __init__(self, bundle: Bundle, codec: Codec) -> None:
        self._bundle = bundle
        self._codec = codec
        self._speaker_encoder = SpeakerEncoder(bundle)
        self._ar = ARDecoder(bundle)
        self._nar = NAR(bundle)
        self._symbol_ids = {symbol: index for index, symbol in enumerate(bundle.config.symbols)}
        self._prompts: OrderedDict[str, VoicePrompt] = OrderedDict()  # least recently used first
        self._prompts_lock = threading.Lock()
        self._measured: OrderedDict[str, _Measured] = OrderedDict()  # in the order they were made
        graphs = sorted((name, graph.sha256) for name, graph in bundle.config.graphs.items())
        self.version = hashlib.sha256(repr(graphs).encode()).hexdigest()  # of all graphs

    def prompt(self, voice: Voice) -> VoicePrompt:
        """Return the prompt of a voice, computed at most once while it is cached.

        It is looked up by what it is computed from, so a voice that is loaded from its file for
        every text finds it too. The codes and the embedding are stored in the voice itself.
        """
        codes, embedding = self.codes(voice), self.embedding(voice)
        key = _prompt_key(voice, codes, embedding)
        with self._prompts_lock:
            if key in self._prompts:
                self._prompts.move_to_end(key)
                return self._prompts[key]
        prompt = self._compute_prompt(voice, codes, embedding, key)
        with self._prompts_lock:
            self._prompts[key] = prompt
            if len(self._prompts) > MAX_CACHED_PROMPTS:
                self._prompts.popitem(last=False)
        return prompt

    def embedding(self, voice: Voice) -> Embedding:
        """Return the speaker embedding [192] of a voice, of unit length."""
        embedding = voice.derive(
            "embedding",
            self._bundle.graph_hash("speaker"),
            lambda: self._speaker_encoder.embed(self._resample(voice)),
        )
        return np.asarray(embedding, np.float32)

    def is_busy(self) -> bool:
        """Return whether so many sentences are being generated that later ones should wait."""
        return self._ar.is_busy

    def encode_symbols(self, symbols: Sequence[str], stress: Sequence[int]) -> Symbols:
        """Return symbols and their stress (0 to 2) as the models read them.

        Symbols that the bundle does not know become its symbol 0.
        """
        return Symbols(
            np.array([self._symbol_ids.get(symbol, 0) for symbol in symbols], np.int64),
            np.array(stress, np.int64),
            np.array([symbol in BORDERS for symbol in symbols], bool),
        )

    def prepare(self, sentence: Sentence, prompt: VoicePrompt) -> Utterance:
        """Return an utterance of a sentence in a voice, with the length expected of it."""
        symbols = self._to_symbols(sentence.phonemes)
        frames = expected_frames(
            symbols.ids,
            symbols.borders,
            prompt.symbols.ids,
            prompt.symbols.borders,
            prompt.durations,
        )
        return Utterance(sentence, symbols, frames)

    def _to_symbols(self, phonemes: Sequence[Phoneme]) -> Symbols:
        return self.encode_symbols([p.symbol for p in phonemes], [p.stress for p in phonemes])

    def start(self, utterance: Utterance, prompt: VoicePrompt) -> PendingUtterance:
        """Start to sample an utterance.

        Utterances that were started share the decoding steps of the AR model, so to start several
        and then to generate one of them computes all of them in a batch.

        Raises:
            UsageError: The target length is too short for the phonemes, or the bundle has no
                styles and one is requested.
        """

        def encode(symbols: Symbols, style: Ints | None) -> Floats:
            return self._ar.encode(symbols.ids, symbols.stress, prompt.embedding, style)

        reader = SymbolReader(utterance, self._to_symbols, encode)
        known = self._take_measured(utterance, prompt)
        if known is not None:
            return PendingUtterance(utterance, prompt, KnownFrames(known), reader)
        controller = None
        if utterance.target_frames is not None:
            controller = DurationController(
                utterance.target_frames, utterance.expected_frames, utterance.is_timed
            )
        frames = self._ar.generate(
            prompt.ar, reader.encode(), utterance.sampling, utterance.make_rng(), controller
        )
        return PendingUtterance(utterance, prompt, frames, reader)

    def generate(
        self,
        pending: PendingUtterance,
        after_block: Callable[[], None] = lambda: None,
        early: bool = False,
    ) -> Iterator[tuple[Codes, Ints]]:
        """Generate the blocks of an utterance, each as soon as it is complete.

        Args:
            pending: An utterance from `start`, which can be generated once.
            after_block: Called whenever a block has been consumed, so that what it does does not
                delay the first block.
            early: Its first block is awaited, see `valle.runtime.nar.first_block_frames`.

        Yields:
            Codes [frames, codebooks], and [frames] the index of the symbol that each frame is at.
        """
        visited: list[int] = []  # the symbol of each frame

        def read_frames() -> Iterator[tuple[int, int, int] | None]:
            while True:
                if pending.frames.is_waiting:
                    yield None
                frame = next(pending.frames, None)
                if frame is None:
                    return
                code, symbol = frame
                visited.append(symbol)
                symbols = pending.reader.symbols
                yield code, int(symbols.ids[symbol]), int(symbols.stress[symbol])

        done = 0
        style, live = pending.utterance.style, pending.utterance.opened is not None
        prompt = pending.prompt.nar
        for codes in self._nar.predict_residuals(prompt, read_frames(), style, early, live):
            yield codes, np.array(visited[done : done + len(codes)], np.int64)
            done += len(codes)
            after_block()
        if _has_own_length(pending.utterance):
            self._keep_measured(pending.utterance, pending.prompt, visited)

    def measure(self, utterance: Utterance, prompt: VoicePrompt) -> Ints:
        """Return the frames [symbols] that an utterance takes if no length is asked for.

        What was generated or measured before is not computed again, and the AR model does not run
        again when what was measured is spoken.
        """
        utterance = replace(utterance, target_frames=None)
        known = self._measured.get(cache_key(utterance, prompt.key))
        if known is not None:
            return known.per_symbol
        frames = np.array(list(self.start(utterance, prompt).frames), np.int32).reshape(-1, 2)
        return self._keep_measured(utterance, prompt, frames[:, 1], frames)

    def _keep_measured(
        self,
        utterance: Utterance,
        prompt: VoicePrompt,
        visited: Sequence[int] | NDArray[np.int32],
        frames: NDArray[np.int32] | None = None,
    ) -> Ints:
        """Return the frames of each symbol [symbols], and keep them for `measure`."""
        symbols = np.array(visited, np.int64)
        per_symbol = np.bincount(symbols, minlength=len(utterance.symbols.ids))
        with self._prompts_lock:
            self._measured[cache_key(utterance, prompt.key)] = _Measured(per_symbol, frames)
            if len(self._measured) > MAX_MEASURED:
                self._measured.popitem(last=False)
        return per_symbol

    def _take_measured(self, utterance: Utterance, prompt: VoicePrompt) -> NDArray[np.int32] | None:
        """Return the frames that an utterance was measured by, which are kept for one use."""
        if not self._measured or not _has_own_length(utterance):
            return None
        key = cache_key(utterance, prompt.key)
        with self._prompts_lock:
            known = self._measured.get(key)
            if known is None or known.frames is None:
                return None
            self._measured[key] = replace(known, frames=None)
            return known.frames

    def generate_codes(self, utterance: Utterance, prompt: VoicePrompt) -> Codes:
        """Generate all codes [frames, codebooks] of an utterance."""
        pending = self.start(utterance, prompt)
        return np.concatenate([codes for codes, _ in self.generate(pending)])

    def similarity(self, prompt: VoicePrompt, samples: NDArray[np.floating]) -> float:
        """Return the cosine similarity, -1 to 1, of a voice and samples [N] by their embeddings."""
        return float(self._speaker_encoder.embed(samples) @ prompt.embedding)

    def _compute_prompt(
        self, voice: Voice, codes: Codes, embedding: Embedding, key: str
    ) -> VoicePrompt:
        # A voice that was aligned with another codec may have another number of frames.
        frames = np.arange(len(codes)) * len(voice.frame_symbol) // len(codes)
        frame_symbol = voice.frame_symbol[frames]
        symbols = self.encode_symbols(voice.symbols, voice.stress)
        ids, stress = symbols.ids[frame_symbol], symbols.stress[frame_symbol]
        encoded = self._ar.encode(symbols.ids, symbols.stress, embedding)[frame_symbol]
        return VoicePrompt(
            self._ar.prefill(codes, encoded, count_frames_on_symbol(frame_symbol)),
            self._nar.prefill(FrameInputs(codes, ids, stress), embedding),
            symbols,
            measure_durations(frame_symbol, len(symbols.ids)),
            key,
        )

    def codes(self, voice: Voice) -> Codes:
        """Return the codes [frames, codebooks] of a voice's recording."""
        codes: Any = voice.derive(
            "codes",
            self._bundle.graph_hash("codec_encoder"),
            lambda: self._codec.encode(self._resample(voice)),
        )
        return self._codec.validate_codes(codes)  # those of a file may be of any shape

    def _resample(self, voice: Voice) -> NDArray[np.float32]:
        return resample(voice.audio, voice.sample_rate, self._bundle.config.sample_rate)


def _has_own_length(utterance: Utterance) -> bool:
    """Return whether a whole utterance takes as long as it would by itself."""
    return utterance.target_frames is None and utterance.opened is None


def _prompt_key(voice: Voice, codes: Codes, embedding: Embedding) -> str:
    """Return a hash of all that a prompt is computed from."""
    shapes = len(voice.frame_symbol), codes.shape
    digest = hashlib.sha256(repr((voice.symbols, voice.stress, shapes)).encode())
    for array in (voice.frame_symbol, codes, embedding):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
