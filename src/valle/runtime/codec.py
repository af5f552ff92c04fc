"""The codec: audio to codes and back, whole or as a stream.

`codes` are int64 [frames, codebooks], each 0..codebook_size - 1; the value codebook_size means "no
code here". The decoder is causal but late: what it gives for the frame fed last belongs to the
frame `decoder_delay` earlier. `CodecStream` hides that, and `Codec.decode` is one such stream, so
that whole and streamed audio come from the same work.
"""

from __future__ import annotations

from copy import copy, deepcopy

import numpy as np
import numpy.typing as npt

from valle.arrays import Codes, Samples
from valle.bundle.bundle import Bundle
from valle.errors import RecordingError, UsageError
from valle.runtime.speaker_encoder import EMBEDDING

_DECODE_FRAMES = 1500  # frames decoded at once: bounds the memory that a long text takes


class Codec:
    """Encoder and decoder of a bundle; their graphs are loaded when first used."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.sample_rate = bundle.config.sample_rate  # Hz
        self.hop = bundle.config.hop  # samples a frame
        self.codebooks = bundle.config.codebooks
        self.codebook_size = bundle.config.codebook_size

    def encode(self, samples: npt.NDArray[np.floating]) -> Codes:
        """Codes [ceil(N / hop), codebooks] of `samples` [N], mono float at `sample_rate`.

        The last frame is filled up with silence. Raises RecordingError for anything but a row of
        finite floating-point numbers.
        """
        samples = np.asarray(samples)
        if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
            raise RecordingError(
                f"the codec takes one channel of floating-point samples in -1..1, not an array of "
                f"shape {samples.shape} and type {samples.dtype}; mix to mono and scale it first"
            )
        if not np.isfinite(samples).all():
            raise RecordingError("the samples hold NaN or infinity; clean the recording first")
        if samples.size == 0:
            return np.zeros((0, self.codebooks), np.int64)
        padded = np.pad(samples.astype(np.float32), (0, -samples.size % self.hop))
        session = self._bundle.session("codec_encoder")
        codes: Codes = session.run(["codes"], {"waveform": padded[None]})[0][0]
        return codes

    def decode(
        self, codes: npt.NDArray[np.integer], voice: npt.NDArray[np.float32] | None = None
    ) -> Samples:
        """Samples [frames * hop] of `codes` [frames, codebooks].

        voice: of codes that a model made, the speaker's embedding [192] (`Model.embedding`): they
        tell less of a voice than a recording's own, which need none.

        Raises UsageError for codes of another shape, type or range.
        """
        codes = self.checked(codes)
        stream = self.stream(voice)
        pieces = [
            stream.feed(codes[start : start + _DECODE_FRAMES])
            for start in range(0, len(codes), _DECODE_FRAMES)
        ]
        return np.concatenate([*pieces, stream.finish()])

    def stream(self, voice: npt.NDArray[np.float32] | None = None) -> CodecStream:
        """A decoder that takes codes as they come; voice as for `decode`."""
        return CodecStream(self, self._bundle, voice)

    def checked(self, codes: npt.NDArray[np.integer]) -> Codes:
        """`codes` as int64; raises UsageError unless [frames, codebooks] of 0..codebook_size."""
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
    """Decodes codes as they come; all samples together equal `Codec.decode` of all codes.

    `feed` returns what can be said already (`decoder_delay` frames late), `finish` the rest:
    together frames * hop samples. One thread at a time.
    """

    def __init__(self, codec: Codec, bundle: Bundle, voice: npt.NDArray[np.float32] | None) -> None:
        self._codec = codec
        self._voice = np.zeros(EMBEDDING, np.float32) if voice is None else voice
        self._session = bundle.session("codec_decoder")
        self._state = np.zeros((1, bundle.config.decoder_state), np.float32)
        self._noise = bundle.config.decoder_noise
        self._rng = np.random.default_rng(0)  # the same speech from the same codes
        self._delay = bundle.config.decoder_delay
        self._early = self._delay * codec.hop  # samples still to drop: they precede frame 0
        self._finished = False

    def feed(self, codes: npt.NDArray[np.integer]) -> Samples:
        """Samples that `codes` [frames, codebooks] complete; may be empty."""
        if self._finished:
            raise UsageError("this stream is finished; start another with Codec.stream()")
        return self._decode(self._codec.checked(codes))

    def finish(self) -> Samples:
        """The samples still owed. The stream takes no codes afterwards."""
        if self._finished:
            raise UsageError("this stream is finished already")
        self._finished = True
        shape = (self._delay, self._codec.codebooks)
        return self._decode(np.full(shape, self._codec.codebook_size, np.int64))

    def copy(self) -> CodecStream:
        """Another stream that goes on from here."""
        other = copy(self)  # its state is replaced at every call, never changed
        other._rng = deepcopy(self._rng)
        return other

    def rest(self) -> Samples:
        """The samples that `finish` would give now; the stream goes on as if nobody had asked."""
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
        dropped = min(self._early, samples.shape[1])
        self._early -= dropped
        kept: Samples = samples[0, dropped:]
        return kept
