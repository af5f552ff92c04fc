"""`valle prepare self`: speech by a bundle itself, which its detector must recognize best.

Every second sentence is spoken as usual, with the watermark; the others are decoded from their
codes without it. The detector trains on both halves, next to other speech of which half is
watermarked, so it cannot rely on the watermark.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.audio_format import SAMPLE_RATE
from valle.corpora.split import is_evaluation_sentence
from valle.corpora.store import (
    Store,
    StoreOptions,
    StoreWriter,
    Utterance,
    UtteranceInfo,
    by_speaker,
)
from valle.corpora.synthetic_store import read_sentences
from valle.errors import RecordingError, TextError, UsageError
from valle.files import temporary_data_folder
from valle.runtime.codec_decoder import decode_unmarked
from valle.synthesis.model import Model, load
from valle.trust.attestation import ATTESTATION

GENERATOR = "valle"
CORPUS = f"synthetic-{GENERATOR}"
"""The corpus name of a bundle's own speech."""
SENTENCES_PER_VOICE = 5
SENTENCE_LENGTHS = range(25, 110)  # characters: 2 to 7 s
MIN_PROMPT_SECONDS = 2.5


def prepare_self_synthesized(
    recordings: Path, sentences: Path, out: Path, bundle: str | None, options: StoreOptions
) -> int:
    """Write a store of a bundle's speech in the voices of a prepared corpus.

    Args:
        recordings: a store; its corpora take turns, and the speakers within each.
        sentences: a file as `read_sentences` takes it; evaluation sentences are left out.
        out: the folder of the new store.
        bundle: a folder or hf://owner/name; None: the bundle in the package.
        options: minutes of speech; the seed samples prompts and sentences.

    Returns:
        How many sentences were spoken.

    Raises:
        UsageError: there is no store or file of sentences, or no voice could be enrolled.
    """
    store, rng = Store(recordings), np.random.default_rng(options.seed)
    texts = [
        text
        for text in read_sentences(sentences)
        if len(text) in SENTENCE_LENGTHS and not is_evaluation_sentence(text)
    ]
    if not texts:
        raise UsageError(
            f"{sentences} has no sentence of {SENTENCE_LENGTHS.start} to {SENTENCE_LENGTHS.stop} "
            "characters; give another file with --sentences"
        )
    writer, count, seconds, target_seconds = StoreWriter(out), 0, 0.0, 60.0 * options.minutes
    bar = tqdm(
        total=round(target_seconds), desc="own speech", unit="s", disable=options.quiet or None
    )
    with temporary_data_folder():
        model = load(bundle)
        for prompt in choose_prompts(store, rng):
            if seconds >= target_seconds:
                break
            chosen = [texts[index] for index in rng.choice(len(texts), SENTENCES_PER_VOICE)]
            for text, samples in _speak(model, store, prompt, chosen, count):
                writer.add(
                    UtteranceInfo(
                        f"{prompt.speaker}/{count:05d}",
                        CORPUS,
                        prompt.speaker,
                        text,
                        waveform_is_clean=True,
                        is_synthetic=True,
                    ),
                    samples,
                )
                count += 1
                seconds += len(samples) / SAMPLE_RATE
                bar.update(len(samples) / SAMPLE_RATE)
    bar.close()
    writer.close()
    return count


def choose_prompts(store: Store, rng: np.random.Generator) -> Iterator[Utterance]:
    """Choose a recording for each voice: corpora take turns, and the speakers within each."""
    shortest = MIN_PROMPT_SECONDS * SAMPLE_RATE
    long = [u for u in store.utterances if u.samples >= shortest and not u.is_synthetic]
    corpora: dict[str, list[list[Utterance]]] = {}
    for utterances in by_speaker(long).values():
        corpora.setdefault(utterances[0].corpus, []).append(utterances)
    if not corpora:
        raise UsageError(
            f"{store.folder} has no recording of {MIN_PROMPT_SECONDS} s or more; "
            "give another corpus with --data"
        )
    shuffled = {
        name: [speakers[i] for i in rng.permutation(len(speakers))]
        for name, speakers in corpora.items()
    }
    rounds = max(len(speakers) for speakers in shuffled.values())
    for turn in range(rounds):
        for speakers in shuffled.values():
            utterances = speakers[turn % len(speakers)]
            yield utterances[rng.integers(len(utterances))]


def _speak(
    model: Model, store: Store, prompt: Utterance, texts: list[str], first: int
) -> Iterator[tuple[str, Samples]]:
    """Speak texts in the voice of a recording; `first` is the number of the first sentence."""
    try:
        voice = model.enroll((store.waveform(prompt), SAMPLE_RATE), attest=ATTESTATION)
    except RecordingError:
        return  # too quiet or unclear to be a voice: the next speaker's turn
    for number, text in enumerate(texts, first):
        try:
            speech = model.speak(text, voice, retries=0, seed=number)
        except TextError:
            continue
        if number % 2 == 0:
            audio = speech.audio  # with the watermark
        else:
            audio = decode_unmarked(model.codec, speech.codes, model.embedding(voice))
        yield text, resample(audio, model.sample_rate, SAMPLE_RATE)
