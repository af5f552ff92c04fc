"""`valle prepare predicted`: codes of recordings as a bundle's NAR predicts them.

The first codebook is the recording's own; the NAR predicts the others, prompted with other speech
of the same speaker. Predicted codes always differ from those of a recording, so the codec's decoder
is fine-tuned on pairs of predicted codes and recorded waveforms, as vocoders are trained on the
spectrograms that an acoustic model predicts (Shen et al. 2018, "Tacotron 2", section 2.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from tqdm import tqdm

from valle.audio_format import FRAME_RATE, HOP
from valle.bundle.bundle import Bundle
from valle.corpora.store import Store
from valle.errors import UsageError
from valle.runtime.nar import NAR, FrameInputs
from valle.training.data.examples import ExampleSource, LabeledUtterance, Segment

_PROMPT_FRAMES = (75, 150)
_MIN_TARGET_FRAMES = 60


def write_predicted_codes(
    store: Store, bundle: Bundle, seconds: float, seed: int = 0, quiet: bool = False
) -> int:
    """Write predicted codes into a store, -1 in frames without a prediction.

    Args:
        store: with codes, speaker embeddings and labels.
        bundle: whose NAR predicts.
        seconds: per speaker, of recordings with a clean waveform.
        seed: of the choice of recordings and prompts.
        quiet: no progress bar.

    Returns:
        How many frames have predictions.

    Raises:
        UsageError: the store lacks codes or labels, or no speaker has enough clean labeled speech.
    """
    nar, rng = NAR(bundle), np.random.default_rng(seed)
    predicted = np.full((len(store.audio) // HOP, bundle.config.codebooks), -1, np.int16)
    speakers = ExampleSource([store], [1.0], seed).groups[0]
    target_frames = round(seconds * FRAME_RATE)
    for sources in tqdm(speakers, desc=f"predicted {store.folder}", disable=quiet or None):
        remaining = target_frames
        for source, prompt, frames in _choose_targets(sources, rng):
            target = source.segment(0, min(frames, remaining))
            symbols = target.symbols[target.frame_symbol]
            stress = target.stress[target.frame_symbol]
            rows = zip(target.codes[:, 0].tolist(), symbols.tolist(), stress.tolist(), strict=True)
            path = prompt.frame_symbol
            inputs = FrameInputs(prompt.codes, prompt.symbols[path], prompt.stress[path])
            voice = nar.prefill(inputs, prompt.voice)
            codes = np.concatenate(list(nar.predict_residuals(voice, rows)))
            first = source.utterance.frames.start
            predicted[first : first + len(codes)] = codes
            remaining -= len(codes)
            if remaining < _MIN_TARGET_FRAMES:
                break
    count = int((predicted[:, 0] >= 0).sum())
    if not count:
        needed = (_PROMPT_FRAMES[0] + _MIN_TARGET_FRAMES) / FRAME_RATE
        raise UsageError(
            f"no speaker of {store.folder} has {needed:.1f} s "
            "of clean labeled speech; add recordings"
        )
    store.write_predicted(predicted)
    return count


def _choose_targets(
    sources: list[LabeledUtterance], rng: np.random.Generator
) -> Iterator[tuple[LabeledUtterance, Segment, int]]:
    """Choose utterances in random order, each with a prompt and the end of its target.

    The prompt comes from the next utterance, or for a single one from its own end.

    Yields:
        The utterance, the prompt, and the frame before which its target ends.
    """
    clean = [source for source in sources if source.utterance.waveform_is_clean]
    order = [clean[index] for index in rng.permutation(len(clean))]
    for source, other in pairwise([*order, *order[:1]]):
        most = min(
            _PROMPT_FRAMES[1],
            other.frames if other is not source else source.frames - _MIN_TARGET_FRAMES,
        )
        if most < _PROMPT_FRAMES[0] or source.frames < _MIN_TARGET_FRAMES:
            continue
        length = int(rng.integers(_PROMPT_FRAMES[0], most + 1))
        start = other.frames - length
        end = start if other is source else source.frames
        if other is not source:
            start = int(rng.integers(start + 1))
        yield source, other.crop_with_own_symbols(start, start + length), end
