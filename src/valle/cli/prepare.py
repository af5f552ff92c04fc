"""`valle prepare`: recordings and made speech into stores, codes and labels beside them."""

from __future__ import annotations

import argparse
from pathlib import Path

from valle.bundle.bundle import Bundle
from valle.corpora.recordings import prepare_recordings
from valle.corpora.speed_perturbation import prepare_speeds
from valle.corpora.store import HOP, SAMPLE_RATE, Store
from valle.corpora.styles import prepare_styles
from valle.corpora.synthetic_store import prepare_made
from valle.errors import UsageError


def prepare_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `valle prepare`, one set for each stage."""
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")

    recordings = stages.add_parser("recordings", help="recordings listed in a manifest")
    recordings.add_argument("folder", type=Path, help="where the prepared corpus goes")
    recordings.add_argument(
        "--manifest",
        type=Path,
        default=Path("../shared/speech/manifest.jsonl"),
        help="JSONL: audio (path beside it), corpus, speaker, text or null",
    )
    recordings.add_argument(
        "--heldout", type=Path, default=Path("../shared/heldout.txt"), help="speakers to leave out"
    )

    made = stages.add_parser("made", help="speech made with espeak-ng, flite and festival")
    made.add_argument("folder", type=Path, help="where the prepared corpus goes")
    made.add_argument("--speakers", type=int, default=120, help="made speakers to draw")
    made.add_argument("--utterances", type=int, default=10, help="texts for each")

    codes = stages.add_parser(
        "codes", help="codes and voices, by a trained codec and speaker encoder"
    )
    labels = stages.add_parser("labels", help="phonemes and times, by a trained listener")
    styles = stages.add_parser(
        "styles", help="how things are said, and the classes of it: of all corpora at once"
    )
    for stage in (codes, labels, styles):
        stage.add_argument("folder", type=Path, nargs="+", help="prepared corpora")
    for stage in (codes, labels):
        stage.add_argument("--runs", type=Path, default=Path("runs"), help="what was trained")

    speeds = stages.add_parser(
        "speeds", help="a labelled corpus played at other speeds (more speakers)"
    )
    speeds.add_argument("folder", type=Path, help="where the prepared corpus goes")
    speeds.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="a prepared corpus with labels"
    )
    speeds.add_argument(
        "--speed",
        type=float,
        action="append",
        required=True,
        help="how fast: 0.7 to 1.4; given several times, each speaker is as many",
    )

    spoken = stages.add_parser(
        "spoken", help="codes as a bundle's NAR has them, for its codec's decoder to learn from"
    )
    spoken.add_argument("folder", type=Path, nargs="+", help="corpora with codes and labels")
    spoken.add_argument("--seconds", type=float, default=30.0, help="of each speaker (default: 30)")

    own = stages.add_parser("own", help="speech of a bundle, in the voices of a prepared corpus")
    own.add_argument("folder", type=Path, help="where the prepared corpus goes")
    own.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="prepared recordings"
    )
    own.add_argument("--minutes", type=float, default=26.0, help="of speech (default: 26)")
    detector = stages.add_parser(
        "detector", help="real, re-encoded and made speech through the same channels"
    )
    detector.add_argument("folder", type=Path, help="where the prepared corpus goes")
    detector.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        metavar="FOLDER",
        help="what recordings, made and own wrote; given several times",
    )
    detector.add_argument(
        "--minutes", type=float, default=52.0, help="of real speech (default: 52)"
    )
    for stage in (spoken, own, detector):
        stage.add_argument("--bundle", help="a folder or hf://owner/name (the package's)")
    for stage in (made, own):
        stage.add_argument(
            "--sentences",
            type=Path,
            default=Path("../shared/text/sentences.tsv"),
            help="lines of source, tab, sentence",
        )
    for stage in (made, spoken, own, detector):
        stage.add_argument("--seed", type=int, default=0)
    for stage in (recordings, made, codes, labels, styles):
        stage.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    for stage in stages.choices.values():
        stage.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def prepare(arguments: argparse.Namespace) -> None:
    """Run one stage of the preparation."""
    if arguments.stage == "speeds":
        count = prepare_speeds(arguments.data, arguments.folder, arguments.speed, arguments.quiet)
        print(f"{arguments.folder}: {count} utterances")
        return
    if arguments.stage in ("own", "detector"):
        _prepare_for_detector(arguments)
        return
    if arguments.stage == "spoken":
        _prepare_spoken(arguments)
        return
    workers, quiet = arguments.workers, arguments.quiet
    if arguments.stage == "recordings":
        count = prepare_recordings(
            arguments.manifest,
            arguments.folder,
            arguments.heldout,
            workers,
            quiet,
        )
        print(f"{arguments.folder}: {count} recordings")
        return
    if arguments.stage == "made":
        tally = prepare_made(
            arguments.sentences,
            arguments.folder,
            speakers=arguments.speakers,
            utterances=arguments.utterances,
            seed=arguments.seed,
            workers=workers,
            quiet=quiet,
        )
        print(f"{arguments.folder}: {tally.kept} sentences, {tally.share:.0%} of those tried")
        return
    if arguments.stage == "styles":
        count = prepare_styles(arguments.folder, workers, quiet)
        print(f"{', '.join(map(str, arguments.folder))}: styles of {count} utterances")
        return
    # Codes and labels are made by models, which only the training half may do.
    from valle.training.checkpoints import load_codec, load_speaker
    from valle.training.data.labels import write_alignments, write_codes, write_voices

    if arguments.stage == "codes":  # what is missing is said before hours of work, not after
        load_codec(arguments.runs / "codec")
        load_speaker(arguments.runs / "speaker")

    for folder in arguments.folder:
        store = Store(folder)
        if arguments.stage == "codes":
            write_codes(store, arguments.runs / "codec", workers, quiet)
            write_voices(store, arguments.runs / "speaker", workers, quiet)
            print(f"{folder}: codes and voices of {len(store.utterances)} utterances")
        else:
            count = write_alignments(store, arguments.runs / "listener", workers, quiet)
            print(f"{folder}: labels of {count} of {len(store.utterances)} utterances")


def _prepare_for_detector(arguments: argparse.Namespace) -> None:
    if not arguments.minutes > 0:
        raise UsageError(f"--minutes must be above 0, not {arguments.minutes}")
    folder, quiet = arguments.folder, arguments.quiet
    if arguments.stage == "own":
        from valle.corpora.self_synthesized import prepare_own

        count = prepare_own(
            arguments.data,
            arguments.sentences,
            folder,
            bundle=arguments.bundle,
            minutes=arguments.minutes,
            seed=arguments.seed,
            quiet=quiet,
        )
        print(f"{folder}: {count} sentences")
        return
    from valle.corpora.detector_store import prepare_detector

    count = prepare_detector(
        [Store(data) for data in arguments.data],
        folder,
        bundle=Bundle.load(arguments.bundle),
        minutes=arguments.minutes,
        seed=arguments.seed,
        quiet=quiet,
    )
    print(f"{folder}: {count} pieces")


def _prepare_spoken(arguments: argparse.Namespace) -> None:
    # Labelled examples are drawn by the training half.
    from valle.training.data.predicted_codes import write_spoken

    if not arguments.seconds > 0:
        raise UsageError(f"--seconds must be above 0, not {arguments.seconds}")
    bundle = Bundle.load(arguments.bundle)
    for folder in arguments.folder:
        store = Store(folder)
        frames = write_spoken(store, bundle, arguments.seconds, arguments.seed, arguments.quiet)
        print(f"{folder}: {frames * HOP / SAMPLE_RATE:.0f} s as the NAR has them")
