"""Make voices/, sample voices that belong to nobody: `python examples/make_voices.py [NAME ...]`.

Voices of flite (Debian package `flite`) speak with another mean pitch, pitch range and rate, and
the result is played at another speed, as from a longer or shorter vocal tract. That makes people of
several ages out of three voices. Nothing is random, so the same flite gives the same files again.

Needs `flite` on the path, and numpy, soundfile and soxr, which valle installs.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

FOLDER = Path(__file__).with_name("voices")
SAMPLE_RATE = 16_000
LEVEL = -23.0  # dBFS, RMS over the file
EDGE = 0.15  # seconds of silence at both ends


@dataclass(frozen=True)
class Recipe:
    """How a voice is made, and what it says."""

    base: str
    """A voice of flite."""
    size: float
    """Factor of all formants: above 1 as from a shorter vocal tract."""
    pitch: float
    """Mean, in Hz."""
    spread: float
    """Standard deviation of the pitch, in Hz."""
    stretch: float
    """Duration relative to flite's own."""
    texts: tuple[str, str, str]
    """The prompt, and two sentences of ground truth."""


RECIPES = {
    "rowan": Recipe(
        "rms", 0.97, 102, 16, 0.95,
        (
            "I keep my tools in the shed behind the house, and every one of them has its own hook.",
            "The bridge was closed for repairs until the middle of June.",
            "Please bring your boots, because the path is muddy.",
        ),
    ),
    "flora": Recipe(
        "slt", 1.0, 190, 24, 0.98,
        (
            "The market opens early on Fridays, so we went before breakfast and bought "
            "fresh bread.",
            "My sister painted the kitchen door a very bright yellow.",
            "We can meet at the station when the clock strikes three.",
        ),
    ),
    "pip": Recipe(
        "slt", 1.19, 262, 34, 0.98,
        (
            "We found a tiny frog under the bucket, and then it jumped right over my shoe.",
            "Can I have another piece of cake after the game?",
            "The puppy ran around the tree and barked at the moon.",
        ),
    ),
    "mabel": Recipe(
        "slt", 0.92, 168, 20, 1.14,
        (
            "When I was young, the whole street would come together to bring in the apples.",
            "My grandmother kept her letters in a small wooden box.",
            "A warm cup of tea is good for a cold evening.",
        ),
    ),
    "angus": Recipe(
        "awb", 0.98, 118, 17, 0.98,
        (
            "The boat left the harbor at dawn, and the wind was behind us all the way home.",
            "The sheep were standing in the shade of the old wall.",
            "It rained for three days, and then the sun came out.",
        ),
    ),
    "isla": Recipe(
        "awb", 1.16, 196, 26, 0.95,
        (
            "There is a little shop at the corner where they still sell paper and colored ink.",
            "Our teacher read the first page of the story aloud.",
            "I would like to see the castle before we go back.",
        ),
    ),
    "walter": Recipe(
        "rms", 0.9, 86, 12, 1.12,
        (
            "The clock in the hall has been slow since the winter, but nobody wants to touch it.",
            "He told us about the summer when the river was frozen.",
            "I have lived in this valley for most of my life.",
        ),
    ),
    "theo": Recipe(
        "rms", 1.1, 142, 22, 0.9,
        (
            "Our team plays on Saturday, and if we win again we will be in the final round.",
            "The last bus was full, so we had to walk home.",
            "She showed me how to fix the chain of my bicycle.",
        ),
    ),
}  # fmt: skip


def synthesize(recipe: Recipe, text: str) -> tuple[np.ndarray, int]:
    """Speech by flite, whose pitch and rate are right once `make_clip` has changed the speed."""
    settings = {
        "duration_stretch": recipe.stretch * recipe.size,
        "int_f0_target_mean": recipe.pitch / recipe.size,
        "int_f0_target_stddev": recipe.spread / recipe.size,
    }
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        command = ["flite", "-voice", recipe.base, "-t", text, "-o", str(wav)]
        for name, value in settings.items():
            command += ["--setf", f"{name}={value:.4f}"]
        try:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        except FileNotFoundError:
            sys.exit("flite is not installed; on Debian or Ubuntu: apt-get install flite")
        samples, rate = soundfile.read(wav, dtype="float32")
    return samples, rate


def make_clip(recipe: Recipe, text: str) -> np.ndarray:
    """One recording of a voice, mono float32 at SAMPLE_RATE."""
    samples, rate = synthesize(recipe, text)
    samples = soxr.resample(samples, rate * recipe.size, SAMPLE_RATE, quality="VHQ")
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    edge = round(EDGE * SAMPLE_RATE)
    samples = samples[max(0, loud[0] - edge) : loud[-1] + edge]
    ramp = np.minimum(1.0, np.arange(len(samples)) / (edge / 3))
    samples = samples * ramp * ramp[::-1]
    return samples * (10 ** (LEVEL / 20) / np.sqrt(np.mean(samples**2)))


def write_clip(recipe: Recipe, text: str, target: Path) -> None:
    """Write a recording as Ogg Opus, and what it says next to it as text."""
    temporary = target.with_suffix(".tmp")
    soundfile.write(temporary, make_clip(recipe, text), SAMPLE_RATE, format="OGG", subtype="OPUS")
    temporary.replace(target)
    target.with_suffix(".txt").write_text(f"{text}\n", encoding="utf-8")


def main() -> None:
    """Write the recordings of all voices, or of those that are named."""
    for name in sys.argv[1:] or RECIPES:
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
        prompt, *others = RECIPES[name].texts
        write_clip(RECIPES[name], prompt, FOLDER / f"{name}.ogg")
        for number, text in enumerate(others, start=1):
            write_clip(RECIPES[name], text, FOLDER / name / f"{number}.ogg")
        print(f"wrote {FOLDER / name}")


if __name__ == "__main__":
    main()
