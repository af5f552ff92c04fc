"""Writes the tree of the package into README.md and docs/ARCHITECTURE.md.

    python tools/readme_tree.py

Each folder is described by the first sentence of its `__init__.py`, in the order of imports.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "ARCHITECTURE.md")
ORDER = (
    "text audio media bundle runtime trust voices watermark detection consent synthesis "
    "editing dubbing books scripts "
    "corpora training training/models training/data training/trainers training/export "
    "evaluation evaluation/metrics evaluation/protocols evaluation/samples evaluation/listening "
    "registry registry/migrations registry/migrations/versions "
    "server server/openai server/elevenlabs server/wyoming server/studio assistants cli"
).split()
_WIDTH = 26
_TREE = re.compile(r"(<!-- tree: begin -->\n).*?(<!-- tree: end -->)", re.DOTALL)


def render_tree(package: Path) -> str:
    """Return the tree as a Markdown code block.

    Raises:
        ValueError: A folder of the package is not in `ORDER`, or the other way round.
    """
    folders = {path.parent.relative_to(package).as_posix() for path in package.rglob("__init__.py")}
    if folders - {"."} != set(ORDER):
        raise ValueError(f"ORDER does not fit the package: {folders - {'.'} ^ set(ORDER)}")
    return "\n".join(["```text", *_render_lines(package), "```", ""])


def _render_lines(package: Path) -> Iterator[str]:
    yield "src/valle/"
    for folder in ORDER:
        *parents, name = folder.split("/")
        indent = "  " * (len(parents) + 1)
        yield f"{indent + name + '/':<{_WIDTH}} {_read_summary(package / folder)}"
    yield f"{'  bundles/default/':<{_WIDTH}} the default model"
    yield f"{'tests/':<{_WIDTH}} the same tree"
    yield f"{'benchmarks/':<{_WIDTH}} speed, and what limits quality"
    yield f"{'docs/ examples/ tools/':<{_WIDTH}} this documentation, the demo, checks"


def _read_summary(folder: Path) -> str:
    """Return the first sentence of a package's docstring, without its period."""
    source = (folder / "__init__.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return re.split(r"\.(?:\s|$)", docstring.replace("\n", " "))[0]


def replace_tree(page: str, tree: str) -> str:
    """Return a page with the tree between its markers."""
    return _TREE.sub(lambda match: match[1] + tree + match[2], page)


def main() -> None:
    """Write the tree into the pages."""
    tree = render_tree(ROOT / "src" / "valle")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        page.write_text(replace_tree(text, tree), encoding="utf-8")


if __name__ == "__main__":
    main()
