"""The page as a whole: small, closed to other origins, readable by all, in every size and theme."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

from server.studio.conftest import Studio
from valle.registry.keys import create_key
from valle.server.studio.files import FOLDER, read_files

PARTS = ("write", "edit", "dub", "projects", "voices", "voices/new", "check")
MOST_BYTES = 300_000


def test_the_page_is_small_and_loads_nothing_from_elsewhere(client: TestClient) -> None:
    answer = client.get("/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert sum(len(file.content) for file in read_files().values()) < MOST_BYTES
    for name, file in read_files().items():
        sent = client.get(f"/page/{name}")
        assert sent.content == file.content
        assert sent.headers["content-security-policy"] == answer.headers["content-security-policy"]
        again = client.get(f"/page/{name}", headers={"If-None-Match": sent.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for place in ("http://", "https://", "//cdn"):
            text = file.content.decode().replace("http://www.w3.org/", "")
            text = text.replace("http://127.0.0.1", "").replace("https:// addresses", "")
            assert place not in text, name


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "nothing.js", ".", "index.html%00"])
def test_only_files_of_the_page_are_sent(client: TestClient, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.status_code in (400, 404)
    assert b"import" not in answer.content


def test_every_module_that_is_imported_exists() -> None:
    names = {path.name for path in FOLDER.iterdir()}
    assert names == set(read_files())
    # Those that the page begins with are asked for at once, not each when another has come.
    first: set[str] = set()
    waiting = ["app.js"]
    while waiting:
        text = read_files()[waiting.pop()].content.decode()
        found = set(re.findall(r'^} from "\./(.+)";|^import .* from "\./(.+)";', text, re.M))
        new = {one or other for one, other in found} - first
        first |= new
        waiting += new
    page = read_files()["index.html"].content.decode()
    assert set(re.findall('rel="modulepreload" href="/page/(.+)"', page)) == first


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_everything_can_be_read_and_reached(
    open_studio: Callable[..., Studio], stored_voice: str, theme: str, size: tuple[int, int]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    width, height = size
    context: dict[str, Any] = {
        "viewport": {"width": width, "height": height},
        "color_scheme": theme,
        "reduced_motion": "reduce",
    }
    studio = open_studio(context)
    page = studio.page
    page.get_by_label("What to say").last.fill("One boat is late.")
    studio.click("Speak")
    page.get_by_role("button", name="Download the sound as WAV").wait_for()
    for part in PARTS:
        if part != "write":
            studio.go(part)
        page.locator("main h1").wait_for(state="attached")
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), part
        found = axe.run(page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == [], part


def test_a_part_is_loaded_when_it_is_opened(
    open_studio: Callable[..., Studio], stored_voice: str
) -> None:
    studio = open_studio()
    studio.see("Pace")
    files = "() => performance.getEntriesByType('resource').map(one => one.name.split('/').at(-1))"
    parts = {"edit.js", "dub.js", "work.css", "projects.js"}
    assert parts.isdisjoint(studio.page.evaluate(files))
    studio.go("edit")
    studio.see("Drop a recording here")
    assert parts & set(studio.page.evaluate(files)) == {"edit.js", "work.css"}


def test_a_server_with_keys_asks_for_one(
    open_studio: Callable[..., Studio], stored_voice: str
) -> None:
    studio = open_studio()
    studio.see("Pace")
    database = studio.server.app.state.services.registry.database
    secret, _ = create_key(database, "ada", ("speak", "detect"))
    studio.expected = ("401",)
    page = studio.open()
    page.get_by_label("API key").fill("a-wrong-key")
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("That key is not valid").wait_for()
    page.get_by_label("API key").fill(secret)
    page.get_by_role("button", name="Continue").click()
    # What this key may not do is not shown; a voice on somebody's word is not for others.
    page.get_by_text("You have no voice yet").wait_for()
    assert page.locator("#nav a").all_inner_texts() == ["Write", "Check"]
