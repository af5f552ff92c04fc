"""A headless Chromium for tests of pages; they are skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
]


@dataclass
class Browser:
    """A browser, and what went wrong in its pages."""

    context: Any
    errors: list[str] = field(default_factory=list)
    """Errors of scripts and on the console, and requests that are not for a file on disk."""


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """A browser that keeps its storage in a folder."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as started:
        context = started.chromium.launch_persistent_context(
            profile, executable_path=chromium, args=_FLAGS, accept_downloads=True
        )
        browser = Browser(context)
        errors = browser.errors

        def check(request: Any) -> None:
            if not request.url.startswith(("file:", "blob:", "data:")):
                errors.append(f"request for {request.url}")

        context.on("request", check)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        context.on(
            "console",
            lambda message: errors.append(message.text) if message.type == "error" else None,
        )
        try:
            yield browser
        finally:
            context.close()
