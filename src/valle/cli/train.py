"""`valle train` and `valle average`: arguments to jobs."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from valle.corpora.store import Store
from valle.errors import UsageError
from valle.training.checkpoints import load_codec, load_listener, load_speaker
from valle.training.data.examples import INFILLING
from valle.training.models.sizes import SIZES
from valle.training.trainers.ar import ARJob
from valle.training.trainers.codec import CodecJob
from valle.training.trainers.detector import DetectorJob
from valle.training.trainers.listener import ListenerJob
from valle.training.trainers.loop import Job, run
from valle.training.trainers.nar import NARJob
from valle.training.trainers.speaker import SpeakerJob
from valle.training.weight_averaging import average_runs

_STAGES = ("codec", "listener", "speaker", "ar", "nar", "detector")


def train_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `valle train STAGE`."""
    parser.add_argument("stage", choices=_STAGES, help="which model")
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        metavar="FOLDER",
        help="a folder that `valle prepare` wrote; may be given several times",
    )
    parser.add_argument(
        "--share",
        type=float,
        action="append",
        metavar="WEIGHT",
        help="ar and nar: how much of the examples each --data gives, in their order",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="FOLDER",
        help="the model is kept in RUNS/STAGE and goes on from there (default: runs)",
    )
    parser.add_argument("--size", choices=list(SIZES), default="default", help="the one dial")
    box = parser.add_mutually_exclusive_group(required=True)
    box.add_argument("--minutes", type=float, help="stop after this time, all runs together")
    box.add_argument("--steps", type=int, help="stop after this many steps, all runs together")
    parser.add_argument("--device", help="cpu, cuda, ... (default: a GPU if there is one)")
    parser.add_argument("--threads", type=int, help="processor threads (default: all cores)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--learning-rate",
        type=float,
        metavar="PEAK",
        help="highest learning rate (default: the stage's own; less to go on from good weights)",
    )
    parser.add_argument(
        "--keep-codes",
        action="store_true",
        help="codec: train only the decoder, so that an AR and a NAR still fit",
    )
    parser.add_argument(
        "--infilling",
        type=float,
        metavar="SHARE",
        help="ar and nar: share of the examples in which a middle is filled in, 0 to 1 "
        f"(default: {INFILLING})",
    )
    parser.add_argument(
        "--guidance",
        type=float,
        metavar="STRENGTH",
        help="ar: learn to keep to the voice as if guided by it so strongly (1 is much), from the "
        "model as `valle import` wrote it",
    )
    parser.add_argument(
        "--leave-out",
        metavar="GENERATOR",
        help="detector: a generator not to learn from, such as flite, to see how well the detector "
        "knows one that it never heard",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def train(arguments: argparse.Namespace) -> None:
    """Train one model until its minutes or steps are over."""
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    stores = [Store(folder) for folder in arguments.data]
    folder = arguments.runs / arguments.stage
    common = (folder, arguments.size, device, arguments.seed)
    shares = arguments.share or [1.0] * len(stores)
    if arguments.keep_codes and arguments.stage != "codec":
        raise UsageError(f"--keep-codes is for the codec, not for {arguments.stage}")
    if arguments.leave_out is not None and arguments.stage != "detector":
        raise UsageError(f"--leave-out is for the detector, not for {arguments.stage}")
    infilling = INFILLING if arguments.infilling is None else arguments.infilling
    if arguments.infilling is not None and arguments.stage not in ("ar", "nar"):
        raise UsageError(f"--infilling is for ar and nar, not for {arguments.stage}")
    if arguments.guidance is not None and arguments.stage != "ar":
        raise UsageError(f"--guidance is for the AR, not for {arguments.stage}")
    if not 0.0 <= infilling <= 1.0:
        raise UsageError(f"--infilling must be 0 to 1, not {infilling}")
    if len(shares) != len(stores):
        raise UsageError(f"{len(shares)} --share for {len(stores)} --data: give one for each")
    job: Job
    if arguments.stage == "codec":
        told = arguments.keep_codes and any(store.spoken is not None for store in stores)
        hearing = None
        if told:
            runs = arguments.runs
            hearing = load_speaker(runs / "speaker"), load_listener(runs / "listener")
        job = CodecJob(stores, *common, arguments.keep_codes, hearing)
    elif arguments.stage == "listener":
        job = ListenerJob(stores, *common)
    elif arguments.stage == "speaker":
        job = SpeakerJob(stores, *common)
    elif arguments.stage == "detector":
        job = DetectorJob(stores, *common, arguments.leave_out)
    else:
        codec = load_codec(arguments.runs / "codec")
        learnt = (stores, shares, *common, codec, infilling)
        job = NARJob(*learnt) if arguments.stage == "nar" else ARJob(*learnt, arguments.guidance)
    if arguments.learning_rate is not None:
        if not 0.0 < arguments.learning_rate < 1.0:
            raise UsageError(
                f"--learning-rate must be between 0 and 1, not {arguments.learning_rate}"
            )
        job.peak_rate = arguments.learning_rate
    steps = run(
        job, folder, minutes=arguments.minutes, steps=arguments.steps, quiet=arguments.quiet
    )
    print(f"{folder}: {steps} steps")


def average_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `valle average FOLDER RUN RUN`."""
    parser.add_argument("folder", type=Path, help="where the mean goes, such as runs/mean/ar")
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="runs of one stage, such as runs/ar"
    )


def average(arguments: argparse.Namespace) -> None:
    """Write the mean of several runs' weights as a run."""
    stage = average_runs(arguments.runs, arguments.folder)
    print(f"{arguments.folder}: {stage}, the mean of {len(arguments.runs)} runs")
