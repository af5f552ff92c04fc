"""`valle evaluate hard|naturalness|style`: what is said, and how, in held-out voices."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valle.errors import UsageError
from valle.evaluation.material import Speaker
from valle.evaluation.protocols import hard, naturalness, style
from valle.evaluation.report import report
from valle.files import check_target

if TYPE_CHECKING:
    from valle import Model

HELP = {
    "hard": "texts that speech models trip over: words missing or doubled, beside recordings",
    "naturalness": "pitch range and pauses of made speech beside recordings of the same words",
    "style": "whether asked styles are heard, and middles of recordings filled in",
}


def add_arguments(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of one of `HELP` beside those that all protocols have."""
    parser.add_argument("--seed", type=int, default=0, help="the first (default: 0)")
    parser.add_argument("-o", "--output", type=Path, default=Path(f"runs/{name}.json"))
    if name == "hard":
        count = len(hard.read_texts())
        parser.add_argument(
            "--texts", type=int, default=count, help=f"how many (default: {count}, all)"
        )
        parser.add_argument(
            "--seeds", type=int, default=hard.SEEDS, help="for each text (default: %(default)s)"
        )
    elif name == "naturalness":
        parser.add_argument(
            "--sentences", type=int, default=4, help="of each speaker (default: %(default)s, all)"
        )
        parser.add_argument("--picture", type=Path, help="draw both distributions (png, svg, pdf)")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse what is out of range before any work. Raises UsageError."""
    limits = {"texts": len(hard.read_texts()), "sentences": 4, "seeds": 1000}
    for name, most in limits.items():
        value = getattr(arguments, name, None)
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"--{name} must be 1 to {most}, not {value}")
    if arguments.seed < 0:
        raise UsageError(f"--seed must be 0 or more, not {arguments.seed}")
    if getattr(arguments, "picture", None):
        check_target(arguments.picture)


def measure(
    arguments: argparse.Namespace, model: Model, speakers: list[Speaker]
) -> tuple[dict[str, Any], str]:
    """Run one of `HELP`: what goes into its JSON, and its table."""
    seed, quiet = arguments.seed, arguments.quiet
    if arguments.protocol == "hard":
        seeds = list(range(seed, seed + arguments.seeds))
        texts = hard.read_texts()[: arguments.texts]
        trials = list(hard.trials(model, speakers, texts, seeds, quiet))
        rows = hard.as_json(trials)
        return report("hard", rows, seeds=seeds), hard.table(hard.results(trials))
    if arguments.protocol == "style":
        speakers = speakers[: style.VOICES]
        asked = list(style.ask(model, speakers, seed, quiet))
        filled = list(style.middles(model, speakers, seed, quiet))
        figures = style.results(asked, filled)
        clips = {"asked": list(map(asdict, asked)), "middle_clips": list(map(asdict, filled))}
        return report("style", figures | clips, seed=seed), style.table(figures)
    found = list(naturalness.clips(model, speakers, arguments.sentences, seed, quiet))
    if arguments.picture:
        naturalness.save_picture(arguments.picture, found)
    rows = naturalness.as_json(found)
    return report("naturalness", rows, seed=seed), naturalness.table(rows["rows"])
