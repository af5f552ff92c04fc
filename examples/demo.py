"""Clone the sample voice, and show how well and how fast: demo.wav, demo.png, demo.json.

Run by `make demo`, or `python examples/demo.py` where `valle[plot]` is installed. Writes into the
current folder.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import valle
from valle.audio import resample
from valle.evaluation.plot import save_plot

VOICE = Path(__file__).parent / "voice.wav"
TEXT = "This voice was never recorded saying these words; a few seconds of it were enough."


def main() -> None:
    """Enrol, speak, measure, draw."""
    model = valle.load()
    voice = model.enroll(VOICE, attest="I hold the rights to this voice")
    model.speak("Ready.", voice=voice)  # reads the graphs, so that the time below is speaking only
    started = time.perf_counter()
    speech = model.speak(TEXT, voice=voice)
    rtf = (time.perf_counter() - started) / speech.seconds
    speech.save("demo.wav")

    reference = resample(voice.audio, voice.sample_rate, model.sample_rate)
    alike = float(embedding(model, reference) @ embedding(model, speech.audio))
    missed = speech.check.phoneme_error_rate if speech.check else float("nan")
    figures = {
        "text": TEXT,
        "seconds": round(speech.seconds, 3),
        "rtf": round(rtf, 3),
        "similarity": round(alike, 3),
        "phoneme_error_rate": round(missed, 3),
    }
    Path("demo.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    title = f"RTF {rtf:.2f}, similarity {alike:.2f}, phoneme error rate {missed:.1%}"
    save_plot("demo.png", speech.audio, speech.sample_rate, speech.words, title)

    print(f"demo.wav: {speech.seconds:.2f} s of speech; demo.png shows it")
    print(f"RTF                 {rtf:.2f}  seconds of work for each second of speech")
    print(f"similarity          {alike:.2f}  of the voices, 1 is the same (by our own encoder)")
    print(f"phoneme error rate  {missed:.1%}  of what was asked (by our own listener)")


def embedding(model: valle.Model, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The voice of a recording at the model's sample rate: [192], of unit length."""
    session = model.bundle.session("speaker")
    found: NDArray[np.float32] = session.run(["embedding"], {"waveform": samples[None]})[0][0]
    return found


if __name__ == "__main__":
    main()
