"""Zero-shot voice cloning: a short recording and a text in, that text in that voice out.

```
model = valle.load()
voice = model.enroll("me.wav", attest="I hold the rights to this voice")
model.speak("Hello there.", voice=voice).save("hello.wav")
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from valle.errors import (
    BundleError,
    ConsentError,
    Error,
    OutputError,
    ProvenanceError,
    RecordingError,
    TextError,
    UsageError,
)
from valle.version import __version__

if TYPE_CHECKING:
    from valle.editing.edit import edit_recording
    from valle.editing.restyle import restyle_recording
    from valle.styles import Style
    from valle.synthesis.imitation import measure_style
    from valle.synthesis.model import Model, load
    from valle.synthesis.speech import Speech
    from valle.text.lines import phonemize
    from valle.voices.voice import Voice

__all__ = [
    "BundleError",
    "ConsentError",
    "Error",
    "Model",
    "OutputError",
    "ProvenanceError",
    "RecordingError",
    "Speech",
    "Style",
    "TextError",
    "UsageError",
    "Voice",
    "__version__",
    "edit_recording",
    "load",
    "measure_style",
    "phonemize",
    "restyle_recording",
]

# Imported at first use: numpy and ONNX Runtime take longer to import than `valle --help` may.
_MODULES = {
    "Model": "valle.synthesis.model",
    "Speech": "valle.synthesis.speech",
    "Style": "valle.styles",
    "Voice": "valle.voices.voice",
    "edit_recording": "valle.editing.edit",
    "load": "valle.synthesis.model",
    "measure_style": "valle.synthesis.imitation",
    "phonemize": "valle.text.lines",
    "restyle_recording": "valle.editing.restyle",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'valle' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
