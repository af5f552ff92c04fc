"""`valle prepare`: recordings and synthetic speech to corpora, and what is computed from them.

Each stage is a row of `_STAGES`: its line in the help, its options, and the function that runs it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

from valle.audio_format import HOP, SAMPLE_RATE
from valle.bundle.bundle import Bundle
from valle.cli.arguments import (
    POSITIVE,
    Integer,
    Number,
    add_bundle,
    add_corpora,
    add_count,
    add_quiet,
    add_runs,
    add_seed,
    add_sentences,
    add_teacher,
    add_workers,
    nonempty,
    path,
)
from valle.cli.prepare_recordings import (
    add_output,
    import_recordings,
    list_recordings,
    manifest_arguments,
    recordings_arguments,
)
from valle.corpora.speed_perturbation import FASTEST, SLOWEST, prepare_speed_perturbed
from valle.corpora.store import Store, StoreOptions
from valle.corpora.styles import prepare_styles
from valle.corpora.synthetic import SynthesisPlan
from valle.corpora.synthetic_store import prepare_synthetic


def prepare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stages of `valle prepare` and their options."""
    stages = parser.add_subparsers(
        dest="stage", required=True, metavar="STAGE", parser_class=type(parser)
    )
    for name, stage in _STAGES.items():
        stage_parser = stages.add_parser(
            name, help=stage.summary, description=stage.summary, allow_abbrev=False
        )
        stage.add_arguments(stage_parser)
        add_quiet(stage_parser, "show no progress bar")


def prepare(arguments: argparse.Namespace) -> None:
    """Run one stage of the preparation.

    Raises:
        UsageError: a file, a corpus or a trained model is missing or cannot be used.
        RecordingError: a recording cannot be read.
        BundleError: the bundle cannot be read.
    """
    _STAGES[arguments.stage].run(arguments)


def _add_corpora(parser: argparse.ArgumentParser, summary: str) -> None:
    parser.add_argument("folder", type=path, nargs="+", metavar="FOLDER", help=summary)


def _add_minutes(parser: argparse.ArgumentParser, default: float, summary: str) -> None:
    parser.add_argument(
        "--minutes",
        type=POSITIVE,
        default=default,
        metavar="X",
        help=f"{summary} (default: %(default)s)",
    )


def _add_cloned_voices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=path,
        required=True,
        metavar="CORPUS",
        help="prepared recordings whose voices are cloned",
    )


def _store_options(arguments: argparse.Namespace) -> StoreOptions:
    return StoreOptions(arguments.minutes, arguments.seed, arguments.quiet)


def _synthetic_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    add_sentences(parser)
    add_count(parser, "--speakers", 120, "number of synthetic speakers")
    add_count(parser, "--utterances", 10, "sentences per speaker")
    add_seed(parser)
    add_workers(parser)


def _prepare_synthetic(arguments: argparse.Namespace) -> None:
    tally = prepare_synthetic(
        arguments.sentences,
        arguments.folder,
        SynthesisPlan(arguments.speakers, arguments.utterances, arguments.seed),
        arguments.workers,
        arguments.quiet,
    )
    print(f"{arguments.folder}: {tally.kept} sentences, {tally.share:.0%} of those attempted")


def _codes_arguments(parser: argparse.ArgumentParser) -> None:
    _add_corpora(parser, "prepared corpora")
    add_runs(parser, "folder of the trained codec and speaker encoder")
    add_workers(parser)


def _prepare_codes(arguments: argparse.Namespace) -> None:
    # Models belong to the training half, which the corpora may not import.
    from valle.training.checkpoints import load_codec, load_speaker
    from valle.training.data.labels import write_codes, write_voices

    codec, speaker = arguments.runs / "codec", arguments.runs / "speaker"
    load_codec(codec)  # a missing model is reported before hours of work, not after
    load_speaker(speaker)
    for folder in arguments.folder:
        store = Store(folder)
        write_codes(store, codec, arguments.workers, arguments.quiet)
        write_voices(store, speaker, arguments.workers, arguments.quiet)
        print(f"{folder}: codes and speaker embeddings of {len(store.utterances)} utterances")


def _labels_arguments(parser: argparse.ArgumentParser) -> None:
    _add_corpora(parser, "prepared corpora")
    add_runs(parser, "folder of the trained listener")
    add_workers(parser)


def _prepare_labels(arguments: argparse.Namespace) -> None:
    from valle.training.data.labels import write_alignments

    for folder in arguments.folder:
        store = Store(folder)
        count = write_alignments(
            store, arguments.runs / "listener", arguments.workers, arguments.quiet
        )
        print(f"{folder}: labels of {count} of {len(store.utterances)} utterances")


def _styles_arguments(parser: argparse.ArgumentParser) -> None:
    _add_corpora(parser, "all corpora to train on, since the bins are computed over all of them")
    add_workers(parser)


def _prepare_styles(arguments: argparse.Namespace) -> None:
    count = prepare_styles(arguments.folder, arguments.workers, arguments.quiet)
    print(f"{', '.join(map(str, arguments.folder))}: styles of {count} utterances")


def _speeds_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument(
        "--data", type=path, required=True, metavar="CORPUS", help="prepared corpus with labels"
    )
    parser.add_argument(
        "--speed",
        type=Number(SLOWEST, FASTEST),
        action="append",
        required=True,
        metavar="X",
        help=f"speed factor, {SLOWEST} to {FASTEST}; repeat it for several copies, each of which "
        "counts as other speakers",
    )


def _prepare_speeds(arguments: argparse.Namespace) -> None:
    count = prepare_speed_perturbed(
        arguments.data, arguments.folder, arguments.speed, arguments.quiet
    )
    print(f"{arguments.folder}: {count} utterances")


def _predicted_arguments(parser: argparse.ArgumentParser) -> None:
    _add_corpora(parser, "prepared corpora with codes and labels")
    parser.add_argument(
        "--seconds",
        type=POSITIVE,
        default=30.0,
        metavar="X",
        help="seconds of speech per speaker (default: %(default)s)",
    )
    add_bundle(parser, "the model whose NAR predicts the codes (default: the built-in one)")
    add_seed(parser)


def _prepare_predicted(arguments: argparse.Namespace) -> None:
    from valle.training.data.predicted_codes import write_predicted_codes

    bundle = Bundle.load(arguments.bundle)
    for folder in arguments.folder:
        frames = write_predicted_codes(
            Store(folder), bundle, arguments.seconds, arguments.seed, arguments.quiet
        )
        print(f"{folder}: predicted codes of {frames * HOP / SAMPLE_RATE:.0f} s")


def _self_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    _add_cloned_voices(parser)
    add_sentences(parser)
    _add_minutes(parser, 26.0, "minutes of speech to synthesize")
    add_bundle(parser, "the model that speaks (default: the built-in one)")
    add_seed(parser)


def _prepare_self(arguments: argparse.Namespace) -> None:
    from valle.corpora.self_synthesized import prepare_self_synthesized

    count = prepare_self_synthesized(
        arguments.data,
        arguments.sentences,
        arguments.folder,
        arguments.bundle,
        _store_options(arguments),
    )
    print(f"{arguments.folder}: {count} sentences")


def _preferences_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    _add_cloned_voices(parser)
    add_sentences(parser)
    add_teacher(parser, "that scores the words")
    add_count(parser, "--groups", 800, "sentences, each in the voice of 3 s of a recording")
    parser.add_argument(
        "--candidates",
        type=Integer(2, 16),
        default=5,
        metavar="N",
        help="times that each sentence is spoken (default: %(default)s)",
    )
    add_bundle(parser, "the model that speaks (default: the built-in one)")
    add_workers(parser)
    add_seed(parser)


def _prepare_preferences(arguments: argparse.Namespace) -> None:
    from valle.training.data.preference_generation import GenerationOptions, prepare_preferences

    count = prepare_preferences(
        arguments.data,
        arguments.sentences,
        arguments.folder,
        GenerationOptions(
            arguments.teacher,
            arguments.bundle,
            arguments.groups,
            arguments.candidates,
            arguments.seed,
            arguments.workers,
            arguments.quiet,
        ),
    )
    print(f"{arguments.folder}: {count} sentences, each spoken {arguments.candidates} times")


def _detector_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    add_corpora(parser, "corpus written by the stages recordings, synthetic or self")
    _add_minutes(parser, 52.0, "minutes of recorded speech to use")
    add_bundle(parser, "the model whose codec resynthesizes speech (default: the built-in one)")
    parser.add_argument(
        "--codec",
        type=nonempty,
        action="append",
        default=[],
        metavar="BUNDLE",
        help="another bundle whose codec resynthesizes speech too; repeat it for several",
    )
    add_seed(parser)


def _prepare_detector(arguments: argparse.Namespace) -> None:
    from valle.corpora.detector_store import prepare_detector

    count = prepare_detector(
        [Store(data) for data in arguments.data],
        arguments.folder,
        [Bundle.load(source) for source in (arguments.bundle, *arguments.codec)],
        _store_options(arguments),
    )
    print(f"{arguments.folder}: {count} segments")


class _Stage(NamedTuple):
    """A stage of the preparation."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


_STAGES = {
    "manifest": _Stage(
        "list the recordings of a folder that can be trained on",
        manifest_arguments,
        list_recordings,
    ),
    "recordings": _Stage(
        "import the recordings of a manifest", recordings_arguments, import_recordings
    ),
    "synthetic": _Stage(
        "synthesize speech with espeak-ng, flite and festival",
        _synthetic_arguments,
        _prepare_synthetic,
    ),
    "codes": _Stage(
        "compute codes and speaker embeddings with a trained codec and speaker encoder",
        _codes_arguments,
        _prepare_codes,
    ),
    "labels": _Stage("align phonemes with a trained listener", _labels_arguments, _prepare_labels),
    "styles": _Stage(
        "measure pitch, energy, rate and tilt, and divide them into bins",
        _styles_arguments,
        _prepare_styles,
    ),
    "speeds": _Stage(
        "copy a labeled corpus at other speeds (speed perturbation)",
        _speeds_arguments,
        _prepare_speeds,
    ),
    "predicted": _Stage(
        "predict codes with a bundle's NAR, to train the codec's decoder on",
        _predicted_arguments,
        _prepare_predicted,
    ),
    "self": _Stage(
        "synthesize speech with a bundle, in the voices of a corpus",
        _self_arguments,
        _prepare_self,
    ),
    "preferences": _Stage(
        "speak sentences several times and score the words, for `valle train ar --preferences`",
        _preferences_arguments,
        _prepare_preferences,
    ),
    "detector": _Stage(
        "put bona fide, resynthesized and synthetic speech through the same channels",
        _detector_arguments,
        _prepare_detector,
    ),
}
