"""Hooks of `mkdocs build`: pages that lie outside docs/ join the website, and links fit it.

MODEL_CARD.md and others stay at the top of the repository, where people and hubs look for them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
TOP_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "MODEL_CARD.md", "SECURITY.md")
TOP_FILES = ("CITATION.cff", "LICENSE")

_TO_TOP = re.compile(rf"\]\((?:\.\./)+({'|'.join(map(re.escape, TOP_PAGES))})")
_TO_DOCS = re.compile(r"\]\(docs/")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and files of the repository's top."""
    for name in TOP_PAGES + TOP_FILES:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_FRONT_MATTER.sub("", text)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite links between the repository's top and docs/, which are one folder here."""
    path = page.file.src_uri
    markdown = _TO_TOP.sub("](" + "../" * path.count("/") + r"\1", markdown)
    return _TO_DOCS.sub("](", markdown) if path in TOP_PAGES else markdown
