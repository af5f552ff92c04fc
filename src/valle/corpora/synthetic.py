"""Synthetic speech: sentences by TTS engines in sampled voices, with the symbol of each frame.

espeak-ng reports when each phoneme begins. Speech by flite and festival comes with its text only,
to be aligned by the listener. Everything is determined by seeds: the same call gives the same
samples with any number of processes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import soxr
from numpy.typing import NDArray

from valle.audio_format import HOP, SAMPLE_RATE
from valle.corpora import augmentation, tts_engines
from valle.corpora.espeak_speech import (
    Espeak,
    EspeakEndedError,
    EspeakError,
    EspeakVoice,
    Sound,
)
from valle.corpora.phoneme_times import frame_symbols
from valle.corpora.split import is_evaluation_sentence
from valle.corpora.synthetic_speaker import ENGINES, SyntheticSpeaker
from valle.errors import TextError, UsageError
from valle.text.phonemes import Phoneme
from valle.text.segmentation import Sentence, split_sentences
from valle.text.symbols import BORDERS

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyntheticUtterance:
    """One sentence by a synthetic speaker.

    Attributes:
        samples: [N] float32 in [-1, 1] at 16 kHz, N a multiple of `HOP`.
        text: the sentence.
        phonemes: of the sentence.
        frame_symbol: [N / HOP] int64, the index into `phonemes` of each frame (see
            `phoneme_times.frame_symbols`); None if the engine gives no phoneme times.
        speaker: who speaks.
    """

    samples: NDArray[np.float32]
    text: str
    phonemes: list[Phoneme]
    frame_symbol: NDArray[np.int64] | None
    speaker: SyntheticSpeaker


@dataclass(frozen=True)
class SynthesisPlan:
    """Who speaks, and how much.

    Attributes:
        speakers: the speakers, or how many to sample, with the engines that are installed.
        utterances: texts per speaker; some may be dropped.
        seed: of the speakers and their texts.
    """

    speakers: int | Sequence[SyntheticSpeaker]
    utterances: int
    seed: int = 0


@dataclass
class Tally:
    """How many sentences were synthesized, and why the others were dropped."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """Share of the sentences that were synthesized, 0 to 1."""
        total = self.kept + sum(self.dropped.values())
        return self.kept / total if total else 0.0

    def add(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.kept += other.kept
        self.dropped += other.dropped


def available_engines() -> dict[str, float]:
    """The installed engines with their shares; the log has a warning for each of the others."""
    engines = {"espeak": ENGINES["espeak"]}
    for engine in ("flite", "festival"):
        reason = tts_engines.explain_missing(engine)
        if reason is None:
            engines[engine] = ENGINES[engine]
        else:
            _log.warning("synthetic speech is made without %s: %s", engine, reason)
    return engines


def synthesize_utterances(
    sentences: Sequence[str], plan: SynthesisPlan, workers: int = 1, tally: Tally | None = None
) -> Iterator[SyntheticUtterance]:
    """Synthesize sampled sentences, speaker by speaker.

    Args:
        sentences: texts; those reserved for evaluation are left out.
        plan: who speaks, and how many of the sentences.
        workers: processes; the utterances are the same with any number of them.
        tally: counts synthesized and dropped sentences, if given.

    Yields:
        The utterances of one speaker after another.

    Raises:
        UsageError: no sentence is left, or a speaker's engine is not installed.
    """
    texts = [text for text in sentences if not is_evaluation_sentence(text)]
    if not texts:
        raise UsageError(
            "there is no sentence to speak that is not reserved for evaluation; give more"
        )
    speakers = plan.speakers
    if isinstance(speakers, int):
        engines = available_engines()
        seeds = np.random.default_rng([plan.seed, 0]).integers(0, 2**31, speakers)
        speakers = [SyntheticSpeaker.sample(int(speaker_seed), engines) for speaker_seed in seeds]
    for engine in {speaker.engine for speaker in speakers} - {"espeak"}:
        if reason := tts_engines.explain_missing(engine):
            raise UsageError(reason)
    chosen_texts = []
    for speaker in speakers:
        rng = np.random.default_rng([plan.seed, 1, speaker.seed])
        chosen = rng.integers(0, len(texts), plan.utterances)
        chosen_texts.append([texts[index] for index in chosen])
    total = tally if tally is not None else Tally()
    if workers <= 1:
        for utterances, counts in map(synthesize_speaker, speakers, chosen_texts):
            total.add(counts)
            yield from utterances
        return
    with ProcessPoolExecutor(workers) as pool:
        for utterances, counts in pool.map(synthesize_speaker, speakers, chosen_texts, chunksize=4):
            total.add(counts)
            yield from utterances


def synthesize_speaker(
    speaker: SyntheticSpeaker, texts: Sequence[str]
) -> tuple[list[SyntheticUtterance], Tally]:
    """Synthesize every sentence of every text in the voice of one speaker."""
    tally = Tally()
    sentences: list[Sentence] = []
    for text in texts:
        try:
            text_sentences = split_sentences(text)[0]
        except TextError:
            tally.dropped["no words"] += 1
            continue
        for sentence in text_sentences:
            if any(word.text.startswith("[[") for word in sentence.words):
                tally.dropped["written in IPA"] += 1
            else:
                sentences.append(sentence)
    utterances = []
    for index, (sentence, speech) in enumerate(_run_engine(speaker, sentences)):
        if speech is None:
            tally.dropped[f"{speaker.engine} failed"] += 1
            continue
        # A generator per sentence, so that dropping one does not change the others.
        rng = np.random.default_rng([speaker.seed, 2, index])
        utterance = _finish(speaker, sentence, speech, rng)
        if utterance is None:
            tally.dropped["sounds do not match the phonemes"] += 1
            continue
        tally.kept += 1
        utterances.append(utterance)
    return utterances, tally


_EngineSpeech = tuple[NDArray[np.float32], int, list[Sound] | None]  # samples, rate, phoneme times


def _run_engine(
    speaker: SyntheticSpeaker, sentences: list[Sentence]
) -> Iterator[tuple[Sentence, _EngineSpeech | None]]:
    """Speak sentences with a speaker's engine; None where the engine failed."""
    texts = [spoken_text(sentence) for sentence in sentences]
    if isinstance(speaker.voice, EspeakVoice):
        for index, (sentence, text) in enumerate(zip(sentences, texts, strict=True)):
            try:
                yield sentence, _speak_by_espeak(text, speaker.voice, seed=index + 1)
            except EspeakError:
                yield sentence, None
        return
    engine = tts_engines.flite if speaker.engine == "flite" else tts_engines.festival
    for sentence, speech in zip(sentences, engine(speaker.voice, texts), strict=True):
        yield sentence, (*speech, None) if speech else None


def _speak_by_espeak(
    text: str, voice: EspeakVoice, seed: int
) -> tuple[NDArray[np.float32], int, list[Sound]]:
    try:
        return _espeak().speak(text, voice, seed)
    except EspeakEndedError:
        _espeak.cache_clear()  # a process that was killed is replaced once
        return _espeak().speak(text, voice, seed)


@lru_cache(maxsize=1)
def _espeak() -> Espeak:
    """One espeak-ng per process; it ends with the process, when its standard input closes."""
    return Espeak()


def spoken_text(sentence: Sentence) -> str:
    """The text that matches a sentence's phonemes: numbers and abbreviations spelled out."""
    parts: list[str] = []
    word, border = -1, ""
    for phoneme in sentence.phonemes[1:]:
        if phoneme.word < 0:
            border = phoneme.symbol
        elif phoneme.word != word:
            word = phoneme.word
            parts.append((border.strip() + " " if border else "") + sentence.words[word].spoken)
            border = ""
        else:
            border = ""
    return "".join(parts) + border


def _finish(
    speaker: SyntheticSpeaker,
    sentence: Sentence,
    speech: _EngineSpeech,
    rng: np.random.Generator,
) -> SyntheticUtterance | None:
    """Apply a speaker's voice and channel to an engine's speech, with silence around it.

    None if the engine's sounds do not match the sentence's phonemes.
    """
    samples, rate, sounds = speech
    lead, tail = rng.uniform(0.06, 0.3), rng.uniform(0.1, 0.45)
    voice = np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32)
    if speaker.tempo != 1.0:
        voice = augmentation.tempo(voice, speaker.tempo)
    voice = augmentation.shift_formants(
        augmentation.shift_pitch(voice, speaker.pitch), speaker.formants
    )
    before, after = round(lead * SAMPLE_RATE), round(tail * SAMPLE_RATE)
    after += -(before + len(voice) + after) % HOP
    voice = np.pad(voice, (before, after))
    frames = len(voice) // HOP
    frame_symbol = None
    if sounds is not None:
        frame_symbol = frame_symbols(sentence.phonemes, sounds, frames, lead, speaker.tempo)
        if frame_symbol is None:
            return None
    elif frames < sum(p.symbol not in BORDERS for p in sentence.phonemes) + 1:
        return None
    return SyntheticUtterance(
        _apply_channel(speaker, voice, rng),
        sentence.text,
        sentence.phonemes,
        frame_symbol,
        speaker,
    )


def _apply_channel(
    speaker: SyntheticSpeaker, voice: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Simulate a speaker's recording conditions; [N] -> [N]."""
    channel = speaker.channel
    voice = augmentation.tilt(voice, speaker.tilt)
    if channel.rt60 is not None:
        # Seeded by the speaker, so that all utterances are in the same room.
        impulse = augmentation.room_impulse(
            np.random.default_rng([speaker.seed, 3]), channel.rt60, channel.direct_db
        )
        voice = augmentation.reverberate(voice, impulse)
    if channel.noise is not None:
        noise = augmentation.make_noise(channel.noise, voice, rng)
        voice = augmentation.add_noise(voice, noise, channel.snr_db)
    voice = augmentation.band_limit(voice, channel.low, channel.high)
    voice = augmentation.normalize_level(voice, channel.level + rng.normal(0, 1))
    floor = rng.standard_normal(len(voice)).astype(np.float32)
    return np.clip(voice + np.float32(10 ** (channel.floor_db / 20)) * floor, -1.0, 1.0)
