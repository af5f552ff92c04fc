"""`valle plan`: storage, hours, energy and money for a corpus of any size."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from valle.cli.arguments import POSITIVE, Integer, Number, add_json
from valle.cli.console import print_json
from valle.training.models.sizes import SIZES
from valle.training.scale_plan import Assumptions, plan_stages, plan_storage

_OPTIONS = {
    "epochs": "passes of the AR and of the NAR through the speech",
    "peak-tflops": "dense bfloat16 TFLOP/s of one GPU",
    "gpu-watts": "power of one GPU with its share of the machine",
    "core-watts": "power of one core with its share of the machine",
    "gpu-price": "price of one GPU per hour",
    "core-price": "price of one core per hour",
}


def plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle plan`."""
    parser.add_argument(
        "--hours", type=POSITIVE, required=True, metavar="X", help="hours of speech"
    )
    for name, summary in (("gpus", "GPUs that train"), ("cores", "cores that prepare")):
        default = getattr(Assumptions, name)
        parser.add_argument(
            f"--{name}",
            type=Integer(1),
            default=default,
            metavar="N",
            help=f"{summary} (default: {default})",
        )
    parser.add_argument(
        "--size", choices=list(SIZES), default="paper", help="model size (default: %(default)s)"
    )
    parser.add_argument(
        "--utilization",
        type=Number(0.0, 1.0, exclusive=True),
        default=Assumptions.utilization,
        metavar="SHARE",
        help="share of a GPU's peak that training reaches (default: %(default)s)",
    )
    for name, summary in _OPTIONS.items():
        default = getattr(Assumptions, name.replace("-", "_"))
        parser.add_argument(
            f"--{name}",
            type=POSITIVE,
            default=default,
            metavar="X",
            help=f"{summary} (default: {default:g})",
        )
    add_json(parser)


def plan(arguments: argparse.Namespace) -> None:
    """Print what a corpus takes to prepare and to train on."""
    given = vars(arguments)
    assumed = Assumptions(
        **{name: given[name] for name in Assumptions.__dataclass_fields__ if name in given}
    )
    stages, storage = plan_stages(assumed), plan_storage(assumed.hours)
    if arguments.json:
        print_json(
            {
                "assumptions": asdict(assumed),
                "storage_gb": storage,
                "stages": [asdict(stage) for stage in stages],
            }
        )
        return
    print(f"{assumed.hours:,.0f} h of speech, {assumed.size} size, {assumed.epochs:g} epochs\n")
    for name, gigabytes in storage.items():
        print(f"{name:<28}{gigabytes:>12,.1f} GB")
    print(f"\n{'stage':<14}{'core h':>12}{'GPU h':>12}{'days':>9}{'kWh':>12}{'price':>12}")
    for stage in stages:
        print(
            f"{stage.name:<14}{stage.core_hours:>12,.0f}{stage.gpu_hours:>12,.0f}"
            f"{stage.days:>9.2f}{stage.kwh:>12,.0f}{stage.price:>12,.0f}"
        )
    print(
        f"{'all':<14}{sum(s.core_hours for s in stages):>12,.0f}"
        f"{sum(s.gpu_hours for s in stages):>12,.0f}{sum(s.days for s in stages):>9.2f}"
        f"{sum(s.kwh for s in stages):>12,.0f}{sum(s.price for s in stages):>12,.0f}"
    )
    print(
        f"\ncore hours are measured (docs/SCALE.md); GPU hours are computed for "
        f"{assumed.peak_tflops:g} TFLOP/s at {assumed.utilization:.0%}, not measured"
    )
