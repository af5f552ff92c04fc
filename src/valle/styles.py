"""Style: how speech is said. One definition for Python, the command line, HTTP and markup.

A style is five numbers relative to the voice's own way of speaking, or an emotion that stands for
such numbers. `valle.audio.shaping` applies them to speech.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from valle.errors import UsageError

Emotion = Literal["happy", "sad", "angry", "calm", "fearful", "surprised", "whisper"]


@dataclass(frozen=True)
class StyleShift:
    """What a style changes in speech."""

    pitch: float = 0.0
    """Semitones by which the pitch is raised."""
    range: float = 1.0
    """Factor of the distance of the pitch from its median, in semitones."""
    energy: float = 0.0
    """dB by which the speech is louder."""
    rate: float = 1.0
    """Factor of the speaking rate."""
    tilt: float = 0.0
    """dB per octave by which the spectrum rises from 125 Hz to 8 kHz."""
    breath: float = 0.0
    """Share of the power of the voice that becomes breath: 1 is a whisper."""

    def scale(self, strength: float) -> StyleShift:
        """Return a part of the change: 0 is none, 1 is all of it."""
        return StyleShift(
            self.pitch * strength,
            1.0 + (self.range - 1.0) * strength,
            self.energy * strength,
            self.rate**strength,
            self.tilt * strength,
            self.breath * strength,
        )


# The directions are those of published acoustic profiles of emotions in speech: Banse and Scherer,
# "Acoustic profiles in vocal emotion expression", JPSP 70 (1996); Juslin and Laukka,
# "Communication of emotions in vocal expression and music performance", Psychological Bulletin 129
# (2003), where calm is their tenderness; Scherer, "Vocal communication of emotion", Speech
# Communication 40 (2003). They have no surprise: it is happiness with a higher and wider pitch. A
# whisper has no voice, less power and a flatter spectrum (Ito, Takeda and Itakura, "Analysis and
# recognition of whispered speech", Speech Communication 45, 2005). The sizes are ours: as large as
# leaves the voice the same (docs/STYLE.md).
EMOTIONS: dict[str, StyleShift] = {
    "happy": StyleShift(pitch=1.5, range=1.4, energy=3.0, rate=1.08, tilt=0.8),
    "sad": StyleShift(pitch=-1.2, range=0.6, energy=-5.0, rate=0.85, tilt=-1.2),
    "angry": StyleShift(pitch=1.0, range=1.4, energy=6.0, rate=1.1, tilt=1.5),
    "calm": StyleShift(pitch=-0.8, range=0.75, energy=-3.0, rate=0.92, tilt=-0.8),
    "fearful": StyleShift(pitch=1.8, range=0.7, energy=-2.0, rate=1.12, tilt=-0.5),
    "surprised": StyleShift(pitch=2.0, range=1.7, energy=3.0, rate=1.0, tilt=0.5),
    "whisper": StyleShift(energy=-8.0, rate=0.95, tilt=1.0, breath=1.0),
}
NAMES: dict[str, dict[str, float]] = {
    "high": {"pitch": 2.0},
    "low": {"pitch": -2.0},
    "lively": {"range": 1.5},
    "flat": {"range": 0.5},
    "loud": {"energy": 6.0},
    "soft": {"energy": -6.0},
    "fast": {"rate": 1.2},
    "slow": {"rate": 0.83},
    "bright": {"tilt": 1.5},
    "warm": {"tilt": -1.5},
}
"""Words for one property each."""

# Plain words of instructions, and what they stand for in `EMOTIONS` and `NAMES`.
_SYNONYMS = {
    "happy": "happily joyful joyfully joy cheerful cheerfully cheery excited excitedly upbeat glad "
    "enthusiastic enthusiastically",
    "sad": "sadly sadness sorrowful mournful melancholy melancholic gloomy depressed unhappy "
    "grieving",
    "angry": "angrily anger furious furiously mad annoyed irritated outraged",
    "calm": "calmly calming relaxed relaxing soothing gentle gently peaceful tender tenderly",
    "fearful": "fearfully fear afraid scared frightened terrified anxious anxiously nervous "
    "nervously worried",
    "surprised": "surprise amazed astonished shocked",
    "whisper": "whispering whispered whispers whispery",
    "high": "higher",
    "low": "lower deep deeper",
    "lively": "livelier animated expressive expressively",
    "flat": "flatter monotone monotonous monotonously deadpan",
    "loud": "loudly louder shouting",
    "soft": "softly softer quiet quietly quieter",
    "fast": "faster quickly quick quicker rapid rapidly hurried",
    "slow": "slowly slower unhurried",
    "bright": "brighter crisp",
    "warm": "warmly warmer dark darker",
}
_STANDS_FOR = {word: name for name, words in _SYNONYMS.items() for word in [name, *words.split()]}
# What weakens the emotion that follows, in a plain instruction; and what turns a word into its
# opposite, which is left out.
_WEAK = {"slightly": 0.5, "somewhat": 0.5, "little": 0.5, "bit": 0.5, "mildly": 0.5, "faintly": 0.3}
_NOT = frozenset("not no never without dont don't avoid less isn't isnt".split())
_WORD = re.compile(r"[a-z]+(?:['\u2019][a-z]+)?")
LIMITS = {
    "pitch": (-6.0, 6.0),
    "range": (0.0, 2.5),
    "energy": (-12.0, 12.0),
    "rate": (0.5, 2.0),
    "tilt": (-4.0, 4.0),
}
"""The least and the greatest number of each property."""
_UNITS = {"pitch": "st", "range": "x", "energy": "db", "rate": "x", "tilt": "db"}


class Style(BaseModel):
    """How speech is said, relative to the voice's own way. The descriptions are the help texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    emotion: Emotion | None = Field(
        default=None, description=f"emotion, one of {', '.join(get_args(Emotion))}"
    )
    strength: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="how much of the style is applied: 0 is plain speech, 1 is all of it",
    )
    pitch: float | None = Field(
        default=None,
        ge=LIMITS["pitch"][0],
        le=LIMITS["pitch"][1],
        description="semitones by which the voice is higher; -6 to 6",
    )
    range: float | None = Field(
        default=None,
        ge=LIMITS["range"][0],
        le=LIMITS["range"][1],
        description="how far the pitch rises and falls: 0 is monotone, 1 is as usual; 0 to 2.5",
    )
    energy: float | None = Field(
        default=None,
        ge=LIMITS["energy"][0],
        le=LIMITS["energy"][1],
        description="dB by which it is louder; -12 to 12",
    )
    rate: float | None = Field(
        default=None,
        ge=LIMITS["rate"][0],
        le=LIMITS["rate"][1],
        description="how many times as fast it is; 0.5 to 2",
    )
    tilt: float | None = Field(
        default=None,
        ge=LIMITS["tilt"][0],
        le=LIMITS["tilt"][1],
        description="dB per octave by which it is brighter, or darker below 0; -4 to 4",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, value: Any) -> Any:
        return parse_style_fields(value) if isinstance(value, str) else value

    def describe(self) -> str:
        """Return the properties that are set, as `parse_style` reads them."""
        numbers = [(name, getattr(self, name)) for name in LIMITS]
        return ", ".join(f"{name}={value:g}" for name, value in numbers if value is not None)

    def resolve(self) -> StyleShift | None:
        """Return what changes at this strength; None for plain speech."""
        shift = EMOTIONS[self.emotion] if self.emotion else StyleShift()
        given = {name: getattr(self, name) for name in _UNITS}
        own = {name: value for name, value in given.items() if value is not None}
        shift = StyleShift(**{**vars(shift), **own}).scale(self.strength)
        return None if shift == StyleShift() else shift


def parse_style(text: str) -> Style:
    """Return the style that a text names, such as "sad", "sad 0.5", "low, soft" or "pitch=-2".

    Raises:
        UsageError: A name or property is unknown, a number is out of range, or a property is set
            twice.
    """
    try:
        return Style(**parse_style_fields(text))
    except ValidationError as error:
        problem = error.errors()[0]
        name, message = problem["loc"][0], problem["msg"].lower().removeprefix("input should be ")
        raise UsageError(f"{name}={problem['input']} is out of range: {message}") from None


def parse_style_fields(text: str) -> dict[str, Any]:
    """Return the fields of `Style` that a text sets; see `parse_style`.

    Raises:
        UsageError: A name or property is unknown, no number is given, or a property is set twice.
    """
    fields: dict[str, Any] = {}
    for part in text.lower().split(","):
        for name, value in _parse_part(part.strip()).items():
            if fields.setdefault(name, value) != value:
                raise UsageError(f"style {text!r} sets {name} twice")
    return fields


def read_instructions(text: str) -> tuple[Style | None, list[str]]:
    """Return the style that plain words ask for, and the words that it was read from.

    Of several emotions, the first counts; other words are passed over, and so is what "not" and
    "no" stand before.

    Args:
        text: Such as "Sound sad, and speak slowly."
    """
    fields: dict[str, Any] = {}
    understood: list[str] = []
    words = _WORD.findall(text.lower().replace("\u2019", "'"))
    for index, word in enumerate(words):
        name = _STANDS_FOR.get(word)
        before = words[max(0, index - 2) : index]
        if name is None or not _NOT.isdisjoint(before):
            continue
        new: dict[str, Any] = {"emotion": name} if name in EMOTIONS else dict(NAMES[name])
        if not fields.keys() & new.keys():
            fields |= new
            understood.append(word)
            if name in EMOTIONS:
                fields["strength"] = min([1.0, *(_WEAK[w] for w in before if w in _WEAK)])
    return (Style(**fields) if fields else None), understood


def _parse_part(part: str) -> dict[str, Any]:
    name, equals, value = (piece.strip() for piece in part.partition("="))
    if equals:
        if name not in Style.model_fields or name == "emotion":
            raise UsageError(f"a style has no {name!r}; it has {', '.join([*_UNITS, 'strength'])}")
        return {name: _parse_number(name, value)}
    word, _, strength = name.partition(" ")
    if word in EMOTIONS:
        fields: dict[str, Any] = {"emotion": word}
        return fields | ({"strength": _parse_number("strength", strength)} if strength else {})
    if name not in NAMES:
        known = [*EMOTIONS, *NAMES]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "use " + ", ".join(known)
        raise UsageError(f"there is no style {name!r}; {hint}")
    return dict(NAMES[name])


def _parse_number(name: str, value: str) -> float:
    number = value.removesuffix(_UNITS.get(name, "")).strip()
    if not re.fullmatch(r"[+-]?(\d{1,3}(\.\d{0,6})?|\.\d{1,6})", number):
        raise UsageError(f"{name}={value} is not a number; write it as {name}=0.5")
    return float(number)
