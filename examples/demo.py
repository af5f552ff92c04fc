"""Clone the sample voice, and show how well and how fast: demo.wav, demo.png, demo.json.

Run by `make demo`, or `python examples/demo.py` where valle and matplotlib are installed. Writes
into the current folder.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from numpy.typing import NDArray

import valle
from valle.audio import resample
from valle.bundle import Bundle

matplotlib.use("Agg")  # draws to a file; no screen needed

VOICE = Path(__file__).parent / "voice.wav"
TEXT = "This voice was never recorded saying these words; a few seconds of it were enough."


def main() -> None:
    """Enrol, speak, measure, draw."""
    bundle = Bundle.load()
    model = valle.load()
    voice = model.enroll(str(VOICE), attest="I hold the rights to this voice")
    model.speak("Ready.", voice=voice)  # reads the graphs, so that the time below is speaking only
    started = time.perf_counter()
    speech = model.speak(TEXT, voice=voice)
    taken = time.perf_counter() - started
    speech.save("demo.wav")

    check = speech.check
    figures = {
        "seconds_of_speech": round(speech.seconds, 2),
        "rtf": round(taken / speech.seconds, 3),
        "speaker_similarity": round(
            similarity(
                bundle,
                resample(voice.audio, voice.sample_rate, bundle.config.sample_rate),
                speech.audio,
            ),
            3,
        ),
        "phoneme_error_rate": None if check is None else round(check.phoneme_error_rate, 3),
    }
    Path("demo.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    draw(voice, speech, figures)
    print(f"text:                {TEXT}")
    print(f"speech:              {figures['seconds_of_speech']} s in demo.wav")
    print(f"RTF:                 {figures['rtf']} (seconds of work for each second of speech)")
    print(f"speaker similarity:  {figures['speaker_similarity']} (1 is the same; our own encoder)")
    print(f"phoneme error rate:  {figures['phoneme_error_rate']} (0 is none; our own listener)")
    print("picture:             demo.png")


def similarity(bundle: Bundle, one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Cosine between the speaker embeddings of two recordings at the bundle's sample rate."""
    session = bundle.session("speaker")
    first, second = (session.run(["embedding"], {"waveform": x[None]})[0][0] for x in (one, other))
    return float(first @ second)


def draw(voice: valle.Voice, speech: valle.Speech, figures: dict[str, object]) -> None:
    """The recording and the speech one above the other, with the words where they are said."""
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(11, 6), layout="constrained")
    spectrogram(above, voice.audio, voice.sample_rate)
    above.set_title("The voice: examples/voice.wav")
    spectrogram(below, speech.audio, speech.sample_rate)
    below.set_title("The clone, saying a new text")
    top = speech.sample_rate / 2
    for number, (word, start, end) in enumerate(speech.words):
        below.axvline(start, color="white", linewidth=0.5, alpha=0.6)
        # On two heights, so that the names of short words stay apart.
        height = top * (0.94 if number % 2 else 0.86)
        below.text(
            (start + end) / 2, height, word, color="white", fontsize=8, ha="center", va="center"
        )
    figure.suptitle(
        f"RTF {figures['rtf']}   speaker similarity {figures['speaker_similarity']}   "
        f"phoneme error rate {figures['phoneme_error_rate']}"
    )
    figure.savefig("demo.png", dpi=110)


def spectrogram(axes: Axes, samples: NDArray[np.float32], sample_rate: int) -> None:
    """Levels in dB, time in seconds against frequency in Hz."""
    # The tiny number keeps digital silence finite.
    axes.specgram(samples + 1e-6, NFFT=512, Fs=sample_rate, noverlap=384, vmin=-140, vmax=-40)
    axes.set(xlabel="s", ylabel="Hz", xlim=(0, len(samples) / sample_rate))


if __name__ == "__main__":
    main()
