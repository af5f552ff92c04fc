"""Films for evaluations of dubbing: lines of dialogue, a moving picture with a tone, and cues."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from valle.media.films import import_av

_SHORT = """Wait a moment. | Who is there? | Not today. | I think so too. | Look at this!
Come back! | Where were you? | That is enough. | Nobody knows. | You are late. | Leave it to me.
All right then. | It was raining. | Sit down, please. | What happened here? | I am not sure."""
_MEDIUM = """The train leaves in twenty minutes. | My sister has never seen the ocean.
We should have asked him first. | They closed the bridge last winter.
Nothing in this house works anymore. | She left a letter on the kitchen table.
You can take the car if you want. | I promised to be home before dark.
The old man smiled and said nothing. | Somebody has been here before us.
Tell them that we are on our way. | The water was colder than I thought."""
_LONG = """When the storm was over, we walked down to the harbor and looked for the boat.
He told me that the company would pay for everything, but nobody ever signed the papers.
If you follow this road for a mile, you will see a white church on the left side.
I have been working in this garden for thirty years, and I still find something new every spring.
They say that the painting was stolen twice, and that both times it came back by mail.
Before you open the door, remember that there is no way to close it from the other side."""


def write_lines(count: int) -> list[str]:
    """Return lines of dialogue of all lengths, the same ones every time."""
    short, medium, long = (
        [line.strip() for row in text.splitlines() for line in row.split("|")]
        for text in (_SHORT, _MEDIUM, _LONG)
    )
    rng = np.random.default_rng(1)
    kinds = [[short], [medium], [short, medium], [long], [short, short], [medium, medium]]
    return [
        " ".join(str(rng.choice(pool)) for pool in kinds[index % len(kinds)])
        for index in range(count)
    ]


def write_film(
    path: Path, seconds: float, fps: Fraction = Fraction(24_000, 1001), has_sound: bool = True
) -> Path:
    """Write a film with a moving picture, and a tone as its sound.

    Raises:
        UsageError: PyAV is not installed.
    """
    av = import_av()

    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=fps)
        video.width, video.height, video.pix_fmt = 160, 90, "yuv420p"
        sound = container.add_stream("aac", rate=48_000, layout="stereo") if has_sound else None
        picture = np.zeros((90, 160, 3), np.uint8)
        tone = (0.05 * np.sin(2 * np.pi * 220 * np.arange(48_000) / 48_000)).astype(np.float32)
        number = 0
        for second in range(round(seconds)):
            while number / fps < second + 1:
                picture[:] = number % 200
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = number, 1 / fps
                container.mux(video.encode(frame))
                number += 1
            if sound is not None:
                block = av.AudioFrame.from_ndarray(np.stack((tone, tone)), "fltp", "stereo")
                block.sample_rate, block.pts = 48_000, second * 48_000
                block.time_base = Fraction(1, 48_000)
                container.mux(sound.encode(block))
        container.mux(video.encode(None))
        if sound is not None:
            container.mux(sound.encode(None))
    return path


def lay_out(lengths: Sequence[float], seed: int = 0) -> list[tuple[float, float]]:
    """Return cues that need 0.75 to 1.35 times the usual rate, with gaps of 0 to 1.5 s."""
    rng = np.random.default_rng(seed)
    times, now = [], 1.0
    for natural in lengths:
        slot = float(np.clip(natural / rng.uniform(0.75, 1.35), 0.8, 8.0))
        slot = max(slot, natural / 1.35)
        times.append((now, now + slot))
        now += slot + rng.choice([0.0, 0.08, 0.5, 1.5])
    return times
