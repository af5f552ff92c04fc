"""The AR beside PyTorch decoders of the same size, and beside what the machine can do at most."""

from __future__ import annotations

import llama
from ar_step import cache_bytes, graph_job, matrix_bytes, random_prompt
from machine import MEGABYTES, SIDE, multiplying, reading
from material import Material, said_by_ar
from pytorch_ar import Rival
from timing import Job, interleaved
from valle.runtime.ar import ARDecoder
from valle.training.models.ar import AR


def measure(material: Material, model: AR, repeats: int, uncached: bool) -> dict[str, object]:
    """Seconds for one sentence, ours and theirs; how many times faster ours is.

    `uncached`: also without key/value cache, which takes long.
    """
    bundle, symbols, frames = material.model.bundle, material.sentence(), material.frames
    decoder = ARDecoder(bundle)
    prompt = random_prompt(decoder, len(material.voice.frame_symbol), symbols)
    rival = Rival(model, material)
    jobs: dict[str, Job] = {
        "ours": lambda: list(said_by_ar(decoder, prompt, symbols, frames)),
        "pytorch": rival.with_cache,
    }
    if uncached:
        jobs["pytorch_no_cache"] = rival.without_cache
    other = llama.job(model.size, prompt.frames, frames)
    if other is not None:
        jobs["transformers"] = other
    found = interleaved(jobs, repeats)
    ours = found["ours"]
    result: dict[str, object] = {}
    for name, lap in found.items():
        result[name] = {"s": round(lap.wall, 4), "cpu_s": round(lap.cpu, 4)}
        if name != "ours":
            result[f"{name}_times"] = round(lap.wall / ours.wall, 2)
            result[f"{name}_times_cpu"] = round(lap.cpu / ours.cpu, 2)
    if other is None:
        result["transformers"] = llama.MISSING
    return result


def floor(material: Material, threads: int, repeats: int) -> dict[str, object]:
    """The least that a step can take, by bytes and by products, and how near the graph is to it."""
    bundle, steps = material.model.bundle, 20
    context = len(material.voice.frame_symbol) + material.frames // 2
    read, weights = matrix_bytes(bundle)
    cached = cache_bytes(bundle, context)
    products = 2 * weights + cached  # of keys and values, 4 bytes a number: two operations each
    found = interleaved(
        {
            "reading": reading(threads),
            "multiplying": multiplying(),
            "graph": graph_job(bundle, context, steps),
        },
        repeats,
    )
    bandwidth = MEGABYTES * 2**20 / found["reading"].wall
    rate = 2 * SIDE**3 / found["multiplying"].wall
    graph = found["graph"].wall / steps * 1e3
    memory, arithmetic = 1e3 * (read + cached) / bandwidth, 1e3 * products / rate
    least = max(memory, arithmetic)
    return {
        "megabytes_of_matrices": round(read / 1e6, 2),
        "megabytes_of_cache": round(cached / 1e6, 2),
        "gigabytes_per_second": round(bandwidth / 1e9, 2),
        "gigaflops_fp32": round(rate / 1e9, 1),
        "memory_ms": round(memory, 4),
        "arithmetic_ms": round(arithmetic, 4),
        "floor_ms": round(least, 4),
        "graph_ms": round(graph, 4),
        "times_floor": round(graph / least, 3),
    }
