"""The codec: audio to codes and back, whole or as a stream.

Codes are int64 [frames, codebooks], each from 0 to codebook_size - 1; codebook_size means "no
code". `Codec.decode` is one `CodecStream`, so that whole and streamed audio come from the same
computation. All samples that come from codes carry the watermark, whichever way they take: it is
embedded here, and not where a text is spoken.
"""

from __future__ import annotations

from copy import copy

import numpy as np
import numpy.typing as npt

from valle.arrays import AnyFloats, Codes, Embedding, Samples
from valle.audio.shaping_stream import ShapingStream
from valle.bundle.bundle import Bundle
from valle.errors import RecordingError, UsageError
from valle.runtime.codec_decoder import CodecDecoder
from valle.styles import StyleShift
from valle.watermark.embed import WatermarkEmbedder

_DECODE_FRAMES = 1500  # frames decoded at once; bounds the memory that a long text takes


class Codec:
    """The encoder and decoder of a bundle; their graphs are loaded at their first use.

    Attributes:
        bundle: Whose graphs it runs.
        sample_rate: In Hz.
        hop: Samples per frame.
        codebooks: Codes per frame.
        codebook_size: Entries of each codebook.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
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
        session = self.bundle.session("codec_encoder")
        codes: Codes = session.run(["codes"], {"waveform": padded[None]})[0][0]
        return codes

    def decode(
        self,
        codes: npt.NDArray[np.integer],
        voice: Embedding | None = None,
        watermark: WatermarkEmbedder | None = None,
    ) -> Samples:
        """Decode codes to audio with the watermark.

        Args:
            codes: [frames, codebooks].
            voice: [192] speaker embedding (`Model.embedding`), for codes that a model predicted:
                they carry less of a voice than those of a recording, which need none.
            watermark: What embeds it; None for one that names no receipt.

        Returns:
            [frames * hop] samples.

        Raises:
            UsageError: Codes of another shape, type or range.
        """
        codes = self.validate_codes(codes)
        stream = self.stream(voice, watermark)
        chunks = [
            stream.feed(codes[start : start + _DECODE_FRAMES])
            for start in range(0, len(codes), _DECODE_FRAMES)
        ]
        return np.concatenate([*chunks, stream.finish()])

    def stream(
        self, voice: Embedding | None = None, watermark: WatermarkEmbedder | None = None
    ) -> CodecStream:
        """Return a decoder that takes codes as they arrive.

        Args:
            voice: As for `decode`.
            watermark: What embeds the watermark; None for one without a payload.
        """
        if watermark is None:
            watermark = WatermarkEmbedder(self.sample_rate)
        return CodecStream(CodecDecoder(self, voice), watermark, self.sample_rate, self.hop)

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

    `feed` returns the samples that are complete, `decoder_delay` frames and up to 50 ms late, and
    `finish` the rest: together frames * hop samples. For one thread at a time.

    Frames between `begin_style` and `end_style` are said in a style. Their samples come once all of
    them are decoded, and get the watermark afterwards.
    """

    def __init__(
        self, decoder: CodecDecoder, watermark: WatermarkEmbedder, sample_rate: int, hop: int
    ) -> None:
        self._decoder = decoder
        self._watermark = watermark
        self._shaping = ShapingStream(sample_rate)
        self._hop = hop
        self._frames = 0  # fed

    def feed(self, codes: npt.NDArray[np.integer]) -> Samples:
        """Return the samples that codes [frames, codebooks] complete; possibly none.

        Raises:
            UsageError: The stream is finished, or codes of another shape, type or range.
        """
        samples = self._decoder.feed(codes)
        self._frames += len(codes)
        return self._watermark.feed(self._shaping.feed(samples))

    def begin_style(self, shift: StyleShift) -> None:
        """Say the frames that are fed from now on in a style."""
        self._shaping.begin(self._frames * self._hop, shift)

    def end_style(self, frames: int) -> None:
        """End the style; the frames since its beginning last as long as `frames` frames."""
        self._shaping.end(self._frames * self._hop, frames * self._hop)

    def peek_unstyled(self) -> Samples:
        """Return the samples of the latest frames in a style, as they are without it.

        They have no watermark: the recognizer hears them, and nobody else. Once `feed` follows
        `end_style`, they may be gone.
        """
        return self._shaping.peek_part(self._decoder.copy().finish())

    def finish(self) -> Samples:
        """Return the remaining samples; the stream takes no codes afterward.

        Raises:
            UsageError: The stream is finished already.
        """
        samples = self._watermark.feed(self._shaping.feed(self._decoder.finish()))
        return np.concatenate([samples, self._watermark.finish()])

    def copy(self) -> CodecStream:
        """Return an independent stream in the same state."""
        other = copy(self)
        other._decoder, other._watermark = self._decoder.copy(), copy(self._watermark)
        other._shaping = self._shaping.copy()
        return other

    def peek(self) -> Samples:
        """Return the samples that `finish` would return now, without finishing the stream."""
        return self.copy().finish()
