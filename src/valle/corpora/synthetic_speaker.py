"""Speakers that exist nowhere: a voice and the room it is heard in, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from valle.corpora.augmentation import NOISES
from valle.corpora.espeak_speech import EspeakVoice
from valle.corpora.tts_engines import FESTIVAL_VOICES, FLITE_VOICES

# Only espeak-ng's phoneme times are exact, so most speakers are its; the other two sound more like
# people. Shares of all speakers.
ENGINES = {"espeak": 0.75, "flite": 0.2, "festival": 0.05}

# espeak-ng's variants that sound like a speaking person: none that whispers, clips or buzzes on
# one note, and of those that differ only in name one.
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
    """What lies between mouth and file, the same for all that a speaker says.

    `rt60` is None in the open (`direct_db` then means nothing); `noise` None is no noise but the
    floor, white noise at `floor_db` dBFS; `low`, `high` the band in hertz; `level` in dBFS.
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
        """Whether the voice is heard as it is: no room, no noise, the whole band."""
        return self.rt60 is None and self.noise is None and self.low == 0 and self.high == 8000

    @staticmethod
    def draw(rng: np.random.Generator) -> Channel:
        """Half of all channels are clean."""
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
class MadeSpeaker:
    """A made voice. The same seed always draws the same one, on any machine.

    `voice` is espeak-ng's, or the name of one of flite's or festival's. What the engine says is
    then changed: pitch and formants multiplied, tempo, spectral tilt in dB an octave.
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
        """Names the speaker among all made ones."""
        return f"made-{self.engine}-{self.seed}"

    @staticmethod
    def draw(seed: int, engines: dict[str, float] = ENGINES) -> MadeSpeaker:
        """The speaker of this seed (0 or more); `engines` gives each engine its share."""
        rng = np.random.default_rng([seed, 0])
        shares = np.array(list(engines.values()), float)
        engine = str(rng.choice(list(engines), p=shares / shares.sum()))
        channel = Channel.draw(np.random.default_rng([seed, 1]))
        tilt = _rounded(np.clip(rng.normal(0, 1.5), -4, 3))
        if engine == "espeak":
            return MadeSpeaker(seed, engine, _espeak_voice(rng), 1.0, 1.0, 1.0, tilt, channel)
        voice = str(rng.choice(FLITE_VOICES if engine == "flite" else FESTIVAL_VOICES))
        # A voice of few speakers must move far to be another's: up to a child's, down to a giant's.
        # Pitch and formants go together in people, but loosely.
        size = rng.normal(0, 0.08)
        return MadeSpeaker(
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
    size = rng.normal(0, 0.05)  # of the vocal tract: all formants move with it
    formants = np.clip(np.exp(size + rng.normal(0, 0.025, 9)), 0.84, 1.2)
    return EspeakVoice(
        variant=variant,
        formants=tuple(_rounded(by) for by in formants),
        widths=tuple(_rounded(by) for by in np.clip(np.exp(rng.normal(0, 0.15, 9)), 0.7, 1.5)),
        pitch=_rounded(np.clip(np.exp(size + rng.normal(0, 0.15)), 0.68, 1.45)),
        lengths=tuple(_rounded(by) for by in np.clip(rng.normal(1, 0.1, 8), 0.75, 1.3)),
        pitch_range=int(rng.integers(20, 85)),
        rate=round(np.clip(rng.normal(175, 25), 125, 240)),
    )


def _rounded(value: float) -> float:
    return round(float(value), 4)
