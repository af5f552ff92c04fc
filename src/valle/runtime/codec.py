"""The codec: audio to codes and back, whole or as a stream.

Codes are int64 [frames, codebooks], each from 0 to codebook_size - 1; codebook_size means "no
code". The decoder is causal, with a delay: its output for the latest frame belongs to the frame
`decoder_delay` before it. `CodecStream` compensates for that. `Codec.decode` is one such stream, so
that whole and streamed audio come from the same computation.
"""

from __future__ import annotations

from copy import copy, deepcopy

import numpy as np
import numpy.typing as npt

from valle.arrays import AnyFloats, Codes, Embedding, Samples
from valle.bundle.bundle import Bundle
from valle.errors import RecordingError, UsageError
from valle.runtime.speaker_encoder import EMBEDDING_DIM

_DECODE_FRAMES = 1500  # frames decoded at once; bounds the memory that a long text takes


class Codec:
    """The encoder and decoder of a bundle; their graphs are loaded at their first use.

    Attributes:
        sample_rate: In Hz.
        hop: Samples per frame.
        codebooks: Codes per frame.
        codebook_size: Entries of each codebook.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.sample_rate = bundle.config.sample_rate
        self.hop = bundle.config.hop
        self.codebooks = bundle.config.codebooks
        self.codebook_size = bundle.config.codebook_size

    def encode(self, samples: AnyFloats) -> Codes:
        """Encode audio; the last frame is padded with silence.

        Args:
            samples: [N] mono in [-1, 1] at `sample_rate`.

        Returns:
            [ceil(N / hop), codebooks] codes.

        Raises:
            RecordingError: Not one channel of finite floating-point samples.
        """
        samples = np.asarray(samples)
        if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
            raise RecordingError(
                f"the codec takes one channel of floating-point samples in [-1, 1], not an array "
                f"of shape {samples.shape} and type {samples.dtype}; mix to mono and scale it first"
            )
        if not np.isfinite(samples).all():
            raise RecordingError("the samples hold NaN or infinity; clean the recording first")
        if samples.size == 0:
            return np.zeros((0, self.codebooks), np.int64)
        padded = np.pad(samples.astype(np.float32), (0, -samples.size % self.hop))
        session = self._bundle.session("codec_encoder")
        codes: Codes = session.run(["codes"], {"waveform": padded[None]})[0][0]
        return codes

    def decode(self, codes: npt.NDArray[np.integer], voice: Embedding | None = None) -> Samples:
        """Decode codes to audio.

        Args:
            codes: [frames, codebooks].
            voice: [192] speaker embedding (`Model.embedding`), for codes that a model predicted:
                they carry less of a voice than those of a recording, which need none.

        Returns:
            [frames * hop] samples.

        Raises:
            UsageError: Codes of another shape, type or range.
        """
        codes = self.validate_codes(codes)
        stream = self.stream(voice)
        chunks = [
            stream.feed(codes[start : start + _DECODE_FRAMES])
            for start in range(0, len(codes), _DECODE_FRAMES)
        ]
        return np.concatenate([*chunks, stream.finish()])

    def stream(self, voice: Embedding | None = None) -> CodecStream:
        """Return a decoder that takes codes as they arrive; `voice` as for `decode`."""
        return CodecStream(self, self._bundle, voice)

    def validate_codes(self, codes: npt.NDArray[np.integer]) -> Codes:
        """Return codes as int64.

        Raises:
            UsageError: Not [frames, codebooks] integers from 0 to codebook_size.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != self.codebooks:
            raise UsageError(f"codes must be [frames, {self.codebooks}], not {list(codes.shape)}")
        if not np.issubdtype(codes.dtype, np.integer):
            raise UsageError(f"codes must be integers, not {codes.dtype}")
        if codes.size and not (codes.min() >= 0 and codes.max() <= self.codebook_size):
            raise UsageError(
                f"codes must lie in 0..{self.codebook_size}, not {codes.min()}..{codes.max()}"
            )
        return codes.astype(np.int64)


class CodecStream:
    """Decodes codes as they arrive; all samples together equal `Codec.decode` of all codes.

    `feed` returns the samples that are complete (`decoder_delay` frames late), and `finish` the
    rest: together frames * hop samples. For one thread at a time.
    """

    def __init__(self, codec: Codec, bundle: Bundle, voice: Embedding | None) -> None:
        self._codec = codec
        self._voice = np.zeros(EMBEDDING_DIM, np.float32) if voice is None else voice
        self._session = bundle.session("codec_decoder")
        self._state = np.zeros((1, bundle.config.decoder_state), np.float32)
        self._noise = bundle.config.decoder_noise
        self._rng = np.random.default_rng(0)  # the same samples from the same codes
        self._delay = bundle.config.decoder_delay
        self._samples_to_drop = self._delay * codec.hop  # they precede frame 0
        self._finished = False

    def feed(self, codes: npt.NDArray[np.integer]) -> Samples:
        """Return the samples that codes [frames, codebooks] complete; possibly none.

        Raises:
            UsageError: The stream is finished, or codes of another shape, type or range.
        """
        if self._finished:
            raise UsageError("this stream is finished; start another with Codec.stream()")
        return self._decode(self._codec.validate_codes(codes))

    def finish(self) -> Samples:
        """Return the remaining samples; the stream takes no codes afterward.

        Raises:
            UsageError: The stream is finished already.
        """
        if self._finished:
            raise UsageError("this stream is finished already")
        self._finished = True
        shape = (self._delay, self._codec.codebooks)
        return self._decode(np.full(shape, self._codec.codebook_size, np.int64))

    def copy(self) -> CodecStream:
        """Return an independent stream in the same state."""
        other = copy(self)  # the state array is replaced at every call, never changed
        other._rng = deepcopy(self._rng)
        return other

    def peek(self) -> Samples:
        """Return the samples that `finish` would return now, without finishing the stream."""
        return self.copy().finish()

    def _decode(self, codes: Codes) -> Samples:
        if not len(codes):
            return np.zeros(0, np.float32)
        shape = (1, len(codes), self._noise)
        samples, self._state = self._session.run(
            ["waveform", "state_out"],
            {
                "codes": codes[None],
                "state": self._state,
                "voice": self._voice[None],
                "noise": self._rng.standard_normal(shape, np.float32),
            },
        )
        dropped = min(self._samples_to_drop, samples.shape[1])
        self._samples_to_drop -= dropped
        remaining: Samples = samples[0, dropped:]
        return remaining
