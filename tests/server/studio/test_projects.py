"""Long texts in the page: a book by chapters, a dialogue by its cast, kept over a closed tab."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")
av = pytest.importorskip("av", reason="needs the extra [serve]")

import valle
from server.conftest import LiveServer
from server.studio.conftest import EXAMPLES, Studio
from valle.registry.keys import LOCAL_CALLER
from valle.voices import registry as voice_folder

SCRIPT = "# The pier\n\nADA: Is it late?\n\nBEN: Not yet.\n"


def test_a_book_is_spoken_while_the_page_is_closed(studio: Studio) -> None:
    page = studio.page
    studio.go("projects")
    page.get_by_label("Drop a book or a script here, or choose one").set_input_files(
        EXAMPLES / "rain.epub"
    )
    studio.click("Speak it all")
    page.locator(".badge", has_text="%").or_(page.locator(".badge.good")).first.wait_for()
    page.close()
    studio.page = page = studio.open("#projects")
    page.locator(".project-link").click()
    page.get_by_role("button", name="All spoken").wait_for()
    chapters = page.locator(".chapter")
    assert chapters.count() > 1
    assert page.locator(".badge.good").count() == chapters.count()
    title = chapters.first.get_by_role("heading").inner_text()
    with av.open(str(studio.download(f"Save {title}"))) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) > 16_000
    studio.click(f"Play {title}")
    page.wait_for_function("() => document.querySelector('.chapter audio')?.duration > 1")


def test_a_dialogue_has_a_voice_for_each_speaker(studio: Studio, voice: valle.Voice) -> None:
    voice_folder.add(dataclasses.replace(voice, name="Ben"))
    page = studio.page
    studio.go("projects")
    studio.click("Paste a text")
    page.get_by_label("The text").fill(SCRIPT)
    studio.click("Create")
    studio.see("It is a dialogue: a voice for each of ADA, BEN")
    studio.expect(page.get_by_label("BEN", exact=True)).to_have_value("Ben")
    page.get_by_label("ADA", exact=True).select_option("Babble")
    studio.click("Speak it all")
    page.get_by_role("button", name="All spoken").wait_for()
    (job,) = studio.server.app.state.services.registry.jobs.list(LOCAL_CALLER)
    assert job.request["input"] == "[voice:Babble]Is it late?\n[voice:Ben]Not yet."
    studio.click("Delete the project")
    studio.click("Delete")
    studio.see("Long texts, chapter by chapter")


def test_two_tabs_go_on_when_the_server_is_back(
    studio: Studio, serve: Callable[..., LiveServer]
) -> None:
    page = studio.page
    studio.go("projects")
    studio.click("Paste a text")
    page.get_by_label("The text").fill("# One\n\nHello there.\n\n# Two\n\nGood night.\n")
    studio.click("Create")
    page.get_by_role("button", name="Speak it all").wait_for()
    other = studio.open(f"#{page.url.partition('#')[2]}")
    other.get_by_role("button", name="Speak it all").wait_for()
    studio.expected = ("ERR_",)
    studio.server.__exit__()
    studio.click("Speak it all")
    for tab in (page, other):
        tab.get_by_text("The server does not answer. It is asked again").wait_for()
    back = serve(port=studio.server.port)
    for tab in (page, other):
        tab.get_by_role("button", name="All spoken").wait_for()
    assert len(back.app.state.services.registry.jobs.list(LOCAL_CALLER)) == 2
