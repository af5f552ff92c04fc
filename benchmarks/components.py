"""Each component of the model by itself, in seconds of work per second of speech (RTF)."""

from __future__ import annotations

import numpy as np

from material import SENTENCES, Material, generate_frames, random_prompt
from timing import interleaved
from valle.runtime.ar import ARDecoder
from valle.runtime.codec import Codec
from valle.runtime.nar import NAR, FrameInputs, first_block_frames
from valle.runtime.recognizer import PhonemeRecognizer
from valle.text.segmentation import stream_sentences


def measure(material: Material, repeats: int) -> dict[str, object]:
    """RTF of text, AR, NAR, codec and the check; milliseconds to compute the caches of a prompt."""
    bundle, symbols, frames = material.model.bundle, material.sentence(), material.frames
    seconds = frames / material.model.frame_rate
    rng = np.random.default_rng(0)
    ar, nar, codec = ARDecoder(bundle), NAR(bundle), Codec(bundle)
    recognizer = PhonemeRecognizer(bundle)
    voice = np.zeros(192, np.float32)
    prompt_frames = len(material.voice.frame_symbol)
    at = np.sort(rng.integers(0, len(symbols.ids), prompt_frames))
    prompt_codes = rng.integers(0, 1024, (prompt_frames, 8))
    ar_prompt = random_prompt(ar, prompt_frames, symbols)
    prompt_inputs = FrameInputs(prompt_codes, symbols.ids[at], symbols.stress[at])
    nar_prompt = nar.prefill(prompt_inputs, voice)
    rows = [(int(rng.integers(0, 1024)), int(symbols.ids[0]), 0) for _ in range(frames)]
    codes = rng.integers(0, 1024, (frames, 8))
    block = bundle.config.nar.block
    samples = 0.1 * rng.standard_normal(frames * codec.hop).astype(np.float32)
    (streamed,) = stream_sentences(SENTENCES[0], bundle.config.language)
    assert streamed.sentence is not None
    phonemes = streamed.sentence.phonemes
    names = [phoneme.symbol for phoneme in phonemes]
    words = [f"{phoneme.word}" if phoneme.word >= 0 else "" for phoneme in phonemes]

    def decode() -> None:
        stream = codec.stream()
        for begin in range(0, frames, block):
            stream.feed(codes[begin : begin + block])
        stream.finish()

    laps = interleaved(
        {
            "text": lambda: list(stream_sentences(SENTENCES[0], bundle.config.language)),
            "ar": lambda: list(generate_frames(ar, ar_prompt, symbols, frames)),
            "nar": lambda: list(nar.predict_residuals(nar_prompt, iter(rows))),
            "codec": decode,
            "check": lambda: recognizer.check(samples, names, words),
            "ar_prompt": lambda: random_prompt(ar, prompt_frames, symbols),
            "nar_prompt": lambda: nar.prefill(prompt_inputs, voice),
        },
        repeats,
    )
    result: dict[str, object] = {}
    for name, lap in laps.items():
        if name.endswith("_prompt"):
            result[f"{name}_ms"] = round(lap.wall * 1e3, 2)
        else:
            result[name] = {
                "wall": round(lap.wall / seconds, 5),
                "cpu": round(lap.cpu / seconds, 5),
            }
    later = frames - first_block_frames(block)[0] - bundle.config.nar.ahead
    blocks = 1 - (-later // block)
    result["nar_block_ms"] = round(laps["nar"].wall * 1e3 / blocks, 3)
    return result
