"""Dubbing a film in the page, from an empty data folder to the film and its subtitles."""

from __future__ import annotations

import base64
import dataclasses
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")
av = pytest.importorskip("av", reason="needs the extra [media]")
pytest.importorskip("pysubs2", reason="needs the extra [media]")

from fastapi.testclient import TestClient

import valle
from film_files import FilmSpec, hash_pictures, write_film_file
from server.studio.conftest import EXAMPLES, Studio
from valle.files import data_folder
from valle.registry.keys import LOCAL_CALLER
from valle.voices import registry as voice_folder

SUBTITLES = """1
00:00:00,200 --> 00:00:02,000
ADA: Oh no.

2
00:00:02,100 --> 00:00:02,300
BEN: This one is far too long for the time that it has.

3
00:00:02,400 --> 00:00:05,500
ADA: [door slams] Go.
"""


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """6 s that Chromium can show, with two tracks of sound."""
    spec = FilmSpec(seconds=6.0, codec="libx264", level=0.3, layouts=("stereo", "mono"))
    return write_film_file(tmp_path / "pier.mp4", spec)


@pytest.fixture
def subtitles(tmp_path: Path) -> Path:
    path = tmp_path / "pier.srt"
    path.write_text(SUBTITLES)
    return path


def drop(studio: Studio, film: Path, subtitles: Path) -> None:
    studio.go("dub")
    page = studio.page
    page.get_by_label("Drop a film here, or choose one").set_input_files(film)
    page.get_by_label("Drop its subtitles here, or choose them").set_input_files(subtitles)
    page.get_by_role("button", name="Dub the film").wait_for()


def count_kept() -> int:
    """How many cues have been spoken and kept."""
    return len(list((data_folder() / "cache" / "cues").iterdir()))


def watch(studio: Studio) -> None:
    """Play a cue: it is lit, and shown as a caption."""
    page = studio.page
    page.evaluate(
        """() => {
            window.lit = [];
            new MutationObserver(changes => {
                for (const { target } of changes)
                    if (target.matches("[aria-current]")) window.lit.push(target.innerText);
            }).observe(document.querySelector("table"), { subtree: true, attributes: true });
        }"""
    )
    studio.click("Play cue 2")
    page.wait_for_function("() => window.lit.length")
    assert "far too long" in page.evaluate("() => window.lit[0]")
    page.wait_for_function("() => document.querySelector('video').textTracks[0].cues?.length === 3")
    captions = "() => [...document.querySelector('video').textTracks[0].cues].map(one => one.text)"
    assert page.evaluate(captions)[1].startswith("BEN: This one")
    page.evaluate("() => document.querySelector('video').pause()")


def mend(studio: Studio) -> None:
    """Change one cue; the others are kept."""
    page = studio.page
    kept = count_kept()
    studio.click("Change the text of cue 2")
    page.get_by_label("Text of cue 2", exact=True).fill("  ")
    page.get_by_label("Text of cue 2", exact=True).press("Control+Enter")
    studio.see("A cue needs words")
    page.get_by_label("Text of cue 2", exact=True).fill("Run.")
    page.get_by_label("Text of cue 2", exact=True).press("Control+Enter")
    studio.see("1 cue is spoken again; the others are kept.")
    music = page.get_by_label("Drop music and effects here, or choose them")
    music.set_input_files({"name": "rain.txt", "mimeType": "text/plain", "buffer": b"rain"})
    studio.see("Music and effects are a WAV, FLAC, MP3, OGG or M4A file.")
    music.set_input_files(EXAMPLES / "voice.wav")
    studio.see("The original is kept as a second track")
    studio.expect(page.get_by_label("Lower it under the speech")).to_be_disabled()
    studio.click("Dub again")
    page.get_by_role("button", name="Dub again").wait_for(state="detached")
    page.get_by_role("row").filter(has_text="Run.").filter(has_text="×").wait_for()
    page.wait_for_function("() => document.querySelectorAll('tr .badge.new').length === 0")
    assert "far too long" not in studio.download("Download the subtitles as SRT").read_text()
    assert count_kept() > kept


def test_a_film_is_dubbed_while_the_page_is_closed_and_one_cue_is_mended(
    studio: Studio, voice: valle.Voice, film: Path, subtitles: Path
) -> None:
    voice_folder.add(dataclasses.replace(voice, name="Ben"))
    page = studio.page
    drop(studio, film, subtitles)
    studio.see("1 thing was repaired in the subtitles, or is not spoken")
    studio.expect(page.get_by_label("BEN", exact=True)).to_have_value("Ben")
    page.get_by_label("ADA", exact=True).select_option("Babble")
    page.get_by_label("Lower it under the speech").check()
    page.get_by_label("Lower it by").fill("20")
    track = page.get_by_label("Track of the original")
    texts = ["The film's default", "1: German", "2: French"]
    studio.expect(track.get_by_role("option")).to_have_text(texts)
    track.select_option("2: French")
    studio.click("Dub the film")
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    jobs = studio.server.app.state.services.registry.jobs
    while not jobs.list(LOCAL_CALLER):
        page.wait_for_timeout(50)
    page.close()
    studio.page = page = studio.open("#dub")
    page.locator(".project-link").click()
    dubbed = studio.download("Download the film")
    assert hash_pictures(dubbed) == hash_pictures(film)
    (job,) = jobs.list(LOCAL_CALLER)
    assert job.request["cast"] == {"ADA": "Babble", "BEN": "Ben"}
    assert job.request["options"] == {"original": "duck", "duck": 20, "track": "2"}
    assert "background" not in job.request["files"]
    text = studio.download("Download the subtitles as SRT").read_text()
    assert "far too long" in text
    vtt = studio.download("Download the subtitles as VTT").read_text()
    assert vtt.startswith("WEBVTT")
    assert vtt.count("-->") == text.count("-->") == 3
    long = page.get_by_role("row").filter(has_text="far too long")
    long.get_by_text("s too long", exact=False).first.wait_for()
    studio.expect(long).to_contain_text("Shorten it by")
    watch(studio)
    mend(studio)
    (again, _) = jobs.list(LOCAL_CALLER)
    assert again.request["texts"] == {"2": "Run."}
    assert again.request["options"] == {"original": "keep", "duck": 20, "track": "2"}
    assert "background" in again.request["files"]


def test_the_tracks_of_a_film_are_read_from_its_headers(studio: Studio, tmp_path: Path) -> None:
    read = """async data => {
        const { readSounds } = await import("/page/film-tracks.js");
        return readSounds(new Blob([Uint8Array.from(atob(data), one => one.charCodeAt(0))]));
    }"""
    spec = FilmSpec(seconds=0.2, layouts=("stereo", "mono"), languages=("deu", "spa"))
    found = {}
    for ending in ("mp4", "mov", "mkv", "avi"):
        data = write_film_file(tmp_path / f"film.{ending}", spec).read_bytes()
        found[ending] = studio.page.evaluate(read, base64.b64encode(data).decode())
        for length in (0, 11, 40, len(data) // 2):  # cut off: something is told, or nothing
            studio.page.evaluate(read, base64.b64encode(data[:length]).decode())
    both = [{"language": "deu", "title": None}, {"language": "spa", "title": None}]
    unnamed = {"language": None, "title": None}  # QuickTime has no number for "deu"
    assert found == {"mp4": both, "mov": [unnamed, both[1]], "mkv": both, "avi": None}


def test_subtitles_that_cannot_be_read_are_refused_with_the_reason(
    studio: Studio, film: Path, tmp_path: Path
) -> None:
    studio.expected = ("400",)
    wrong = tmp_path / "notes.srt"
    wrong.write_text("Only some notes.")
    studio.go("dub")
    page = studio.page
    page.get_by_label("Drop its subtitles here, or choose them").set_input_files(wrong)
    page.get_by_label("Drop a film here, or choose one").set_input_files(film)
    studio.see("These subtitles cannot be used")
    studio.see("a cue has a line like 00:00:01,000 --> 00:00:03,000")
    studio.expect(page.get_by_label("Drop its subtitles here, or choose them")).to_have_count(1)


def test_a_file_that_is_no_film_fails_with_the_reason(
    studio: Studio, subtitles: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "pier.mp4"
    wrong.write_bytes(b"not a film at all")
    drop(studio, wrong, subtitles)
    studio.see("This browser cannot show the picture of this film")
    studio.click("Dub the film")
    studio.see("It could not be dubbed")
    studio.click("Delete it")
    studio.click("Delete")
    studio.see("Dub a film")


def test_it_is_shown_only_where_the_server_has_the_parts(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.page.locator("#nav a").filter(has_text="Dub").wait_for()
    monkeypatch.setitem(sys.modules, "pysubs2", None)
    parts = studio.open().locator("#nav a")
    studio.expect(parts).to_have_text(["Write", "Edit", "Projects", "Voices", "Check"])


def test_a_job_without_the_parts_is_refused_with_what_to_install(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pysubs2", None)
    answer = client.post("/v1/jobs/dub", files={"request": (None, "{}")})
    assert answer.status_code == 400
    assert "valle[media]" in answer.json()["error"]["message"]
