"""What long books cost, and whether they stay the same from the first sentence to the last.

    python benchmarks/books.py cost --sentences 60
    python benchmarks/books.py repair --hours 10
    python benchmarks/books.py slopes --sentences 5000

Each prints JSON. Costs are seconds of processor time, which other work on the machine hardly
changes; on two cores they take half of that by the clock. The text is the novel of the tests.

`cost` speaks sentences and writes an M4B; the cost of an hour is in proportion to the speech.
`repair` makes a project of some hours without speaking it all: one sentence of mean length and one
encoded part stand for all others, as the cost of a repair does not depend on what is said in them.
It opens the project, redoes one sentence and writes the whole book again, with subtitles. Of the
neighbors it keeps no sound, so they are decoded, as in a project of an older version. `slopes`
speaks sentences one after the other and fits a line along the book to the cost, the memory, the
pitch, the level, the rate, and the similarity to the voice by the bundle's own speaker encoder:
each with its standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import valle
from valle.audio.prosody import compute_frame_features, measure_styles
from valle.books.audiobook import Audiobook, make_audiobook
from valle.books.export import BookWriter
from valle.books.outputs import read_outputs
from valle.books.packets import Encoding, PacketList
from valle.books.project import load_project
from valle.books.sections import Section
from valle.files import temporary_data_folder
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.trust.attestation import ATTESTATION

ROOT = Path(__file__).parents[1]
NOVEL = ROOT / "tests" / "books" / "alice.txt"
_CHARACTERS_PER_HOUR = 14 * 3600  # of English speech, about
_ENOUGH_PHONEMES = 10  # in a sentence of which pitch and rate are measured


def measure_cost(book: Audiobook) -> dict[str, Any]:
    """Speak a book and write it."""
    before, clock = processor_seconds(), time.monotonic()
    reports = list(book.speak())
    spoken = processor_seconds() - before
    written = book.write()
    total = processor_seconds() - before
    hours = written.seconds / 3600
    return {
        "sentences": len(reports),
        "not_understood": sum(report.state != "understood" for report in reports),
        "seconds": written.seconds,
        "processor_seconds_speaking": spoken,
        "processor_seconds_writing": total - spoken,
        "processor_seconds_per_hour": total / hours,
        "minutes_per_hour_on_two_cores": total / hours / 120,
        "seconds_by_the_clock_beside_other_work": time.monotonic() - clock,
    }


class _OnePartWriter(BookWriter):
    """Encodes one part of a book, which stands for all of them."""

    _part: PacketList | None = None

    def _encode_section(self, section: Section, encoding: Encoding) -> PacketList:  # noqa: ARG002
        if self._part is None:  # one from the middle; the first may hold a heading alone
            sections = self._divide()
            self._part = super()._encode_section(sections[len(sections) // 2], encoding)
        return self._part


def measure_repair(model: valle.Model, book: Audiobook) -> dict[str, Any]:
    """Redo one sentence of a long book, and write the book again."""
    speaker, sentences = book.speaker, book.project.sentences
    mean = sum(len(sentence.text) for sentence in sentences) / len(sentences)
    typical = min(sentences, key=lambda sentence: abs(len(sentence.text) - mean))
    record = speaker.speak(typical)
    for sentence in sentences:
        speaker.store.store(speaker.key(sentence), record)
    book.project.captions = ["srt"]
    book.project.save()
    written = _OnePartWriter(speaker).write(read_outputs(book.project), overwrite=True)
    before, clock = processor_seconds(), time.monotonic()
    again = Audiobook(model, load_project(book.project.folder))
    again.redo(len(sentences) // 2)
    redone = processor_seconds() - before
    again.write()
    total = processor_seconds() - before
    return {
        "hours": written.seconds / 3600,
        "sentences": len(sentences),
        "megabytes": written.files[0].stat().st_size / 1e6,
        "processor_seconds_redoing": redone,
        "processor_seconds_writing": total - redone,
        "processor_seconds": total,
        "seconds_by_the_clock_beside_other_work": time.monotonic() - clock,
    }


def measure_slopes(model: valle.Model, voice: valle.Voice, book: Audiobook) -> dict[str, Any]:
    """Speak a book sentence by sentence, and fit a line to what is measured of each."""
    encoder = SpeakerEncoder(model.bundle)
    reference = model.embedding(voice)
    hop = round(model.sample_rate / model.frame_rate)
    rows: list[dict[str, float]] = []
    for sentence in book.project.sentences:
        before = processor_seconds()
        record = book.speaker.speak(sentence)
        spent = processor_seconds() - before
        if record.check is None or record.check.phonemes < _ENOUGH_PHONEMES:
            continue
        samples, rate = book.render_sentence(sentence.number)
        features = compute_frame_features(samples, rate, hop)
        styles = measure_styles(features, record.check.phonemes)
        rows.append(
            {
                "processor_seconds_per_second": spent * model.frame_rate / len(record.codes),
                "memory_mb": read_memory(),
                "pitch_semitones": float(styles[0]),
                "level_db": float(styles[2]),
                "phonemes_per_second": float(styles[3]),
                "similarity": float(encoder.embed(samples) @ reference),
            }
        )
    lines = {name: fit_line([row[name] for row in rows]) for name in rows[0]}
    return {"sentences": len(book.project.sentences), "measured": len(rows)} | lines


def fit_line(values: list[float]) -> dict[str, float] | None:
    """Return the mean, and the change from the first to the last with its standard error.

    None for fewer than three values.
    """
    known = np.array(values)[np.isfinite(values)]
    if len(known) < 3:
        return None
    place = np.linspace(-0.5, 0.5, len(known))
    slope = float(place @ known / (place @ place))
    rest = known - known.mean() - slope * place
    error = float(np.sqrt(rest @ rest / (len(known) - 2) / (place @ place)))
    return {
        "mean": round(float(known.mean()), 4),
        "change": round(slope, 4),
        "standard_error": round(error, 4),
    }


def read_memory() -> float:
    """Return the resident memory of this process in megabytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor_seconds() -> float:
    """Seconds of processor time that this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def make_book(
    model: valle.Model, voice: valle.Voice, text: str, sentences: int | None
) -> Iterator[Audiobook]:
    """Make a book of a text, or of its first sentences."""
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "book.txt")
        source.write_text(text, encoding="utf-8")
        output = source.with_suffix(".m4b")
        with make_audiobook(model, source, voice, output, loudness="off") as book:
            if sentences is not None:
                del book.project.plan.sentences[sentences:]
            book.project.save()
            yield book


def main() -> None:
    """Measure one of the three and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("what", choices=("cost", "repair", "slopes"))
    parser.add_argument("--sentences", type=int, default=60)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--text", type=Path, default=NOVEL)
    parser.add_argument("--bundle", type=Path)
    arguments = parser.parse_args()
    model = valle.load(arguments.bundle, threads=arguments.threads)
    text = arguments.text.read_text(encoding="utf-8")
    count: int | None = arguments.sentences
    if arguments.what == "repair":
        wanted = round(arguments.hours * _CHARACTERS_PER_HOUR)
        text = (text * (wanted // len(text) + 1))[:wanted]
        count = None
    with temporary_data_folder():
        voice = model.enroll(ROOT / "examples" / "voice.wav", name="Sample", attest=ATTESTATION)
        with make_book(model, voice, text, count) as book:
            if arguments.what == "cost":
                result = measure_cost(book)
            elif arguments.what == "repair":
                result = measure_repair(model, book)
            else:
                result = measure_slopes(model, voice, book)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
