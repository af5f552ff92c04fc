"""Speech by other synthesisers, where their programs are installed: flite and festival.

Debian has both: `apt-get install flite festival festvox-us-slt-hts`. Their voices are made of real
people's speech, so they sound less alike than espeak-ng's; but they give no phoneme times here.
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

FLITE_VOICES = ("kal16", "awb", "rms", "slt")  # "kal" is kal16 at 8 kHz: half a voice's band
FESTIVAL_VOICES = ("cmu_us_slt_arctic_hts",)
_LONGEST_WORK = 60  # seconds for one sentence

Spoken = tuple[NDArray[np.float32], int]  # samples in [-1, 1], their rate


@cache
def missing(engine: str) -> str | None:
    """None when `engine` ("flite", "festival") can be used here, else what is missing for it."""
    if shutil.which(engine) is None:
        return f"no program {engine!r} on PATH; install it with: apt-get install {engine}"
    if engine == "festival":
        asked = "(print (if (member 'cmu_us_slt_arctic_hts (voice.list)) 'yes 'no))"
        answer = subprocess.run(
            [engine, "--pipe"], input=asked, capture_output=True, text=True, timeout=_LONGEST_WORK
        )
        if "yes" not in answer.stdout.split():
            return "festival lacks its HTS voice; install it: apt-get install festvox-us-slt-hts"
    return None


def flite(voice: str, texts: Sequence[str]) -> list[Spoken | None]:
    """Each text in a voice of `FLITE_VOICES`; None for one that flite could not speak."""
    spoken = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "text", Path(folder) / "speech.wav"
        for text in texts:
            # from a file: as an argument, a text without spaces would be taken for a file's name
            source.write_text(_plain(text), encoding="ascii")
            target.unlink(missing_ok=True)
            command = ["flite", "-voice", voice, "-f", str(source), "-o", str(target)]
            _run(command)
            spoken.append(_read(target))
    return spoken


def festival(voice: str, texts: Sequence[str]) -> list[Spoken | None]:
    """Each text in a voice of `FESTIVAL_VOICES`; None for one that festival could not speak."""
    with tempfile.TemporaryDirectory() as folder:
        targets = [Path(folder) / f"{number}.wav" for number in range(len(texts))]
        script = Path(folder) / "speak.scm"
        # One process for all: it takes longer to load the voice than to speak.
        lines = [f"(voice_{voice})"]
        for text, target in zip(texts, targets, strict=True):
            words = _plain(text).replace("\\", " ").replace('"', " ")
            said = f'(utt.synth (Utterance Text "{words}"))'
            lines.append(f'(unwind-protect (utt.save.wave {said} "{target}" \'riff) nil)')
        script.write_text("\n".join(lines), encoding="ascii")
        _run(["festival", "-b", str(script)], len(texts))
        return [_read(target) for target in targets]


def _plain(text: str) -> str:
    return " ".join(text.encode("ascii", "ignore").decode().split())


def _run(command: list[str], texts: int = 1) -> None:
    """Run a synthesiser; what it could not do shows in the files that are not there."""
    try:
        subprocess.run(command, capture_output=True, timeout=_LONGEST_WORK * texts)
    except subprocess.TimeoutExpired:
        return


def _read(path: Path) -> Spoken | None:
    if not path.is_file():
        return None
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return None
    return (samples[:, 0], rate) if len(samples) else None
