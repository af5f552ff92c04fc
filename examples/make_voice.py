"""Make voice.wav, the sample voice, which belongs to nobody: `python examples/make_voice.py`.

A voice of flite (Debian package `flite`) speaks the text more slowly than usual; the result is
played faster, which raises pitch, formants and speed together. The final speech has the usual
speed, a shorter vocal tract and a higher pitch: a different voice.

Needs `flite` on the path, and numpy, soundfile and soxr, which valle installs.
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
SPEED = 1.15  # factor of pitch and formants, as from a vocal tract shorter by it
STRETCH = 0.88  # duration of the final speech relative to flite's own, which is slow
LEVEL = -23.0  # dBFS, RMS over the file
EDGE = 0.15  # seconds of silence at both ends


def synthesize(text: str) -> tuple[np.ndarray, int]:
    """Speech by flite, slowed down by the factor that `make_voice` speeds it up; and its rate."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        stretch = ["--setf", f"duration_stretch={STRETCH * SPEED}"]
        command = ["flite", "-voice", "rms", *stretch, "-t", text, "-o", str(wav)]
        try:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        except FileNotFoundError:
            sys.exit("flite is not installed; on Debian or Ubuntu: apt-get install flite")
        samples, rate = soundfile.read(wav, dtype="float32")
    return samples, rate


def make_voice() -> np.ndarray:
    """The sample voice, mono float32 at SAMPLE_RATE."""
    samples, rate = synthesize(TEXT)
    samples = soxr.resample(samples, rate * SPEED, SAMPLE_RATE, quality="VHQ")
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    edge = round(EDGE * SAMPLE_RATE)
    samples = samples[max(0, loud[0] - edge) : loud[-1] + edge]
    ramp = np.minimum(1.0, np.arange(len(samples)) / (edge / 3))
    samples = samples * ramp * ramp[::-1]
    return samples * (10 ** (LEVEL / 20) / np.sqrt(np.mean(samples**2)))


def main() -> None:
    """Write voice.wav next to this script."""
    target = Path(__file__).with_name("voice.wav")
    temporary = target.with_suffix(".tmp")
    soundfile.write(temporary, make_voice(), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    temporary.replace(target)
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
