"""`valle prepare synthetic`: a store of synthetic speech with the engines' phoneme times."""

from __future__ import annotations

import csv
from pathlib import Path

from tqdm import tqdm

from valle.corpora.store import Labels, Store, StoreWriter, UtteranceInfo
from valle.corpora.synthetic import SynthesisPlan, Tally, synthesize_utterances
from valle.errors import UsageError
from valle.text.phonemes import phonemes_to_ids


def read_sentences(path: Path) -> list[str]:
    """Read the sentences of a file with lines `source<TAB>sentence` or plain sentences.

    Raises:
        UsageError: there is no such file, it is not UTF-8 text, or it has no sentence.
    """
    if not path.is_file():
        raise UsageError(f"there are no sentences at {path}; give a file with --sentences")
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            sentences = [row[-1] for row in rows if row and row[-1].strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--sentences {path} cannot be read as UTF-8 text: {error}") from error
    if not sentences:
        raise UsageError(f"{path} has no sentences; give another file with --sentences")
    return sentences


def prepare_synthetic(
    sentences: Path, out: Path, plan: SynthesisPlan, workers: int = 1, quiet: bool = False
) -> Tally:
    """Write a store of synthetic speech, with labels where the engine gives phoneme times.

    Args:
        sentences: a file as `read_sentences` takes it.
        out: the folder of the new store.
        plan: who speaks, and how many of the sentences.
        workers: processes.
        quiet: no progress bar.

    Returns:
        How many sentences were synthesized, and why the others were not.

    Raises:
        UsageError: there is no such file of sentences, or no sentence was synthesized.
    """
    tally = Tally()
    writer = StoreWriter(out)
    labels: dict[str, Labels] = {}
    bar = tqdm(desc="synthetic speech", unit="utterance", disable=quiet or None)
    generated = synthesize_utterances(read_sentences(sentences), plan, workers, tally)
    for number, utterance in enumerate(generated):
        name = f"{utterance.speaker.name}/{number:06d}"
        writer.add(
            UtteranceInfo(
                name,
                f"synthetic-{utterance.speaker.engine}",
                utterance.speaker.name,
                utterance.text,
                waveform_is_clean=True,
                is_synthetic=True,
            ),
            utterance.samples,
        )
        if utterance.frame_symbol is not None:
            labels[name] = Labels(*phonemes_to_ids(utterance.phonemes), utterance.frame_symbol)
        bar.update()
    bar.close()
    writer.close()
    Store(out).write_labels(labels)
    return tally
