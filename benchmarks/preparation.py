"""CPU time of each stage of preparation, and of a training step, per second of speech.

    python benchmarks/preparation.py [--recording FILE]

Prints JSON: seconds of processor time per second of speech, on one thread. Processor time and not
the clock's, so that other programs on the machine change little. `valle plan` extrapolates from
such figures (docs/SCALE.md).
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

from valle.audio.prosody import compute_frame_features
from valle.audio_format import FRAME_RATE, HOP, SAMPLE_RATE
from valle.bundle.bundle import Bundle
from valle.corpora.recordings import decode_shard
from valle.corpora.screening import screen_recording
from valle.corpora.transcripts import transcript_ids
from valle.runtime.alignment import Posteriors, align_frames, find_loud_frames
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.checkpoints import load_codec, load_listener, load_speaker
from valle.training.export.import_bundle import import_bundle
from valle.training.models.ar import AR
from valle.training.models.sizes import SIZES

RECORDING = Path(__file__).parent.parent / "examples" / "voice.wav"
SECONDS = 10.0  # about an utterance
SENTENCE = "The old clock in the hall had stopped at a quarter past nine, as it did each winter."
ROWS, BATCH = 400, 4  # frames of an example, examples of a training step


def measure(work: Callable[[], object], seconds: float, rounds: int = 3) -> float:
    """Processor seconds per second of speech, the best of several rounds."""
    work()
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return round(min(spent) / seconds, 6)


def measure_preparation(recording: Path) -> dict[str, float]:
    """Each stage on one utterance."""
    samples, rate = soundfile.read(recording, dtype="float32")
    repeats = -(-round(SECONDS * rate) // len(samples))
    samples = np.tile(samples, repeats)[: round(SECONDS * rate)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        soundfile.write(folder / "a.flac", samples, rate)
        row = {"audio": "a.flac", "corpus": "c", "speaker": "s", "text": None, "seconds": SECONDS}
        results = {
            "screen": measure(lambda: screen_recording(folder / "a.flac", None), SECONDS),
            "decode": measure(lambda: decode_shard((folder, [row])), SECONDS),
        }
        import_bundle(Bundle.load(), folder / "runs")
        codec = load_codec(folder / "runs" / "codec")
        speaker = load_speaker(folder / "runs" / "speaker")
        listener = load_listener(folder / "runs" / "listener")
    waveform = torch.from_numpy(samples[: len(samples) // HOP * HOP])[None]
    ids = transcript_ids(f"{SENTENCE} {SENTENCE}")
    assert ids is not None
    symbols = [SYMBOLS[index] for index in ids[0]]

    def label() -> None:
        ctc, frame = (head[0].numpy() for head in listener(waveform))
        is_loud = find_loud_frames(waveform[0].numpy(), HOP)
        align_frames(Posteriors(ctc, frame, LISTENER_SYMBOLS), is_loud, symbols)

    with torch.inference_mode():
        results["codes"] = measure(lambda: codec.encode(waveform), SECONDS)
        results["voices"] = measure(lambda: speaker(waveform), SECONDS)
        results["labels"] = measure(label, SECONDS)
    results["styles"] = measure(lambda: compute_frame_features(samples, rate, HOP), SECONDS)
    return results


def measure_training(size: str) -> float:
    """Forward and backward pass of the AR alone, per second of speech."""
    model = AR(SIZES[size].ar, len(SYMBOLS))
    codes = torch.randint(0, 1024, (BATCH, ROWS, 8))
    encoded = torch.randn(BATCH, ROWS, model.size.width)
    stay = torch.zeros(BATCH, ROWS, dtype=torch.int64)

    def step() -> None:
        logits, _ = model(codes, encoded, stay)
        logits.float().logsumexp(-1).mean().backward()
        model.zero_grad(set_to_none=True)

    return measure(step, BATCH * ROWS / FRAME_RATE, rounds=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recording", type=Path, default=RECORDING)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "machine": platform.processor() or platform.machine(),
        "sample_rate": SAMPLE_RATE,
        "preparation": measure_preparation(arguments.recording),
        "ar_training": {size: measure_training(size) for size in ("debug", "default")},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
