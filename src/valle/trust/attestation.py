"""What a user states who attests to the right to use a voice, instead of its owner's consent."""

ATTESTATION = "I hold the rights to this voice"
"""No other words are taken, so that everybody who attests has stated the same."""
