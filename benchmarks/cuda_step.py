"""The AR's step on a graphics card: `python benchmarks/cuda_step.py BUNDLE`.

For bundles written by `valle export --precision fp16`, with onnxruntime-gpu installed. Everything
that a step reads and writes lies on the card. Prints milliseconds a step, and how like the logits
are to those of the same graph on the CPU. `--device cpu` runs all of it without a card.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from timing import lap
from valle.bundle.bundle import Bundle
from valle.runtime.kv_cache import Rows, empty_cache

PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--device", choices=PROVIDERS, default="cuda")
    parser.add_argument("--steps", type=int, default=250)
    arguments = parser.parse_args()
    if PROVIDERS[arguments.device] not in onnxruntime.get_available_providers():
        parser.error("this onnxruntime has no CUDA provider; install onnxruntime-gpu")
    bundle = Bundle.load(arguments.bundle)
    wanted, _ = steps(bundle, "cpu", arguments.steps)
    found, milliseconds = steps(bundle, arguments.device, arguments.steps)
    likeness = (wanted * found).sum() / (np.linalg.norm(wanted) * np.linalg.norm(found))
    print(f"{milliseconds:.3f} ms a step, cosine of the last logits to the CPU's {likeness:.6f}")


def steps(bundle: Bundle, device: str, count: int) -> tuple[NDArray[np.float32], float]:
    """The logits [codes] after `count` random frames, and the median milliseconds of a step."""
    session = onnxruntime.InferenceSession(
        bundle.read_graph("ar"),
        providers=list(dict.fromkeys((PROVIDERS[device], PROVIDERS["cpu"]))),
    )
    rng = np.random.default_rng(0)
    rows = Rows(bundle.config, 1, 1)
    binding = session.io_binding()

    def on_device(array: NDArray[Any]) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0)

    for name, array in empty_cache(bundle.config, 1).items():
        kept = on_device(array)  # read and written at one place: no step copies it
        binding.bind_ortvalue_input(f"past_{name}", kept)
        binding.bind_ortvalue_output(f"present_{name}", kept)
    for name in ("logits", "moves"):
        binding.bind_output(name, device)
    laps = []
    for number in range(count):
        rows.codes[...] = rng.integers(0, bundle.config.codebook_size, rows.codes.shape)
        rows.encoded[...] = rng.standard_normal(rows.encoded.shape)
        rows.before[0] = number
        rows.total[()] = number + 1
        # The two counts stay with the processor: the attention reads one of them there.
        for name, array in (("codes", rows.codes), ("encoded", rows.encoded), ("stay", rows.stay)):
            binding.bind_ortvalue_input(name, on_device(array))
        binding.bind_cpu_input("seqlens_k", rows.before)
        binding.bind_cpu_input("total_sequence_length", rows.total)
        laps.append(lap(lambda: session.run_with_iobinding(binding)).wall)
    logits: NDArray[np.float32] = binding.copy_outputs_to_cpu()[-2].reshape(-1)
    return logits, 1e3 * median(laps)


if __name__ == "__main__":
    main()
