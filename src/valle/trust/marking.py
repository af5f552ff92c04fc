"""The watermark of speech under a receipt: the user's key, and a payload that names the receipt."""

from __future__ import annotations

from valle.trust import ledger
from valle.watermark.embed import Payload, WatermarkEmbedder


def make_watermark(sample_rate: int, receipt: str) -> WatermarkEmbedder:
    """Return what embeds the watermark of a receipt in one stream of samples.

    Args:
        sample_rate: In Hz.
        receipt: The id of the receipt under which it is spoken.

    Raises:
        UsageError: The rate is too low for the watermark.
        ConsentError: The user's key cannot be used.
        OutputError: The user's key cannot be written.
    """
    owner_key = ledger.get_signing_key().derive_watermark_key()
    return WatermarkEmbedder(sample_rate, owner_key, Payload.for_receipt(owner_key, receipt))
