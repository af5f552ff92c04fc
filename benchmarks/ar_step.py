"""One step of the AR: its time, split into attention, matrices, other operators and Python."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
import onnx
from onnx import numpy_helper

from material import Material, generate_frames, random_prompt
from timing import Job, Lap, lap, median_lap
from valle.bundle.bundle import Bundle
from valle.bundle.session import choose_thread_count, import_onnxruntime
from valle.runtime.ar import ARDecoder
from valle.runtime.kv_cache import BoundGraph, PromptCache, StepBuffers, allocate_cache
from valle.synthesis.utterance import Symbols

MATRICES = {"MatMul", "MatMulNBits", "DynamicQuantizeMatMul", "Gemm", "FusedMatMul"}


def graph_job(bundle: Bundle, context: int, steps: int) -> Job:
    """A job of `steps` calls of the graph alone, one row each, after `context` rows."""
    buffers, cache = StepBuffers(bundle.config, 1, 1), allocate_cache(bundle.config, 1)
    for array in cache.values():
        array[:, :, :context] = 0.1
    graph = BoundGraph(bundle, buffers, cache, slice(1))
    buffers.seqlens_k[0] = context - 1
    buffers.total_length[()] = context

    def run() -> None:
        for _ in range(steps):
            graph.run()

    return run


def measure(material: Material, repeats: int) -> dict[str, object]:
    """Milliseconds of a step, in total and by kind of work."""
    bundle, symbols, frames = material.model.bundle, material.sentence(), material.frames
    decoder = ARDecoder(bundle)
    prompt = random_prompt(decoder, len(material.voice.frame_symbol), symbols)
    context = prompt.frames + frames // 2
    pairs = [sentence_laps(decoder, prompt, symbols, frames) for _ in range(repeats + 1)]
    pairs.pop(0)  # warm-up
    step, graph = (median_lap(laps) * (1e3 / frames) for laps in zip(*pairs, strict=True))
    shares = operator_shares(bundle, context)
    return {
        "context": context,
        "ms": _rounded(step),
        "graph_ms": _rounded(graph),
        "attention_ms": round(graph.wall * shares["attention"], 4),
        "matrices_ms": round(graph.wall * shares["matrices"], 4),
        "other_operators_ms": round(graph.wall * shares["other"], 4),
        "sampling_and_python_ms": round(step.wall - graph.wall, 4),
        # By processor time: wall-clock time includes whatever else the machine does.
        "sampling_and_python_share": round(median(_outside(*pair) for pair in pairs), 4),
    }


def sentence_laps(
    decoder: ARDecoder, prompt: PromptCache, symbols: Symbols, frames: int
) -> tuple[Lap, Lap]:
    """The laps of one sentence: of all its steps, and of the graph calls in them.

    Measured inside the steps: with codes sampled in between, a call takes longer than in a loop of
    calls alone, which finds its instructions in the caches.
    """
    generated = generate_frames(decoder, prompt, symbols, frames)
    inside = Lap(0.0, 0.0)
    run = BoundGraph.run

    def timed(self: BoundGraph) -> None:
        nonlocal inside
        inside += lap(lambda: run(self))

    with mock.patch.object(BoundGraph, "run", timed):
        total = lap(lambda: list(generated))
    return total, inside


def operator_shares(bundle: Bundle, context: int) -> dict[str, float]:
    """The shares of attention, matrices and the rest in the time of a step's operators."""
    with tempfile.TemporaryDirectory() as folder:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.intra_op_num_threads = choose_thread_count("ar", bundle.config.ar, bundle.threads)
        session = onnxruntime.InferenceSession(
            bundle.read_graph("ar"), options, providers=["CPUExecutionProvider"]
        )
        traced = Bundle(bundle.folder, bundle.config, bundle.threads)
        traced._sessions["ar"] = session
        graph_job(traced, context, 100)()
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    durations: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            durations[event["args"]["op_name"]][event["name"]].append(event["dur"])
    totals = {
        op: sum(median(of_node) for of_node in nodes.values()) for op, nodes in durations.items()
    }
    total = sum(totals.values())
    attention = totals.get("GroupQueryAttention", 0.0) / total
    matrices = sum(time for op, time in totals.items() if op in MATRICES) / total
    return {"attention": attention, "matrices": matrices, "other": 1 - attention - matrices}


def matrix_bytes(bundle: Bundle) -> tuple[int, int]:
    """The bytes read of all matrices that the AR's graph multiplies by, and their weights."""
    graph = onnx.load_from_string(bundle.read_graph("ar")).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    # Weights that are stored in int8 and computed in fp32, through Cast and Mul.
    widened = {
        node.output[0]: node.input[0].removesuffix(".cast") + ".int8"
        for node in graph.node
        if node.op_type == "Mul" and node.input[0].endswith(".cast")
    }
    read = weights = 0
    for node in graph.node:
        if node.op_type not in MATRICES:
            continue
        for name in node.input[1:]:
            if name in widened:
                count = int(np.prod(constants[widened[name]].dims))
                read, weights = read + 4 * count, weights + count
            elif name in constants and len(constants[name].dims) > 0:
                array = numpy_helper.to_array(constants[name])
                read += array.nbytes
                if array.ndim > 1:
                    is_packed = name.endswith(".int4_blocks")  # two weights per byte
                    weights += array.size * (2 if is_packed else 1)
    return read, weights


def cache_bytes(bundle: Bundle, context: int) -> int:
    """The bytes of keys and values that a step reads."""
    size = bundle.config.ar
    return 2 * size.layers * size.width * 4 * context


def _outside(total: Lap, inside: Lap) -> float:
    return 1 - inside.cpu / total.cpu


def _rounded(lap: Lap) -> dict[str, float]:
    return {"wall": round(lap.wall, 4), "cpu": round(lap.cpu, 4)}
