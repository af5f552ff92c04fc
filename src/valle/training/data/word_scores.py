"""How well each word of a text can be understood: its log probability by Whisper.

The decoder is given the words before (teacher forcing), so that a word is scored by itself, and not
by whether an earlier one led the transcript astray.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Samples
from valle.audio_format import SAMPLE_RATE
from valle.errors import UsageError

LOWEST = -6.0
"""Log probability below which a word is simply not understood."""
_FEATURES_PER_SECOND = 100
# Whisper pads to 30 s, which takes six times as long; below this much padding it begins to loop.
_SHORTEST_WINDOW, _LONGEST_WINDOW, _PADDING = 1000, 3000, 200  # features


class WordScorer:
    """Whisper from a folder, on one processor thread.

    Args:
        folder: a faster-whisper model.

    Raises:
        UsageError: the folder is not such a model, or faster-whisper is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import faster_whisper
        except ImportError as error:
            raise UsageError(
                "scoring words needs faster-whisper: pip install 'valle[eval]'"
            ) from error
        if not (folder / "model.bin").is_file():
            raise UsageError(f"{folder} is not a faster-whisper model: it has no model.bin")
        try:
            self._whisper = faster_whisper.WhisperModel(
                str(folder), device="cpu", compute_type="int8", cpu_threads=1
            )
        except (RuntimeError, ValueError) as error:
            raise UsageError(f"{folder} cannot be loaded as a Whisper model: {error}") from error
        self._tokenizer = faster_whisper.tokenizer.Tokenizer(
            self._whisper.hf_tokenizer,
            self._whisper.model.is_multilingual,
            task="transcribe",
            language="en",
        )

    def score(self, samples: Samples, text: str) -> NDArray[np.float32]:
        """Score the words of a text, as they are separated by spaces.

        Args:
            samples: [N] at 16 kHz, at most 28 s.
            text: what they should say.

        Returns:
            [words] sum of the log probabilities of the word's tokens without punctuation, from
            `LOWEST` to 0.
        """
        features = self._whisper.feature_extractor(np.asarray(samples, np.float32))
        spoken = len(samples) * _FEATURES_PER_SECOND // SAMPLE_RATE
        window = min(max(spoken + _PADDING, _SHORTEST_WINDOW), _LONGEST_WINDOW)
        features = features[:, :window]
        features = np.pad(features, ((0, 0), (0, window - features.shape[1])))
        tokens = self._tokenizer.encode(" " + " ".join(text.split()))
        (alignment,) = self._whisper.model.align(
            self._whisper.encode(features), self._tokenizer.sot_sequence, [tokens], spoken
        )
        scores: list[float] = []
        for token, probability in zip(tokens, alignment.text_token_probs, strict=True):
            piece = self._tokenizer.decode([token])
            if piece.startswith(" ") or not scores:
                scores.append(0.0)
            if any(map(str.isalnum, piece)):  # punctuation is a matter of taste
                scores[-1] += float(np.log(max(probability, 1e-9)))
        return np.maximum(np.array(scores, np.float32), LOWEST)
