"""The page in a real browser: headless Chromium with a microphone that plays the sample voice."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from server.conftest import LiveServer

EXAMPLES = Path(__file__).parents[3] / "examples"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    f"--use-file-for-fake-audio-capture={EXAMPLES / 'voice.wav'}",
)
SECONDS = 120_000  # milliseconds that anything may take: the outcome must not depend on the machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, as Debian has it."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    # Chromium writes outside its profile, too.
    environment = {name: value for name, value in os.environ.items() if name != "VALLE_HOME"}
    api.expect.set_options(timeout=SECONDS)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(FLAGS), env=environment
        )
        yield browser
        browser.close()


class Studio:
    """The page of one server, opened by somebody new; what must never happen there is noted."""

    def __init__(self, browser: Any, server: LiveServer, **context: Any) -> None:
        """Keywords are options of the browser's context."""
        self.server = server
        self.faults: list[str] = []
        self.context = browser.new_context(
            viewport=context.pop("viewport", {"width": 1280, "height": 900}),
            permissions=context.pop("permissions", ["microphone"]),
            accept_downloads=True,
            **context,
        )
        self.context.set_default_timeout(SECONDS)
        self.expected: tuple[str, ...] = ()
        self.page = self.open()

    def open(self, path: str = "") -> Any:
        """Open another tab."""
        page = self.context.new_page()
        page.on("console", self._note_message)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._note_request)
        page.goto(f"{self.server.url}/{path}")
        return page

    def _note_message(self, message: Any) -> None:
        # The browser reports every answer of 4xx by itself, also those that the page explains.
        if message.type in ("error", "warning") and not any(
            text in message.text for text in self.expected
        ):
            self.faults.append(f"{message.type}: {message.text}")

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith((f"{self.server.url}/", "blob:", "data:")):
            self.faults.append(f"request to {request.url}")

    def go(self, part: str) -> None:
        """Go to a part of the page."""
        self.page.evaluate("part => { location.hash = part }", part)

    def click(self, name: str, role: str = "button") -> None:
        """Press a button by the name that is read out."""
        self.page.get_by_role(role, name=name, exact=True).click()

    def see(self, text: str) -> Any:
        """Wait until a text is shown."""
        shown = self.page.get_by_text(text).first
        shown.wait_for()
        return shown

    def expect(self, locator: Any) -> Any:
        """Return assertions about an element that wait until they hold."""
        from playwright.sync_api import expect

        return expect(locator)

    def download(self, name: str) -> Path:
        """Press a button that saves a file, and return it."""
        with self.page.expect_download() as download:
            self.click(name)
        return Path(download.value.path())


@pytest.fixture
def open_studio(browser: Any, serve: Callable[..., LiveServer]) -> Iterator[Callable[..., Studio]]:
    """Open the page of a new server; keywords are options of the server, or `context`."""
    opened: list[Studio] = []

    def start(context: dict[str, Any] | None = None, **options: Any) -> Studio:
        studio = Studio(browser, serve(**options), **(context or {}))
        opened.append(studio)
        return studio

    yield start
    faults = [fault for studio in opened for fault in studio.faults]
    for studio in opened:
        studio.context.close()
    assert faults == []


@pytest.fixture
def studio(open_studio: Callable[..., Studio], stored_voice: str) -> Studio:
    """The page of a server with one voice."""
    return open_studio()
