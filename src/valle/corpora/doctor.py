"""`valle doctor`: what is in prepared corpora, and what would harm a training.

Nothing is changed. Copies of recordings and leaks of held-out ones are found by the hash of their
samples, whatever their names.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from valle.audio_format import SAMPLE_RATE
from valle.bundle.bundle import Bundle
from valle.corpora.store import Store, Utterance, by_speaker
from valle.errors import TextError
from valle.runtime.check import phoneme_error_rate
from valle.runtime.recognizer import PhonemeRecognizer
from valle.text.segmentation import split_sentences

_LISTED = 20  # examples of a finding
_MEASURED = 50  # utterances whose transcripts are compared with what is recognized
_SHORT, _LONG = 1.0, 40.0  # s: too short for a prompt or target; longer than the models see
_MAX_ERROR = 0.6  # phoneme error rate above which a transcript is likely another recording's


@dataclass
class CorpusReport:
    """What is in one corpus.

    Attributes:
        utterances: how many.
        hours: of speech.
        speakers: how many.
        licenses: hours by license; "not stated" where the corpus does not say.
        seconds: shortest, median and longest utterance.
        short: how many are below a second.
        long: how many are longer than the models see.
        without_text: how many have no transcript.
        without_words: ids of utterances whose transcript has nothing to speak.
        unknown: characters that are not spoken, and how often they come.
        labeled: share of utterances with labels; None without labels.
        few: speakers with a single utterance, which gives no prompt for another.
    """

    utterances: int
    hours: float
    speakers: int
    licenses: dict[str, float]
    seconds: tuple[float, float, float]
    short: int
    long: int
    without_text: int
    without_words: list[str]
    unknown: dict[str, int]
    labeled: float | None
    few: int


@dataclass
class Diagnosis:
    """What is in some corpora, and what is wrong with them.

    Attributes:
        corpora: reports by folder.
        copies: groups of utterances with the same samples, as FOLDER: ID.
        leaks: utterances that are held out, or whose speaker is.
        error_rate: of a bundle's recognizer against the transcripts; None if it was not measured.
        doubtful: utterances that it recognizes as something else.
    """

    corpora: dict[str, CorpusReport]
    copies: list[list[str]] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    error_rate: float | None = None
    doubtful: list[str] = field(default_factory=list)


def hash_utterance(store: Store, utterance: Utterance) -> str:
    """The hash of an utterance's samples, without the silence that pads it."""
    stored = store.audio[utterance.offset : utterance.offset + utterance.samples]
    return hashlib.sha256(np.trim_zeros(np.asarray(stored)).tobytes()).hexdigest()


def diagnose(
    stores: Sequence[Store],
    heldout_names: Iterable[str] = (),
    heldout_stores: Sequence[Store] = (),
    bundle: Bundle | None = None,
) -> Diagnosis:
    """Examine corpora.

    Args:
        stores: to train on.
        heldout_names: speakers that must not be in them.
        heldout_stores: corpora whose recordings must not be in them, under any name.
        bundle: measures how well its recognizer agrees with the transcripts; None: not measured.
    """
    names = frozenset(heldout_names)
    heldout = {hash_utterance(store, u) for store in heldout_stores for u in store.utterances}
    diagnosis = Diagnosis({str(store.folder): report_corpus(store) for store in stores})
    places: dict[str, list[str]] = defaultdict(list)
    for store in stores:
        for utterance in store.utterances:
            place = f"{store.folder}: {utterance.id}"
            digest = hash_utterance(store, utterance)
            places[digest].append(place)
            if digest in heldout or utterance.speaker in names:
                diagnosis.leaks.append(place)
    diagnosis.copies = [group for group in places.values() if len(group) > 1]
    if bundle is not None:
        _measure_labels(stores, bundle, diagnosis)
    return diagnosis


def report_corpus(store: Store) -> CorpusReport:
    """Count what is in one corpus."""
    utterances = store.utterances
    seconds = np.array([u.samples for u in utterances]) / SAMPLE_RATE
    licenses: Counter[str] = Counter()
    for utterance, length in zip(utterances, seconds, strict=True):
        licenses[utterance.license or "not stated"] += length / 3600
    without_words, unknown = _read_transcripts(utterances)
    has_labels = (store.folder / "labels.npz").is_file()
    groups = by_speaker(utterances)
    return CorpusReport(
        utterances=len(utterances),
        hours=float(seconds.sum() / 3600),
        speakers=len(groups),
        licenses=dict(licenses),
        seconds=(float(seconds.min()), float(np.median(seconds)), float(seconds.max())),
        short=int((seconds < _SHORT).sum()),
        long=int((seconds > _LONG).sum()),
        without_text=sum(u.text is None for u in utterances),
        without_words=without_words,
        unknown=dict(unknown.most_common(_LISTED)),
        labeled=len(store.labels) / len(utterances) if has_labels else None,
        few=sum(len(group) == 1 for group in groups.values()),
    )


def _read_transcripts(utterances: Sequence[Utterance]) -> tuple[list[str], Counter[str]]:
    """Utterances without words in their transcripts, and characters that are not spoken."""
    without_words, unknown = [], Counter[str]()
    for utterance in utterances:
        if utterance.text is None:
            continue
        try:
            _, skipped = split_sentences(utterance.text)
        except TextError:
            without_words.append(utterance.id)
            continue
        for part in skipped:
            unknown.update(part.text.strip())
    return without_words, unknown


def _measure_labels(stores: Sequence[Store], bundle: Bundle, diagnosis: Diagnosis) -> None:
    """Compare transcripts with what the bundle's recognizer recognizes."""
    recognizer = PhonemeRecognizer(bundle)
    candidates = [(store, u) for store in stores for u in store.utterances if u.text is not None]
    chosen = candidates[:: max(1, len(candidates) // _MEASURED)][:_MEASURED]
    errors = []
    for store, utterance in chosen:
        try:
            sentences, _ = split_sentences(str(utterance.text))
        except TextError:
            continue
        expected = [p.symbol for sentence in sentences for p in sentence.phonemes]
        recognized = recognizer.transcribe(store.waveform(utterance)).symbols
        errors.append(phoneme_error_rate(expected, recognized))
        if errors[-1] > _MAX_ERROR:
            diagnosis.doubtful.append(f"{store.folder}: {utterance.id}")
    diagnosis.error_rate = float(np.mean(errors)) if errors else None


def find_problems(diagnosis: Diagnosis) -> list[str]:
    """What should be mended before training, a line each, with what to do."""
    problems = []
    if diagnosis.leaks:
        problems.append(
            f"{len(diagnosis.leaks)} utterances are held out ({_name_some(diagnosis.leaks)}): "
            "prepare the corpus again with --heldout, and without these recordings"
        )
    if diagnosis.copies:
        problems.append(
            f"{len(diagnosis.copies)} recordings are there more than once "
            f"({_name_some([' = '.join(group) for group in diagnosis.copies])}): remove the copies"
        )
    for folder, report in diagnosis.corpora.items():
        problems += [f"{folder}: {problem}" for problem in _find_corpus_problems(report)]
    if diagnosis.doubtful:
        problems.append(
            f"{len(diagnosis.doubtful)} transcripts are unlike what is recognized "
            f"({_name_some(diagnosis.doubtful)}): listen to these recordings"
        )
    return problems


def _find_corpus_problems(report: CorpusReport) -> Iterable[str]:
    if "not stated" in report.licenses:
        yield (
            f"{report.licenses['not stated']:.2f} h have no license: give --license to "
            "valle prepare manifest"
        )
    if report.without_words:
        yield (
            f"{len(report.without_words)} transcripts have no words "
            f"({_name_some(report.without_words)}): correct them"
        )
    if report.unknown:
        characters = " ".join(f"{character!r}" for character in report.unknown)
        yield f"characters that are not spoken: {characters}; spell out what is said"
    if report.long:
        yield f"{report.long} utterances are longer than {_LONG:.0f} s: cut them into sentences"
    if report.few:
        yield (
            f"{report.few} speakers have one utterance, whose first part has to be the prompt: "
            "more recordings of each are better"
        )
    if report.labeled is not None and report.labeled < 0.9:
        yield (
            f"{1 - report.labeled:.0%} of the utterances have no labels, because text and speech "
            "do not match: check the transcripts"
        )


def _name_some(names: Sequence[str]) -> str:
    some = ", ".join(names[:3])
    return some if len(names) <= 3 else f"{some}, ..."


def describe(diagnosis: Diagnosis) -> Mapping[str, Any]:
    """The diagnosis as JSON, with at most a few examples of each finding."""
    return {
        "corpora": {folder: vars(report) for folder, report in diagnosis.corpora.items()},
        "copies": diagnosis.copies[:_LISTED],
        "leaks": diagnosis.leaks[:_LISTED],
        "phoneme_error_rate": diagnosis.error_rate,
        "doubtful": diagnosis.doubtful,
        "problems": find_problems(diagnosis),
    }
