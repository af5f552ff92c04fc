"""A tiny model that runs everything the real one does, and recordings to give it."""

from __future__ import annotations

import os

# Matrices of tests are tiny: threads would wait for each other, and take twice the processor time
# on a machine whose cores other tests use. Set before NumPy and PyTorch read it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import itertools
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings
from numpy.typing import NDArray

import valle
from session_cache import SessionCache
from valle.bundle import bundle
from valle.bundle.session import disable_telemetry
from valle.trust import keys

disable_telemetry()  # before a test module imports ONNX Runtime by itself

# A property holds or not; how long an example takes depends on the machine and on its load.
settings.register_profile("valle", deadline=None)
settings.load_profile("valle")

# Trainers use bfloat16 where the processor is fast at it; a test must not depend on the processor.
os.environ.setdefault("VALLE_BFLOAT16", "0")

ATTEST = "I hold the rights to this voice"
RATE = 16000


@pytest.fixture(scope="session")
def debug_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle of random weights, of the smallest size there is."""
    export = pytest.importorskip("valle.training.export.bundle", reason="needs the extra [train]")
    folder = tmp_path_factory.mktemp("bundles") / "debug"
    export.debug_bundle(folder, seed=0)
    return folder


@pytest.fixture(scope="session")
def model(debug_bundle: Path) -> valle.Model:
    return valle.load(debug_bundle, threads=1)


@pytest.fixture(scope="session")
def babble() -> NDArray[np.float32]:
    """3 s that vary as speech does: a buzz in syllables, with a little noise. [48000]"""
    rng = np.random.default_rng(0)
    time = np.arange(3 * RATE) / RATE
    buzz = np.sign(np.sin(2 * np.pi * 120 * time)) * (0.6 + 0.4 * np.sin(2 * np.pi * 0.7 * time))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    return (0.3 * buzz * syllables + 0.001 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="session")
def recording(babble: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "babble.wav"
    soundfile.write(path, babble, RATE)
    return path


@pytest.fixture(scope="session")
def voice(model: valle.Model, recording: Path) -> valle.Voice:
    return model.enroll(recording, name="Babble", attest=ATTEST)


@pytest.fixture(scope="session", autouse=True)
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of what tests share: its key signs the voice that all of them use."""
    folder = tmp_path_factory.mktemp("shared") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VALLE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def new_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders that do not exist yet. `mktemp` would list all that there are, for every test."""
    parent = tmp_path_factory.mktemp("data")
    return (parent / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def home(shared_home: Path, new_folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the voices that the user keeps, nor what other tests write."""
    folder = next(new_folders) / "home"
    folder.parent.mkdir()
    if (shared_home / "safety").is_dir():
        folder.mkdir()
        shutil.copytree(shared_home / "safety", folder / "safety")
    # Only now, since a server that other tests share looks there from time to time.
    monkeypatch.setenv("VALLE_HOME", str(folder))
    monkeypatch.setattr(keys, "_registry_members", frozenset())
    return folder


@pytest.fixture(scope="session", autouse=True)
def shared_sessions() -> Iterator[None]:
    """A graph that many tests load is optimized once: that takes most of the time to load it."""
    cache = SessionCache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "make_session", cache.make_session)
        patch.setattr(bundle, "check_graph", cache.check_graph)
        yield


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell that runs the tests in the background has them, and their children, ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
