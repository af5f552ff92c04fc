"""The sound of a film or of a recording, as one channel on the file's own clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from valle.arrays import Samples
from valle.audio.containers import identify
from valle.audio.whole_recording import read_mono
from valle.errors import RecordingError
from valle.media.films import choose_sound, read_film, read_sound


def read_sound_file(path: Path, rate: int, track: str | None = None) -> Samples:
    """Read the sound of a film (extra `media`) or of a recording.

    Args:
        path: The file, whose contents say what it is.
        rate: Hz; the sound is resampled.
        track: Which of a film's tracks, see `valle.media.films.choose_sound`.

    Returns:
        [N] samples; sample n is at n / `rate` seconds of the film.

    Raises:
        RecordingError: It cannot be read, or has no sound.
        UsageError: There is no such track, or PyAV is not installed.
    """
    if not is_film(path):
        return read_mono(path, rate)
    film = read_film(path)
    sound = choose_sound(film, track)
    if sound is None:
        raise RecordingError(f"{path} has no sound; give a film in which somebody speaks")
    parts = [block[0] for block in read_sound(film, sound, rate)]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def is_film(path: Path) -> bool:
    """Whether a file is in a container that may have several tracks, and is read by PyAV."""
    try:
        with path.open("rb") as file:
            return identify(file).demuxer is not None
    except OSError:  # reported where it is read
        return False
