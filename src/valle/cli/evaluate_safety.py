"""`valle evaluate` protocols of consent, watermark, signatures and the detector."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

from valle.cli.arguments import Integer, Number, add_count, add_manifest, add_seed
from valle.cli.evaluate_common import (
    Outcome,
    Protocol,
    add_heldout,
    add_model,
    add_output,
    add_plot,
    add_sentences,
    add_speakers,
    limit_speakers,
)
from valle.consent import verification
from valle.errors import UsageError
from valle.evaluation.material import Row, read_manifests, read_names, rows_by_speaker
from valle.evaluation.protocols import (
    consent,
    consent_report,
    detector,
    detector_controls,
    false_positives,
    tampering,
    watermark,
)
from valle.evaluation.report import report, write_json
from valle.files import temporary_data_folder
from valle.synthesis.model import load


def _consent_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_speakers(parser)
    add_count(parser, "--trials", 300, "trials of each kind")
    parser.add_argument(
        "--clones",
        type=Integer(0),
        metavar="N",
        help="trials with cloned voices, which take longest (default: as --trials)",
    )
    add_seed(parser, "seed of the random selection")
    add_plot(parser, "draw what is accepted at each limit of speaker similarity")
    add_output(parser, "consent")


def _consent(arguments: argparse.Namespace) -> Outcome:
    talkers = consent.read_talkers(arguments.manifest, arguments.heldout)
    talkers = talkers[: limit_speakers(arguments, len(talkers), least=2)]
    model = load(arguments.bundle, threads=arguments.threads)
    plan = consent.Plan(arguments.trials, arguments.clones, arguments.seed)
    trials = list(consent.run_trials(model, talkers, plan, arguments.quiet))
    summary = consent_report.summarize(trials)
    if arguments.picture is not None:
        consent_report.save_plot(arguments.picture, summary)
    limits = {name: value for name, value in vars(verification).items() if name.endswith("_LIMIT")}
    content = report("consent", summary, seed=arguments.seed, limits=limits)
    return Outcome(content, consent_report.table(summary), model)


def _watermark_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser, "the model whose codec is one of the attacks (default: the built-in one)")
    add_heldout(parser)
    add_count(parser, "--segments", 60, "segments of speech", least=4)
    add_count(parser, "--spoken", 0, "how many of them the model speaks itself", least=0)
    parser.add_argument(
        "--everyday",
        action="store_true",
        help="measure only what players, platforms and rooms do to speech, which takes longest",
    )
    add_output(parser, "watermark")


def _watermark(arguments: argparse.Namespace) -> Outcome:
    quiet, spoken = arguments.quiet, arguments.spoken
    if spoken > arguments.segments:
        raise UsageError(f"--spoken {spoken} is more than the {arguments.segments} --segments")
    others = arguments.segments - spoken
    synthetic = round(others * watermark.SYNTHETIC_SHARE)
    segments = watermark.read_segments(arguments.manifest, arguments.heldout, others - synthetic)
    long_texts = [text for text in _read_transcripts(arguments) if 80 <= len(text) <= 200]
    segments += watermark.synthesize_segments(long_texts, synthetic)
    model = load(arguments.bundle, threads=arguments.threads)
    if spoken:
        prompts = [rows[0] for rows in _read_heldout_rows(arguments) if rows]
        with temporary_data_folder():
            segments += watermark.speak_segments(model, prompts, long_texts, spoken, quiet)
    trials = list(watermark.run_trials(model, segments, quiet, arguments.everyday))
    results = watermark.summarize_trials(trials)
    if not arguments.everyday:
        quality = watermark.measure_quality(segments, quiet)
        results = [*quality, *results, *watermark.measure_null(segments)]
    content = {
        "results": [asdict(result) for result in results],
        "trials": [asdict(trial) for trial in trials],
    }
    return Outcome(
        report("watermark", content, segments=len(segments), synthetic=synthetic, spoken=spoken),
        watermark.table(results),
        model,
    )


def _false_positives_arguments(parser: argparse.ArgumentParser) -> None:
    add_manifest(parser, several=True)
    for kind, words in (("recorded", "recordings"), ("synthetic", "speech by espeak-ng")):
        parser.add_argument(
            f"--{kind}",
            type=Number(0.0),
            default=100.0,
            metavar="HOURS",
            help=f"how much of {words} to search (default: %(default)s)",
        )
    add_seed(parser, "other seeds give other synthetic speakers")
    add_output(parser, "false-positives")


def _false_positives(arguments: argparse.Namespace) -> Outcome:
    if not arguments.recorded + arguments.synthetic:
        raise UsageError("--recorded and --synthetic are hours; one of them must be above 0")
    speech = {
        false_positives.RECORDED: (
            false_positives.read_recordings(arguments.manifest),
            arguments.recorded,
        ),
        false_positives.SYNTHETIC: (
            false_positives.synthesize_sentences(_read_transcripts(arguments), arguments.seed),
            arguments.synthetic,
        ),
    }
    files: list[false_positives.SearchedFile] = []
    content = report("false-positives", false_positives.summarize(files), seed=arguments.seed)
    for kind, (recordings, hours) in speech.items():
        if not hours:
            continue
        for file in false_positives.run(kind, recordings, hours, arguments.quiet):
            # Written after every file, so that an interrupted run counts too.
            files.append(file)
            content |= false_positives.summarize(files)
            write_json(arguments.output, content)
    return Outcome(content, false_positives.table(content))


def _tampering_arguments(parser: argparse.ArgumentParser) -> None:
    add_count(parser, "--trials", 10_000, "modifications of each kind of file")
    add_seed(parser, "seed of the modifications")
    add_output(parser, "tampering")


def _tampering(arguments: argparse.Namespace) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        trials = list(
            tampering.run_trials(Path(folder), arguments.trials, arguments.seed, arguments.quiet)
        )
    summary = tampering.summarize(trials)
    return Outcome(report("tampering", summary, seed=arguments.seed), tampering.table(summary))


def _detector_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser, "the model whose detector is evaluated (default: the built-in one)")
    add_heldout(parser)
    add_sentences(parser)
    add_count(parser, "--per-speaker", 10, "recordings, and sentences, per speaker")
    add_output(parser, "detector")


def _detector(arguments: argparse.Namespace) -> Outcome:
    quiet = arguments.quiet
    model = load(arguments.bundle, threads=arguments.threads)
    material = detector.Material(
        arguments.manifest, arguments.heldout, arguments.text, arguments.per_speaker
    )
    segments = detector.make_segments(model, material, quiet)
    classifications = detector.classify_segments(model, segments, quiet)
    results = [
        *detector.summarize(classifications),
        detector.compare_watermarked(classifications),
        *detector_controls.measure_controls(segments),
    ]
    content = {
        "results": [asdict(result) for result in results],
        "classifications": [asdict(item) for item in classifications],
    }
    settings = {"limit": verification.SPOOF_LIMIT, "per_speaker": arguments.per_speaker}
    return Outcome(report("detector", content, **settings), detector.table(results), model)


def _read_heldout_rows(arguments: argparse.Namespace) -> list[list[Row]]:
    """The rows of each held-out speaker that are long enough to be a voice."""
    names = read_names(arguments.heldout)
    return [
        [row for row in rows if row["seconds"] >= watermark.SECONDS]
        for rows in rows_by_speaker(arguments.manifest, names).values()
    ]


def _read_transcripts(arguments: argparse.Namespace) -> list[str]:
    return sorted({row["text"] for row in read_manifests(arguments.manifest) if row["text"]})


PROTOCOLS = {
    "consent": Protocol(
        "spoken consent: true and false statements accepted, by kind of attack",
        _consent_arguments,
        _consent,
    ),
    "watermark": Protocol(
        "robustness, audio quality and false positives of the watermark",
        _watermark_arguments,
        _watermark,
    ),
    "false-positives": Protocol(
        "unmarked recordings in which a watermark is detected",
        _false_positives_arguments,
        _false_positives,
    ),
    "tampering": Protocol(
        "modified receipts, records and audio files: none may be verified, or crash it",
        _tampering_arguments,
        _tampering,
    ),
    "detector": Protocol(
        "the detector of synthetic speech, by generator and transmission channel",
        _detector_arguments,
        _detector,
    ),
}
