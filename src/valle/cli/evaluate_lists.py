"""`valle evaluate` protocols of test lists: any list, the offline preset, CI, the self-check."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from valle.arrays import Samples
from valle.audio.encoding import save_audio
from valle.cli.arguments import Integer, add_count, add_seed, path
from valle.cli.evaluate_common import Outcome, Protocol, add_model, add_output, make_folder
from valle.cli.evaluate_items import add_items, add_systems, name_systems, read_items
from valle.cli.evaluate_speech import add_whisper, describe_whisper, load_whisper
from valle.errors import Error, UsageError
from valle.evaluation import self_check
from valle.evaluation.bands import OutOfBandError, find_outside, read_bands
from valle.evaluation.clip_store import ClipStore
from valle.evaluation.contamination import find_contamination
from valle.evaluation.evaluator import phoneme_errors_by
from valle.evaluation.item_clips import ItemSpeaker, check_systems
from valle.evaluation.item_evaluator import ItemEvaluator, ItemMetrics
from valle.evaluation.items import Item, hash_items, select_items
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.audio_quality import DNSMOS
from valle.evaluation.metrics.speaker_model import SpeakerModel
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.protocols import items as protocol
from valle.evaluation.protocols.zero_shot import SYNTHESIZED
from valle.evaluation.published_lists import TASKS
from valle.evaluation.report import Clip, clip_rows, report, table
from valle.evaluation.truth_gate import InvalidTableError, check_truth, read_expectation
from valle.evaluation.versa import read_versa_scores, write_versa_inputs
from valle.evaluation.versions import describe_package_model, describe_versions
from valle.runtime.recognizer import PhonemeRecognizer
from valle.synthesis.model import Model, load
from valle.trust.attestation import ATTESTATION

_WORD_COLUMNS = (
    "word_error_rate",
    "published_word_error_rate",
    "character_error_rate",
    "error_free_clips",
)
_MODEL_COLUMNS = ("model_similarity", "model_similarity_resynthesized")


class Preset(NamedTuple):
    """Defaults of a protocol."""

    name: str
    seeds: int
    items: int | None
    needs_whisper: bool
    first_audio: bool


LIST = Preset("list", 3, None, needs_whisper=False, first_audio=True)
OFFLINE = Preset("offline", 3, None, needs_whisper=True, first_audio=True)
CI = Preset("ci", 1, 8, needs_whisper=False, first_audio=False)


def add_speaker_model(parser: argparse.ArgumentParser) -> None:
    """`--speaker-model`: a second opinion on the voice."""
    parser.add_argument(
        "--speaker-model",
        type=path,
        metavar="FILE.onnx",
        help="another speaker encoder, such as WavLM-large with ECAPA-TDNN: a waveform [1, N] at "
        "16 kHz in, an embedding out (default: that column stays empty)",
    )


def _arguments(preset: Preset, parser: argparse.ArgumentParser) -> None:
    add_items(parser)
    add_model(parser)
    add_whisper(parser)
    add_speaker_model(parser)
    add_systems(parser)
    parser.add_argument(
        "--items",
        type=Integer(1),
        default=preset.items,
        metavar="N",
        help=f"only N texts, spread over the list (default: {preset.items or 'all'})",
    )
    add_count(parser, "--seeds", preset.seeds, "speak every text with N seeds")
    add_seed(parser, "the first seed")
    parser.add_argument(
        "--expect",
        type=path,
        metavar="REPORT.json",
        help="what ground truth scored before, in an earlier report; the table is invalid if it "
        "scores otherwise now (default for offline: expected.json of the folder, if there is one)",
    )
    parser.add_argument(
        "--bands",
        type=path,
        metavar="FILE.json",
        help="{ROW: {METRIC: [lowest, highest]}}; a figure outside fails (default for ci: "
        "bands.json of the folder)",
    )
    parser.add_argument(
        "--training",
        type=path,
        action="append",
        default=[],
        metavar="FILE.jsonl",
        help="manifest of training material, whose speakers and texts must not be in the list; "
        "may be given several times",
    )
    parser.add_argument(
        "--clips",
        type=path,
        metavar="FOLDER",
        help="save the clips that are made here, as ROW/KEY.wav, with lists for VERSA",
    )
    parser.add_argument(
        "--versa",
        type=path,
        metavar="FILE.jsonl",
        help="scores of the clips by VERSA, which are added to the report",
    )
    add_output(parser, preset.name)


def _evaluate(preset: Preset, arguments: argparse.Namespace) -> Outcome:
    if preset.needs_whisper and arguments.whisper is None:
        raise UsageError(
            f"`valle evaluate {preset.name}` measures words: give --whisper a folder with Whisper "
            "base in CTranslate2 format; docs/EVALUATION.md says where it comes from"
        )
    items = select_items(read_items(arguments), arguments.items)
    systems = name_systems(arguments.system)
    check_systems(systems, items)
    expect = _find(arguments.expect, arguments.source, "expected.json", preset is OFFLINE)
    bands_path = _find(arguments.bands, arguments.source, "bands.json", preset is CI)
    expectation = read_expectation(expect) if expect else None
    bands = read_bands(bands_path) if bands_path else {}
    versa = read_versa_scores(arguments.versa, [i.key for i in items]) if arguments.versa else None
    contamination = find_contamination(items, arguments.training)
    model = load(arguments.bundle, threads=arguments.threads)
    metrics = make_metrics(arguments, model)
    settings: dict[str, Any] = {
        "source": str(arguments.source),
        "items": len(items),
        "items_sha256": hash_items(items),
        "task": (arguments.task or TASKS[0]) if arguments.format == "librispeech" else None,
        "seeds": list(range(arguments.seed, arguments.seed + arguments.seeds)),
        "systems": {name: str(folder) for name, folder in systems.items()},
        "evaluators": describe_evaluators(metrics, model),
        "versions": describe_versions(),
    }
    graphs = {name: graph.sha256 for name, graph in model.bundle.config.graphs.items()}
    # Clips that were evaluated without --clips are not saved, so they are made again with it.
    determining = settings | {"graphs": graphs, "clips_saved": arguments.clips is not None}
    store = ClipStore(arguments.output.with_suffix(".clips.jsonl"), determining)
    saver = _Saver(arguments.clips)
    clips = protocol.run(
        ItemSpeaker(model, ATTESTATION),
        items,
        ItemEvaluator(items, metrics),
        protocol.Settings(
            seeds=tuple(settings["seeds"]),
            systems=systems,
            first_audio=preset.first_audio,
            save=saver.save if arguments.clips else None,
            quiet=arguments.quiet,
        ),
        store,
    )
    saver.write_lists(items)
    items_hash, evaluators = settings["items_sha256"], settings["evaluators"]
    gate = check_truth(clips, expectation, items_hash, evaluators) if expectation else None
    outside = find_outside(clips, bands)
    content = {
        "not_measured": list_empty(metrics),
        "truth_gate": gate or {"valid": None, "problems": ["no earlier report: give --expect"]},
        "contamination": contamination,
        "outside_bands": outside,
        "versa": versa,
        **clip_rows(clips),
    }
    store.close(remove=True)
    failure: Error | None = None
    if gate and not gate["valid"]:
        failure = InvalidTableError(f"the table is invalid: {'; '.join(gate['problems'])}")
    elif outside:
        failure = OutOfBandError("; ".join(outside))
    text = _write_table(clips, content)
    return Outcome(report(preset.name, content, **settings), text, model, failure)


def _find(given: Path | None, source: Path, name: str, look: bool) -> Path | None:
    """A file that was given, else the one of that name in the folder of voices, if there is one."""
    beside = source / name
    return given or (beside if look and beside.is_file() else None)


def make_metrics(arguments: argparse.Namespace, model: Model) -> ItemMetrics:
    """All evaluators that are there; `--whisper` and `--speaker-model` give two of them."""
    return ItemMetrics(
        ResemblyzerEncoder(),
        load_whisper(arguments),
        DNSMOS(),
        SpeakerModel(arguments.speaker_model) if arguments.speaker_model else None,
        phoneme_errors_by(PhonemeRecognizer(model.bundle), model.sample_rate),
    )


def describe_evaluators(metrics: ItemMetrics, model: Model) -> dict[str, Any]:
    """Names and hashes of everything that measures."""
    speaker_model = metrics.speaker_model
    transcriber = metrics.transcriber
    return {
        "whisper": describe_whisper(transcriber) if transcriber else None,
        "resemblyzer": describe_package_model("resemblyzer", "pretrained.pt"),
        "dnsmos": describe_package_model("speechmos", "dnsmos_models/sig_bak_ovr.onnx"),
        "speaker_model": speaker_model.describe() if speaker_model else None,
        "recognizer": model.bundle.config.graphs["listener"].sha256,
    }


def list_empty(metrics: ItemMetrics) -> dict[str, str]:
    """The columns that are empty, and why."""
    empty: dict[str, str] = {}
    if metrics.transcriber is None:
        empty |= dict.fromkeys(_WORD_COLUMNS, "no --whisper FOLDER was given")
    if metrics.speaker_model is None:
        empty |= dict.fromkeys(_MODEL_COLUMNS, "no --speaker-model FILE was given")
    return empty


class _Saver:
    """Saves clips as FOLDER/ROW/KEY.wav, those of further seeds as KEY+SEED.wav."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def save(self, key: str, row: str, seed: int | None, samples: Samples) -> None:
        if self._folder is None:
            return
        folder = self._folder / re.sub(r"[^\w.+-]+", "_", row)
        make_folder(folder)
        name = key if not seed else f"{key}+{seed}"
        save_audio(folder / f"{name}.wav", samples, EVALUATION_RATE)

    def write_lists(self, items: Sequence[Item]) -> None:
        """Write VERSA's lists of the synthesized clips with seed 0, if there are any."""
        if self._folder is None:
            return
        folder = self._folder / SYNTHESIZED
        clips = {i.key: folder / f"{i.key}.wav" for i in items}
        write_versa_inputs(
            self._folder, items, {key: file for key, file in clips.items() if file.is_file()}
        )


def _write_table(clips: Sequence[Clip], content: dict[str, Any]) -> str:
    """The table, and above it whether it is valid."""
    gate, contamination = content["truth_gate"], content["contamination"]
    lines = []
    if gate["valid"] is False:
        lines += ["INVALID: ground truth does not score as before", *gate["problems"], ""]
    for kind in ("speakers", "texts"):
        if contamination[kind]:
            lines.append(
                f"CONTAMINATED: {len(contamination[kind])} {kind} are in training material"
            )
    lines.append(table(clips, protocol.REPORTED))
    reasons = dict.fromkeys(content["not_measured"].values())
    lines += [f"empty columns: {reason}" for reason in reasons]
    if gate["valid"]:
        lines.append(f"valid: ground truth scores as in {gate['source']}")
    elif gate["valid"] is None:
        lines.append(f"validity not checked: {gate['problems'][0]}")
    lines += [f"outside its band: {line}" for line in content["outside_bands"]]
    return "\n".join(lines)


def _self_check_arguments(parser: argparse.ArgumentParser) -> None:
    add_items(parser)
    add_model(parser)
    add_whisper(parser)
    parser.add_argument(
        "--items", type=Integer(4), metavar="N", help="only N recordings (default: all)"
    )
    parser.set_defaults(speaker_model=None)
    add_output(parser, "self-check")


class SelfCheckError(Error):
    """A metric does not answer a fault as it must."""


def _self_check(arguments: argparse.Namespace) -> Outcome:
    items = [item for item in read_items(arguments) if item.truth is not None]
    items = select_items(items, arguments.items)
    model = load(arguments.bundle, threads=arguments.threads)
    metrics = make_metrics(arguments, model)
    answers = self_check.check_metrics(items, ItemEvaluator(items, metrics), arguments.quiet)
    wrong = sorted({answer.fault for answer in answers if answer.passed is False})
    content = {
        "not_measured": list_empty(metrics),
        "passed": not wrong,
        "answers": [answer.__dict__ for answer in answers],
    }
    settings = {
        "items_sha256": hash_items(items),
        "evaluators": describe_evaluators(metrics, model),
        "versions": describe_versions(),
    }
    failure = SelfCheckError(f"wrong answers to: {', '.join(wrong)}") if wrong else None
    return Outcome(
        report("self-check", content, **settings), self_check.table(answers), model, failure
    )


_SUMMARIES = {
    LIST: "any test list, or a folder of voices: seed-en, F5's, LibriSpeech 4 to 10 s; other "
    "systems by their WAV files",
    OFFLINE: "a folder of voices by evaluators that package registries have, all columns, 3 seeds",
    CI: "a folder of voices within 3 minutes, without Whisper, against regression bands",
}

PROTOCOLS = {
    preset.name: Protocol(summary, partial(_arguments, preset), partial(_evaluate, preset))
    for preset, summary in _SUMMARIES.items()
} | {
    "self-check": Protocol(
        "whether the metrics find faults that are put into recordings",
        _self_check_arguments,
        _self_check,
    )
}
