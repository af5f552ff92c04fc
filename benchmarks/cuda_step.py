"""One step of the AR on a GPU: `python benchmarks/cuda_step.py BUNDLE`.

For bundles written by `valle export --precision fp16`, with onnxruntime-gpu installed. All inputs
and outputs of a step are on the GPU. Prints milliseconds per step, and the cosine similarity of the
logits to those of the same graph on the CPU. `--device cpu` runs all of it without a GPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timing import lap
from valle.bundle.bundle import Bundle
from valle.bundle.session import import_onnxruntime
from valle.runtime.kv_cache import StepBuffers, allocate_cache

PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--device", choices=PROVIDERS, default="cuda")
    parser.add_argument("--steps", type=int, default=250)
    arguments = parser.parse_args()
    if PROVIDERS[arguments.device] not in import_onnxruntime().get_available_providers():
        parser.error("this onnxruntime has no CUDA provider; install onnxruntime-gpu")
    bundle = Bundle.load(arguments.bundle)
    expected, _ = run_steps(bundle, "cpu", arguments.steps)
    logits, milliseconds = run_steps(bundle, arguments.device, arguments.steps)
    cosine = (expected * logits).sum() / (np.linalg.norm(expected) * np.linalg.norm(logits))
    print(f"{milliseconds:.3f} ms per step, cosine of the last logits to the CPU's {cosine:.6f}")


def run_steps(bundle: Bundle, device: str, count: int) -> tuple[NDArray[np.float32], float]:
    """The logits [codes] after `count` random frames, and the median milliseconds of a step."""
    onnxruntime = import_onnxruntime()
    session = onnxruntime.InferenceSession(
        bundle.read_graph("ar"),
        providers=list(dict.fromkeys((PROVIDERS[device], PROVIDERS["cpu"]))),
    )
    rng = np.random.default_rng(0)
    buffers = StepBuffers(bundle.config, 1, 1)
    binding = session.io_binding()

    def on_device(array: NDArray[Any]) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0)

    for name, array in allocate_cache(bundle.config, 1).items():
        buffer = on_device(array)  # read and written in place: no step copies it
        binding.bind_ortvalue_input(f"past_{name}", buffer)
        binding.bind_ortvalue_output(f"present_{name}", buffer)
    for name in ("logits", "moves"):
        binding.bind_output(name, device)
    laps = []
    for number in range(count):
        buffers.codes[...] = rng.integers(0, bundle.config.codebook_size, buffers.codes.shape)
        buffers.encoded[...] = rng.standard_normal(buffers.encoded.shape)
        buffers.seqlens_k[0] = number
        buffers.total_length[()] = number + 1
        # The two counts stay on the CPU: the attention reads one of them there.
        inputs: dict[str, NDArray[Any]] = {
            "codes": buffers.codes,
            "encoded": buffers.encoded,
            "stay": buffers.frames_on_symbol,
        }
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, on_device(array))
        binding.bind_cpu_input("seqlens_k", buffers.seqlens_k)
        binding.bind_cpu_input("total_sequence_length", buffers.total_length)
        laps.append(lap(lambda: session.run_with_iobinding(binding)).wall)
    logits: NDArray[np.float32] = binding.copy_outputs_to_cpu()[-2].reshape(-1)
    return logits, 1e3 * median(laps)


if __name__ == "__main__":
    main()
