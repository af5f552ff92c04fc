"""Films are read on their own clock, and written with a new soundtrack and nothing else changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="needs the extra [media]")

from film_files import (
    FilmSpec,
    find_clicks,
    hash_pictures,
    make_clicks,
    read_samples,
    write_film_file,
)
from valle.arrays import Samples
from valle.errors import OutputError, RecordingError, UsageError
from valle.media.disk_cache import DiskCache
from valle.media.films import Film, choose_sound, read_film, read_sound
from valle.media.muxing import NewSound, write_film
from valle.media.soundtrack import encode_aac

SAMPLE = 1 / 48_000


class ClickTrack:
    """A soundtrack of clicks."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self.samples = len(samples)

    def render(self, first: int, last: int) -> Samples:
        return np.repeat(self._samples[None, first:last], 2, axis=0)


def new_sound(*clicks: float, seconds: float = 4.0) -> NewSound:
    track = ClickTrack(make_clicks(FilmSpec(seconds=seconds, clicks=clicks)))
    return NewSound(encode_aac(track))


def hear(film: Film, rate: int = 48_000, track: int = 0) -> list[float]:
    blocks = list(read_sound(film, film.sounds[track], rate))
    return find_clicks(np.concatenate(blocks, axis=1)[0], rate)


FILMS = {
    "plain.mp4": FilmSpec(),
    "23.976.mp4": FilmSpec(fps=Fraction(24_000, 1001)),
    "late.mp4": FilmSpec(start=1.5),
    "variable.mov": FilmSpec(variable=True),
    "late.mkv": FilmSpec(start=2.0),
    "surround.mkv": FilmSpec(layouts=("5.1", "mono"), audio_codec="flac"),
    "transport.ts": FilmSpec(start=1.6, codec="mpeg2video", audio_codec="mp2"),
    "old.avi": FilmSpec(audio_codec="pcm_s16le"),
}
CODEC_DELAY = {"transport.ts": 481 / 48_000}  # of MP2, which has no place to say so


@pytest.mark.parametrize("name", FILMS)
def test_sound_is_on_the_films_clock(tmp_path: Path, name: str) -> None:
    spec = FILMS[name]
    film = read_film(write_film_file(tmp_path / name, spec))
    shift = CODEC_DELAY.get(name, 0.0) + (0.0 if name.endswith(".ts") else spec.start)
    tolerance = 1.1e-3 if spec.start or ".mkv" in name else SAMPLE  # their times are rounded
    expected = [shift + click for click in spec.clicks]
    assert hear(film) == pytest.approx(expected, abs=tolerance)
    assert hear(film, 16_000) == pytest.approx(expected, abs=1e-4 + tolerance)
    assert film.seconds == pytest.approx(spec.start * (not name.endswith(".ts")) + 4, abs=0.06)
    begin = expected[1] - 0.25
    span = read_sound(film, film.sounds[0], 48_000, 2, (begin, begin + 0.5))
    samples = np.concatenate(list(span), axis=1)
    assert samples.shape == (2, 24_000)
    assert find_clicks(samples[1], 48_000) == pytest.approx([0.25], abs=tolerance)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("plain.mp4", "out.mov"),
        ("plain.mp4", "out.mkv"),
        ("23.976.mp4", "out.mp4"),
        ("late.mkv", "out.mp4"),
        ("transport.ts", "out.mp4"),
    ],
)
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs FFmpeg's own tools to read films")
def test_pictures_are_copied_and_sound_is_placed(tmp_path: Path, name: str, target: str) -> None:
    path = write_film_file(tmp_path / name, FILMS[name])
    film = read_film(path)
    notes = write_film(film, tmp_path / target, new_sound(1.25, 3.0), film.sounds)
    assert notes == []
    before, after = hash_pictures(path), hash_pictures(tmp_path / target)
    assert [digest for _, digest in after] == [digest for _, digest in before]
    moved = {
        time - round(film.origin * 1000) - new
        for (time, _), (new, _) in zip(before, after, strict=True)
    }
    assert moved <= {-1, 0, 1}
    heard = find_clicks(read_samples(tmp_path / target), 48_000)
    assert heard == pytest.approx([1.25, 3.0], abs=2 * SAMPLE)
    original = find_clicks(read_samples(tmp_path / target, 1), 48_000)
    assert original == pytest.approx(hear(film), abs=1.1e-3 + CODEC_DELAY.get(name, 0.0))
    written = read_film(tmp_path / target)
    assert written.sounds[0].language == "eng"
    assert written.sounds[0].is_default
    assert not written.sounds[1].is_default


@pytest.mark.parametrize("endings", [(".mkv", ".mp4"), (".mkv", ".mkv"), (".mp4", ".mkv")])
def test_subtitles_chapters_and_languages_are_kept(
    tmp_path: Path, endings: tuple[str, str]
) -> None:
    cues = [(0.5, 1.5, "Hello\nthere"), (2.0, 3.0, "<i>Bye</i>")]
    chapters = [(0.0, 2.0, "One"), (2.0, 4.0, "Two")]
    spec = FilmSpec(layouts=("stereo", "mono"), subtitles=cues, chapters=chapters)
    source = write_film_file(tmp_path / "source.mkv", spec)
    if endings[0] == ".mp4":
        film = read_film(source)
        write_film(film, tmp_path / "source.mp4", new_sound(1.0), film.sounds[1:])
        source = tmp_path / "source.mp4"
    film, target = read_film(source), tmp_path / f"out{endings[1]}"
    assert write_film(film, target, new_sound(1.0), film.sounds) == []
    written = read_film(target)
    languages = [track.language for track in written.sounds]
    assert languages == ["eng", *(track.language for track in film.sounds)]
    (subtitles,) = [track for track in written.tracks if track.kind == "subtitle"]
    assert subtitles.language == "eng"
    assert _read_texts(target) == [(500, 1000, "Hello\nthere"), (2000, 1000, "Bye")]
    assert _read_chapters(target) == [(0.0, "One"), (2.0, "Two")]


def _read_texts(path: Path) -> list[tuple[int, int, str]]:
    import av

    from valle.media.muxing import _unwrap

    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        codec = stream.codec_context.name
        texts = []
        for packet in container.demux(stream):
            text = _unwrap(bytes(packet), codec).replace("<i>", "").replace("</i>", "")
            if text:
                unit = packet.time_base * 1000
                texts.append((round(packet.pts * unit), round(packet.duration * unit), text))
    return texts


def _read_chapters(path: Path) -> list[tuple[float, str]]:
    import av

    with av.open(str(path)) as container:
        return [
            (float(chapter["start"] * chapter["time_base"]), chapter["metadata"]["title"])
            for chapter in container.chapters()
        ]


def test_choose_sound(tmp_path: Path) -> None:
    spec = FilmSpec(seconds=1, layouts=("stereo", "mono", "stereo"), clicks=())
    film = read_film(write_film_file(tmp_path / "film.mkv", spec))
    assert choose_sound(film) == film.sounds[0]
    assert choose_sound(film, "2") == film.sounds[1]
    assert choose_sound(film, "SPA") == film.sounds[2]
    with pytest.raises(UsageError, match="1 .deu., 2 .fra., 3 .spa."):
        choose_sound(film, "jpn")
    silent = read_film(write_film_file(tmp_path / "silent.mp4", FilmSpec(seconds=1, layouts=())))
    assert choose_sound(silent) is None
    with pytest.raises(UsageError, match="no sound at all"):
        choose_sound(silent, "1")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut off": _truncate,
    "empty": lambda path: path.write_bytes(b""),
    "no file": lambda path: path.unlink(),
    "text file": lambda path: path.write_text("This is not a film. " * 9),
    "folder": _replace_by_folder,
}


@pytest.mark.parametrize("message", DAMAGES)
def test_other_files_are_refused(tmp_path: Path, message: str) -> None:
    path = write_film_file(tmp_path / "film.mp4", FilmSpec(seconds=1))
    DAMAGES[message](path)
    with pytest.raises(RecordingError, match=message):
        read_film(path)


def test_a_wrong_ending_does_not_matter(tmp_path: Path) -> None:
    path = write_film_file(tmp_path / "film.mkv", FilmSpec(seconds=1))
    assert read_film(path.rename(tmp_path / "film.avi")).kind.demuxer == "matroska"


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    film = read_film(write_film_file(tmp_path / "film.mkv", FilmSpec(audio_codec="pcm_s24le")))
    with pytest.raises(UsageError, match=".mkv"):
        write_film(film, tmp_path / "out.ogg", new_sound(1.0))
    (tmp_path / "out.mp4").write_text("mine")
    with pytest.raises(FileExistsError):
        write_film(film, tmp_path / "out.mp4", new_sound(1.0), overwrite=False)
    assert (tmp_path / "out.mp4").read_text() == "mine"
    vp8 = read_film(write_film_file(tmp_path / "vp8.mkv", FilmSpec(seconds=1, codec="libvpx")))
    with pytest.raises(OutputError, match="mkv"):
        write_film(vp8, tmp_path / "vp8.mov", new_sound(1.0))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["film.mkv", "out.mp4", "vp8.mkv"]


class NoiseTrack(ClickTrack):
    """24 s of noise."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        samples = 0.1 * rng.standard_normal(24 * 48_000)
        super().__init__(samples.astype(np.float32))


def test_chunks_join_as_if_encoded_at_once(tmp_path: Path) -> None:
    """Noise throughout, so that chunks meet inside sound."""
    import av

    from valle.media import soundtrack

    track = NoiseTrack()
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = bytes.fromhex("1190")  # AAC-LC, 48 kHz, stereo
    decoded = []
    for encoded in encode_aac(track):
        for frame in decoder.decode(av.Packet(encoded.data)):
            decoded.append(frame.to_ndarray()[0])
    samples = np.concatenate(decoded)
    frames = len(samples) // 1024
    error = (
        samples[: frames * 1024]
        - np.pad(track.render(0, track.samples)[0], (0, 1024))[: frames * 1024]
    )
    energy = np.square(error).reshape(frames, 1024).mean(axis=1)
    border = soundtrack._CHUNK
    around = energy[border - 3 : border + 3]
    assert around.max() < 3 * np.median(energy)


def test_only_changed_chunks_are_encoded_again(tmp_path: Path) -> None:
    track = NoiseTrack()
    cache = DiskCache("soundtrack", tmp_path / "cache")
    first = list(encode_aac(track, cache))
    stored = {path.name for path in cache.folder.iterdir()}
    assert len(stored) >= 3
    assert list(encode_aac(track, cache)) == first == list(encode_aac(track))
    assert {path.name for path in cache.folder.iterdir()} == stored
    track._samples[-1000:] = 0
    changed = list(encode_aac(track, cache))
    assert len({path.name for path in cache.folder.iterdir()} - stored) == 1
    assert changed[:900] == first[:900]
    for path in cache.folder.iterdir():  # damaged files are as good as none
        path.write_bytes(b"x" * 40)
    assert list(encode_aac(track, cache)) == changed
