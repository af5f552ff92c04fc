"""Writes a listening test: a page that opens from disk or any web server, and the key to its clips.

The page knows clips by names that say nothing; which system made which is in the key, a file beside
the folder that listeners never get.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from valle.arrays import Samples
from valle.audio.decoding import open_audio
from valle.audio.encoding import save_audio
from valle.audio.loudness import normalize_loudness
from valle.audio.whole_recording import read_mono
from valle.errors import OutputError, UsageError
from valle.evaluation.items import find_recordings
from valle.evaluation.listening.design import (
    ANCHOR,
    REFERENCE,
    Step,
    Trial,
    plan_listeners,
    plan_trials,
)
from valle.evaluation.listening.options import QUESTIONS, ListeningOptions
from valle.files import write_atomically

_HERE = Path(__file__).parent
_ANCHOR_HERTZ = 3500.0  # the low-pass anchor of ITU-R BS.1534
_LEAST = {"preference": 2, "cmos": 2, "smos": 1, "mushra": 1}


@dataclass(frozen=True)
class Material:
    """The clips of a test, by system and item."""

    systems: Mapping[str, Mapping[str, Path]]
    items: tuple[str, ...]
    """Those that every system has."""
    references: Mapping[str, Path]
    """By item; empty without a reference."""


def read_material(
    systems: Mapping[str, Path], reference: Path | None, options: ListeningOptions
) -> Material:
    """Find the items that all systems have.

    Args:
        systems: folders of clips; clips of one item have the same name.
        reference: folder of what clips are compared with: prompts (SMOS) or ground truth (MUSHRA).
        options: kind of the test.

    Raises:
        UsageError: a folder is missing, there are too few systems, or no item that all have.
    """
    if len(systems) < _LEAST[options.kind]:
        raise UsageError(f"--kind {options.kind} compares {_LEAST[options.kind]} systems or more")
    reserved = {REFERENCE, ANCHOR} & systems.keys()
    if reserved:
        raise UsageError(f"a system cannot be called {reserved.pop()!r}; use another name")
    if options.kind in ("smos", "mushra") and reference is None:
        raise UsageError(f"--kind {options.kind} compares with a reference: --reference FOLDER")
    folders = dict(systems) | ({REFERENCE: reference} if reference else {})
    clips = {name: {p.stem: p for p in find_recordings(folder)} for name, folder in folders.items()}
    for name, found in clips.items():
        if not found:
            raise UsageError(f"{folders[name]} has no clips for {name}")
    items = tuple(sorted(set.intersection(*(set(found) for found in clips.values()))))
    if not items:
        raise UsageError(
            "the folders have no clip of the same name; give the clips of an item one name"
        )
    references = clips.pop(REFERENCE, {})
    return Material(clips, items, references)


def write_test(folder: Path, material: Material, options: ListeningOptions) -> Path:
    """Write a listening test, whole or not at all.

    Args:
        folder: of the page; must not exist.
        material: from `read_material`.
        options: of the test.

    Returns:
        The key, `FOLDER.key.json`, which the results are read with.

    Raises:
        RecordingError: a clip cannot be read.
        OutputError: the folder exists, or cannot be written.
    """
    key_path = folder.with_name(f"{folder.name}.key.json")
    for path in (folder, key_path):
        if path.exists():
            raise OutputError(f"{path} exists already; choose another folder")
    trials = plan_trials(options.kind, material.items, list(material.systems))
    plans = plan_listeners(trials, options.listeners, options.per_listener)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".valle-") as temporary:
            made = Path(temporary, "test")
            (made / "clips").mkdir(parents=True)
            names = _write_clips(made / "clips", material, options)
            test = _describe_test(trials, plans, names, options)
            (made / "index.html").write_text(_fill_page(test, options), encoding="utf-8")
            key = {
                "test": test["test"],
                "kind": options.kind,
                "clips": {
                    name: {"item": item, "system": system} for (item, system), name in names.items()
                },
            }
            _put_in_place(made, folder, key_path, json.dumps(key, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    return key_path


def _put_in_place(made: Path, folder: Path, key_path: Path, key: str) -> None:
    """Give a finished test its name, and write the key to it; both or neither.

    Raises:
        OutputError: a name is taken meanwhile, or cannot be written.
    """
    is_moved = False
    try:
        with write_atomically(key_path, overwrite=False) as part:
            part.write_text(key, encoding="utf-8")
            try:
                made.rename(folder)
            except OSError as error:
                raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
            is_moved = True
    except (OutputError, FileExistsError) as error:
        if is_moved:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, FileExistsError):
            raise OutputError(f"{error} exists already; choose another folder") from error
        raise


def make_anchor(samples: Samples, sample_rate: int) -> Samples:
    """The low-pass anchor of ITU-R BS.1534: a clip [N] without what is above 3.5 kHz."""
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    # A slope over 500 Hz, since an edge would ring.
    spectrum *= np.clip((_ANCHOR_HERTZ + 500.0 - frequencies) / 500.0, 0.0, 1.0)
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def _write_clips(
    folder: Path, material: Material, options: ListeningOptions
) -> dict[tuple[str, str], str]:
    """Write all clips at one loudness; returns their names by item and system."""
    names: dict[tuple[str, str], str] = {}

    def write(item: str, system: str, samples: Samples, rate: int) -> None:
        secret = f"{options.seed}\0{item}\0{system}"
        name = hashlib.sha256(secret.encode()).hexdigest()[:12]
        equal = normalize_loudness(samples, rate, options.loudness)
        save_audio(folder / f"{name}.flac", equal, rate)
        names[item, system] = name

    for item in material.items:
        for system, clips in material.systems.items():
            write(item, system, *_read_clip(clips[item]))
        if item in material.references:
            samples, rate = _read_clip(material.references[item])
            write(item, REFERENCE, samples, rate)
            if options.kind == "mushra":
                write(item, ANCHOR, make_anchor(samples, rate), rate)
    return names


def _read_clip(path: Path) -> tuple[Samples, int]:
    """All of a clip at its own rate, however short or quiet it is: that is for listeners to say."""
    with open_audio(path) as opened:
        rate = opened.rate
    return read_mono(path, rate), rate


def _describe_test(
    trials: Sequence[Trial],
    plans: Sequence[Sequence[Step]],
    names: Mapping[tuple[str, str], str],
    options: ListeningOptions,
) -> dict[str, Any]:
    """What the page's script reads: trials by the names of their clips, and listeners' orders."""
    content: dict[str, Any] = {
        "kind": options.kind,
        "trials": [
            {
                "clips": [names[trial.item, system] for system in trial.systems],
                "reference": names.get((trial.item, REFERENCE)),
            }
            for trial in trials
        ],
        "listeners": [[[step.trial, list(step.order)] for step in plan] for plan in plans],
    }
    digest = hashlib.sha256(json.dumps([content, options.title]).encode()).hexdigest()
    return {"test": digest[:12]} | content


def _fill_page(test: dict[str, Any], options: ListeningOptions) -> str:
    css, script, template = (
        (_HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html")
    )
    # No text of the user can end the script: "<" is escaped in JSON.
    data = json.dumps(test).replace("<", "\\u003c")
    fields = {
        "TITLE": escape(options.title),
        "QUESTION": escape(options.question or QUESTIONS[options.kind]),
        "LOUDNESS": f"{options.loudness:g}",
        "CSS": css,
        "TEST": data,
        "SCRIPT": script,
    }
    # In one pass, so that no text of the user is taken for a field.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fields[match[1]], template)
