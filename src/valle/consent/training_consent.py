"""The consent of speakers whose speech a model is fine-tuned on.

A fine-tuned model speaks more like them, with or without their voice file. So a fine-tuning needs
a receipt of each speaker, its result carries the receipts, and whoever loads it checks them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from valle.arrays import Samples
from valle.consent.issuing import GivenConsent, check_given
from valle.consent.prints import is_same_speaker, save_print
from valle.consent.validity import check_attestable, check_receipt, check_usable
from valle.errors import ConsentError
from valle.trust import ledger, receipts
from valle.voices.voice import Voice, recording_sha256

_COMPARED_SECONDS = 60.0  # of the training speech whose voice is compared, and kept as a print


def check_training_receipts(consents: Iterable[Mapping[str, Any]]) -> None:
    """Check the receipts that a fine-tuned model carries.

    Each must be unaltered, signed by the user's key or a trusted one, not revoked, and not past
    its last day.

    Raises:
        ConsentError: one is not valid; the model must not be used.
        OutputError: the ledger cannot be written.
    """
    for receipt in consents:
        try:
            check_receipt(receipt, str(receipt.get("recording_sha256")))
        except ConsentError as error:
            raise ConsentError(f"this model was fine-tuned on a voice: {error}") from None


def attest_training(speaker: str, samples: Samples, sample_rate: int, words: str) -> dict[str, Any]:
    """Issue the receipt for one speaker's training speech by the user's own word.

    It is entered in the ledger, so that `valle consent list` shows it and `valle consent revoke`
    revokes it.

    Args:
        speaker: the name in the corpus.
        samples: all training speech of the speaker [N].
        sample_rate: Hz.
        words: the user's statement, which must be `ATTESTATION`.

    Raises:
        ConsentError: the words are others, or the consent to this speech or voice was revoked.
        OutputError: the ledger cannot be written.
    """
    check_given(GivenConsent(attest=words))
    excerpt = samples[: int(_COMPARED_SECONDS * sample_rate)]
    check_attestable(excerpt, sample_rate)
    receipt = receipts.attest(words, recording_sha256(samples, sample_rate), speaker)
    check_receipt(receipt, receipt["recording_sha256"])
    ledger.append(
        "enroll",
        receipt=receipt["id"],
        kind=receipt["kind"],
        recording_sha256=receipt["recording_sha256"],
        expires=None,
        voice=speaker,
    )
    save_print(receipt["id"], excerpt, sample_rate)
    return receipt


def receipt_of_voice(
    voice: Voice, speaker: str, samples: Samples, sample_rate: int
) -> dict[str, Any]:
    """Return the receipt of an enrolled voice, for training on more speech of the same person.

    Args:
        voice: with the receipt.
        speaker: the name in the corpus, for messages.
        samples: training speech of the speaker [N].
        sample_rate: Hz.

    Raises:
        ConsentError: the receipt is not valid, or another person speaks in the training speech.
    """
    check_usable(voice)
    excerpt = np.asarray(samples[: int(_COMPARED_SECONDS * sample_rate)], np.float32)
    if not is_same_speaker((voice.audio, voice.sample_rate), (excerpt, sample_rate)):
        raise ConsentError(
            f"the speech of {speaker!r} does not sound like the voice {voice.name!r}, whose owner "
            "consented; enroll a recording of the person who speaks in the corpus"
        )
    return dict(voice.consent)
