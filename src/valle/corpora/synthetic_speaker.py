"""Synthetic speakers: a TTS voice and a recording channel, sampled from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from valle.corpora.augmentation import NOISES
from valle.corpora.espeak_speech import EspeakVoice
from valle.corpora.tts_engines import FESTIVAL_VOICES, FLITE_VOICES

# Share of all speakers by engine. Only espeak-ng gives exact phoneme times, so most speakers use
# it; the other two sound more natural.
ENGINES = {"espeak": 0.75, "flite": 0.2, "festival": 0.05}

# The variants of espeak-ng that sound like a person: none that whisper, clip or drone, and one of
# those that differ only in name.
_FEMALE = (
    "f1 f2 f3 f4 f5 Alicia Andrea Annie aunty belinda linda grandma shelby steph anika Nguyen"
).split()
_MALE = (
    "m1 m2 m3 m4 m5 m6 m7 m8 Alex Andy Denis Diogo Gene Gene2 Lee Mario Michael Mike adam boris "
    "croak david ed edward edward2 grandpa gustave ian iven3 iven4 john kaukovalta klatt klatt2 "
    "klatt3 klatt4 klatt5 marcelo max michel miguel norbert pablo pedro quincy rob robert sandro "
    "travis victor"
).split()


@dataclass(frozen=True)
class Channel:
    """The recording conditions of a speaker, the same for all of their utterances.

    Attributes:
        level: of the speech, dBFS.
        floor_db: level of the white noise floor, dBFS.
        rt60: reverberation time in seconds; None without a room (`direct_db` is then not used).
        direct_db: level of the direct sound over that of the reflections, dB.
        noise: one of `augmentation.NOISES`; None for no noise but the floor.
        snr_db: level of the speech over that of the noise, dB.
        low: lower edge of the band, Hz.
        high: upper edge of the band, Hz.
    """

    level: float
    floor_db: float
    rt60: float | None
    direct_db: float
    noise: str | None
    snr_db: float
    low: float
    high: float

    @property
    def clean(self) -> bool:
        """Whether there is no room, no noise and no band limit."""
        return self.rt60 is None and self.noise is None and self.low == 0 and self.high == 8000

    @staticmethod
    def sample(rng: np.random.Generator) -> Channel:
        """Sample a channel; half of all channels are clean."""
        clean = rng.random() < 0.5
        in_room = not clean and rng.random() < 0.6
        noisy = not clean and rng.random() < 0.5
        narrow = not clean and rng.random() < 0.2
        return Channel(
            level=_rounded(np.clip(rng.normal(-24, 4), -35, -16)),
            floor_db=_rounded(rng.uniform(-85, -60)),
            rt60=_rounded(rng.uniform(0.1, 0.6)) if in_room else None,
            direct_db=_rounded(rng.uniform(3, 15)),
            noise=str(rng.choice(NOISES)) if noisy else None,
            snr_db=_rounded(rng.uniform(15, 35)),
            low=_rounded(rng.uniform(60, 300)) if narrow else 0.0,
            high=_rounded(rng.uniform(3400, 7000)) if narrow else 8000.0,
        )


@dataclass(frozen=True)
class SyntheticSpeaker:
    """A synthetic speaker; the same seed gives the same one on any machine.

    Attributes:
        seed: what the speaker was sampled from.
        engine: a key of `ENGINES`.
        voice: for espeak-ng its parameters, otherwise the name of the engine's voice.
        pitch: factor on the pitch of the engine's output.
        formants: factor on its formant frequencies.
        tempo: factor on its speaking rate.
        tilt: added to its spectral tilt, dB per octave.
        channel: the recording conditions.
    """

    seed: int
    engine: str
    voice: EspeakVoice | str
    pitch: float
    formants: float
    tempo: float
    tilt: float
    channel: Channel

    @property
    def name(self) -> str:
        """The speaker's name, unique among synthetic speakers."""
        return f"synthetic-{self.engine}-{self.seed}"

    @staticmethod
    def sample(seed: int, engines: dict[str, float] = ENGINES) -> SyntheticSpeaker:
        """Sample the speaker of a seed (0 or more); `engines` maps engines to their shares."""
        rng = np.random.default_rng([seed, 0])
        shares = np.array(list(engines.values()), float)
        engine = str(rng.choice(list(engines), p=shares / shares.sum()))
        channel = Channel.sample(np.random.default_rng([seed, 1]))
        tilt = _rounded(np.clip(rng.normal(0, 1.5), -4, 3))
        if engine == "espeak":
            return SyntheticSpeaker(seed, engine, _espeak_voice(rng), 1.0, 1.0, 1.0, tilt, channel)
        voice = str(rng.choice(FLITE_VOICES if engine == "flite" else FESTIVAL_VOICES))
        # These engines have few voices, so the range is wide, from a child's vocal tract to a very
        # large one. In people, pitch and formants are correlated, but loosely.
        size = rng.normal(0, 0.08)
        return SyntheticSpeaker(
            seed,
            engine,
            voice,
            pitch=_rounded(np.clip(np.exp(2 * size + rng.normal(0, 0.1)), 0.65, 1.7)),
            formants=_rounded(np.clip(np.exp(size + rng.normal(0, 0.03)), 0.82, 1.22)),
            tempo=_rounded(np.clip(rng.normal(1.05, 0.12), 0.8, 1.4)),
            tilt=tilt,
            channel=channel,
        )


def _espeak_voice(rng: np.random.Generator) -> EspeakVoice:
    variant = str(rng.choice(_FEMALE if rng.random() < 0.5 else _MALE))
    size = rng.normal(0, 0.05)  # of the vocal tract: it scales all formants
    formants = np.clip(np.exp(size + rng.normal(0, 0.025, 9)), 0.84, 1.2)
    return EspeakVoice(
        variant=variant,
        formants=tuple(_rounded(factor) for factor in formants),
        widths=tuple(
            _rounded(factor) for factor in np.clip(np.exp(rng.normal(0, 0.15, 9)), 0.7, 1.5)
        ),
        pitch=_rounded(np.clip(np.exp(size + rng.normal(0, 0.15)), 0.68, 1.45)),
        lengths=tuple(_rounded(factor) for factor in np.clip(rng.normal(1, 0.1, 8), 0.75, 1.3)),
        pitch_range=int(rng.integers(20, 85)),
        rate=round(np.clip(rng.normal(175, 25), 125, 240)),
    )


def _rounded(value: float) -> float:
    return round(float(value), 4)
