"""`valle evaluate` protocols of the speech: words and speaker similarity."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from valle.arrays import Samples
from valle.audio.encoding import save_audio
from valle.cli.arguments import Integer, add_count, add_manifest, add_seed, path
from valle.cli.evaluate_common import (
    Outcome,
    Protocol,
    add_model,
    add_output,
    add_sentences,
    add_speaker_limit,
    add_speakers,
    limit_speakers,
    make_folder,
    read_limited_speakers,
)
from valle.corpora.recordings import read_heldout
from valle.errors import UsageError
from valle.evaluation.evaluator import Metrics
from valle.evaluation.material import (
    PROMPT_SECONDS,
    read_speakers,
    rows_by_speaker,
    select_sentences,
)
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.audio_quality import DNSMOS
from valle.evaluation.metrics.sentence_identification import SentenceIdentifier
from valle.evaluation.metrics.whisper import Transcriber, WhisperTranscriber
from valle.evaluation.metrics.word_errors import WordErrorCounter
from valle.evaluation.protocols import (
    hard,
    intelligibility,
    zero_shot,
)
from valle.evaluation.report import clip_rows, report, table
from valle.options import SpeakOptions
from valle.synthesis.model import load


def add_whisper(parser: argparse.ArgumentParser) -> None:
    """`--whisper`: the model that measures word error rates."""
    parser.add_argument(
        "--whisper",
        type=path,
        metavar="FOLDER",
        help="a Whisper model in CTranslate2 format (faster-whisper), which word error rates are "
        "measured with (default: they are not measured)",
    )


def load_whisper(arguments: argparse.Namespace) -> WhisperTranscriber | None:
    """The model of `--whisper`, if it was given.

    Raises:
        UsageError: the folder is not such a model, or a package is missing.
    """
    return WhisperTranscriber(arguments.whisper) if arguments.whisper else None


def describe_whisper(transcriber: Transcriber | None) -> dict[str, object] | None:
    """The model and the normalizer, for the JSON."""
    if transcriber is None:
        return None
    return transcriber.describe() | WordErrorCounter().describe()


def _intelligibility_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_manifest(parser, several=True)
    parser.add_argument(
        "--heldout",
        type=_parse_group,
        action="append",
        required=True,
        metavar="[NAME=]FILE",
        help="a group of speakers that no model was trained on, one name per line; give several "
        "to have native and accented speakers apart (default name: the file's)",
    )
    add_speaker_limit(parser)
    add_sentences(parser)
    add_whisper(parser)
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=list(intelligibility.ROWS),
        default=list(intelligibility.ROWS),
        metavar="ROW",
        help=f"what to measure, of {', '.join(intelligibility.ROWS)} (default: all)",
    )
    add_count(
        parser, "--sentences", intelligibility.PER_SPEAKER, "sentences, and recordings, per speaker"
    )
    add_count(parser, "--seeds", 1, "synthesize every sentence with N seeds")
    add_seed(parser, "the first seed")
    add_output(parser, "intelligibility")


def _parse_group(value: str) -> tuple[str, Path]:
    name, equals, file = value.rpartition("=")
    target = path(file)
    if equals and not name.strip():
        raise argparse.ArgumentTypeError(f"must be NAME=FILE or FILE, not {value!r}")
    return name or target.stem, target


def _intelligibility(arguments: argparse.Namespace) -> Outcome:
    names = [name for name, _ in arguments.heldout]
    if len(set(names)) < len(names):
        raise UsageError(f"two groups are called {names[0]!r}; name them: --heldout NAME=FILE")
    transcriber = load_whisper(arguments)
    settings = intelligibility.Settings(
        rows=tuple(row for row in intelligibility.ROWS if row in arguments.rows),
        speakers=arguments.speakers,
        per_speaker=arguments.sentences,
        seeds=tuple(range(arguments.seed, arguments.seed + arguments.seeds)),
        quiet=arguments.quiet,
    )
    groups = [
        intelligibility.read_group(
            name, rows_by_speaker(arguments.manifest, read_heldout(file)), arguments.sentences
        )
        for name, file in arguments.heldout
    ]
    sentences = select_sentences(arguments.text, arguments.manifest, None)
    metrics = Metrics(transcriber=transcriber, quality=DNSMOS())
    model = load(arguments.bundle, threads=arguments.threads)
    clips = {
        group.name: intelligibility.run(model, group, sentences, metrics, settings)
        for group in groups
    }
    measured = transcriber is not None
    content = intelligibility.as_json(groups, clips, measured)
    recorded = intelligibility.describe(settings) | {"whisper": describe_whisper(transcriber)}
    return Outcome(
        report("intelligibility", content, **recorded),
        intelligibility.tables(groups, clips, measured),
        model,
    )


def _zero_shot_arguments(scale: zero_shot.Scale, parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_speakers(parser)
    add_sentences(parser)
    add_whisper(parser)
    parser.add_argument(
        "--sentences",
        type=Integer(1, scale.per_speaker),
        default=scale.per_speaker,
        metavar="N",
        help="sentences, and recordings, per speaker (default: %(default)s)",
    )
    add_seed(parser, "seed of the first clip")
    add_count(parser, "--best-of", 1, "candidates per sentence, as in `valle speak`")
    parser.add_argument(
        "--clips", type=path, metavar="FOLDER", help="save the clips that are made here"
    )
    add_output(parser, scale.name)


def _zero_shot(scale: zero_shot.Scale, arguments: argparse.Namespace) -> Outcome:
    SpeakOptions.from_keywords(best_of=arguments.best_of)
    identifier, transcriber = SentenceIdentifier(), load_whisper(arguments)
    speakers = read_speakers(
        arguments.manifest, arguments.heldout, identifier.knows, scale.per_speaker
    )
    settings = zero_shot.Settings(
        scale=scale,
        speakers=limit_speakers(arguments, len(speakers)),
        per_speaker=arguments.sentences,
        seed=arguments.seed,
        best_of=arguments.best_of,
        quiet=arguments.quiet,
    )
    model = load(arguments.bundle, threads=arguments.threads)
    sentences = select_sentences(
        arguments.text, arguments.manifest, scale.choices, identifier.knows
    )
    metrics = Metrics(identifier, transcriber, DNSMOS() if scale.quality else None)
    save = _make_saver(arguments.clips)
    clips = zero_shot.run(
        model, zero_shot.EvaluationSet(speakers, sentences), metrics, settings, save
    )
    content = report(
        scale.name,
        clip_rows(clips),
        seed=arguments.seed,
        best_of=arguments.best_of,
        prompt_seconds=PROMPT_SECONDS,
        choices=scale.choices,
        whisper=describe_whisper(transcriber),
        sentences=sentences,
    )
    return Outcome(content, table(clips, zero_shot.REPORTED), model)


def _make_saver(folder: Path | None) -> zero_shot.SaveClip:
    """A function that writes clips as FOLDER/NAME.wav; without a folder, it writes nothing."""

    def save(name: str, samples: Samples) -> None:
        if folder is not None:
            target = folder / f"{name}.wav"
            make_folder(target.parent)
            save_audio(target, samples, EVALUATION_RATE)

    return save


def _hard_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_speakers(parser)
    count = len(hard.read_texts())
    parser.add_argument(
        "--texts",
        type=Integer(1, count),
        default=count,
        metavar="N",
        help="how many of the texts to synthesize (default: %(default)s, all)",
    )
    parser.add_argument(
        "--seeds",
        type=Integer(1, 1000),
        default=hard.SEEDS,
        metavar="N",
        help="seeds per text (default: %(default)s)",
    )
    add_seed(parser, "the first seed")
    add_output(parser, "hard")


def _hard(arguments: argparse.Namespace) -> Outcome:
    speakers = read_limited_speakers(arguments)
    model = load(arguments.bundle, threads=arguments.threads)
    seeds = list(range(arguments.seed, arguments.seed + arguments.seeds))
    texts = hard.read_texts()[: arguments.texts]
    trials = list(hard.run_trials(model, speakers, texts, seeds, arguments.quiet))
    content = report("hard", hard.as_json(trials), seeds=seeds)
    return Outcome(content, hard.table(hard.summarize(trials)), model)


PROTOCOLS = {
    "intelligibility": Protocol(
        "word error rates by Whisper, for groups of speakers: recordings, codec, NAR, synthesis",
        _intelligibility_arguments,
        _intelligibility,
    ),
    **{
        scale.name: Protocol(
            f"zero-shot cloning from 3 s: {scale.per_speaker} sentences per speaker, identified "
            f"among {scale.choices}; similarity of the voice",
            partial(_zero_shot_arguments, scale),
            partial(_zero_shot, scale),
        )
        for scale in (zero_shot.QUICK, zero_shot.DEFAULT)
    },
    "hard": Protocol(
        "words lost or repeated in texts that are hard for speech models",
        _hard_arguments,
        _hard,
    ),
}
