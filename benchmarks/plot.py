"""The picture of docs/PERFORMANCE.md: parts, rivals and lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PICTURE = Path(__file__).parent.parent / "docs" / "performance.png"


def save_picture(result: dict[str, Any], path: Path = PICTURE) -> None:
    """Three panels of the default size's figures (or the first size's that there is)."""
    from matplotlib.figure import Figure

    sizes = result["sizes"]
    first = sizes.get("default") or next(iter(sizes.values()))
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    parts, rivals, lengths = figure.subplots(1, 3)
    names = [name for name, value in first["parts"].items() if isinstance(value, dict)]
    parts.barh(names, [first["parts"][name]["wall"] for name in names])
    parts.invert_yaxis()
    parts.set(title="Each part", xlabel="seconds of work for a second of speech")
    for size, sections in sizes.items():
        shown = {n: v["s"] for n, v in sections["rivals"].items() if isinstance(v, dict)}
        rivals.plot(list(shown.values()), list(shown), "o", label=size)
    rivals.set(title="The AR, 4 s of speech", xlabel="seconds of work", xscale="log")
    rivals.invert_yaxis()
    rivals.legend()
    for size, sections in sizes.items():
        spoken = sections.get("lengths", {}).get("speech_s", {})
        lengths.plot([float(s) for s in spoken], list(spoken.values()), "o-", label=size)
    lengths.set(title="Length", xlabel="seconds of speech", ylabel="seconds of work")
    lengths.legend()
    figure.savefig(path, dpi=110)
