"""What the detector learns from: real, re-encoded and made speech, all through the same channels.

A store whose utterances' `corpus` says what they are: "real/CORPUS", "re-encoded/CODEBOOKS" or
"made/GENERATOR". Of each kind half carries the watermark: the detector is a witness beside it, and
must not lean on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.bundle.bundle import Bundle
from valle.corpora.channel import channel, recorded
from valle.corpora.griffin_lim import griffin_lim
from valle.corpora.self_synthesized import GENERATOR, OWN
from valle.corpora.store import SAMPLE_RATE, Store, StoreWriter, Utterance
from valle.errors import UsageError
from valle.runtime.codec import Codec
from valle.watermark.embed import Payload, mark

SECONDS = 4.0  # of a piece, at most
_SHORTEST = 1.5
# Minutes of each kind for one of real speech; every made corpus has its share of its own.
_RE_ENCODED = {8: 0.25, 4: 0.25}  # by codebooks kept
_GRIFFIN_LIM = 0.2
_OWN, _OTHERS = 0.5, 0.12
_MARKED = 0.5


def prepare_detector(
    stores: Sequence[Store],
    out: Path,
    *,
    bundle: Bundle,
    minutes: float,
    seed: int = 0,
    quiet: bool = False,
) -> int:
    """Write the material: `minutes` of real speech and the others' shares; returns the pieces.

    Args:
        stores: corpora of recordings, and of made speech (`valle prepare made` and `own`).
        bundle: whose codec re-encodes.

    Raises:
        UsageError: there are no recordings, or nothing was made.
    """
    rng = np.random.default_rng(seed)
    real: list[tuple[Store, Utterance]] = []
    made: dict[str, list[tuple[Store, Utterance]]] = {}
    for store in stores:
        for one in store.utterances:
            if one.samples >= _SHORTEST * SAMPLE_RATE:
                (made.setdefault(one.corpus, []) if one.made else real).append((store, one))
    if not real or not made:
        lacks = "recordings" if not real else "made speech"
        raise UsageError(f"--data has no {lacks}, and the detector needs both")
    codec = Codec(bundle)
    writer, count = StoreWriter(out), 0
    plan = [("real", real, minutes)]
    plan += [(f"re-encoded/{kept}", real, minutes * part) for kept, part in _RE_ENCODED.items()]
    plan += [("made/griffin-lim", real, minutes * _GRIFFIN_LIM)]
    for corpus, group in made.items():
        share = _OWN if corpus == OWN else _OTHERS
        plan += [(f"made/{corpus.removeprefix('made-')}", group, minutes * share)]
    bar = tqdm(desc="detector", unit="piece", disable=quiet or None)
    for kind, source, length in plan:
        for speaker, corpus, samples in _pieces(source, 60.0 * length, rng):
            if kind.startswith("re-encoded"):
                samples = re_encoded(codec, samples, int(kind.rpartition("/")[2]))
            elif kind == "made/griffin-lim":
                samples = griffin_lim(samples, rng)
            # Own speech comes half marked as it is.
            if kind != f"made/{GENERATOR}" and rng.random() < _MARKED:
                samples = mark(samples, SAMPLE_RATE, None, Payload(0, 0))
            # Recordings have been through a coder before they came here.
            samples = samples if kind == "real" else recorded(samples, rng)
            name = f"real/{corpus}" if kind == "real" else kind
            clip = channel(samples, rng)
            writer.add(
                f"{kind}/{count}",
                name,
                speaker,
                clip,
                None,
                waveform_is_clean=False,
                made=kind.startswith("made"),
            )
            count += 1
            bar.update()
    bar.close()
    writer.close()
    return count


def re_encoded(codec: Codec, samples: Samples, codebooks: int) -> Samples:
    """`samples` [N] at 16 kHz through a bundle's codec, of whose codebooks the first are kept."""
    codes = codec.encode(samples)
    codes[:, codebooks:] = codec.codebook_size  # "no code here"
    return codec.decode(codes)[: len(samples)]


def _pieces(
    source: list[tuple[Store, Utterance]], seconds: float, rng: np.random.Generator
) -> Iterator[tuple[str, str, Samples]]:
    """Pieces of `seconds` together at most: corpora take turns, in each its speakers, and of those
    their recordings, none of them twice."""
    groups: dict[str, dict[str, list[tuple[Store, Utterance]]]] = {}
    for store, one in source:
        groups.setdefault(one.corpus, {}).setdefault(one.speaker, []).append((store, one))
    left = [[list(group) for group in speakers.values()] for speakers in groups.values()]
    longest = round(SECONDS * SAMPLE_RATE)
    while left and seconds > 0:
        for corpus in list(left):
            if not corpus:
                left.remove(corpus)
                continue
            place = int(rng.integers(len(corpus)))
            group = corpus[place]
            store, one = group.pop(int(rng.integers(len(group))))
            if not group:
                corpus.pop(place)
            start = int(rng.integers(max(1, one.samples - longest + 1)))
            piece = store.waveform(one)[start : start + longest]
            seconds -= len(piece) / SAMPLE_RATE
            yield one.speaker, one.corpus, piece
            if seconds <= 0:
                return
