"""Speech of a bundle in the voices of a prepared corpus: what the detector must know best.

Every second sentence is taken as it is spoken, with the watermark; the others are decoded from
their codes alone, without it. A detector that learns from both halves, beside other speech of which
half is marked, cannot live on the mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from valle.audio.recording import resample
from valle.corpora.split import is_evaluation_sentence
from valle.corpora.store import SAMPLE_RATE, Store, StoreWriter, Utterance, by_speaker
from valle.corpora.synthetic_store import read_sentences
from valle.errors import RecordingError, TextError, UsageError
from valle.files import home_apart
from valle.synthesis.model import Model, load

GENERATOR = "valle"
OWN = f"made-{GENERATOR}"
"""The corpus of such speech."""
SENTENCES = 5  # in each voice
LETTERS = range(25, 110)  # of a sentence: 2 to 7 s
PROMPT = 2.5  # seconds of a recording that becomes a voice, at least
_ATTESTATION = "Recordings for research; what is made of them trains a detector of made speech."


def prepare_own(
    recordings: Path,
    sentences: Path,
    out: Path,
    *,
    bundle: str | None,
    minutes: float,
    seed: int = 0,
    quiet: bool = False,
) -> int:
    """Write a store of `minutes` of a bundle's speech; returns how many sentences it holds.

    Speakers of the corpora in `recordings` take turns, a corpus each as often as the next; texts
    are none of those kept for evaluation.

    Raises:
        UsageError: there is no store or file of sentences, or no voice could be enrolled.
    """
    store, rng = Store(recordings), np.random.default_rng(seed)
    texts = [
        text
        for text in read_sentences(sentences)
        if len(text) in LETTERS and not is_evaluation_sentence(text)
    ]
    if not texts:
        raise UsageError(f"{sentences} has no sentence of a fit length; give another --sentences")
    writer, count, seconds, wanted = StoreWriter(out), 0, 0.0, 60.0 * minutes
    bar = tqdm(total=round(wanted), desc="own speech", unit="s", disable=quiet or None)
    with home_apart():
        model = load(bundle)
        for prompt in _prompts(store, rng):
            if seconds >= wanted:
                break
            chosen = [texts[index] for index in rng.choice(len(texts), SENTENCES)]
            for text, samples in _spoken(model, store, prompt, chosen, count):
                name = f"{prompt.speaker}/{count:05d}"
                writer.add(
                    name, OWN, prompt.speaker, samples, text, waveform_is_clean=True, made=True
                )
                count += 1
                seconds += len(samples) / SAMPLE_RATE
                bar.update(len(samples) / SAMPLE_RATE)
    bar.close()
    writer.close()
    return count


def _prompts(store: Store, rng: np.random.Generator) -> Iterator[Utterance]:
    """A recording for each voice: corpora take turns, and in each its speakers."""
    long = [u for u in store.utterances if u.samples >= PROMPT * SAMPLE_RATE and not u.made]
    corpora: dict[str, list[list[Utterance]]] = {}
    for group in by_speaker(long).values():
        corpora.setdefault(group[0].corpus, []).append(group)
    if not corpora:
        raise UsageError(f"{store.folder} has no recording of {PROMPT} s or more")
    turns = {
        name: [groups[i] for i in rng.permutation(len(groups))] for name, groups in corpora.items()
    }
    most = max(len(groups) for groups in turns.values())
    for turn in range(most):
        for groups in turns.values():
            group = groups[turn % len(groups)]
            yield group[rng.integers(len(group))]


def _spoken(
    model: Model, store: Store, prompt: Utterance, texts: list[str], first: int
) -> Iterator[tuple[str, np.ndarray]]:
    try:
        voice = model.enroll((store.waveform(prompt), SAMPLE_RATE), attest=_ATTESTATION)
    except RecordingError:
        return  # too quiet or unclear to be a voice: another speaker's turn
    for number, text in enumerate(texts, first):
        try:
            speech = model.speak(text, voice, redo=0, seed=number)
        except TextError:
            continue
        marked = number % 2 == 0
        audio = speech.audio if marked else model.codec.decode(speech.codes, model.embedding(voice))
        yield text, resample(audio, model.sample_rate, SAMPLE_RATE)
