"""Each part of the model by itself, in seconds of work for a second of speech (RTF)."""

from __future__ import annotations

import numpy as np

from ar_step import random_prompt
from material import SENTENCES, Material, said_by_ar
from timing import interleaved
from valle.runtime.ar import ARDecoder
from valle.runtime.codec import Codec
from valle.runtime.nar import NAR, first_block
from valle.runtime.recognizer import Listener
from valle.text.segmentation import utterances


def measure(material: Material, repeats: int) -> dict[str, object]:
    """RTF of text, AR, NAR, codec and the check; seconds to read a prompt."""
    bundle, symbols, frames = material.model.bundle, material.sentence(), material.frames
    seconds = frames / material.model.frame_rate
    rng = np.random.default_rng(0)
    ar, nar, codec, listener = ARDecoder(bundle), NAR(bundle), Codec(bundle), Listener(bundle)
    voice = np.zeros(192, np.float32)
    prompt_frames = len(material.voice.frame_symbol)
    at = np.sort(rng.integers(0, len(symbols.ids), prompt_frames))
    prompt_codes = rng.integers(0, 1024, (prompt_frames, 8))
    read = random_prompt(ar, prompt_frames, symbols)
    refined = nar.prompt(prompt_codes, symbols.ids[at], symbols.stress[at], voice)
    spoken = [(int(rng.integers(0, 1024)), int(symbols.ids[0]), 0) for _ in range(frames)]
    codes = rng.integers(0, 1024, (frames, 8))
    block = bundle.config.nar.block
    samples = 0.1 * rng.standard_normal(frames * codec.hop).astype(np.float32)
    (said,) = utterances(SENTENCES[0], bundle.config.language)
    assert said.sentence is not None
    phonemes = [phoneme.symbol for phoneme in said.sentence.phonemes]
    words = [f"{phoneme.word}" if phoneme.word >= 0 else "" for phoneme in said.sentence.phonemes]

    def decode() -> None:
        stream = codec.stream()
        for begin in range(0, frames, block):
            stream.feed(codes[begin : begin + block])
        stream.finish()

    found = interleaved(
        {
            "text": lambda: list(utterances(SENTENCES[0], bundle.config.language)),
            "ar": lambda: list(said_by_ar(ar, read, symbols, frames)),
            "nar": lambda: list(nar.refine(refined, iter(spoken))),
            "codec": decode,
            "check": lambda: listener.check(samples, phonemes, words),
            "ar_prompt": lambda: random_prompt(ar, prompt_frames, symbols),
            "nar_prompt": lambda: nar.prompt(
                prompt_codes, symbols.ids[at], symbols.stress[at], voice
            ),
        },
        repeats,
    )
    parts: dict[str, object] = {}
    for name, lap in found.items():
        if name.endswith("_prompt"):
            parts[f"{name}_ms"] = round(lap.wall * 1e3, 2)
        else:
            parts[name] = {"wall": round(lap.wall / seconds, 5), "cpu": round(lap.cpu / seconds, 5)}
    later = frames - first_block(block) - bundle.config.nar.ahead
    blocks = 1 - (-later // block)
    parts["nar_block_ms"] = round(found["nar"].wall * 1e3 / blocks, 3)
    return parts
