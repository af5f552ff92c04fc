"""Made speech brought into a store, with the phoneme times that its engine gives."""

from __future__ import annotations

import csv
from pathlib import Path

from tqdm import tqdm

from valle.corpora.store import Labels, Store, StoreWriter
from valle.corpora.synthetic import Tally, make_speech
from valle.errors import UsageError
from valle.text.phonemes import symbol_ids


def read_sentences(path: Path) -> list[str]:
    """The sentences of a file of lines `source<TAB>sentence`.

    Raises:
        UsageError: there is no such file.
    """
    if not path.is_file():
        raise UsageError(f"no sentences at {path}; give a file with --sentences")
    with path.open(encoding="utf-8", newline="") as lines:
        return [row[-1] for row in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if row]


def prepare_made(
    sentences: Path,
    out: Path,
    *,
    speakers: int,
    utterances: int,
    seed: int = 0,
    workers: int = 1,
    quiet: bool = False,
) -> Tally:
    """Write a store of `speakers` made speakers saying `utterances` texts each.

    Returns what was kept, and why the rest was not.

    Raises:
        UsageError: there is no such file of sentences, or nothing was kept.
    """
    tally = Tally()
    writer = StoreWriter(out)
    labels: dict[str, Labels] = {}
    bar = tqdm(desc="made speech", unit="utterance", disable=quiet or None)
    made = make_speech(read_sentences(sentences), speakers, utterances, seed, workers, tally)
    for number, utterance in enumerate(made):
        name = f"{utterance.speaker.name}/{number:06d}"
        writer.add(
            name,
            f"made-{utterance.speaker.engine}",
            utterance.speaker.name,
            utterance.samples,
            utterance.text,
            waveform_is_clean=True,
            made=True,
        )
        if utterance.frame_symbol is not None:
            labels[name] = Labels(*symbol_ids(utterance.phonemes), utterance.frame_symbol)
        bar.update()
    bar.close()
    writer.close()
    Store(out).write_labels(labels)
    return tally
