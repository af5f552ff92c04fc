"""Random AR and NAR models, as PyTorch modules and as exported graphs, and random utterances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from valle.arrays import Bools, Codes, Embedding, Ints
from valle.runtime.nar import FrameInputs
from valle.runtime.speaker_encoder import EMBEDDING_DIM
from valle.training.export import graphs
from valle.training.models.ar import AR
from valle.training.models.nar import NAR, Frames
from valle.training.models.phonemes import Conditioning
from valle.training.models.sizes import SIZES

SYMBOLS = 60
NO_CODE = 1024


@dataclass
class RandomModels:
    """Random models, and the bundle that they were exported to."""

    ar: AR
    nar: NAR
    config: SimpleNamespace
    sessions: dict[str, onnxruntime.InferenceSession] = field(default_factory=dict)
    threads: int = 1

    def session(self, name: str) -> onnxruntime.InferenceSession:
        return self.sessions[name]

    def graph(self, name: str) -> Any:
        return self.config.graphs[name]


def make_random_models() -> RandomModels:
    """Create models of the debug size, with short blocks and weights as large as trained ones."""
    torch.manual_seed(0)
    size = SIZES["debug"]
    ar = AR(replace(size.ar, max_positions=256), SYMBOLS).eval()
    nar = NAR(replace(size.nar, block=7, past=5, ahead=3), SYMBOLS).eval()
    with torch.no_grad():
        for conditioning in (ar.phonemes.voice, nar.voice):
            # It is initialized to zero, where all speakers are the same.
            torch.nn.init.normal_(conditioning.linear.weight, std=0.005)
        for module in (ar, nar):
            # As large as trained weights: at 0.02 every logit is near 0, which hides mistakes.
            for weight in module.parameters():
                if weight.ndim > 1:
                    weight.mul_(5.0)
        ar.move_head.bias.copy_(torch.tensor([1.0, 0.0, -0.5]))
    return RandomModels(ar, nar, _config(ar, nar), _sessions(ar, nar))


def _config(ar: AR, nar: NAR) -> SimpleNamespace:
    return SimpleNamespace(
        codebooks=8,
        codebook_size=NO_CODE,
        style=None,
        ar=SimpleNamespace(
            layers=ar.size.layers,
            heads=ar.size.heads,
            width=ar.size.width,
            max_positions=ar.size.max_positions,
            max_stay_phoneme=50,
            max_stay_border=75,
            guidance_scale=3.0,
        ),
        nar=SimpleNamespace(
            layers=nar.size.layers,
            heads=nar.size.heads,
            width=nar.size.width,
            block=nar.size.block,
            past=nar.size.past,
            ahead=nar.size.ahead,
            latent=nar.size.latent,
        ),
        graphs={"ar": SimpleNamespace(precision="fp32")},
    )


def _sessions(ar: AR, nar: NAR) -> dict[str, onnxruntime.InferenceSession]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    protos = {
        "phonemes": graphs.phonemes_graph(ar.phonemes, styled=False),
        "ar": graphs.ar_graph(ar),
        "nar": graphs.nar_graph(nar, styled=False),
    }
    return {
        name: onnxruntime.InferenceSession(proto.SerializeToString(), options)
        for name, proto in protos.items()
    }


@dataclass
class RandomUtterance:
    """Random symbols, and random codes of frames that walk through them."""

    symbols: Ints
    stress: Ints
    borders: Bools
    frame_symbol: Ints
    codes: Codes
    speaker: Embedding

    def inputs(self, frames: Ints | slice = slice(None)) -> FrameInputs:
        """Return the codes, symbols and stress of some frames."""
        at = self.frame_symbol[frames]
        return FrameInputs(self.codes[frames], self.symbols[at], self.stress[at])

    def ar_frames(self) -> list[tuple[int, int, int]]:
        """Return the first code, symbol and stress of each frame, as the AR model gives them."""
        inputs = self.inputs()
        columns = (inputs.codes[:, 0].tolist(), inputs.symbols.tolist(), inputs.stress.tolist())
        return list(zip(*columns, strict=True))


def make_utterance(seed: int, symbols: int = 9, frames: int = 24) -> RandomUtterance:
    rng = np.random.default_rng(seed)
    frame_symbol = np.sort(rng.integers(0, symbols, frames))
    speaker = rng.standard_normal(EMBEDDING_DIM).astype(np.float32)
    return RandomUtterance(
        rng.integers(0, SYMBOLS, symbols),
        rng.integers(0, 3, symbols),
        np.arange(symbols) % 4 == 0,
        frame_symbol,
        rng.integers(0, NO_CODE, (frames, 8)),
        speaker / np.linalg.norm(speaker),
    )


@torch.no_grad()
def run_nar_module(
    nar: NAR, inputs: Mapping[str, NDArray[Any]]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Run the NAR in PyTorch on inputs by the names that they have in its graph."""
    tensors = {k: torch.from_numpy(np.ascontiguousarray(a)) for k, a in inputs.items()}
    frames = Frames(*(tensors[name] for name in ("codes", "symbols", "stress", "positions")))
    past = tensors["past_key"], tensors["past_value"]
    vectors, key, value = nar(
        frames, Conditioning(tensors["voice"]), torch.from_numpy(inputs["kind"]), past
    )
    return vectors, key, value


def assert_close(actual: Any, expected: Any) -> None:
    """Compare results of a graph with those of PyTorch, which adds in another order."""
    np.testing.assert_allclose(actual, expected, atol=1e-3, rtol=1e-3)


def to_tensor(array: NDArray[Any]) -> torch.Tensor:
    """Return an array as a tensor with a batch dimension of 1."""
    return torch.from_numpy(np.ascontiguousarray(array))[None]


def to_tensors(inputs: FrameInputs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return to_tensor(inputs.codes), to_tensor(inputs.symbols), to_tensor(inputs.stress)
