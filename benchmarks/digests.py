"""SHA-256 of what the default model gives for fixed inputs: `python benchmarks/digests.py`.

Prints JSON. A change that should not alter any output prints the same before and after on one
machine; another processor may add numbers in another order. Keys and receipts are new in every run,
so speech is digested before the watermark: codes, times, and the recognizer's check.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import tempfile

import numpy as np
from numpy.typing import NDArray

import valle
from material import RECORDING
from valle.audio.recording import load_recording
from valle.bundle.bundle import Bundle
from valle.detection.detector import classify
from valle.text.normalization import normalize
from valle.text.segmentation import split_sentences
from valle.watermark.detect import detect_watermark
from valle.watermark.embed import Payload, embed_watermark, key_fingerprint

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "On May 3rd, 2024, Dr. Smith paid $1,250.50 for 3.5 kg of apples; is that 12% more?",
    "I read the record. [[həloʊ]] NASA's XVI rooms, at 7:45 p.m. Yes yes yes!",
    "Naïve café, 🎉 and 東京: x = y/2, call 555-0199 or mail a.b@c.org.",
)
SHORT, LONG = (
    "So be it.",
    "Speech comes in pieces. The first of them is here soon, and then others.",
)
# Names under which the detector's classes are hashed, so that renaming a class changes no digest.
DETECTOR_KEYS = ("real", "re-encoded", "made")
OWNER = b"a key of nobody, for digests only"


def digest(*parts: object) -> str:
    """One hexadecimal SHA-256 of arrays and of values that JSON can write."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.dtype} {part.shape}\n".encode() + part.tobytes())
        else:
            total.update(json.dumps(part, sort_keys=True).encode())
    return total.hexdigest()


def digest_speech(speech: valle.Speech) -> str:
    """Everything that a seed determines: codes, length, times, the recognizer's check."""
    check = None if speech.check is None else dataclasses.asdict(speech.check)
    if check is not None:  # hashed under its former name, so that renaming it changes no digest
        check["doubled"] = check.pop("repeated")
    times = [speech.words, speech.phonemes]
    return digest(speech.codes, len(speech.audio), times, check)


def embed_fixed_watermark(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Watermark a recording with a fixed key and receipt."""
    return embed_watermark(samples, sample_rate, OWNER, Payload(0xBEEF, key_fingerprint(OWNER)))


def compute_digests(threads: int) -> dict[str, str]:
    """The digests by name."""
    model = valle.load(threads=threads)
    voice = model.enroll(RECORDING, attest="I hold the rights to this voice")
    recording = load_recording(RECORDING)
    marked = embed_fixed_watermark(recording.samples, recording.sample_rate)
    detection = detect_watermark(marked, recording.sample_rate, OWNER)
    verdict = classify(Bundle.load(threads=threads), recording.samples, recording.sample_rate)
    tokens = [[dataclasses.asdict(token) for token in normalize(text)[0]] for text in TEXTS]
    sentences = [[dataclasses.asdict(s) for s in split_sentences(text)[0]] for text in TEXTS]
    codes = model.codec.encode(voice.audio)
    spoken = model.speak(LONG, voice, seed=2)
    streamed = valle.Speech.join(model.stream(LONG, voice, seed=2))
    without_retries = model.speak(LONG, voice, seed=2, retries=0)
    return {
        "normalised texts": digest(tokens),
        "phonemes": digest(sentences),
        "voice": digest(voice.symbols, voice.stress, voice.frame_symbol, codes),
        "embedding": digest(model.embedding(voice)),
        "codec": digest(model.codec.decode(codes)),
        "short speech": digest_speech(model.speak(SHORT, voice, seed=1)),
        "long speech": digest_speech(spoken),
        "faster": digest_speech(model.speak(SHORT, voice, seed=3, speed=1.3)),
        "of a length": digest_speech(model.speak(SHORT, voice, seed=3, duration=1.5)),
        "streamed": digest_speech(streamed),
        "streamed is spoken": str(
            np.array_equal(streamed.audio, without_retries.audio)
            and digest_speech(streamed) == digest_speech(without_retries)
        ),
        "best of two": digest_speech(model.speak(SHORT, voice, seed=4, best_of=2)),
        "watermark": digest(marked, detection.spans and dataclasses.asdict(detection.spans[0])),
        "detector": digest(
            {}
            if verdict is None
            else {
                key: round(p, 4)
                for key, p in zip(DETECTOR_KEYS, verdict.whole.values(), strict=True)
            }
        ),
    }


def main() -> None:
    """Print the digests, computed with a temporary data folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1, help="of the model (default: 1)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["VALLE_HOME"] = home
        print(json.dumps(compute_digests(arguments.threads), indent=1))


if __name__ == "__main__":
    main()
