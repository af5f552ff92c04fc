"""The results as tables: the targets in docs/PERFORMANCE.md, all figures on the terminal."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

from targets import TARGETS, Target

DOCS = Path(__file__).parent.parent / "docs" / "PERFORMANCE.md"
MAX_LOAD = 0.5  # above it, figures are called provisional
_BLOCK = re.compile(r"(<!-- figures: begin -->\n).*?(<!-- figures: end -->)", re.DOTALL)


def summary_table(result: dict[str, Any]) -> str:
    """The machine, and every target with its figures, in Markdown."""
    machine = result["machine"]
    lines = [
        f"{machine['processor']}, {machine['instructions']}, {machine['cores']} cores, "
        f"{machine['threads']} threads, "
        f"onnxruntime {machine['onnxruntime']}, {result['date']}.",
    ]
    if machine["load"] > MAX_LOAD or result["quick"]:
        lines.append(
            f"**Provisional**: measured while other programs ran (load {machine['load']})"
            + (", with few repeats" if result["quick"] else "")
            + "; ratios are of one run, times are upper bounds."
        )
    sizes = list(result["sizes"])
    lines += ["", "| figure (target) | " + " | ".join(sizes) + " |", "|---|" + "---|" * len(sizes)]
    for target in TARGETS:
        cells = [_cell(target, result, size) for size in sizes]
        if any(cells):
            lines.append(f"| {target.description} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(target: Target, result: dict[str, Any], size: str) -> str:
    value = target.value(result, size)
    if value is None:
        return ""
    if size not in target.limits:
        return f"{value:.3g}"
    limit = f"{'≥' if target.at_least else '≤'} {target.limits[size]:g}"
    missed = "" if target.is_met(value, size) else ", **missed**"
    return f"{value:.3g} ({limit}{missed})"


def full_table(result: dict[str, Any]) -> str:
    """All figures, in Markdown."""
    sizes = result["sizes"]
    lines = ["| figure | " + " | ".join(sizes) + " |", "|---|" + "---|" * len(sizes)]
    rows: dict[str, dict[str, str]] = {}
    for size, sections in sizes.items():
        for section, figures in sections.items():
            for name, value in _flatten(figures):
                rows.setdefault(f"{section}: {name.replace('_', ' ')}", {})[size] = value
    for name, by_size in rows.items():
        lines.append(f"| {name} | " + " | ".join(by_size.get(size, "") for size in sizes) + " |")
    return "\n".join(lines)


def write_docs(result: dict[str, Any]) -> None:
    """Replace the summary table of the page."""
    page = DOCS.read_text(encoding="utf-8")
    table = summary_table(result)
    changed, count = _BLOCK.subn(lambda block: block[1] + table + "\n" + block[2], page)
    if count != 1:
        raise SystemExit(
            f"{DOCS} has no place for the figures: it needs one block {_BLOCK.pattern}"
        )
    DOCS.write_text(changed, encoding="utf-8")


def today() -> str:
    """The date of a run."""
    return date.today().isoformat()


def _flatten(figures: Any, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(figures, dict):
        return [(prefix, f"{figures:.4g}" if isinstance(figures, float) else str(figures))]
    if set(figures) == {"wall", "cpu"}:
        return [(prefix, f"{figures['wall']:.4g} ({figures['cpu']:.4g} of CPU)")]
    return [
        row
        for name, value in figures.items()
        for row in _flatten(value, f"{prefix} {name}".strip())
    ]
