"""Clone the sample voice, show quality and speed, and show what protects against misuse.

Run by `make demo`, or `python examples/demo.py` where `valle[plot]` is installed. Writes demo.wav,
demo.wav.json, demo.png and demo.json to the current folder.
"""

from __future__ import annotations

import json
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


def main() -> None:
    """Be refused, enroll, speak, measure, plot, and detect the result."""
    model = valle.load()
    print("Nobody is cloned without consent, and this recording does not read the statement:")
    print(f"  {try_without_consent(model)}\n")

    voice = model.enroll(VOICE, attest="I hold the rights to this voice")
    model.speak("Ready.", voice=voice)  # loads the graphs, so that only speaking is timed below
    start = time.perf_counter()
    speech = model.speak(TEXT, voice=voice)
    rtf = (time.perf_counter() - start) / speech.seconds
    speech.save("demo.wav")

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
    title = f"RTF {rtf:.2f}, similarity {similarity:.2f}, phoneme error rate {error_rate:.1%}"
    save_plot("demo.png", speech.audio, speech.sample_rate, speech.words, title)

    print("With the statement that you hold the rights:")
    print(f"  demo.wav            {speech.seconds:.2f} s of speech, plotted in demo.png")
    print(f"  RTF                 {rtf:.2f}  seconds of work per second of speech")
    print(f"  similarity          {similarity:.2f}  of the voices, at most 1 (our own encoder)")
    print(f"  phoneme error rate  {error_rate:.1%}  (our own recognizer)\n")

    print("It is recognized as synthetic (`valle detect demo.wav`, `valle verify demo.wav`):")
    for line in describe_traces(model, speech, voice):
        print(f"  {line}")


def try_without_consent(model: valle.Model) -> str:
    """Return why the sample voice is not accepted as consent: it does not read the statement."""
    challenge.create("Sample")
    try:
        model.enroll(VOICE, name="Sample", consent=VOICE)
    except valle.ConsentError as error:
        return str(error).split(". Record it again")[0].replace(str(VOICE), VOICE.name)
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
    bound = max(detection.false_positive_bound, 1e-99)  # a smaller one has no meaning
    verdict = classify(model.bundle, speech.audio, speech.sample_rate)
    classified = "not available in this bundle"
    if verdict is not None:
        classified = f"{verdict.kind}: " + ", ".join(
            f"{kind} {probability:.0%}" for kind, probability in verdict.whole.items()
        )
    signer = provenance["sidecar"]["key"][:16]
    return [
        f"watermark           found; false positive probability at most {bound:.0e}",
        f"payload             receipt {receipts}; that of the voice is {receipt[:4]}...",
        f"detector            {classified}",
        f"demo.wav.json       signed by {signer}..., and matches the file",
    ]


if __name__ == "__main__":
    main()
