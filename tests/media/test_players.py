"""Players agree on what a written film has: FFprobe, MediaInfo and Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("av", reason="needs the extra [media]")

from film_files import FilmSpec, make_clicks, write_film_file
from valle.arrays import Samples
from valle.media.films import read_film
from valle.media.muxing import NewSound, write_film
from valle.media.soundtrack import encode_aac

PAGE = """<video id=film src="out.mp4" preload=auto></video><pre id=result></pre><script>
film.onloadedmetadata = () => {
  const tracks = [...film.audioTracks].map((track) => [track.language, track.enabled]);
  result.textContent = JSON.stringify({seconds: film.duration, width: film.videoWidth, tracks});
};
film.onerror = () => { result.textContent = film.error.message; };
</script>"""


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def ask_ffprobe(path: Path) -> dict[str, object]:
    found = json.loads(
        run("ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", str(path))
    )
    streams = found["streams"]
    sounds = [stream for stream in streams if stream["codec_type"] == "audio"]
    return {
        "seconds": float(found["format"]["duration"]),
        "width": next(stream["width"] for stream in streams if stream["codec_type"] == "video"),
        "tracks": [
            [sound["tags"]["language"], bool(sound["disposition"]["default"])] for sound in sounds
        ],
    }


def ask_mediainfo(path: Path) -> dict[str, object]:
    tracks = json.loads(run("mediainfo", "--Output=JSON", "--Language=raw", str(path)))["media"][
        "track"
    ]
    sounds = [track for track in tracks if track["@type"] == "Audio"]
    names = {"en": "eng", "de": "deu", "fr": "fra"}
    return {
        "seconds": float(tracks[0]["Duration"]),
        "width": next(int(track["Width"]) for track in tracks if track["@type"] == "Video"),
        "tracks": [[names[sound["Language"]], sound.get("Default") == "Yes"] for sound in sounds],
    }


def ask_chromium(path: Path) -> dict[str, object]:
    page = path.with_suffix(".html")
    page.write_text(PAGE)
    profile = path.parent / "profile"
    text = run(
        "chromium",
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={profile}",
        "--enable-blink-features=AudioVideoTracks",
        "--virtual-time-budget=10000",
        "--dump-dom",
        page.as_uri(),
    )
    match = re.search(r"<pre[^>]*>(.*?)</pre>", text)
    assert match is not None, text
    return dict(json.loads(match[1]))


READERS = {"ffprobe": ask_ffprobe, "mediainfo": ask_mediainfo, "chromium": ask_chromium}


@pytest.mark.parametrize("reader", READERS)
def test_players_agree(tmp_path: Path, reader: str) -> None:
    if shutil.which(reader) is None:
        pytest.skip(f"needs {reader}")
    spec = FilmSpec(codec="libx264", layouts=("stereo", "mono"), start=0.0)
    film = read_film(write_film_file(tmp_path / "film.mp4", spec))

    class Clicks:
        samples = round(spec.seconds * spec.rate)

        def render(self, first: int, last: int) -> Samples:
            return make_clicks(spec)[None, first:last].repeat(2, axis=0)

    write_film(film, tmp_path / "out.mp4", NewSound(encode_aac(Clicks())), film.sounds)
    said = READERS[reader](tmp_path / "out.mp4")
    assert said["seconds"] == pytest.approx(spec.seconds, abs=0.03)  # a frame of AAC
    assert said["width"] == 160
    assert said["tracks"] == [["eng", True], ["deu", False], ["fra", False]]
