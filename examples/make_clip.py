"""Make clip.mp4 and clip.srt, a film to dub: `python examples/make_clip.py`.

A clock turns, and a voice of flite (Debian package `flite`) speaks the lines of the subtitles.
Nobody's picture, music or voice is in it.

Needs `flite` on the path, and numpy, soundfile, soxr and av, which valle installs with `media`.
"""

import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

SECONDS = 12
FPS = Fraction(24_000, 1001)
WIDTH, HEIGHT = 320, 180
SOUND_RATE = 48_000
# start, end, subtitle, what the original says
CUES = (
    (0.5, 3.0, "ANN: Good morning.\nThe rain has stopped.", "Good morning. The rain has stopped."),
    (3.2, 4.7, "BEN: And the garden smells of mint.", "And the garden smells of mint."),
    (5.8, 7.6, "- Shall we walk?\n- To the river?", "Shall we walk? To the river?"),
    (8.2, 9.6, "[a dog barks] We should take the dog along.", "We should take the dog along."),
)


def draw_clock(seconds: float) -> np.ndarray:
    """Return a picture [height, width, 3] of a clock whose hand turns once in 12 s."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = columns - WIDTH / 2, rows - HEIGHT / 2
    radius, angle = np.hypot(x, y), np.arctan2(x, -y) % (2 * np.pi)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    picture[:] = (24, 32, 48)
    picture[radius < 76] = (236, 232, 220)
    picture[(radius > 66) & (radius < 74) & (angle % (np.pi / 6) < 0.06)] = (60, 60, 60)
    hand = 2 * np.pi * seconds / SECONDS
    along, across = x * np.sin(hand) - y * np.cos(hand), x * np.cos(hand) + y * np.sin(hand)
    picture[(along > 0) & (along < 62) & (np.abs(across) < 2.5)] = (190, 60, 40)
    return picture.astype(np.uint8)


def speak(text: str) -> np.ndarray:
    """Return a line in the voice of flite, [samples] at SOUND_RATE."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        try:
            subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", str(wav)], check=True)
        except FileNotFoundError:
            sys.exit("flite is not installed; on Debian or Ubuntu: apt-get install flite")
        samples, rate = soundfile.read(wav, dtype="float32")
    return np.asarray(soxr.resample(samples, rate, SOUND_RATE), np.float32)


def mix() -> np.ndarray:
    """Return the sound of the film, [samples]: a quiet hum, and the lines in their time."""
    time = np.arange(SECONDS * SOUND_RATE) / SOUND_RATE
    sound = (0.004 * np.sin(2 * np.pi * 110 * time)).astype(np.float32)
    for start, _, _, text in CUES:
        line = 0.5 * speak(text)
        at = round(start * SOUND_RATE)
        sound[at : at + len(line)] += line[: len(sound) - at]
    return sound


def write_film(path: Path) -> None:
    """Write the picture and the sound."""
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=FPS, options={"crf": "32", "preset": "slow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = film.add_stream("aac", rate=SOUND_RATE, layout="mono")
        audio.bit_rate = 64_000
        audio.metadata["language"] = "eng"
        for number in range(int(SECONDS * FPS)):
            frame = av.VideoFrame.from_ndarray(draw_clock(float(number / FPS)), "rgb24")
            frame.pts, frame.time_base = number, 1 / FPS
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(mix()[None], "fltp", "mono")
        samples.sample_rate, samples.pts = SOUND_RATE, 0
        resampler = av.AudioResampler("fltp", "mono", SOUND_RATE, frame_size=1024)
        for part in (samples, None):
            for frame in resampler.resample(part):
                film.mux(audio.encode(frame))
        film.mux(audio.encode(None))


def write_subtitles(path: Path) -> None:
    """Write the subtitles as SubRip."""
    blocks = [
        f"{number}\n{clock(start)} --> {clock(end)}\n{text}\n"
        for number, (start, end, text, _) in enumerate(CUES, 1)
    ]
    path.write_text("\n".join(blocks), encoding="utf-8")


def clock(seconds: float) -> str:
    """Return a time as SubRip writes it."""
    return f"00:00:{int(seconds):02d},{round(seconds % 1 * 1000):03d}"


if __name__ == "__main__":
    here = Path(__file__).parent
    write_film(here / "clip.mp4")
    write_subtitles(here / "clip.srt")
