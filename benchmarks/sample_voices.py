"""How well the default model speaks as each sample voice.

    python benchmarks/sample_voices.py --whisper models/whisper-tiny.en

Every voice of examples/voices says four sentences, with seeds 0 to 3. Prints JSON: per voice the
word error rate of its recordings and of the speech by Whisper, and the mean similarity of the
speech to the prompt by Resemblyzer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import valle
from valle.audio.recording import resample
from valle.evaluation.items import SENTENCES, Item, read_folder, read_sentences
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.metrics.whisper import WhisperTranscriber
from valle.evaluation.metrics.word_errors import WordErrorCounter, WordErrors
from valle.files import temporary_data_folder
from valle.trust.attestation import ATTESTATION

VOICES = Path(__file__).parents[1] / "examples" / "voices"
TEXTS = 4


def rate(errors: list[WordErrors]) -> float:
    return round(sum(e.word_edits for e in errors) / sum(e.words for e in errors), 3)


def measure(model: valle.Model, items: list[Item], whisper: WhisperTranscriber) -> dict[str, float]:
    counter, encoder, first = WordErrorCounter(), ResemblyzerEncoder(), items[0]
    prompt = first.read_prompt()
    recordings = [(first.prompt_text or "", prompt)]
    recordings += [(item.text, truth) for item in items if (truth := item.read_truth()) is not None]
    voice = model.enroll(first.prompt, attest=ATTESTATION)
    spoken = []
    for seed, text in enumerate(read_sentences(SENTENCES)[:TEXTS]):
        speech = model.speak(text, voice=voice, seed=seed)
        spoken.append((text, resample(speech.audio, speech.sample_rate, EVALUATION_RATE)))
    embedding = encoder.embed(prompt)
    similarities = [float(encoder.embed(samples) @ embedding) for _, samples in spoken]
    return {
        "wer_recordings": rate([counter.count(t, whisper.transcribe(s)) for t, s in recordings]),
        "wer": rate([counter.count(t, whisper.transcribe(s)) for t, s in spoken]),
        "similarity": round(float(np.mean(similarities)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--whisper", type=Path, required=True)
    whisper = WhisperTranscriber(parser.parse_args().whisper)
    by_voice: dict[str, list[Item]] = {}
    for item in read_folder(VOICES):
        by_voice.setdefault(item.speaker, []).append(item)
    with temporary_data_folder():
        model = valle.load()
        result = {name: measure(model, items, whisper) for name, items in by_voice.items()}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
