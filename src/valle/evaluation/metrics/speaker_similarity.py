"""Speaker similarity by Resemblyzer (Wan et al. 2018, "Generalized end-to-end loss").

Its encoder never saw this project's models, and none of them is trained on it.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator

import numpy as np

from valle.arrays import Floats
from valle.errors import UsageError
from valle.evaluation.metrics.packages import missing_package
from valle.evaluation.metrics.statistics import FloatArray

DIMENSIONS = 256
_LEVEL = 10 ** (-30 / 20)  # RMS; Resemblyzer only raises recordings to it


class ResemblyzerEncoder:
    """Speaker embeddings by Resemblyzer on the CPU.

    Raises:
        UsageError: Resemblyzer, or something it needs, is not installed.
    """

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():
                # Its packages find their version in a deprecated way; the user cannot change that.
                warnings.simplefilter("ignore")
                import resemblyzer
                import torch
        except ImportError as error:
            raise UsageError(missing_package("Resemblyzer", error)) from error
        self._torch = torch
        self._preprocess = resemblyzer.preprocess_wav
        with contextlib.redirect_stdout(io.StringIO()):  # the constructor prints
            self._encoder = resemblyzer.VoiceEncoder("cpu")

    def embed(self, samples: FloatArray) -> Floats:
        """The speaker embedding of a recording: [256], unit norm, no negative values.

        The similarity of two embeddings is their dot product. Recordings of the same person give
        about 0.8, of two persons about 0.55. The embedding of silence is all zeros.

        The level is set first. Resemblyzer's features are not logarithmic and it leaves loud
        recordings as they are, so that 7 dB alone would lower the similarity by 0.06.

        Args:
            samples: [N] in [-1, 1] at 16 kHz.
        """
        samples = np.asarray(samples, np.float32)
        if not samples.any():
            return np.zeros(DIMENSIONS, np.float32)
        samples = samples * np.float32(_LEVEL / np.sqrt(np.mean(np.square(samples, dtype=float))))
        voiced = self._preprocess(samples)
        # Its voice activity detection may drop all of a noisy or unusual clip.
        with self._one_thread():
            embedding = self._encoder.embed_utterance(voiced if len(voiced) else samples)
        return np.asarray(embedding, np.float32)

    @contextlib.contextmanager
    def _one_thread(self) -> Iterator[None]:
        # 160 short steps one after another: a second thread gains nothing, and on a busy machine
        # the two wait for each other 30 times as long as the work takes.
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        try:
            yield
        finally:
            self._torch.set_num_threads(before)
