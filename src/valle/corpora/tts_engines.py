"""The TTS engines flite and festival, if their programs are installed.

Debian has both: `apt-get install flite festival festvox-us-slt-hts`. Their voices are built from
recordings of real people, so they differ more than those of espeak-ng, but phoneme times are not
available.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

FLITE_VOICES = ("kal16", "awb", "rms", "slt")  # "kal" is kal16 at 8 kHz, half of the bandwidth
FESTIVAL_VOICES = ("cmu_us_slt_arctic_hts",)
_TIMEOUT = 60  # seconds per sentence

Speech = tuple[NDArray[np.float32], int]  # samples in [-1, 1] and their rate


@cache
def explain_missing(engine: str) -> str | None:
    """None if `engine` ("flite" or "festival") can be used, otherwise what has to be installed."""
    if shutil.which(engine) is None:
        return f"no program {engine!r} on PATH; install it with: apt-get install {engine}"
    if engine == "festival":
        query = "(print (if (member 'cmu_us_slt_arctic_hts (voice.list)) 'yes 'no))"
        answer = subprocess.run(
            [engine, "--pipe"], input=query, capture_output=True, text=True, timeout=_TIMEOUT
        )
        if "yes" not in answer.stdout.split():
            return "festival lacks its HTS voice; install it: apt-get install festvox-us-slt-hts"
    return None


def flite(voice: str, texts: Sequence[str]) -> list[Speech | None]:
    """Synthesize each text in a voice of `FLITE_VOICES`; None where flite failed."""
    speech = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "text", Path(folder) / "speech.wav"
        for text in texts:
            # From a file: flite takes an argument without spaces for a file name.
            source.write_text(_to_ascii(text), encoding="ascii")
            target.unlink(missing_ok=True)
            command = ["flite", "-voice", voice, "-f", str(source), "-o", str(target)]
            _run(command)
            speech.append(_read(target))
    return speech


def festival(voice: str, texts: Sequence[str]) -> list[Speech | None]:
    """Synthesize each text in a voice of `FESTIVAL_VOICES`; None where festival failed."""
    with tempfile.TemporaryDirectory() as folder:
        targets = [Path(folder) / f"{number}.wav" for number in range(len(texts))]
        script = Path(folder) / "speak.scm"
        # One process for all texts: loading the voice takes longer than speaking.
        lines = [f"(voice_{voice})"]
        for text, target in zip(texts, targets, strict=True):
            words = _to_ascii(text).replace("\\", " ").replace('"', " ")
            utterance = f'(utt.synth (Utterance Text "{words}"))'
            lines.append(f'(unwind-protect (utt.save.wave {utterance} "{target}" \'riff) nil)')
        script.write_text("\n".join(lines), encoding="ascii")
        _run(["festival", "-b", str(script)], len(texts))
        return [_read(target) for target in targets]


def _to_ascii(text: str) -> str:
    return " ".join(text.encode("ascii", "ignore").decode().split())


def _run(command: list[str], texts: int = 1) -> None:
    """Run an engine. Failures are not reported here: the output file is then missing."""
    try:
        subprocess.run(command, capture_output=True, timeout=_TIMEOUT * texts)
    except subprocess.TimeoutExpired:
        return


def _read(path: Path) -> Speech | None:
    if not path.is_file():
        return None
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return None
    return (samples[:, 0], rate) if len(samples) else None
