"""Load trained models from their run folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from torch import nn

from valle.errors import UsageError
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.models.ar import AR
from valle.training.models.codec import Codec, CodecSize
from valle.training.models.convnext import ConvNeXtSize
from valle.training.models.depth_growth import grow_depth
from valle.training.models.detector import Detector
from valle.training.models.listener import Listener
from valle.training.models.nar import NAR
from valle.training.models.sizes import ARSize, NARSize
from valle.training.models.speaker import SpeakerEncoder
from valle.training.run_folder import CHECKPOINT, SIZE, load_checkpoint

_Size = TypeVar("_Size")
_Module = TypeVar("_Module", bound=nn.Module)


def load_codec(run: Path) -> Codec:
    """Load a run's codec in evaluation mode.

    Raises:
        UsageError: the folder is not a run of a codec. The same holds for all functions below.
    """
    return _load_weights(Codec(_read_size(run, CodecSize)), run, "codec")


def load_listener(run: Path) -> Listener:
    """Load a run's listener in evaluation mode."""
    model = Listener(_read_size(run, ConvNeXtSize), len(LISTENER_SYMBOLS))
    return _load_weights(model, run, "listener")


def load_speaker(run: Path) -> SpeakerEncoder:
    """Load a run's speaker encoder in evaluation mode."""
    return _load_weights(SpeakerEncoder(_read_size(run, ConvNeXtSize)), run, "speaker")


def load_detector(run: Path) -> Detector:
    """Load a run's detector in evaluation mode."""
    return _load_weights(Detector(_read_size(run, ConvNeXtSize)), run, "detector")


def load_ar(run: Path) -> AR:
    """Load a run's AR model in evaluation mode."""
    return _load_weights(AR(_read_size(run, ARSize), len(SYMBOLS)), run, "ar")


def load_nar(run: Path) -> NAR:
    """Load a run's NAR model in evaluation mode."""
    return _load_weights(NAR(_read_size(run, NARSize), len(SYMBOLS)), run, "nar")


def load_acoustic(runs: Path) -> tuple[NAR, Codec]:
    """Load the NAR and the codec that speech is made with, in evaluation mode.

    Args:
        runs: folder of the training runs. What was trained in /acoustic takes the place of /nar and
            of the decoder of /codec.
    """
    codec, acoustic = load_codec(runs / "codec"), runs / "acoustic"
    if not (acoustic / CHECKPOINT).is_file():
        return load_nar(runs / "nar"), codec
    modules = load_checkpoint(acoustic / CHECKPOINT)["modules"]
    if "codec" in modules:
        codec.load_state_dict(modules["codec"])
    return load_nar(acoustic), codec


def _read_size(run: Path, kind: type[_Size]) -> _Size:
    path = run / SIZE
    if not path.is_file():
        raise UsageError(f"{run} is not a training run: it has no {SIZE}; train that model first")
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is damaged or of another model ({error})") from error


def _load_weights(module: _Module, run: Path, name: str) -> _Module:
    modules = load_checkpoint(run / CHECKPOINT)["modules"]
    if name not in modules:
        raise UsageError(f"{run} is a run of {next(iter(modules))}, not of {name}")
    try:
        # A run that was resumed with more layers has their number in its size before it has a
        # checkpoint with them.
        module.load_state_dict(grow_depth(module, modules[name]))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UsageError(f"the checkpoint in {run} does not fit its {SIZE} ({reason})") from error
    module.eval()
    return module
