"""Recordings and films in the page: read and reached by all, in every size and theme."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("pysubs2", reason="needs the extra [media]")

from film_files import FilmSpec, write_film_file
from server.studio.conftest import Studio

SUBTITLES = """1
00:00:00,200 --> 00:00:02,000
ADA: Oh no.

2
00:00:02,100 --> 00:00:02,300
BEN: This one is far too long for the time that it has.
"""


def check(page: Any, axe: Any, what: str) -> None:
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), what
    found = axe.run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == [], what


@pytest.mark.parametrize(
    ("theme", "size"), [("light", (1280, 900)), ("dark", (390, 844))], ids=["desktop", "phone"]
)
def test_recordings_and_films_can_be_read_and_reached(
    open_studio: Callable[..., Studio],
    stored_voice: str,
    recording: Path,
    tmp_path: Path,
    theme: str,
    size: tuple[int, int],
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context: dict[str, Any] = {
        "viewport": {"width": size[0], "height": size[1]},
        "color_scheme": theme,
        "reduced_motion": "reduce",
    }
    studio = open_studio(context)
    page = studio.page
    studio.go("edit")
    page.get_by_label("Drop a recording here, or choose one").set_input_files(recording)
    page.get_by_label("What does it say?").fill("One boat is late. Um, two boats are early.")
    check(page, axe, "the form of a text")
    studio.click("Find the words")
    page.locator(".script .word").first.wait_for()
    page.locator(".script .word").first.click()
    check(page, axe, "the words of a recording")
    spec = FilmSpec(seconds=4.0, codec="libx264", layouts=("stereo", "mono"))
    film = write_film_file(tmp_path / "pier.mp4", spec)
    subtitles = tmp_path / "pier.srt"
    subtitles.write_text(SUBTITLES)
    studio.go("dub")
    page.get_by_label("Drop a film here, or choose one").set_input_files(film)
    page.get_by_label("Drop its subtitles here, or choose them").set_input_files(subtitles)
    studio.click("Dub the film")
    page.get_by_role("button", name="Download the film").wait_for()
    page.get_by_text("More options").click()
    page.get_by_label("Drop music and effects here, or choose them").set_input_files(recording)
    studio.click("Change the text of cue 2")
    page.evaluate("() => { document.querySelector('video').currentTime = 2.3 }")
    page.locator("tr[aria-current]").wait_for()
    check(page, axe, "a dubbed film")
