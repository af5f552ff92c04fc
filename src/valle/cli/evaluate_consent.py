"""`valle evaluate consent`: its options, and what it runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valle.consent import verification as safety_consent
from valle.errors import UsageError
from valle.evaluation.protocols import consent
from valle.evaluation.protocols.consent_report import results, save_curves, table
from valle.evaluation.report import report
from valle.files import check_target, home_apart

if TYPE_CHECKING:
    from valle import Model

HELP = "agreements read aloud: how often true ones are accepted, and false ones of each kind"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options beside those that all protocols have."""
    parser.add_argument("--trials", type=int, default=300, help="of each kind (%(default)s)")
    parser.add_argument(
        "--clones", type=int, help="so many trials with clones, which take longest (as --trials)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (%(default)s)")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/consent.json"))
    parser.add_argument(
        "--picture", type=Path, help="draw what is accepted by the voices' limit (png, svg, pdf)"
    )


def read_talkers(arguments: argparse.Namespace) -> list[consent.Talker]:
    """All held-out speakers that there are. Raises UsageError, for options out of range too."""
    if arguments.trials < 1:
        raise UsageError(f"--trials must be 1 or more, not {arguments.trials}")
    if arguments.clones is not None and arguments.clones < 0:
        raise UsageError(f"--clones must be 0 or more, not {arguments.clones}")
    if arguments.picture is not None:
        check_target(arguments.picture)
    return consent.read_talkers(arguments.manifest, arguments.heldout)


def measure(
    arguments: argparse.Namespace, model: Model, talkers: Sequence[consent.Talker]
) -> tuple[dict[str, Any], str]:
    """Run the trials: what the JSON holds, and the table; draws the picture if one is asked for."""
    with home_apart():
        trials = list(
            consent.run_trials(
                model,
                talkers,
                arguments.trials,
                arguments.clones,
                arguments.seed,
                arguments.quiet,
            )
        )
    found = results(trials)
    if arguments.picture is not None:
        save_curves(arguments.picture, found)
    limits = {
        name: value for name, value in vars(safety_consent).items() if name.endswith("_LIMIT")
    }
    return report("consent", found, seed=arguments.seed, limits=limits), table(found)
