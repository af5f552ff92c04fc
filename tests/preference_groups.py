"""Groups of candidates of random codes."""

from __future__ import annotations

import numpy as np

from valle.training.data.preferences import PreferenceGroup


def make_group(seed: int = 0, candidates: int = 3) -> PreferenceGroup:
    """Make a group of three words, of which candidate 0 says all best and the last one worst."""
    rng = np.random.default_rng(seed)
    words = np.array([-1, 0, 0, -1, 1, 1, -1, 2, 2, -1])
    frames = rng.integers(20, 40, candidates)
    voice = rng.standard_normal(192).astype(np.float32)
    return PreferenceGroup(
        prompt_codes=rng.integers(0, 1024, (60, 8)).astype(np.int16),
        prompt_symbols=rng.integers(1, 40, 12),
        prompt_stress=np.zeros(12, np.int64),
        prompt_path=np.arange(60) * 12 // 60,
        voice=voice / np.linalg.norm(voice),
        symbols=rng.integers(1, 40, len(words)),
        stress=np.zeros(len(words), np.int64),
        words=words,
        frames=frames,
        codes=rng.integers(0, 1024, (frames.sum(), 8)).astype(np.int16),
        path=np.concatenate([np.arange(count) * len(words) // count for count in frames]),
        scores=np.repeat(-np.arange(candidates, dtype=np.float32)[:, None], 3, axis=1),
        similarities=np.full(candidates, 0.8, np.float32),
    )
