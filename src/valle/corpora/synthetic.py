"""Made speech: sentences in the voices of made speakers, with the symbol that each frame is at.

espeak-ng says when each phoneme begins; what flite and festival say has its text alone, and is for
a listener to align. Everything follows from seeds: the same call gives the same samples, on any
number of processes.
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

from valle.corpora import augmentation, tts_engines
from valle.corpora.espeak_speech import Espeak, EspeakFailed, EspeakVoice, Sound
from valle.corpora.phoneme_times import frame_symbols
from valle.corpora.split import is_evaluation_sentence
from valle.corpora.synthetic_speaker import ENGINES, MadeSpeaker
from valle.errors import TextError, UsageError
from valle.text.phonemes import Phoneme, Sentence, to_sentences
from valle.text.symbols import BORDERS

SAMPLE_RATE = 16_000
HOP = 320

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MadeUtterance:
    """One sentence in a made voice.

    `samples` [N] float32 in [-1, 1] at 16 kHz, N a multiple of 320. `frame_symbol` [N / 320] int64
    is the index into `phonemes` that each frame is at (see `frame_symbols`), None where the engine
    gives no times.
    """

    samples: NDArray[np.float32]
    text: str
    phonemes: list[Phoneme]
    frame_symbol: NDArray[np.int64] | None
    speaker: MadeSpeaker


@dataclass
class Tally:
    """How many sentences became speech, and why the others did not."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """Share of the sentences tried that were kept, 0 to 1."""
        tried = self.kept + sum(self.dropped.values())
        return self.kept / tried if tried else 0.0

    def add(self, other: Tally) -> None:
        """Count what `other` has counted too."""
        self.kept += other.kept
        self.dropped += other.dropped


def available_engines() -> dict[str, float]:
    """`ENGINES` without those that are not installed here; a warning in the log names each."""
    found = {"espeak": ENGINES["espeak"]}
    for engine in ("flite", "festival"):
        why = tts_engines.missing(engine)
        if why is None:
            found[engine] = ENGINES[engine]
        else:
            _log.warning("made speech goes without %s: %s", engine, why)
    return found


def make_speech(
    sentences: Sequence[str],
    speakers: int | Sequence[MadeSpeaker],
    utterances_per_speaker: int,
    seed: int = 0,
    workers: int = 1,
    tally: Tally | None = None,
) -> Iterator[MadeUtterance]:
    """Made speakers say sentences drawn from `sentences`; a speaker's utterances come together.

    Args:
        sentences: texts; those kept for evaluation are left out.
        speakers: the speakers, or how many to draw, of the engines that are installed.
        utterances_per_speaker: sentences that each speaker tries; some may be dropped.
        seed: draws the speakers and their sentences.
        workers: processes; the utterances are the same with any number of them.
        tally: where kept and dropped sentences are counted.

    Raises:
        UsageError: no sentence is left, or a speaker's engine is not installed.
    """
    texts = [text for text in sentences if not is_evaluation_sentence(text)]
    if not texts:
        raise UsageError("no sentences to say: give some that are not kept for evaluation")
    if isinstance(speakers, int):
        engines = available_engines()
        seeds = np.random.default_rng([seed, 0]).integers(0, 2**31, speakers)
        speakers = [MadeSpeaker.draw(int(one), engines) for one in seeds]
    for engine in {speaker.engine for speaker in speakers} - {"espeak"}:
        if why := tts_engines.missing(engine):
            raise UsageError(why)
    drawn = []
    for speaker in speakers:
        rng = np.random.default_rng([seed, 1, speaker.seed])
        chosen = rng.integers(0, len(texts), utterances_per_speaker)
        drawn.append([texts[index] for index in chosen])
    counted = tally if tally is not None else Tally()
    if workers <= 1:
        made = map(say, speakers, drawn)
        for utterances, counts in made:
            counted.add(counts)
            yield from utterances
        return
    with ProcessPoolExecutor(workers) as pool:
        for utterances, counts in pool.map(say, speakers, drawn, chunksize=4):
            counted.add(counts)
            yield from utterances


def say(speaker: MadeSpeaker, texts: Sequence[str]) -> tuple[list[MadeUtterance], Tally]:
    """Every sentence of every text, in the voice of one speaker."""
    tally = Tally()
    sentences: list[Sentence] = []
    for text in texts:
        try:
            found = to_sentences(text)[0]
        except TextError:
            tally.dropped["nothing to say"] += 1
            continue
        for sentence in found:
            if any(word.text.startswith("[[") for word in sentence.words):
                tally.dropped["written in IPA"] += 1
            else:
                sentences.append(sentence)
    utterances = []
    for index, (sentence, spoken) in enumerate(_spoken(speaker, sentences)):
        if spoken is None:
            tally.dropped[f"{speaker.engine} could not say it"] += 1
            continue
        # each has its own generator: dropping one changes none of the others
        rng = np.random.default_rng([speaker.seed, 2, index])
        utterance = _finish(speaker, sentence, *spoken, rng)
        if utterance is None:
            tally.dropped["sounds do not fit its phonemes"] += 1
            continue
        tally.kept += 1
        utterances.append(utterance)
    return utterances, tally


_Spoken = tuple[NDArray[np.float32], int, list[Sound] | None]  # samples, rate, sounds if known


def _spoken(
    speaker: MadeSpeaker, sentences: list[Sentence]
) -> Iterator[tuple[Sentence, _Spoken | None]]:
    texts = [speakable(sentence) for sentence in sentences]
    if isinstance(speaker.voice, EspeakVoice):
        for index, (sentence, text) in enumerate(zip(sentences, texts, strict=True)):
            try:
                yield sentence, _espeak().speak(text, speaker.voice, seed=index + 1)
            except EspeakFailed:
                yield sentence, None
        return
    engine = tts_engines.flite if speaker.engine == "flite" else tts_engines.festival
    for sentence, said in zip(sentences, engine(speaker.voice, texts), strict=True):
        yield sentence, (*said, None) if said else None


@lru_cache(maxsize=1)
def _espeak() -> Espeak:
    """One a process, ended with it: its standard input closes."""
    return Espeak()


def speakable(sentence: Sentence) -> str:
    """The sentence as its phonemes have it: numbers and abbreviations as words, borders between."""
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
    speaker: MadeSpeaker,
    sentence: Sentence,
    samples: NDArray[np.float32],
    rate: int,
    sounds: list[Sound] | None,
    rng: np.random.Generator,
) -> MadeUtterance | None:
    """Silence around it, the speaker's own voice and channel, and the symbol of each frame."""
    lead, tail = rng.uniform(0.06, 0.3), rng.uniform(0.1, 0.45)
    voice = np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32)
    if speaker.tempo != 1.0:
        voice = augmentation.tempo(voice, speaker.tempo)
    voice = augmentation.shift_formants(
        augmentation.shift_pitch(voice, speaker.pitch), speaker.formants
    )
    ahead, behind = round(lead * SAMPLE_RATE), round(tail * SAMPLE_RATE)
    behind += -(ahead + len(voice) + behind) % HOP
    voice = np.pad(voice, (ahead, behind))
    frames = len(voice) // HOP
    frame_symbol = None
    if sounds is not None:
        frame_symbol = frame_symbols(sentence.phonemes, sounds, frames, lead, speaker.tempo)
        if frame_symbol is None:
            return None
    elif frames < sum(p.symbol not in BORDERS for p in sentence.phonemes) + 1:
        return None
    return MadeUtterance(
        _through_channel(speaker, voice, rng),
        sentence.text,
        sentence.phonemes,
        frame_symbol,
        speaker,
    )


def _through_channel(
    speaker: MadeSpeaker, voice: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    channel = speaker.channel
    voice = augmentation.tilt(voice, speaker.tilt)
    if channel.rt60 is not None:
        # of the speaker, not of the utterance: one room
        impulse = augmentation.room_impulse(
            np.random.default_rng([speaker.seed, 3]), channel.rt60, channel.direct_db
        )
        voice = augmentation.room(voice, impulse)
    if channel.noise is not None:
        added = augmentation.noise(channel.noise, voice, rng)
        voice = augmentation.add_noise(voice, added, channel.snr_db)
    voice = augmentation.band_limit(voice, channel.low, channel.high)
    voice = augmentation.level(voice, channel.level + rng.normal(0, 1))
    floor = rng.standard_normal(len(voice)).astype(np.float32)
    return np.clip(voice + np.float32(10 ** (channel.floor_db / 20)) * floor, -1.0, 1.0)
