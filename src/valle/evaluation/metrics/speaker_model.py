"""Speaker similarity by a model that the user gives as a file, such as WavLM-large with ECAPA-TDNN.

The file is an ONNX graph, which holds no code: a waveform [1, N] at 16 kHz in, an embedding out.
Checkpoints in other forms must be exported first; docs/EVALUATION.md says how.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from valle.arrays import Floats, Samples
from valle.bundle.session import import_onnxruntime
from valle.errors import UsageError


class SpeakerModel:
    """A speaker encoder from a file.

    Args:
        path: the ONNX graph.

    Raises:
        UsageError: the file is missing, is not a graph, or takes and gives something else.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(f"there is no file {path}; give --speaker-model an ONNX graph")
        data = path.read_bytes()
        self._name, self._hash = path.name, hashlib.sha256(data).hexdigest()
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            # From its bytes: a graph in memory cannot read other files as its weights.
            self._session = ort.InferenceSession(data, options, ["CPUExecutionProvider"])
        except Exception as error:
            raise UsageError(f"{path} is not an ONNX graph: {error}") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 2:
            raise UsageError(f"{path} takes something else than one waveform [1, samples]")
        self._input = inputs[0].name

    def embed(self, samples: Samples) -> Floats:
        """The embedding of samples [N] at 16 kHz, of unit length; zeros for silence."""
        waveform = np.asarray(samples, np.float32)[None]
        embedding = np.asarray(self._session.run(None, {self._input: waveform})[0]).reshape(-1)
        norm = float(np.linalg.norm(embedding))
        if not samples.any() or not np.isfinite(norm) or norm == 0.0:
            return np.zeros(len(embedding), np.float32)
        return (embedding / norm).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """The file's name and hash, for the JSON of a report."""
        return {"file": self._name, "sha256": self._hash}
