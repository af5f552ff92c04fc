"""The codec's decoder without the watermark, for what trains and measures models.

Whatever leaves for a user comes from `valle.runtime.codec`, which embeds the watermark.
"""

from __future__ import annotations

from copy import copy, deepcopy
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from valle.arrays import Codes, Embedding, Samples
from valle.errors import BundleError, UsageError
from valle.runtime.speaker_encoder import EMBEDDING_DIM

if TYPE_CHECKING:
    from valle.runtime.codec import Codec

_BLOCK = 1500  # frames decoded at once; bounds the memory that a long text takes


class CodecDecoder:
    """Decodes codes as they arrive, without the watermark.

    The graph is causal, with a delay: its output for the latest frame belongs to the frame
    `decoder_delay` before it. This compensates for that. `feed` returns the samples that are
    complete (`decoder_delay` frames late), and `finish` the rest: together frames * hop samples.
    For one thread at a time.
    """

    def __init__(self, codec: Codec, voice: Embedding | None = None) -> None:
        bundle = codec.bundle
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

    def copy(self) -> CodecDecoder:
        """Return an independent stream in the same state."""
        other = copy(self)  # the state array is replaced at every call, never changed
        other._rng = deepcopy(self._rng)
        return other

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
        if not np.isfinite(samples).all():
            raise BundleError(
                "the bundle's codec_decoder makes values that are not numbers: its weights are "
                "damaged; use another bundle, or export it again"
            )
        dropped = min(self._samples_to_drop, samples.shape[1])
        self._samples_to_drop -= dropped
        remaining: Samples = samples[0, dropped:]
        return remaining


def decode_unmarked(
    codec: Codec, codes: npt.NDArray[np.integer], voice: Embedding | None = None
) -> Samples:
    """Decode codes [frames, codebooks] as `Codec.decode` does, without the watermark.

    A detector must not learn the watermark instead of the speech, and the watermark itself is
    measured against speech that has none.
    """
    codes = codec.validate_codes(codes)
    decoder = CodecDecoder(codec, voice)
    starts = range(0, len(codes), _BLOCK)
    blocks = [decoder.feed(codes[start : start + _BLOCK]) for start in starts]
    return np.concatenate([*blocks, decoder.finish()])
