"""`valle prepare spoken`: the codes that recordings would have if a bundle had spoken them.

The first codebook is the recording's own, the others are the NAR's choice, in the voice of another
piece of the same speaker. The NAR's choices are never quite those of a recording: the codec's
decoder learns from these pairs of codes and waveforms to make clean speech of them all the same, as
vocoders are trained on the spectra that their acoustic model predicts (Shen et al. 2018, section
2.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from tqdm import tqdm

from valle.bundle.bundle import Bundle
from valle.corpora.store import HOP, SAMPLE_RATE, Store
from valle.errors import UsageError
from valle.runtime.nar import NAR
from valle.training.data.examples import ExampleSource, Piece, Source

_PROMPT = (75, 150)  # frames
_LEAST = 60  # frames said


def write_spoken(
    store: Store, bundle: Bundle, seconds: float, seed: int = 0, quiet: bool = False
) -> int:
    """Write `spoken.npy` beside a store's codes, rows of -1 where nothing was said; returns the
    frames that were.

    seconds: of each speaker, of recordings that no coder has shaped.

    Raises:
        UsageError: the store lacks codes or labels, or no speaker has enough of them.
    """
    nar, rng = NAR(bundle), np.random.default_rng(seed)
    spoken = np.full((len(store.audio) // HOP, bundle.config.codebooks), -1, np.int16)
    speakers = ExampleSource([store], [1.0], seed).groups[0]
    wanted = round(seconds * SAMPLE_RATE / HOP)
    for sources in tqdm(speakers, desc=f"spoken {store.folder}", disable=quiet or None):
        left = wanted
        for source, prompt, frames in _said(sources, rng):
            target = source.piece(0, min(frames, left))
            symbols = target.symbols[target.frame_symbol]
            stress = target.stress[target.frame_symbol]
            rows = zip(target.codes[:, 0].tolist(), symbols.tolist(), stress.tolist(), strict=True)
            at = prompt.frame_symbol
            voice = nar.prompt(prompt.codes, prompt.symbols[at], prompt.stress[at], prompt.voice)
            said = np.concatenate(list(nar.refine(voice, rows)))
            first = source.utterance.frames.start
            spoken[first : first + len(said)] = said
            left -= len(said)
            if left < _LEAST:
                break
    count = int((spoken[:, 0] >= 0).sum())
    if not count:
        raise UsageError(
            f"no speaker of {store.folder} has {(_PROMPT[0] + _LEAST) * HOP / SAMPLE_RATE:.1f} s "
            "of clean labelled speech; add recordings"
        )
    store.write_spoken(spoken)
    return count


def _said(sources: list[Source], rng: np.random.Generator) -> Iterator[tuple[Source, Piece, int]]:
    """Utterances in a random order, each with a prompt and how many frames from its start are to
    be said: the next one gives the prompt, or of a single one its own end."""
    clean = [source for source in sources if source.utterance.waveform_is_clean]
    order = [clean[index] for index in rng.permutation(len(clean))]
    for source, other in pairwise([*order, *order[:1]]):
        most = min(_PROMPT[1], other.frames if other is not source else source.frames - _LEAST)
        if most < _PROMPT[0] or source.frames < _LEAST:
            continue
        length = int(rng.integers(_PROMPT[0], most + 1))
        start = other.frames - length
        end = start if other is source else source.frames
        if other is not source:
            start = int(rng.integers(start + 1))
        yield source, other.apart(start, start + length), end
