"""Clone the sample voice, show how well and how fast, and what keeps the clone honest.

Run by `make demo`, or `python examples/demo.py` where `valle[plot]` is installed. Writes demo.wav,
demo.wav.json, demo.png and demo.json into the current folder.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import valle
from valle.audio.recording import resample
from valle.consent import challenge
from valle.detection.detector import classify
from valle.detection.report import describe_provenance
from valle.evaluation.plot import save_plot
from valle.trust import ledger
from valle.watermark.detect import detect_watermark

VOICE = Path(__file__).parent / "voice.wav"
TEXT = "This voice was never recorded saying these words; a few seconds of it were enough."


def main() -> None:
    """Be refused, enrol, speak, measure, draw, and find what was made again."""
    model = valle.load()
    print("There is no clone without consent, and this recording does not read the statement:")
    print(f"  {refused(model)}\n")

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

    print("By your own word there is:")
    print(f"  demo.wav            {speech.seconds:.2f} s of speech; demo.png shows it")
    print(f"  RTF                 {rtf:.2f}  seconds of work for each second of speech")
    print(f"  similarity          {alike:.2f}  of the voices, 1 is the same (by our own encoder)")
    print(f"  phoneme error rate  {missed:.1%}  of what was asked (by our own listener)\n")

    print("And it can be told from a recording (`valle detect demo.wav`, `valle verify demo.wav`):")
    for line in traces(model, speech, voice):
        print(f"  {line}")


def refused(model: valle.Model) -> str:
    """Return why the sample voice is not accepted as consent: it does not read the statement."""
    challenge.create("Sample")
    try:
        model.enroll(VOICE, name="Sample", consent=VOICE)
    except valle.ConsentError as error:
        return str(error).split(". Record it again")[0].replace(str(VOICE), VOICE.name)
    raise SystemExit("a recording that does not read the statement was accepted as consent")


def traces(model: valle.Model, speech: valle.Speech, voice: valle.Voice) -> list[str]:
    """What tells that demo.wav was made, by whom and from what; ends the program if none does."""
    key = ledger.get_signing_key().derive_watermark_key()
    found = detect_watermark(speech.audio, speech.sample_rate, key)
    read = {span.payload for span in found.spans if span.payload is not None}
    facts = describe_provenance("demo.wav")
    if not (found.found and facts["verified"]):
        raise SystemExit("demo.wav has no mark, or no valid signature")
    receipt = voice.consent["id"]
    named = ", ".join(f"{payload.receipt:04x}" for payload in read) or "not read"
    chance = max(found.false_positive_bound, 1e-99)  # no smaller one means anything
    verdict = classify(model.bundle, speech.audio, speech.sample_rate)
    heard = "not asked: this bundle has none"
    if verdict is not None:
        heard = f"sounds {verdict.kind}: " + ", ".join(
            f"{kind} {one:.0%}" for kind, one in verdict.whole.items()
        )
    return [
        f"watermark           found; chance of a false alarm {chance:.0e} at most",
        f"payload             receipt {named}; the voice's is {receipt[:4]}...",
        f"detector            {heard}",
        f"demo.wav.json       signed by {facts['sidecar']['key'][:16]}..., and fits the file",
    ]


def embedding(model: valle.Model, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The voice of a recording at the model's sample rate: [192], of unit length."""
    session = model.bundle.session("speaker")
    found: NDArray[np.float32] = session.run(["embedding"], {"waveform": samples[None]})[0][0]
    return found


if __name__ == "__main__":
    main()
