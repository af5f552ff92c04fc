"""`valle prepare manifest`: from a folder of recordings to the manifest that preparation reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from valle.corpora.layouts import Found, Layout, find_recordings, list_audio
from valle.corpora.screening import Screening, screen_recording
from valle.errors import OutputError, UsageError
from valle.files import check_target, write_atomically

_TOLERANCE = 1e-6  # relative, of sums of seconds


@dataclass(frozen=True)
class ManifestOptions:
    """What is not in the folder itself.

    Attributes:
        layout: its name in `valle.corpora.layouts.LAYOUTS`; None: the first that fits.
        corpus: the corpus's name; None: that of a published layout, or the folder's.
        speaker: who speaks in all recordings whose layout does not say; None: the corpus.
        license: under which the recordings are; None: that of a published layout.
        workers: processes.
        quiet: no progress bar.
    """

    layout: str | None = None
    corpus: str | None = None
    speaker: str | None = None
    license: str | None = None
    workers: int = 1
    quiet: bool = False


@dataclass(frozen=True)
class ManifestTally:
    """What became of the recordings of a folder."""

    layout: str
    license: str | None
    recordings: int
    rows: int
    seconds: float
    """Of all files that can be read."""
    used: float
    refused: float
    reasons: dict[str, int]
    """How many recordings or segments were refused, by the reason's first words."""


def write_manifest(folder: Path, out: Path, options: ManifestOptions) -> ManifestTally:
    """Write a manifest of the recordings that can be trained on.

    Those that cannot are listed with their reasons in OUT.refused.jsonl.

    Args:
        folder: of the recordings.
        out: the manifest.
        options: see there.

    Raises:
        UsageError: the folder has no recordings, a table in it is malformed, or nothing is left.
        OutputError: a file cannot be written, or seconds were lost on the way.
    """
    refused_path = out.with_suffix(".refused.jsonl")
    for target in (out, refused_path):
        check_target(target)
    layout, found = find_recordings(folder, options.layout)
    naming = _Naming.choose(layout, folder, out.parent, options)
    rows, refused = [], []
    total = used = lost = 0.0
    first_of: dict[str, str] = {}
    for recording, result in zip(found, _screen_all(found, options), strict=True):
        total += result.seconds
        reasons = list(result.refused)
        for row in naming.make_rows(recording, result):
            if row["sha256"] in first_of:
                reasons.append((row["seconds"], f"a copy: of {first_of[row['sha256']]}"))
                continue
            first_of[row["sha256"]] = row["audio"]
            used += row["seconds"]
            rows.append(row)
        lost += sum(seconds for seconds, _ in reasons)
        refused += [_refuse(recording.audio, seconds, reason) for seconds, reason in reasons]
    named = {recording.audio.resolve() for recording in found}
    others = (path for path in list_audio(folder) if path.resolve() not in named)
    refused += [_refuse(path, 0.0, f"not in the tables: layout {layout.name}") for path in others]
    if abs(used + lost - total) > _TOLERANCE * max(total, 1.0):
        raise OutputError(
            f"of {total:.3f} s, {used:.3f} s were used and {lost:.3f} s refused: this is an error "
            "in valle, please report it"
        )
    _write_lines(refused_path, refused)
    counts = Counter(row["reason"].partition(":")[0] for row in refused)
    if not rows:
        raise UsageError(
            f"none of the {len(found)} recordings in {folder} can be used, most often because of: "
            f"{counts.most_common(1)[0][0]}; {refused_path} lists all reasons"
        )
    _write_lines(out, rows)
    return ManifestTally(
        layout.name, naming.license, len(found), len(rows), total, used, lost, dict(counts)
    )


@dataclass(frozen=True)
class _Naming:
    """How recordings are named in a manifest."""

    corpus: str
    speaker: str
    """Of recordings whose layout does not say who speaks."""
    prefix: str
    """Of speakers' names: published corpora number theirs, and numbers must not collide."""
    license: str | None
    base: Path
    """Folder of the manifest."""

    @classmethod
    def choose(cls, layout: Layout, folder: Path, base: Path, options: ManifestOptions) -> _Naming:
        is_published = layout.license is not None
        corpus = options.corpus or (layout.name if is_published else folder.resolve().name)
        return cls(
            corpus,
            options.speaker or corpus,
            f"{corpus}/" if is_published else "",
            options.license or layout.license,
            base.resolve(),
        )

    def make_rows(self, recording: Found, result: Screening) -> Iterator[dict[str, Any]]:
        """The rows of one recording: one, or one per segment."""
        audio = recording.audio.resolve()
        is_inside = self.base in audio.parents
        name = audio.relative_to(self.base).as_posix() if is_inside else audio.as_posix()
        for excerpt in result.excerpts:
            row = {
                "audio": name,
                "corpus": self.corpus,
                "speaker": self.prefix + (recording.speaker or self.speaker),
                "text": recording.text,
                "seconds": excerpt.seconds,
                "license": self.license,
                "sha256": excerpt.sha256,
            }
            if excerpt.seconds < result.seconds:
                row["start"] = excerpt.start
            yield row


def _screen_all(found: list[Found], options: ManifestOptions) -> Iterator[Screening]:
    paths, texts = [one.audio for one in found], [one.text for one in found]
    bar = tqdm(total=len(found), desc="screening", unit="file", disable=options.quiet or None)
    with bar:
        if options.workers <= 1:
            for path, text in zip(paths, texts, strict=True):
                yield screen_recording(path, text)
                bar.update()
            return
        with ProcessPoolExecutor(options.workers) as pool:
            for result in pool.map(screen_recording, paths, texts, chunksize=8):
                yield result
                bar.update()


def _refuse(audio: Path, seconds: float, reason: str) -> dict[str, Any]:
    return {"audio": str(audio), "seconds": seconds, "reason": reason}


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    # A name that is not UTF-8 has lone surrogates, whose escapes are those of JSON too.
    with (
        write_atomically(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace") as lines,
    ):
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
