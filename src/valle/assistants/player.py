"""Playing a file on this computer, by a program that is there already."""

from __future__ import annotations

import shutil
import subprocess

from valle.errors import OutputError

# The first that is installed is used: PulseAudio's, PipeWire's, macOS's, ALSA's, FFmpeg's.
PLAYERS = (
    ("paplay",),
    ("pw-play",),
    ("afplay",),
    ("aplay", "-q"),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
)


def find_player() -> list[str]:
    """Return the command that plays a WAV file; the file's name is to be added.

    Raises:
        OutputError: None of `PLAYERS` is installed.
    """
    for name, *arguments in PLAYERS:
        program = shutil.which(name)
        if program is not None:
            return [program, *arguments]
    names = ", ".join(name for name, *_ in PLAYERS)
    raise OutputError(f"no program that plays sound was found; install one of {names}")


def play(player: list[str], file: str) -> None:
    """Play a file, and return at its end.

    Raises:
        OutputError: The program fails, as it does without a sound card.
    """
    try:
        # Nothing of ours: standard output may carry the protocol.
        done = subprocess.run(
            [*player, file],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
    except OSError as error:
        raise OutputError(f"{player[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise OutputError(f"{player[0]} could not play the speech: {reason[:200]}")
