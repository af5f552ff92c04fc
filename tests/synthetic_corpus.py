"""A prepared corpus of random speech and labels, written in no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from valle.audio_format import HOP
from valle.corpora.store import Labels, Store, StoreWriter, UtteranceInfo
from valle.text.symbols import SYMBOLS

RATE = 16_000
SPACE, END = SYMBOLS.index(" "), SYMBOLS.index(".")
_PHONEMES = [SYMBOLS.index(symbol) for symbol in ("h", "ə", "l", "oʊ")]


def write_corpus(
    folder: Path, clips: dict[str, list[int]], words: int = 12, seed: int = 0
) -> Store:
    """A store with codes, voices and labels; `clips` gives each speaker's utterances, in frames.

    Every utterance has `words` words of four phonemes, spread evenly over its frames.
    """
    rng = np.random.default_rng(seed)
    writer = StoreWriter(folder)
    labels = {}
    for speaker, lengths in clips.items():
        for number, frames in enumerate(lengths):
            samples = (0.1 * rng.standard_normal(frames * HOP)).astype(np.float32)
            name = f"{speaker}/{number}"
            writer.add(
                UtteranceInfo(name, "test", speaker, "hello", waveform_is_clean=True), samples
            )
            labels[name] = _labels(frames, words)
    writer.close()
    store = Store(folder)
    store.write_codes(rng.integers(0, 1024, (len(store.audio) // HOP, 8)).astype(np.int16))
    voices = rng.standard_normal((len(store.utterances), 192)).astype(np.float32)
    store.write_voices(voices / np.linalg.norm(voices, axis=1, keepdims=True))
    store.write_labels(labels)
    return store


def _labels(frames: int, words: int) -> Labels:
    symbols = [SYMBOLS.index("^")]
    for word in range(words):
        symbols += [*_PHONEMES, END if word == words - 1 else SPACE]
    stress = [2 if symbol == _PHONEMES[-1] else 0 for symbol in symbols]
    path = np.arange(frames) * len(symbols) // frames
    return Labels(np.array(symbols), np.array(stress), path)


def voiced_corpus(folder: Path, seed: int) -> Store:
    """Four utterances of a buzz each, with the labels of `write_corpus`."""
    store = write_corpus(folder, {"a": [150, 200], "b": [150, 200]}, seed=seed)
    audio = np.memmap(folder / "audio.i16", np.int16, mode="r+")
    for number, utterance in enumerate(store.utterances):
        hertz = np.linspace(90, 120 + 40 * number + 10 * seed, utterance.samples)
        swell = 0.5 + 0.4 * np.sin(np.arange(utterance.samples) / 3000)
        samples = np.rint(20_000 * swell * buzz(hertz)).astype(np.int16)
        audio[utterance.offset : utterance.offset + utterance.samples] = samples
    audio.flush()
    return Store(folder)


def buzz(hertz: np.ndarray, harmonics: int = 40) -> np.ndarray:
    """A tone with all harmonics up to 7 kHz, each as its number quieter."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    most = int(min(harmonics, 7000 // hertz.max()))
    return np.asarray(0.1 * sum(np.sin(k * phase) / k for k in range(1, most + 1)), np.float32)
