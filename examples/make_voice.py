"""Makes voice.wav, the sample voice, which is nobody's: `python examples/make_voice.py`.

A voice of flite (Debian package `flite`) says the sentence more slowly than usual; then the whole
is played faster, which raises pitch, formants and speed together. What is left in the end is the
usual speed from a shorter vocal tract at a higher pitch: a voice of its own. Needs `flite` on the
path, and numpy, soundfile and soxr, which valle brings.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

TEXT = (
    "Good morning. The rain has stopped, and the garden smells of mint and warm earth. "
    "Shall we walk down to the river?"
)
SAMPLE_RATE = 16_000
FASTER = 1.15  # pitch and formants times this: as if the vocal tract were so much shorter
STRETCH = 0.88  # length of the finished speech by that of flite's own, which is slow
LEVEL = -23.0  # dBFS, RMS of the whole
EDGE = 0.15  # seconds of silence kept on either side


def say(text: str) -> tuple[np.ndarray, int]:
    """flite's speech (samples and their rate), slower by as much as playing it will be faster."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        pace = ["--setf", f"duration_stretch={STRETCH * FASTER}"]
        command = ["flite", "-voice", "rms", *pace, "-t", text, "-o", str(wav)]
        try:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        except FileNotFoundError:
            sys.exit("flite is not installed; on Debian or Ubuntu: apt-get install flite")
        samples, rate = soundfile.read(wav, dtype="float32")
    return samples, rate


def make() -> np.ndarray:
    """The sample voice, mono float32 at SAMPLE_RATE."""
    samples, rate = say(TEXT)
    samples = soxr.resample(samples, rate * FASTER, SAMPLE_RATE, quality="VHQ")
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    edge = round(EDGE * SAMPLE_RATE)
    samples = samples[max(0, loud[0] - edge) : loud[-1] + edge]
    ramp = np.minimum(1.0, np.arange(len(samples)) / (edge / 3))
    samples = samples * ramp * ramp[::-1]
    return samples * (10 ** (LEVEL / 20) / np.sqrt(np.mean(samples**2)))


def main() -> None:
    target = Path(__file__).with_name("voice.wav")
    temporary = target.with_suffix(".tmp")
    soundfile.write(temporary, make(), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    temporary.replace(target)
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
