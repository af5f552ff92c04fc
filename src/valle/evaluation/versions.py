"""Versions and hashes of what measures, for the JSON of a report."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from valle.version import __version__

_PACKAGES = (
    "numpy",
    "onnxruntime",
    "soxr",
    "soundfile",
    "espeakng-loader",
    "Resemblyzer",
    "torch",
    "speechmos",
    "pystoi",
    "pesq",
    "jiwer",
    "whisper-normalizer",
    "faster-whisper",
    "ctranslate2",
)


def describe_versions() -> dict[str, str | None]:
    """The versions of this package, of Python, and of every package that figures depend on."""
    versions: dict[str, str | None] = {"valle": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def describe_package_model(package: str, file: str) -> dict[str, Any] | None:
    """A model that lies in a package: its file and SHA-256; None where it is not installed.

    Args:
        package: the name to import, which is not imported.
        file: path in the package.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / file
    return {"file": file, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
