"""Every hostile bundle and recording: what its command ended with, its memory and its time.

    python -m benchmarks.hostile

Prints JSON, and fails if one was not refused with one clear line, or left something behind. Each
command has 1 GB of memory above what its imports take, and 60 s of processor time. Linux only, with
the extras `media` and `train`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import valle
from valle.files import data_folder, temporary_data_folder
from valle.training.export.bundle import debug_bundle
from valle.trust.attestation import ATTESTATION

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # whose files they are

from confined import Confined, find_faults
from hostile_bundles import HARMLESS
from hostile_files import run_bundles, run_recordings


def summarize(results: list[Confined], faults: list[str]) -> dict[str, object]:
    codes = [result.code for result in results]
    return {
        "files": len(results),
        "exit_codes": {code: codes.count(code) for code in sorted(set(codes))},
        "most_megabytes": round(max(result.megabytes for result in results)),
        "most_cpu_seconds": round(max(result.cpu for result in results), 1),
        "faults": faults,
    }


def main() -> int:
    with temporary_data_folder(), tempfile.TemporaryDirectory() as folder:
        bundle, voice = Path(folder) / "bundle", Path(folder) / "voice.safetensors"
        debug_bundle(bundle, seed=0)
        model = valle.load(bundle, threads=1)
        model.enroll(ROOT / "examples" / "voice.wav", name="Ada", attest=ATTESTATION).save(voice)
        safety = data_folder() / "safety"
        bundles = run_bundles(Path(folder) / "bundles", bundle, voice, safety)
        recordings = run_recordings(Path(folder) / "recordings", bundle, safety)
    bundle_faults = [
        fault
        for result in bundles
        for fault in find_faults(result, (0, 5) if result.name in HARMLESS else (5,))
    ]
    recording_faults = [fault for result in recordings for fault in find_faults(result, (0, 3))]
    summary = {
        "bundles": summarize(bundles, bundle_faults),
        "recordings": summarize(recordings, recording_faults),
    }
    print(json.dumps(summary, indent=1))
    return 1 if bundle_faults or recording_faults else 0


if __name__ == "__main__":
    sys.exit(main())
