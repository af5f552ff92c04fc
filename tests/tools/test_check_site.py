"""The check of the built website finds what is loaded from elsewhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_PATH = Path(__file__).parents[2] / "tools" / "check_site.py"
_SPEC = importlib.util.spec_from_file_location("check_site", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
check_site = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(check_site)


def test_external_resources_are_found() -> None:
    html = (
        '<link rel="stylesheet" href="https://fonts.example/css"><script src="//cdn.example/x.js">'
        '</script><img src="local.png"><a href="https://example.org">a link</a>'
        '<link rel="canonical" href="https://example.org/page">'
    )
    assert check_site.find_external(html) == ["https://fonts.example/css", "//cdn.example/x.js"]


def test_a_site_without_pages_is_not_accepted(tmp_path: Path) -> None:
    assert list(check_site.check_site(tmp_path)) == [f"{tmp_path}: no pages"]
    (tmp_path / "index.html").write_text('<script src="assets/x.js"></script>')
    assert list(check_site.check_site(tmp_path)) == []
    (tmp_path / "index.html").write_text('<script src="https://cdn.example/x.js"></script>')
    assert len(list(check_site.check_site(tmp_path))) == 1
