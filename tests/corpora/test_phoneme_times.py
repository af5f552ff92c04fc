"""Alignment of timed phonemes with a sentence."""

from __future__ import annotations

import numpy as np

from valle.corpora.espeak_speech import Sound
from valle.corpora.phoneme_times import frame_symbols
from valle.text.phonemes import Phoneme
from valle.text.symbols import BORDERS


def phonemes_of(symbols: str) -> list[Phoneme]:
    """Phonemes from symbols separated by "|"."""
    return [Phoneme(s, 0, 0, 0, -1 if s in BORDERS else 0) for s in symbols.split("|")]


def sounds_of(*parts: tuple[str, float]) -> list[Sound]:
    """Consecutive sounds from pairs of symbol and duration in seconds."""
    ends = np.cumsum([seconds for _, seconds in parts])
    return [
        Sound(symbol, float(end) - seconds, float(end))
        for (symbol, seconds), end in zip(parts, ends, strict=True)
    ]


def test_frame_symbols_follow_phoneme_times() -> None:
    phonemes = phonemes_of("^|h|aɪ| |t|uː|,|j|uː|.")
    sounds = sounds_of(
        ("h", 0.1), ("aɪ", 0.2), ("t", 0.06), ("uː", 0.1), ("", 0.3), ("j", 0.08), ("uː", 0.2)
    )
    symbols = frame_symbols(phonemes, sounds, 62, lead=0.1)
    assert symbols is not None
    assert np.bincount(symbols, minlength=10).tolist() == [5, 5, 10, 0, 3, 5, 15, 4, 10, 5]
    twice = frame_symbols(phonemes, sounds, 36, lead=0.1, tempo=2.0)
    assert twice is not None
    assert np.bincount(twice, minlength=10)[6] in (7, 8)


def test_every_phoneme_gets_at_least_one_frame() -> None:
    phonemes = phonemes_of("^|s|t|ɹ|ɪ|p|s|.")
    sounds = sounds_of(*[(symbol, 0.001) for symbol in ("s", "t", "ɹ", "ɪ", "p", "s")])
    symbols = frame_symbols(phonemes, sounds, 10, lead=0.02)
    assert symbols is not None
    assert set(range(7)) <= set(symbols.tolist())
    assert frame_symbols(phonemes, sounds, 7, lead=0.02) is not None
    assert frame_symbols(phonemes, sounds, 6, lead=0.02) is None


def test_small_mismatches_are_aligned_and_large_ones_rejected() -> None:
    symbols = "^|" + "|".join("hɛləs" * 5) + "|."
    phonemes = phonemes_of(symbols)
    spoken_sounds = [(symbol, 0.1) for symbol in "hɛləs" * 5]
    reduced = [*spoken_sounds[:1], ("ɪ", 0.1), *spoken_sounds[2:]]
    exact = frame_symbols(phonemes, sounds_of(*spoken_sounds), 135, lead=0.1)
    assert exact is not None
    bridged = frame_symbols(phonemes, sounds_of(*reduced), 135, lead=0.1)
    assert bridged is not None
    assert np.array_equal(bridged, exact)
    longer = frame_symbols(
        phonemes, sounds_of(*spoken_sounds[:3], ("p", 0.1), *spoken_sounds[3:]), 140, lead=0.1
    )
    assert longer is not None
    assert np.bincount(longer)[3] == 10
    assert (
        frame_symbols(phonemes, sounds_of(*spoken_sounds[1:]), 135, lead=0.1) is None
    )  # a phoneme is missing
    other = [("z", 0.1)] * 3
    assert frame_symbols(phonemes, sounds_of(*other, *spoken_sounds[3:]), 135, lead=0.1) is None


def test_pauses_need_borders_and_frames_per_symbol_are_limited() -> None:
    inside = sounds_of(("h", 0.1), ("", 0.3), ("aɪ", 0.2))
    assert frame_symbols(phonemes_of("^|h|aɪ|."), inside, 40) is None
    assert frame_symbols(phonemes_of("^|h| |aɪ|."), inside, 40) is not None
    endless = sounds_of(("h", 0.1), ("aɪ", 1.2))
    assert frame_symbols(phonemes_of("^|h|aɪ|."), endless, 80) is None
