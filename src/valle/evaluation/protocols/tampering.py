"""`valle evaluate tampering`: modified receipts, records and audio files.

None may be verified as what was signed, and only the program's own errors may be raised.
"""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from valle.audio.recording import load_recording
from valle.corpora.synthetic import synthesize_speaker
from valle.corpora.synthetic_speaker import SyntheticSpeaker
from valle.detection.report import describe_provenance
from valle.errors import Error
from valle.evaluation.metrics import EVALUATION_RATE
from valle.synthesis.speech import Speech
from valle.trust import ledger, provenance, receipts
from valle.watermark.detect import detect_watermark
from valle.watermark.embed import Payload, embed_watermark

KINDS = ("receipt", "record", "speech")
REFUSED, ACCEPTED, SAME, CRASHED = "refused", "accepted", "same", "crashed"
"""Outcomes of a trial; "same": the modification does not change the content, as a space in JSON."""

_ENDINGS = ("wav", "flac", "ogg", "mp3")
_SEARCH_INTERVAL = 100  # one in this many modified files is searched for its watermark
_SPEAKER_SEED = 1_200_000_000  # a synthetic speaker of no training corpus
_TEXT = "Every change of this sentence has to be noticed."
_STATEMENT = "I hold the rights to this voice"
_RECORDING = "ab" * 32

Record = dict[str, Any]

# Values of every kind that JSON and Python allow, none of which the program should accept.
INVALID_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e308, float("nan"), float("inf"), "", "\ud800", "\0", "0" * 64),
    *("x" * 5000, [], {}, [[[[]]]], {"a": {"b": []}}, "attested", "consented", 10**400),
)


def mutate_record(
    record: Record, rng: random.Random, values: Sequence[Any] = INVALID_VALUES
) -> Record:
    """Copy a record, nested as JSON, with one entry removed, renamed or replaced.

    Args:
        record: left unchanged.
        rng: chooses the entry and the mutation.
        values: replacements to choose from.
    """
    record = copy.deepcopy(record)
    *parents, key = rng.choice(_paths(record))
    container: Any = record
    for parent in parents:
        container = container[parent]
    value = container[key]
    mutation = rng.randrange(4)
    if mutation == 0:
        del container[key]
    elif mutation == 1 and isinstance(container, dict):
        container[rng.choice(["more", "Kind", "key ", "x" * 100])] = value
    elif mutation == 2 and isinstance(value, str) and value:
        at = rng.randrange(len(value))
        container[key] = value[:at] + rng.choice("0123456789abcdefXYZ \n") + value[at + 1 :]
    else:
        container[key] = rng.choice(values)
    return record


def corrupt_bytes(data: bytes, rng: random.Random) -> bytes:
    """Copy bytes with some of them flipped, truncated, removed, inserted or repeated."""
    corrupted = bytearray(data)
    at = rng.randrange(len(corrupted))
    length = rng.choice((1, 1, 4, 64, 1024))
    mutation = rng.randrange(5)
    if mutation == 0:
        for _ in range(rng.choice((1, 2, 8))):
            corrupted[rng.randrange(len(corrupted))] ^= 1 << rng.randrange(8)
    elif mutation == 1:
        del corrupted[at:]
    elif mutation == 2:
        del corrupted[at : at + length]
    elif mutation == 3:
        corrupted[at:at] = rng.randbytes(length)
    else:
        corrupted[at:at] = corrupted[max(0, at - length) : at] or b"\0"
    return bytes(corrupted)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all entries of nested JSON."""
    paths = [path] if path else []
    if isinstance(value, dict):
        items: Sequence[tuple[Any, Any]] = list(value.items())
    else:
        items = list(enumerate(value)) if isinstance(value, list) else []
    for key, child in items:
        paths += _paths(child, (*path, key))
    return paths


def run_trials(
    folder: Path, count: int, seed: int = 0, quiet: bool = True
) -> Iterator[tuple[str, str, str]]:
    """Run `count` trials of each kind.

    Args:
        folder: an empty one, to write to.
        count: trials of each kind.
        seed: of the random modifications.
        quiet: no progress bar.

    Yields:
        The kind, the outcome, and the message of a crash or "".

    Raises:
        Error: whatever `ledger.get_signing_key` and `Speech.save` raise; the user's key signs.
    """
    starters = (_start_receipts, _start_records, _start_speech)
    with tqdm(total=count * len(KINDS), desc="tampering", disable=quiet or None) as bar:
        for kind, start in zip(KINDS, starters, strict=True):
            attempt = start(folder, random.Random(f"{seed} {kind}"))
            for _ in range(count):
                try:
                    outcome, message = attempt(), ""
                except Exception as error:  # the number of these is what is measured
                    outcome, message = CRASHED, f"{type(error).__name__}: {error}"
                yield kind, outcome, message
                bar.update()


def summarize(trials: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """By kind, the number of trials with each outcome; and the first crashes."""
    counts = {kind: Counter(o for k, o, _ in trials if k == kind) for kind in KINDS}
    return {
        "kinds": {
            kind: {outcome: counter[outcome] for outcome in (REFUSED, ACCEPTED, SAME, CRASHED)}
            for kind, counter in counts.items()
        },
        "crashes": [message for _, _, message in trials if message][:20],
    }


def table(summary: dict[str, Any]) -> str:
    """The counts as text."""
    lines = [f"{'':10}" + "".join(f"{o:>10}" for o in (REFUSED, ACCEPTED, SAME, CRASHED))]
    for kind, row in summary["kinds"].items():
        lines.append(f"{kind:10}" + "".join(f"{count:10}" for count in row.values()))
    return "\n".join([*lines, *summary["crashes"]])


Attempt = Callable[[], str]


def _start_receipts(_folder: Path, rng: random.Random) -> Attempt:
    receipt = receipts.attest(_STATEMENT, _RECORDING)

    def attempt() -> str:
        mutated = mutate_record(receipt, rng)
        if mutated == receipt:
            return SAME
        try:
            receipts.check(mutated, _RECORDING)
        except Error:
            return REFUSED
        return ACCEPTED

    return attempt


def _start_records(folder: Path, rng: random.Random) -> Attempt:
    path = folder / "record.wav"
    _synthesize().save(path, loudness=None)
    sidecar = provenance.sidecar_path(path)
    data = sidecar.read_bytes()
    record = json.loads(data)

    def attempt() -> str:
        if rng.random() < 0.5:
            modified = json.dumps(mutate_record(record, rng)).encode()
        else:
            modified = corrupt_bytes(data, rng)
        sidecar.write_bytes(modified)
        if _is_equal_json(modified, record):
            return SAME
        return ACCEPTED if describe_provenance(path)["verified"] is True else REFUSED

    return attempt


def _is_equal_json(data: bytes, record: Record) -> bool:
    try:
        return bool(json.loads(data) == record)
    except (ValueError, RecursionError):
        return False


def _start_speech(folder: Path, rng: random.Random) -> Attempt:
    speech = _synthesize()
    files: dict[Path, bytes] = {}
    for ending in _ENDINGS:
        path = folder / f"speech.{ending}"
        speech.save(path, loudness=None)
        files[path] = path.read_bytes()
    key = ledger.get_signing_key().derive_watermark_key()
    payload = Payload.for_receipt(key, speech.provenance["consent"]["id"])
    decodable = 0

    def attempt() -> str:
        nonlocal decodable
        path = rng.choice(list(files))
        modified = corrupt_bytes(files[path], rng)
        path.write_bytes(modified)
        if modified == files[path]:
            return SAME
        accepted = describe_provenance(path)["verified"] is True
        try:
            recording = load_recording(path)
        except Error:
            return ACCEPTED if accepted else REFUSED
        decodable += 1
        if decodable % _SEARCH_INTERVAL == 1:
            detection = detect_watermark(recording.samples, recording.sample_rate, key)
            accepted |= any(span.payload not in (None, payload) for span in detection.spans)
        return ACCEPTED if accepted else REFUSED

    return attempt


def _synthesize() -> Speech:
    """A watermarked sentence by espeak-ng, with a receipt of its own."""
    speaker = SyntheticSpeaker.sample(_SPEAKER_SEED, {"espeak": 1.0})
    (utterance,) = synthesize_speaker(speaker, [_TEXT])[0]
    receipt = receipts.attest(_STATEMENT, _RECORDING)["id"]
    key = ledger.get_signing_key().derive_watermark_key()
    payload = Payload.for_receipt(key, receipt)
    record = {
        "made_by": "valle evaluate tampering",
        "model": "espeak-ng",
        "voice": None,
        "consent": {"kind": "attested", "id": receipt},
        "watermark": {"version": payload.version, "payload": f"{payload.bits:08x}"},
    }
    audio = embed_watermark(utterance.samples, EVALUATION_RATE, key, payload)
    return Speech(audio, EVALUATION_RATE, np.zeros((0, 1), np.int64), [], [], None, [], record)
