"""The AR compared with PyTorch decoders of the same size, and with the machine's lower bound."""

from __future__ import annotations

import llama
from ar_step import cache_bytes, graph_job, matrix_bytes
from machine import MEGABYTES, SIDE, make_multiplying_job, make_reading_job
from material import Material, generate_frames, random_prompt
from pytorch_ar import PyTorchDecoder
from timing import Job, interleaved
from valle.runtime.ar import ARDecoder
from valle.training.models.ar import AR


def measure(material: Material, model: AR, repeats: int) -> dict[str, object]:
    """Seconds for one sentence by ours and by each baseline; how many times faster ours is."""
    bundle, symbols, frames = material.model.bundle, material.sentence(), material.frames
    decoder = ARDecoder(bundle)
    prompt = random_prompt(decoder, len(material.voice.frame_symbol), symbols)
    pytorch = PyTorchDecoder(model, material)
    jobs: dict[str, Job] = {
        "ours": lambda: list(generate_frames(decoder, prompt, symbols, frames)),
        "pytorch": pytorch.with_cache,
        "pytorch_no_cache": pytorch.without_cache,
    }
    transformers = llama.make_job(model.size, prompt.frames, frames)
    if transformers is not None:
        jobs["transformers"] = transformers
    laps = interleaved(jobs, repeats)
    ours = laps["ours"]
    result: dict[str, object] = {}
    for name, lap in laps.items():
        result[name] = {"s": round(lap.wall, 4), "cpu_s": round(lap.cpu, 4)}
        if name != "ours":
            result[f"{name}_times"] = round(lap.wall / ours.wall, 2)
            result[f"{name}_times_cpu"] = round(lap.cpu / ours.cpu, 2)
    if transformers is None:
        result["transformers"] = llama.MISSING
    return result


def measure_lower_bound(material: Material, threads: int, repeats: int) -> dict[str, object]:
    """The lower bound of a step by memory traffic and by arithmetic, and the graph's distance."""
    bundle, steps = material.model.bundle, 20
    context = len(material.voice.frame_symbol) + material.frames // 2
    read, weights = matrix_bytes(bundle)
    cached = cache_bytes(bundle, context)
    operations = 2 * weights + cached  # keys and values: two operations per number of 4 bytes
    laps = interleaved(
        {
            "reading": make_reading_job(threads),
            "multiplying": make_multiplying_job(),
            "graph": graph_job(bundle, context, steps),
        },
        repeats,
    )
    bandwidth = MEGABYTES * 2**20 / laps["reading"].wall
    rate = 2 * SIDE**3 / laps["multiplying"].wall
    graph = laps["graph"].wall / steps * 1e3
    memory, arithmetic = 1e3 * (read + cached) / bandwidth, 1e3 * operations / rate
    bound = max(memory, arithmetic)
    return {
        "megabytes_of_matrices": round(read / 1e6, 2),
        "megabytes_of_cache": round(cached / 1e6, 2),
        "gigabytes_per_second": round(bandwidth / 1e9, 2),
        "gigaflops_fp32": round(rate / 1e9, 1),
        "memory_ms": round(memory, 4),
        "arithmetic_ms": round(arithmetic, 4),
        "lower_bound_ms": round(bound, 4),
        "graph_ms": round(graph, 4),
        "times_lower_bound": round(graph / bound, 3),
    }
