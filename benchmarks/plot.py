"""The plot of docs/PERFORMANCE.md: components, baselines and lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PLOT = Path(__file__).parent.parent / "docs" / "performance.png"


def save_plot(result: dict[str, Any], path: Path = PLOT) -> None:
    """Three panels; components are those of the default size, or of the first there is."""
    from matplotlib.figure import Figure

    sizes = result["sizes"]
    first = sizes.get("default") or next(iter(sizes.values()))
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    components, baselines, lengths = figure.subplots(1, 3)
    names = [name for name, value in first["components"].items() if isinstance(value, dict)]
    components.barh(names, [first["components"][name]["wall"] for name in names])
    components.invert_yaxis()
    components.set(title="Components", xlabel="seconds of work per second of speech")
    for size, sections in sizes.items():
        seconds = {n: v["s"] for n, v in sections["baselines"].items() if isinstance(v, dict)}
        baselines.plot(list(seconds.values()), list(seconds), "o", label=size)
    baselines.set(title="The AR, 4 s of speech", xlabel="seconds of work", xscale="log")
    baselines.invert_yaxis()
    baselines.legend()
    for size, sections in sizes.items():
        by_length = sections.get("lengths", {}).get("speech_s", {})
        lengths.plot([float(s) for s in by_length], list(by_length.values()), "o-", label=size)
    lengths.set(title="Length", xlabel="seconds of speech", ylabel="seconds of work")
    lengths.legend()
    figure.savefig(path, dpi=110)
