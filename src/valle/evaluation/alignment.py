"""Alignment of a held-out recording with its transcript, as the model's networks read it."""

from __future__ import annotations

from valle.arrays import Ints, Samples
from valle.runtime.recognizer import PhonemeRecognizer
from valle.synthesis.acoustic_model import AcousticModel
from valle.synthesis.utterance import Symbols
from valle.text.segmentation import split_sentences


def align_transcript(
    recognizer: PhonemeRecognizer, acoustic_model: AcousticModel, samples: Samples, text: str
) -> tuple[Symbols, Ints] | None:
    """Align a recording with its transcript.

    Args:
        recognizer: of the bundle.
        acoustic_model: of the bundle, which numbers its symbols.
        samples: [N] at the bundle's rate.
        text: what the recording says.

    Returns:
        The symbols of the text, and the index of the symbol of each frame, [frames]; None where
        the text does not fit the recording.
    """
    phonemes = [p for sentence in split_sentences(text)[0] for p in sentence.phonemes]
    aligned = recognizer.align(samples, [phoneme.symbol for phoneme in phonemes])
    if aligned is None:
        return None
    symbols = acoustic_model.encode_symbols(
        [p.symbol for p in phonemes], [p.stress for p in phonemes]
    )
    return symbols, aligned.frame_symbol
