"""Fails where a page of the built website loads something from elsewhere.

    python tools/check_site.py site

Links that a reader may follow are allowed; scripts, styles, fonts, pictures and sound are not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_LOADED = {"script": "src", "img": "src", "audio": "src", "source": "src", "iframe": "src"}
_LINK_RELATIONS = {"stylesheet", "preconnect", "preload", "icon", "modulepreload"}


class _Resources(HTMLParser):
    """Collects the addresses that a browser loads with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in _LOADED:
            self.addresses.append(values.get(_LOADED[tag]) or "")
        elif tag == "link" and _LINK_RELATIONS & set((values.get("rel") or "").split()):
            self.addresses.append(values.get("href") or "")


def find_external(html: str) -> list[str]:
    """Return the addresses on other hosts that a page loads."""
    parser = _Resources()
    parser.feed(html)
    return [url for url in parser.addresses if url.startswith(("http:", "https:", "//"))]


def check_site(site: Path) -> Iterator[str]:
    """Yield a line for every resource from elsewhere, or if there are no pages."""
    pages = sorted(site.rglob("*.html"))
    if not pages:
        yield f"{site}: no pages"
    for page in pages:
        for url in find_external(page.read_text(encoding="utf-8")):
            yield f"{page}: loads {url}"


def main() -> int:
    """Check the site named on the command line."""
    found = list(check_site(Path(sys.argv[1])))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
