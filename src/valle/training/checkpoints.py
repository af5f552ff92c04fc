"""Trained models read back from their run folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from torch import nn

from valle.errors import UsageError
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.models.ar import AR
from valle.training.models.codec import Codec, CodecSize
from valle.training.models.convnext import grown
from valle.training.models.detector import Detector, DetectorSize
from valle.training.models.listener import Listener, ListenerSize
from valle.training.models.nar import NAR
from valle.training.models.sizes import ARSize, NARSize
from valle.training.models.speaker import SpeakerEncoder, SpeakerSize
from valle.training.run_folder import load_checkpoint

_Size = TypeVar("_Size")


def _size(run: Path, kind: type[_Size]) -> _Size:
    path = run / "size.json"
    if not path.is_file():
        raise UsageError(f"{run} is no training run: it has no size.json")
    return kind(**json.loads(path.read_text()))


def _filled(module: nn.Module, run: Path, name: str) -> None:
    # A run that is to grow says so in its size before its first checkpoint of that size.
    weights = load_checkpoint(run / "checkpoint.pt")["modules"][name]
    module.load_state_dict(grown(module, weights))
    module.eval()


def load_codec(run: Path) -> Codec:
    """The codec of a run, ready to use. UsageError when there is none; so for all below."""
    codec = Codec(_size(run, CodecSize))
    _filled(codec, run, "codec")
    return codec


def load_listener(run: Path) -> Listener:
    listener = Listener(_size(run, ListenerSize), len(LISTENER_SYMBOLS))
    _filled(listener, run, "listener")
    return listener


def load_speaker(run: Path) -> SpeakerEncoder:
    speaker = SpeakerEncoder(_size(run, SpeakerSize))
    _filled(speaker, run, "speaker")
    return speaker


def load_detector(run: Path) -> Detector:
    detector = Detector(_size(run, DetectorSize))
    _filled(detector, run, "detector")
    return detector


def load_ar(run: Path) -> AR:
    ar = AR(_size(run, ARSize), len(SYMBOLS))
    _filled(ar, run, "ar")
    return ar


def load_nar(run: Path) -> NAR:
    nar = NAR(_size(run, NARSize), len(SYMBOLS))
    _filled(nar, run, "nar")
    return nar
