"""The running half (all but training, corpora, evaluation and their commands) needs no package but
the core's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import valle
from valle.cli.main import COMMANDS

PACKAGE = Path(valle.__file__).parent
OTHER_HALF = {"training", "corpora", "evaluation"}
SERVER = {"registry", "server", "assistants"}  # without PyTorch too, but with extras
OTHER_COMMANDS = tuple(command.module for command in COMMANDS.values() if command.extra)

EVERY = {
    ".".join(("valle", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] not in OTHER_HALF | SERVER and path.name != "__main__.py"
}
MODULES = sorted(name for name in EVERY if not name.startswith(OTHER_COMMANDS))

# Each refused package is one of an extra's, and may be on the machine where the tests run.
IMPORT_ALL = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ImportError(f"the running half imported {{name}}")

sys.meta_path.insert(0, Refuse())
for module in {modules!r}:
    importlib.import_module(module)
other_half = [m for m in sys.modules if m.startswith({other_half!r})]
assert not other_half, f"the running half imported {{other_half}}"
"""


def import_all(modules: list[str]) -> subprocess.CompletedProcess[str]:
    code = IMPORT_ALL.format(
        refused={"torch", "torchaudio", "onnx", "onnxscript", "scipy", "lhotse", "tensorboard"}
        | {"matplotlib", "pocketsphinx", "resemblyzer", "huggingface_hub", "av", "c2pa"},
        modules=modules,
        other_half=tuple(f"valle.{part}" for part in sorted(OTHER_HALF)),
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_it_imports_without_the_extras() -> None:
    assert {"valle", "valle.bundle.bundle", "valle.cli.speak"} <= set(MODULES)
    done = import_all(MODULES)
    assert done.returncode == 0, done.stderr


def test_the_server_imports_without_pytorch() -> None:
    pytest.importorskip("fastapi", reason="needs the extra [serve]")
    code = """
import sys
import valle.cli.serve
loaded = {"torch", "onnx", "scipy", "matplotlib"} & sys.modules.keys()
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_this_check_can_fail() -> None:
    pytest.importorskip("torch")
    assert "imported torch" in import_all(["torch"]).stderr
    assert "imported ['valle.training" in import_all(["valle.training"]).stderr


def test_importing_valle_writes_nothing_and_loads_no_runtime() -> None:
    code = "import valle, sys; assert not {'onnxruntime', 'numpy', 'torch'} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
