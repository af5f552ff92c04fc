"""Whether an adapter speaks better than its base, by speaking with both.

The loss on held-out speech says how well a model predicts codes, not how it sounds: one may fall
while words are lost. So sentences are spoken in the speakers' voices with the base, and with the AR
and the NAR adapted alone and together. The most similar speech wins, if its words are as clear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Embedding, Samples
from valle.audio.recording import resample
from valle.audio_format import SAMPLE_RATE
from valle.bundle.adapter import Adapter, AdapterInfo
from valle.bundle.bundle import Bundle
from valle.corpora.store import Store, Utterance, by_speaker
from valle.errors import RecordingError, TextError, UsageError
from valle.files import temporary_data_folder
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.synthesis.model import Model
from valle.training.trainers.adaptation import split_heldout
from valle.trust import receipts
from valle.trust.attestation import ATTESTATION

SENTENCES = (
    "The last train to the coast leaves a little after seven.",
    "She kept every letter in a wooden box beneath the window.",
    "We could hear the children laughing from across the river.",
    "Please put the heavy boxes next to the kitchen door.",
    "Nobody expected the weather to change so quickly.",
    "His brother works at the market on Fridays and Saturdays.",
    "It was too dark to read the numbers on the houses.",
    "They walked for an hour before anyone said a word.",
)
_MAX_SPEAKERS = 3
_PROMPT_SECONDS = (3.0, 30.0)
_MAX_ERROR = 0.8
"""Phoneme error rate of the base above which its recognizer understands nothing: then the
loss decides."""
_TOLERANCE = 0.02
"""How much higher than the base's the phoneme error rate may be: differences of
eight sentences vary as much by chance."""


@dataclass(frozen=True)
class Measurement:
    """What was measured of the sentences, by the bundle's own models."""

    similarity: float
    """Mean cosine of speaker embeddings between speech and held-out recordings."""
    phoneme_error_rate: float


class _Voice(NamedTuple):
    """A speaker's prompt, and what their held-out recordings sound like."""

    prompt: Samples
    text: str | None
    reference: Embedding


def choose_parts(
    bundle: Bundle,
    parts: Mapping[str, Mapping[str, NDArray[np.float16]]],
    stores: Sequence[Store],
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Choose which of the adapted models speak better than the base.

    Args:
        bundle: the base.
        parts: matrices by graph, of models whose loss became lower.
        stores: that the adapter was trained on.

    Returns:
        The graphs to adapt, and what was measured.

    Raises:
        UsageError: none is better than the base.
    """
    if not parts:
        raise UsageError(
            "no round of training was better than the bundle on held-out speech, so no adapter is "
            "written; give more speech, or correct its transcripts (valle doctor)"
        )
    names = tuple(parts)
    choices = dict.fromkeys((names, *((name,) for name in names)))
    base = _measure(bundle, {}, stores)
    if base is None or base.phoneme_error_rate > _MAX_ERROR:
        return names, {"judged_by": "loss"}
    measured = {
        choice: result
        for choice in choices
        if (result := _measure(bundle, {name: parts[name] for name in choice}, stores)) is not None
    }
    best = choose_best(base, measured)
    report = {"+".join(choice): asdict(result) for choice, result in measured.items()}
    return best, {"judged_by": "speech", "base": asdict(base), "adapted": report}


def choose_best(
    base: Measurement, measured: Mapping[tuple[str, ...], Measurement]
) -> tuple[str, ...]:
    """Choose the most similar of those whose words are as clear as the base's.

    Raises:
        UsageError: none is more similar than the base.
    """
    better = {
        choice: result
        for choice, result in measured.items()
        if result.similarity > base.similarity
        and result.phoneme_error_rate <= base.phoneme_error_rate + _TOLERANCE
    }
    if not better:
        tried = ", ".join(
            f"{'+'.join(choice)} {result.similarity:.3f} and {result.phoneme_error_rate:.1%}"
            for choice, result in measured.items()
        )
        raise UsageError(
            "the adapted model does not speak better than the bundle, so no adapter is written: "
            f"similarity and phoneme error rate were {base.similarity:.3f} and "
            f"{base.phoneme_error_rate:.1%} before, then {tried}; give more or clearer speech"
        )
    return max(better, key=lambda choice: better[choice].similarity)


def _measure(
    bundle: Bundle,
    parts: Mapping[str, Mapping[str, NDArray[np.float16]]],
    stores: Sequence[Store],
) -> Measurement | None:
    """Speak the sentences in the speakers' voices; None if no speaker can be enrolled."""
    similarities, errors = [], []
    with temporary_data_folder():  # nothing of this enters the user's ledger
        encoder = SpeakerEncoder(bundle)
        model = Model(_adapt(bundle, parts) if parts else bundle)
        for voice in _choose_voices(stores, encoder, bundle.config.sample_rate):
            try:
                prompt = model.enroll(
                    (voice.prompt, SAMPLE_RATE), ref_text=voice.text, attest=ATTESTATION
                )
            except (RecordingError, TextError):
                continue
            for seed, sentence in enumerate(SENTENCES):
                speech = model.speak(sentence, prompt, seed=seed, retries=0)
                similarities.append(float(encoder.embed(speech.audio) @ voice.reference))
                if speech.check is not None:
                    errors.append(speech.check.phoneme_error_rate)
    if not similarities or not errors:
        return None
    return Measurement(float(np.mean(similarities)), float(np.mean(errors)))


def _adapt(bundle: Bundle, parts: Mapping[str, Mapping[str, NDArray[np.float16]]]) -> Bundle:
    receipt = receipts.attest(ATTESTATION, "0" * 64)  # of the temporary key
    info = AdapterInfo(
        name="candidate",
        base={name: bundle.graph_hash(name) for name in parts},
        consents=(receipt,),
    )
    matrices = {key: matrix for part in parts.values() for key, matrix in part.items()}
    return bundle.with_adapter(Adapter(info, matrices))


def _choose_voices(
    stores: Sequence[Store], encoder: SpeakerEncoder, sample_rate: int
) -> list[_Voice]:
    """Choose a prompt of each of the first speakers, out of what was trained on."""
    heldout = split_heldout(stores)
    voices = []
    for store in stores:
        for utterances in by_speaker(store.utterances).values():
            kept = [u for u in utterances if (str(store.folder), u.id) in heldout]
            prompts = [u for u in utterances if u not in kept and _is_prompt(u)]
            if kept and prompts:
                mean = np.mean(
                    [
                        encoder.embed(resample(store.waveform(u), SAMPLE_RATE, sample_rate))
                        for u in kept
                    ],
                    axis=0,
                )
                prompt = max(prompts, key=lambda utterance: utterance.samples)
                reference = (mean / np.linalg.norm(mean)).astype(np.float32)
                voices.append(_Voice(store.waveform(prompt), prompt.text, reference))
    return voices[:_MAX_SPEAKERS]


def _is_prompt(utterance: Utterance) -> bool:
    shortest, longest = _PROMPT_SECONDS
    return shortest <= utterance.samples / SAMPLE_RATE <= longest
