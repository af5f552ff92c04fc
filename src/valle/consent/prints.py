"""What is kept of enrolled recordings, so that a revocation covers the recording and the voice.

A fingerprint of the sound, and the speaker embedding. From neither can speech be made. They lie in
the private folder, one file per receipt.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from valle.arrays import Embedding, Samples
from valle.audio.fingerprint import (
    Fingerprint,
    compute_fingerprint,
    fingerprint_at_speeds,
    max_similarity,
)
from valle.audio.recording import resample
from valle.consent.as_norm import compute_as_norm
from valle.consent.verification import AS_NORM_LIMIT, REPLAY_LIMIT, SPEAKER_COSINE_LIMIT
from valle.consent.verifiers import find_verifiers
from valle.errors import ConsentError
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.trust import private_files

_FOLDER = "recordings"


@dataclass(frozen=True)
class VoicePrint:
    """What is kept of one recording."""

    fingerprint: Fingerprint
    embedding: Embedding
    """[192], of unit length."""


def save_print(receipt_id: str, samples: Samples, sample_rate: int) -> None:
    """Keep the print of the recording [N] that a receipt is for."""
    file = io.BytesIO()
    bits = np.packbits(compute_fingerprint(samples, sample_rate), axis=1)
    np.savez(file, fingerprint=bits, embedding=_embed(samples, sample_rate))
    with private_files.lock_folder() as folder:
        prints = folder / _FOLDER
        prints.mkdir(mode=private_files.FOLDER_MODE, exist_ok=True)
        private_files.write_private(prints / f"{receipt_id}.npz", file.getvalue())


def find_alike(samples: Samples, sample_rate: int, receipt_ids: list[str]) -> str | None:
    """Compare a recording [N] with the prints of receipts.

    Returns:
        "recording" if it is the recording of one of them, however it was coded or cut; "voice" if
        it is the same voice; None if it is neither.
    """
    prints = [found for found in map(_load_print, receipt_ids) if found is not None]
    if not prints:
        return None
    at_speeds = fingerprint_at_speeds(samples, sample_rate)
    if max_similarity(at_speeds, [one.fingerprint for one in prints]) > REPLAY_LIMIT:
        return "recording"
    embedding = _embed(samples, sample_rate)
    return "voice" if any(_is_same(embedding, one.embedding) for one in prints) else None


def is_same_speaker(first: tuple[Samples, int], second: tuple[Samples, int]) -> bool:
    """Tell whether one voice speaks in two recordings, each [N] samples and their rate in Hz."""
    return _is_same(_embed(*first), _embed(*second))


def _is_same(first: Embedding, second: Embedding) -> bool:
    score = compute_as_norm(find_verifiers(), first, second)
    if score is None:
        return float(first @ second) >= SPEAKER_COSINE_LIMIT
    return score >= AS_NORM_LIMIT


def _embed(samples: Samples, sample_rate: int) -> Embedding:
    verifiers = find_verifiers()
    return SpeakerEncoder(verifiers).embed(
        resample(samples, sample_rate, verifiers.config.sample_rate)
    )


def _load_print(receipt_id: str) -> VoicePrint | None:
    """Load the print of a receipt; None if there is none."""
    path = private_files.folder() / _FOLDER / f"{receipt_id}.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            bits = np.unpackbits(arrays["fingerprint"], axis=1).astype(bool)
            return VoicePrint(bits, arrays["embedding"].astype(np.float32))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError) as error:
        raise ConsentError(
            f"cannot read {path}, which a revoked voice is known by: {error}; put back a copy of it"
        ) from error
