"""The models that verify consent: those of the default bundle, whatever bundle is to speak.

A bundle that somebody else made could hold a speaker encoder that finds all voices alike, or lack
the detector. So the program fixes the verifiers, and the receipt names them by SHA-256.
"""

from __future__ import annotations

import functools

from valle.bundle.bundle import Bundle
from valle.errors import BundleError, ConsentError

LISTENER, SPEAKER, COHORT, DETECTOR = "listener", "speaker", "cohort", "detector"
VERIFIERS = (LISTENER, SPEAKER, COHORT, DETECTOR)
"""The graphs that take part in the verification of a statement."""


def find_verifiers(bundle: Bundle | None = None) -> Bundle:
    """Return the bundle whose models verify: the default one.

    Args:
        bundle: A bundle that is loaded already. It is returned if its verifiers are, byte for byte,
            those of the default bundle.

    Raises:
        ConsentError: This installation lacks one of the models.
    """
    default = _load_default()
    if bundle is not None and _describe(bundle) == _describe(default):
        return bundle
    return default


def hash_verifiers(bundle: Bundle) -> dict[str, str]:
    """Return the SHA-256 of each verifier, as a receipt names them."""
    return {name: bundle.graph_hash(name) for name in VERIFIERS}


@functools.cache
def _load_default() -> Bundle:
    try:
        default = Bundle.load(None, threads=1)
        for name in VERIFIERS:
            default.graph_hash(name)
    except BundleError as error:
        raise ConsentError(
            f"without the models that verify it, no consent can be accepted: {error}"
        ) from error
    return default


def _describe(bundle: Bundle) -> object:
    """Return all that decides what a bundle's verifiers compute."""
    config = bundle.config
    graphs = tuple(config.graphs[name].sha256 for name in VERIFIERS if name in config.graphs)
    return graphs, config.listener_symbols, config.sample_rate, config.hop
