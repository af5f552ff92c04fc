"""The figures as a table, on the terminal and in docs/PERFORMANCE.md."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

from goals import GOALS

DOCS = Path(__file__).parent.parent / "docs" / "PERFORMANCE.md"
BUSY = 0.5  # load above which figures are called provisional
_BLOCK = re.compile(r"(<!-- figures: begin -->\n).*?(<!-- figures: end -->)", re.DOTALL)


def table(result: dict[str, Any]) -> str:
    """All of the result, in Markdown."""
    machine = result["machine"]
    lines = [
        f"{machine['processor']}, {machine['instructions']}, {machine['cores']} cores, "
        f"{machine['threads']} threads, "
        f"onnxruntime {machine['onnxruntime']}, {result['date']}.",
    ]
    if machine["load"] > BUSY or result["quick"]:
        lines.append(
            f"**Provisional**: taken while other work ran (load {machine['load']})"
            + (", with few repeats" if result["quick"] else "")
            + "; ratios are of one run, times are upper bounds."
        )
    lines += ["", "| what should hold | size | limit | found | |", "|---|---|---|---|---|"]
    for goal in GOALS:
        value = goal.found(result)
        if value is not None:
            sign = "≥" if goal.at_least else "≤"
            kept = "yes" if goal.met(value) else "**no**"
            row = (goal.words, goal.size, f"{sign} {goal.limit:g}", f"{value:.3g}", kept)
            lines.append("| " + " | ".join(row) + " |")
    sizes = result["sizes"]
    lines += ["", "| figure | " + " | ".join(sizes) + " |", "|---|" + "---|" * len(sizes)]
    rows: dict[str, dict[str, str]] = {}
    for size, sections in sizes.items():
        for section, figures in sections.items():
            for name, value in _flat(figures):
                rows.setdefault(f"{section}: {name.replace('_', ' ')}", {})[size] = value
    for name, found in rows.items():
        lines.append(f"| {name} | " + " | ".join(found.get(size, "") for size in sizes) + " |")
    return "\n".join(lines)


def write_docs(result: dict[str, Any]) -> None:
    """Put the table into the page, in the place of the one that is there."""
    page = DOCS.read_text(encoding="utf-8")
    changed, count = _BLOCK.subn(lambda found: found[1] + table(result) + "\n" + found[2], page)
    if count != 1:
        raise SystemExit(
            f"{DOCS} has no place for the figures: it needs one block {_BLOCK.pattern}"
        )
    DOCS.write_text(changed, encoding="utf-8")


def today() -> str:
    """The date of a run."""
    return date.today().isoformat()


def _flat(figures: Any, before: str = "") -> list[tuple[str, str]]:
    if not isinstance(figures, dict):
        return [(before, f"{figures:.4g}" if isinstance(figures, float) else str(figures))]
    if set(figures) == {"wall", "cpu"}:
        return [(before, f"{figures['wall']:.4g} ({figures['cpu']:.4g} of CPU)")]
    return [
        row for name, value in figures.items() for row in _flat(value, f"{before} {name}".strip())
    ]
