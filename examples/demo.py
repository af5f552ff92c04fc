"""Clone the sample voice, measure the result, and show what keeps a voice from being misused.

Run by `make demo`, or `python examples/demo.py` where `valle[plot]` is installed. Writes demo.wav,
demo.wav.json, demo.png and demo.json to the current folder.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import valle
from valle.audio.recording import resample
from valle.consent import challenge
from valle.detection.detector import classify
from valle.detection.report import describe_provenance
from valle.evaluation.plot import save_plot
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.trust import ledger
from valle.watermark.detect import detect_watermark

VOICE = Path(__file__).parent / "voice.wav"
TEXT = "This voice was never recorded saying these words; a few seconds of it were enough."
PROGRAM = "valle.exe" if os.name == "nt" else "valle"


def main() -> None:
    """Enroll, speak, measure, plot; then show the safeguards, and how to go on."""
    model = valle.load()
    voice = model.enroll(VOICE, attest="I hold the rights to this voice")
    model.speak("Ready.", voice=voice)  # loads the graphs, so that only speaking is timed below
    start = time.perf_counter()
    speech = model.speak(TEXT, voice=voice)
    rtf = (time.perf_counter() - start) / speech.seconds
    speech.save("demo.wav")

    print(f'valle learned the voice of {VOICE.name} and said in it: "{TEXT}"\n')
    print("  Listen to demo.wav, here in this folder. demo.png is its picture.\n")
    for line in measure(model, voice, speech, rtf):
        print(f"  {line}")

    print("\nWhat keeps a voice from being misused:\n")
    for line in [*describe_consent(model), *describe_traces(model, speech, voice)]:
        print(f"  {line}")

    program = find_program()
    print(f"\nGo on with your own words and your own voice. The program is: {program}\n")
    for command in (
        f'speak "Anything you like." --ref-audio "{shorten(VOICE)}" --i-hold-the-rights',
        "enroll my-recording.m4a --name Me --i-hold-the-rights",
        'speak "In my own voice." --voice Me',
    ):
        print(f"  {program} {command}")
    print("\ndocs/QUICKSTART.md shows how an article is narrated in ten minutes.")


def measure(model: valle.Model, voice: valle.Voice, speech: valle.Speech, rtf: float) -> list[str]:
    """Measure speed and quality, write demo.json and demo.png, and say what the figures mean."""
    embed = SpeakerEncoder(model.bundle).embed
    reference = resample(voice.audio, voice.sample_rate, model.sample_rate)
    similarity = float(embed(reference) @ embed(speech.audio))
    error_rate = speech.check.phoneme_error_rate if speech.check else float("nan")
    figures = {
        "text": TEXT,
        "seconds": round(speech.seconds, 3),
        "rtf": round(rtf, 3),
        "similarity": round(similarity, 3),
        "phoneme_error_rate": round(error_rate, 3),
    }
    Path("demo.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    title = f"The voice of {VOICE.name}, speaking a new text"
    save_plot("demo.png", speech.audio, speech.sample_rate, speech.words, title)
    return [
        f"speed       1 s of speech takes {rtf:.2f} s of work (RTF {rtf:.2f}; below 1 is faster",
        "            than real time)",
        f"likeness    {similarity:.2f} of 1: short clips of one speaker have about 0.7, of two",
        "            speakers about 0.1 (by the speaker encoder of this model)",
        f"words       {1 - error_rate:.0%} of the sounds were recognized as they should be; of",
        "            real recordings it is about 70% (by the small recognizer of this model)",
    ]


def describe_consent(model: valle.Model) -> list[str]:
    """Show that a recording alone is not consent: the sample voice does not read the statement."""
    challenge.create("Sample")
    try:
        model.enroll(VOICE, name="Sample", consent=VOICE)
    except valle.ConsentError:
        return [
            "consent     an owner consents by reading a new statement aloud. Tried here with",
            f"            {VOICE.name}, in which nobody reads it: refused, as it should be. So",
            "            the demo gives its own word, as you do with --i-hold-the-rights",
        ]
    raise SystemExit("a recording that does not read the statement was accepted as consent")


def describe_traces(model: valle.Model, speech: valle.Speech, voice: valle.Voice) -> list[str]:
    """Describe the watermark, payload, detection and signature of demo.wav.

    Raises:
        SystemExit: the watermark or the signature is missing.
    """
    key = ledger.get_signing_key().derive_watermark_key()
    detection = detect_watermark(speech.audio, speech.sample_rate, key)
    payloads = {span.payload for span in detection.spans if span.payload is not None}
    provenance = describe_provenance("demo.wav")
    if not (detection.found and provenance["verified"]):
        raise SystemExit("demo.wav has no watermark, or no valid signature")
    receipt = voice.consent["id"]
    receipts = ", ".join(f"{payload.receipt:04x}" for payload in payloads) or "not read"
    verdict = classify(model.bundle, speech.audio, speech.sample_rate)
    classified = "not available in this bundle"
    if verdict is not None:
        classified = f"{verdict.kind}, with a probability of {verdict.whole[verdict.kind]:.0%}"
    signer = provenance["sidecar"]["key"][:16]
    return [
        "watermark   found in demo.wav: an inaudible mark that says it was made by valle",
        f"payload     receipt {receipts}, which only your key reads; this voice's receipt begins "
        f"with {receipt[:4]}",
        f"detector    without the watermark, by its sound alone: {classified}",
        f"signature   demo.wav.json says how it was made, signed by your key {signer}...",
        "            See for yourself: valle detect demo.wav; valle verify demo.wav",
    ]


def find_program() -> str:
    """Return what to type for `valle`: its path, where typing its name would not find it."""
    beside = Path(sys.executable).with_name(PROGRAM)
    on_path = shutil.which(PROGRAM)
    if on_path is not None and (not beside.exists() or Path(on_path).samefile(beside)):
        return "valle"
    return shorten(beside) if beside.exists() else f"{Path(sys.executable).name} -m valle"


def shorten(path: Path) -> str:
    """Return a path from the current folder, if it lies below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


if __name__ == "__main__":
    main()
