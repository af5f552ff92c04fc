"""Who is kept out of a model's training, so that how sure it is can be set by how right it is."""

from __future__ import annotations

import hashlib


def is_held(model: str, speaker: str, one_in: int) -> bool:
    """Whether a speaker calibrates a model, and is not learnt from: by name, for good.

    Args:
        model: the stage's name; each keeps other speakers.
        speaker: the speaker's name in a store.
        one_in: a share of one speaker in so many is kept.
    """
    digest = hashlib.sha256(f"{model} {speaker}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % one_in == 0
