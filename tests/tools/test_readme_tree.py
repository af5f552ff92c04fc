"""The trees of README.md and docs/ARCHITECTURE.md are those of the package."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[2] / "tools" / "readme_tree.py"
_SPEC = importlib.util.spec_from_file_location("readme_tree", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
readme_tree = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(readme_tree)


@pytest.mark.parametrize("page", readme_tree.PAGES, ids=lambda page: page.name)
def test_pages_have_the_tree_of_the_package(page: Path) -> None:
    tree = readme_tree.render_tree(readme_tree.ROOT / "src" / "valle")
    assert max(map(len, tree.splitlines())) <= 100
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- tree: begin -->") == 1
    assert readme_tree.replace_tree(text, tree) == text, "run python tools/readme_tree.py"


def test_a_new_folder_must_be_placed(tmp_path: Path) -> None:
    for folder in ("", *readme_tree.ORDER):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "__init__.py").write_text('"""First. Second."""\n')
    assert re.search(r"^  text/ +First$", readme_tree.render_tree(tmp_path), re.MULTILINE)
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "__init__.py").write_text('"""Lost."""\n')
    with pytest.raises(ValueError, match="lost"):
        readme_tree.render_tree(tmp_path)
