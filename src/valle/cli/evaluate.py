"""The command `valle evaluate`."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valle.arrays import Samples
from valle.audio.recording import save_audio
from valle.cli import evaluate_consent, evaluate_style
from valle.consent import verification as safety_consent
from valle.corpora.recordings import read_manifest
from valle.errors import OutputError, UsageError
from valle.evaluation.alignment_plot import save_borders
from valle.evaluation.material import (
    DEFAULT,
    PROMPT_SECONDS,
    QUICK,
    Protocol,
    Speaker,
    draw_sentences,
    read_speakers,
)
from valle.evaluation.metrics.judges import JUDGE_RATE, SentenceChooser
from valle.evaluation.protocols import (
    detector,
    false_positives,
    parts,
    tampering,
    watermark,
    zero_shot,
)
from valle.evaluation.report import clip_rows, report, table, write_json
from valle.files import check_target, home_apart
from valle.options import SpeakOptions
from valle.synthesis.model import load

if TYPE_CHECKING:
    from valle import Model


_WATERMARK: dict[str, Any] = dict.fromkeys(
    ("help", "description"), "what the watermark withstands, costs, and takes for one"
) | {"allow_abbrev": False}
_DETECTOR: dict[str, Any] = dict.fromkeys(
    ("help", "description"), "made speech told from recordings, each generator, sent in many ways"
) | {"allow_abbrev": False}
_PROTOCOLS = {protocol.name: protocol for protocol in (QUICK, DEFAULT)}


def evaluate_arguments(parent: argparse.ArgumentParser) -> None:
    """The options of `valle evaluate`, one set for each protocol."""
    protocols = parent.add_subparsers(
        dest="protocol", required=True, metavar="PROTOCOL", parser_class=type(parent)
    )
    zero_shot_parsers = {}
    for protocol in _PROTOCOLS.values():
        words = (
            f"held-out speakers say {protocol.per_speaker} new sentences each after 3 s of their "
            f"voice, judged among {protocol.choices}"
        )
        zero_shot_parsers[protocol.name] = protocols.add_parser(
            protocol.name, help=words, description=words, allow_abbrev=False
        )
    words = "codec, listener and speaker encoder, each by itself, beside Opus and Resemblyzer"
    other = protocols.add_parser("parts", help=words, description=words, allow_abbrev=False)
    words = evaluate_consent.HELP
    agreed = protocols.add_parser("consent", help=words, description=words, allow_abbrev=False)
    style_parsers = {
        name: protocols.add_parser(name, help=words, description=words, allow_abbrev=False)
        for name, words in evaluate_style.HELP.items()
    }
    shared = Path("../shared")
    for parser in (*zero_shot_parsers.values(), other, agreed, *style_parsers.values()):
        parser.add_argument("--bundle", help="bundle to evaluate (default: the one in the package)")
        parser.add_argument("--manifest", type=Path, default=shared / "speech" / "manifest.jsonl")
        parser.add_argument("--heldout", type=Path, default=shared / "heldout.txt")
        if parser is not agreed and parser not in style_parsers.values():
            parser.add_argument("--text", type=Path, default=shared / "text" / "sentences.tsv")
        parser.add_argument("--speakers", type=int, help="only this many speakers (default: all)")
        parser.add_argument("--threads", type=int, help="of the model (default: all processors)")
        parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    for name, parser in zero_shot_parsers.items():
        most = _PROTOCOLS[name].per_speaker
        parser.add_argument(
            "--sentences", type=int, default=most, help=f"of each speaker (default: {most}, all)"
        )
        parser.add_argument("--seed", type=int, default=0, help="of the first clip (default: 0)")
        parser.add_argument(
            "--best-of", type=int, default=1, help="as of `valle speak` (default: 1)"
        )
        parser.add_argument("--clips", type=Path, metavar="FOLDER", help="keep what was made here")
        parser.add_argument("-o", "--output", type=Path, default=Path(f"runs/{name}.json"))
    other.add_argument("-o", "--output", type=Path, default=Path("runs/parts.json"))
    other.add_argument(
        "--picture", type=Path, metavar="FILE.png", help="draw where the listener finds phonemes"
    )
    evaluate_consent.add_arguments(agreed)
    for name, parser in style_parsers.items():
        evaluate_style.add_arguments(name, parser)
    _watermark_arguments(protocols.add_parser("watermark", **_WATERMARK), shared)
    words = "how often speech without a mark is said to have one"
    unmarked = protocols.add_parser("alarms", help=words, description=words, allow_abbrev=False)
    unmarked.add_argument("--manifest", type=Path, default=shared / "speech" / "manifest.jsonl")
    unmarked.add_argument("--real", type=float, default=100.0, metavar="HOURS", help="(all)")
    unmarked.add_argument(
        "--made", type=float, default=100.0, metavar="HOURS", help="(%(default)s)"
    )
    unmarked.add_argument("--seed", type=int, default=0, help="of who speaks it (%(default)s)")
    unmarked.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    unmarked.add_argument("-o", "--output", type=Path, default=Path("runs/alarms.json"))
    words = "receipts, records and speech with something changed: none may be taken, or crash it"
    changed = protocols.add_parser("tampering", help=words, description=words, allow_abbrev=False)
    changed.add_argument("--trials", type=int, default=10_000, help="of each kind (%(default)s)")
    changed.add_argument("--seed", type=int, default=0, help="of what is changed (%(default)s)")
    changed.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    changed.add_argument("-o", "--output", type=Path, default=Path("runs/tampering.json"))
    _detector_arguments(protocols.add_parser("detector", **_DETECTOR), shared)


def _watermark_arguments(parser: argparse.ArgumentParser, shared: Path) -> None:
    parser.add_argument("--bundle", help="whose codec is one of the attacks (the package's)")
    parser.add_argument("--manifest", type=Path, default=shared / "speech" / "manifest.jsonl")
    parser.add_argument("--heldout", type=Path, default=shared / "heldout.txt")
    parser.add_argument("--pieces", type=int, default=60, help="of speech (default: 60)")
    parser.add_argument("--threads", type=int, help="of the model (default: all processors)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/watermark.json"))


def _detector_arguments(parser: argparse.ArgumentParser, shared: Path) -> None:
    parser.add_argument("--bundle", help="whose detector is judged (default: the package's)")
    parser.add_argument("--manifest", type=Path, default=shared / "speech" / "manifest.jsonl")
    parser.add_argument("--heldout", type=Path, default=shared / "heldout.txt")
    parser.add_argument("--text", type=Path, default=shared / "text" / "sentences.tsv")
    parser.add_argument("--each", type=int, default=10, help="clips of a speaker (default: 10)")
    parser.add_argument("--threads", type=int, help="of the model (default: all processors)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/detector.json"))


def evaluate(arguments: argparse.Namespace) -> None:
    """`valle evaluate PROTOCOL`: print the table, write the JSON.

    Raises:
        UsageError: a file or a package is missing, or a limit is out of range.
        OutputError: the JSON or a clip cannot be written.
    """
    if arguments.protocol in _ALONE:
        _ALONE[arguments.protocol](arguments)
        return
    protocol = _PROTOCOLS.get(arguments.protocol)
    if protocol and not 1 <= arguments.sentences <= protocol.per_speaker:
        raise UsageError(
            f"--sentences must be 1 to {protocol.per_speaker}, not {arguments.sentences}"
        )
    if protocol:
        SpeakOptions.of(best_of=arguments.best_of)
    if arguments.protocol in evaluate_style.HELP:
        evaluate_style.check_arguments(arguments)
    begun = time.perf_counter()
    if arguments.protocol == "consent":
        talkers = evaluate_consent.read_talkers(arguments)
        talkers = talkers[: _wanted(arguments, len(talkers), 2)]
        model = _model(arguments)
        _report(arguments, begun, model, *evaluate_consent.measure(arguments, model, talkers))
        return
    chooser = SentenceChooser()
    speakers = read_speakers(
        arguments.manifest,
        arguments.heldout,
        chooser,
        (protocol or QUICK).per_speaker,
    )
    wanted = _wanted(arguments, len(speakers), 1)
    model = _model(arguments)
    if arguments.protocol in evaluate_style.HELP:
        with home_apart():
            result, lines = evaluate_style.measure(arguments, model, speakers[:wanted])
    elif protocol is not None:
        result, lines = _zero_shot(arguments, protocol, model, speakers, chooser, wanted)
    else:
        result, lines = _parts(arguments, model, speakers[:wanted], chooser)
    _report(arguments, begun, model, result, lines)


def _wanted(arguments: argparse.Namespace, there: int, least: int) -> int:
    wanted = there if arguments.speakers is None else int(arguments.speakers)
    if not least <= wanted <= there:
        raise UsageError(f"--speakers must be {least} to {there}, not {wanted}")
    return wanted


def _model(arguments: argparse.Namespace) -> Model:
    model = load(arguments.bundle, threads=arguments.threads)
    _check_output(arguments.output)
    return model


def _report(
    arguments: argparse.Namespace, begun: float, model: Model, result: dict[str, Any], lines: str
) -> None:
    config = model.bundle.config
    result["settings"] |= {
        "bundle": config.name,
        "graphs": {name: graph.sha256 for name, graph in config.graphs.items()},
        "seconds": round(time.perf_counter() - begun, 1),
    }
    write_json(arguments.output, result)
    print(lines)


_Result = tuple[dict[str, Any], str]


def _zero_shot(
    arguments: argparse.Namespace,
    protocol: Protocol,
    model: Model,
    speakers: list[Speaker],
    chooser: SentenceChooser,
    wanted: int,
) -> _Result:
    sentences = draw_sentences(arguments.text, arguments.manifest, chooser, protocol.choices)
    with home_apart():
        clips = zero_shot.evaluate(
            model,
            speakers,
            sentences,
            chooser,
            protocol,
            limit_speakers=wanted,
            limit_sentences=arguments.sentences,
            seed=arguments.seed,
            best_of=arguments.best_of,
            keep=_keeper(arguments.clips),
            quiet=arguments.quiet,
        )
    settings = {
        "seed": arguments.seed,
        "best_of": arguments.best_of,
        "prompt_seconds": PROMPT_SECONDS,
        "choices": protocol.choices,
        "sentences": sentences,
    }
    return report(protocol.name, clip_rows(clips), **settings), table(clips)


def _parts(
    arguments: argparse.Namespace,
    model: Model,
    speakers: list[Speaker],
    chooser: SentenceChooser,
) -> _Result:
    quiet = arguments.quiet
    if arguments.picture is not None:
        save_borders(arguments.picture, model, speakers)
    sentences = draw_sentences(arguments.text, arguments.manifest, chooser, parts.SENTENCES)
    measured = [
        *parts.codec_measurements(model, speakers, sentences, chooser, quiet),
        *parts.listener_measurements(model, speakers, sentences, quiet=quiet),
    ]
    found = parts.results(measured) + parts.speaker_errors(model, speakers, quiet)
    rows = {"results": [asdict(one) for one in found]}
    return report("parts", rows, choices=parts.SENTENCES), parts.table(found)


def _alarms(arguments: argparse.Namespace) -> None:
    if not (arguments.real >= 0 and arguments.made >= 0 and arguments.real + arguments.made > 0):
        raise UsageError("--real and --made are hours, one of them more than 0")
    _check_output(arguments.output)
    manifest, quiet = arguments.manifest, arguments.quiet
    texts = sorted({row["text"] for row in read_manifest(manifest) if row["text"]})
    speech = {
        false_positives.REAL: (false_positives.real_speech(manifest), arguments.real),
        false_positives.MADE: (false_positives.made_speech(texts, arguments.seed), arguments.made),
    }
    searched: list[false_positives.Searched] = []
    found = false_positives.results(searched)
    for kind, (recordings, hours) in speech.items():
        if not hours:
            continue
        for one in false_positives.run(kind, recordings, hours, quiet):
            # Written after every file: what was searched counts, however the run ends.
            searched.append(one)
            found = false_positives.results(searched)
            write_json(arguments.output, report("alarms", found, seed=arguments.seed))
    print(false_positives.table(found))


def _tampering(arguments: argparse.Namespace) -> None:
    if arguments.trials < 1:
        raise UsageError(f"--trials must be 1 or more, not {arguments.trials}")
    _check_output(arguments.output)
    with home_apart(), tempfile.TemporaryDirectory() as folder:
        trials = tampering.run_trials(
            Path(folder), arguments.trials, arguments.seed, arguments.quiet
        )
        found = tampering.results(list(trials))
    write_json(arguments.output, report("tampering", found, seed=arguments.seed))
    print(tampering.table(found))


def _watermark(arguments: argparse.Namespace) -> None:
    if arguments.pieces < 4:
        raise UsageError(f"--pieces must be 4 or more, not {arguments.pieces}")
    _check_output(arguments.output)
    quiet = arguments.quiet
    made = round(arguments.pieces * watermark.MADE_SHARE)
    pieces = watermark.real_pieces(arguments.manifest, arguments.heldout, arguments.pieces - made)
    texts = sorted({row["text"] for row in read_manifest(arguments.manifest) if row["text"]})
    long_texts = [text for text in texts if 80 <= len(text) <= 200]
    pieces += watermark.made_pieces(long_texts, made)
    model = load(arguments.bundle, threads=arguments.threads)
    trials = list(watermark.trials(model, pieces, quiet))
    found = [
        *watermark.quality_results(pieces, quiet),
        *watermark.trial_results(trials),
        *watermark.null_results(pieces),
    ]
    rows = {
        "results": [asdict(one) for one in found],
        "trials": [asdict(trial) for trial in trials],
    }
    write_json(arguments.output, report("watermark", rows, pieces=len(pieces), made=made))
    print(watermark.table(found))


def _detector(arguments: argparse.Namespace) -> None:
    if arguments.each < 1:
        raise UsageError(f"--each must be 1 or more, not {arguments.each}")
    begun = time.perf_counter()
    model = _model(arguments)
    quiet = arguments.quiet
    with home_apart():
        pieces = detector.read_pieces(
            model, arguments.manifest, arguments.heldout, arguments.text, arguments.each, quiet
        )
    heard = detector.hear(model, pieces, quiet)
    found = [
        *detector.results(heard),
        detector.changed_by_mark(heard),
        *detector.control_results(pieces),
    ]
    rows = {
        "results": [asdict(one) for one in found],
        "heard": [asdict(one) for one in heard],
    }
    settings = {"limit": safety_consent.MADE_SPEECH_LIMIT, "each": arguments.each}
    result = report("detector", rows, **settings)
    _report(arguments, begun, model, result, detector.table(found))


_ALONE = {
    "watermark": _watermark,
    "alarms": _alarms,
    "tampering": _tampering,
    "detector": _detector,
}
"""Protocols that need no speakers with prompts."""


def _keeper(folder: Path | None) -> Callable[[str, Samples], None]:
    """What writes kept clips as FOLDER/NAME.wav; without a folder, nothing is kept."""

    def keep(name: str, samples: Samples) -> None:
        if folder is not None:
            target = folder / f"{name}.wav"
            _make_folder(target.parent)
            save_audio(target, samples, JUDGE_RATE)

    return keep


def _check_output(output: Path) -> None:
    """Before the work, so that a wrong path does not cost an hour."""
    _make_folder(output.parent)
    check_target(output)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
