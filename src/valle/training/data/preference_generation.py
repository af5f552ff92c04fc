"""`valle prepare preferences`: a bundle speaks sentences several times, Whisper scores the words.

Of the same sentence in the same voice, some samples of the AR are understood and others are not.
`valle train ar --preferences` teaches the AR the difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.audio_format import SAMPLE_RATE
from valle.corpora.self_synthesized import choose_prompts
from valle.corpora.split import is_evaluation_sentence
from valle.corpora.store import Store
from valle.corpora.synthetic_store import read_sentences
from valle.errors import RecordingError, UsageError
from valle.files import temporary_data_folder
from valle.runtime.codec_decoder import decode_unmarked
from valle.synthesis.acoustic_model import AcousticModel
from valle.synthesis.model import Model, load
from valle.text.segmentation import split_sentences
from valle.training.data.preferences import PreferenceGroup
from valle.training.data.word_scores import WordScorer
from valle.trust.attestation import ATTESTATION

SENTENCES_PER_VOICE = 2
PROMPT_SECONDS = 3.0
# Plain prose only, so that the words of the text are those that are spoken.
_PROSE = re.compile(r"[A-Z][A-Za-z',-]*(?: [A-Za-z',-]+){4,13}[.?!]")


@dataclass(frozen=True)
class GenerationOptions:
    """Who speaks, who listens, and how many sentences.

    Attributes:
        teacher: a faster-whisper model.
        bundle: a folder or hf://owner/name; None: the bundle in the package.
        groups: number of sentences, each in a voice.
        candidates: of each sentence.
        seed: of voices, sentences and candidates.
        workers: processes that speak; the candidates are the same for any number of them.
        quiet: no progress bar.
    """

    teacher: Path
    bundle: str | None = None
    groups: int = 800
    candidates: int = 5
    seed: int = 0
    workers: int = 1
    quiet: bool = False


def prepare_preferences(
    recordings: Path,
    sentences: Path,
    out: Path,
    options: GenerationOptions,
) -> int:
    """Write groups of scored candidates; those that are in the folder already are kept.

    Args:
        recordings: a store; its corpora take turns, and the speakers within each.
        sentences: a file as `read_sentences` takes it; evaluation sentences are left out.
        out: the folder.
        options: see there.

    Returns:
        How many groups the folder has.

    Raises:
        UsageError: there is no store, teacher or file of sentences.
    """
    texts = [
        text
        for text in read_sentences(sentences)
        if _PROSE.fullmatch(text) and not is_evaluation_sentence(text)
    ]
    if not texts:
        raise UsageError(
            f"{sentences} has no plain sentence of 5 to 14 words; give another file with "
            "--sentences"
        )
    out.mkdir(parents=True, exist_ok=True)
    speak = partial(_speak_share, recordings, texts, out, options)
    with temporary_data_folder():
        if options.workers == 1:
            speak(0)
        else:
            with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
                list(pool.map(speak, range(options.workers)))
    return len(list(out.glob("*.npz")))


def _speak_share(
    recordings: Path, texts: Sequence[str], out: Path, options: GenerationOptions, share: int
) -> None:
    """Speak every `workers`-th sentence, from that of number `share`; the first share has a bar."""
    rng = np.random.default_rng(options.seed)
    speaker = _CandidateSpeaker(
        load(options.bundle, threads=1), WordScorer(options.teacher), options
    )
    jobs = list(enumerate(_choose_jobs(Store(recordings), texts, options.groups, rng)))
    quiet = options.quiet or share > 0
    for number, (prompt_samples, text) in tqdm(
        jobs[share :: options.workers], desc=out.name, unit="sentence", disable=quiet or None
    ):
        path = out / f"{options.seed:04d}-{number:06d}.npz"
        if not path.is_file() and (group := speaker.speak(prompt_samples, text, number)):
            group.save(path)


def _choose_jobs(
    store: Store, texts: Sequence[str], count: int, rng: np.random.Generator
) -> Iterator[tuple[Samples, str]]:
    """Choose 3 s of a recording and a sentence, `count` times; the voices take turns."""
    length = round(PROMPT_SECONDS * SAMPLE_RATE)
    chosen = 0
    while chosen < count:
        for utterance in choose_prompts(store, rng):
            samples = store.waveform(utterance)
            start = int(rng.integers(max(1, len(samples) - length + 1)))
            for _ in range(SENTENCES_PER_VOICE):
                if chosen < count:
                    yield samples[start : start + length], texts[int(rng.integers(len(texts)))]
                    chosen += 1


class _CandidateSpeaker:
    """Speaks sentences several times, as at run time, but without the check of the result."""

    def __init__(self, model: Model, scorer: WordScorer, options: GenerationOptions) -> None:
        self._model = model
        self._acoustic_model = AcousticModel(model.bundle, model.codec)
        self._scorer = scorer
        self._options = options

    def speak(self, prompt_samples: Samples, text: str, number: int) -> PreferenceGroup | None:
        """Speak one sentence in one voice.

        Args:
            prompt_samples: [N] at 16 kHz.
            text: one sentence.
            number: of the group; with the seed, it determines what is sampled.

        Returns:
            None where the samples are not a voice, or the text is not one sentence.
        """
        sentences, _ = split_sentences(text)
        if len(sentences) != 1 or len(sentences[0].words) != len(text.split()):
            return None
        try:
            voice = self._model.enroll((prompt_samples, SAMPLE_RATE), attest=ATTESTATION)
        except RecordingError:
            return None  # too quiet or unclear to be a voice
        prompt = self._acoustic_model.prompt(voice)
        utterance = self._acoustic_model.prepare(sentences[0], prompt)
        utterance = replace(utterance, seed=self._options.seed, index=number)
        pending = [  # started together, so that they share the steps of the AR
            self._acoustic_model.start(replace(utterance, attempt=attempt), prompt)
            for attempt in range(self._options.candidates)
        ]
        codes, paths, scores, similarities = [], [], [], []
        for candidate in pending:
            blocks = list(self._acoustic_model.generate(candidate))
            codes.append(np.concatenate([block for block, _ in blocks]))
            paths.append(np.concatenate([path for _, path in blocks]))
            samples = decode_unmarked(self._model.codec, codes[-1], prompt.embedding)
            similarities.append(self._acoustic_model.similarity(prompt, samples))
            samples = resample(samples, self._model.sample_rate, SAMPLE_RATE)
            scores.append(self._scorer.score(samples, text))
        return PreferenceGroup(
            prompt_codes=self._acoustic_model.codes(voice).astype(np.int16),
            prompt_symbols=prompt.symbols.ids,
            prompt_stress=prompt.symbols.stress,
            prompt_path=voice.frame_symbol.astype(np.int64),
            voice=prompt.embedding,
            symbols=utterance.symbols.ids,
            stress=utterance.symbols.stress,
            words=np.array([phoneme.word for phoneme in sentences[0].phonemes]),
            frames=np.array([len(path) for path in paths]),
            codes=np.concatenate(codes).astype(np.int16),
            path=np.concatenate(paths),
            scores=np.stack(scores),
            similarities=np.array(similarities, np.float32),
        )
