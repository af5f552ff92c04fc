"""`valle evaluate tampering`: receipts, records and speech in which something was changed.

None may be taken for what was signed, and nothing but the program's own errors may end it.
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
from valle.corpora.synthetic import say
from valle.corpora.synthetic_speaker import MadeSpeaker
from valle.detection.report import provenance_facts
from valle.errors import Error
from valle.evaluation.metrics.judges import JUDGE_RATE
from valle.synthesis.speech import Speech
from valle.trust import ledger, provenance, receipts
from valle.watermark.detect import detect
from valle.watermark.embed import Payload, mark

KINDS = ("receipt", "record", "speech")
REFUSED, ACCEPTED, SAME, CRASHED = "refused", "accepted", "same", "crashed"
"""What became of a trial; "same": what was changed says the same, as a space in JSON does."""

_ENDINGS = ("wav", "flac", "ogg", "mp3")
_SEARCHED = 100  # of so many changed files that can still be read, one is searched for its mark
_MADE_SEED = 1_200_000_000  # a made speaker of no training corpus
_TEXT = "Every change of this sentence has to be noticed."
_STATEMENT = "I hold the rights to this voice"
_RECORDING = "ab" * 32

Facts = dict[str, Any]

# What JSON and Python can hold in the place of a value.
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e308, float("nan"), float("inf"), "", "\ud800", "\0", "0" * 64),
    *("x" * 5000, [], {}, [[[[]]]], {"a": {"b": []}}, "attested", "consented", 10**400),
)


def altered(facts: Facts, rng: random.Random, odd: Sequence[Any] = ODD) -> Facts:
    """The facts, nested as JSON is, with one thing in them taken out, renamed or changed.

    `odd`: values that are put in the place of another.
    """
    facts = copy.deepcopy(facts)
    *way, last = rng.choice(_places(facts))
    inside: Any = facts
    for step in way:
        inside = inside[step]
    value = inside[last]
    change = rng.randrange(4)
    if change == 0:
        del inside[last]
    elif change == 1 and isinstance(inside, dict):
        inside[rng.choice(["more", "Kind", "key ", "x" * 100])] = value
    elif change == 2 and isinstance(value, str) and value:
        at = rng.randrange(len(value))
        inside[last] = value[:at] + rng.choice("0123456789abcdefXYZ \n") + value[at + 1 :]
    else:
        inside[last] = rng.choice(odd)
    return facts


def broken(data: bytes, rng: random.Random) -> bytes:
    """The bytes with some of them changed, cut off, taken out, put in or doubled."""
    changed = bytearray(data)
    at = rng.randrange(len(changed))
    length = rng.choice((1, 1, 4, 64, 1024))
    change = rng.randrange(5)
    if change == 0:
        for _ in range(rng.choice((1, 2, 8))):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif change == 1:
        del changed[at:]
    elif change == 2:
        del changed[at : at + length]
    elif change == 3:
        changed[at:at] = rng.randbytes(length)
    else:
        changed[at:at] = changed[max(0, at - length) : at] or b"\0"
    return bytes(changed)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in nested JSON."""
    found = [path] if path else []
    if isinstance(value, dict):
        inside: Sequence[tuple[Any, Any]] = list(value.items())
    else:
        inside = list(enumerate(value)) if isinstance(value, list) else []
    for key, held in inside:
        found += _places(held, (*path, key))
    return found


def run_trials(
    folder: Path, count: int, seed: int = 0, quiet: bool = True
) -> Iterator[tuple[str, str, str]]:
    """`count` trials of each kind: the kind, what became of it, and what it crashed with.

    Args:
        folder: an empty one, to write to.
        count: of each kind.
        seed: what is changed is drawn from it.
        quiet: no progress bar.

    Raises what `ledger.signer` and `Speech.save` raise; the key that signs is the user's.
    """
    makers = (_receipt_trials, _record_trials, _speech_trials)
    with tqdm(total=count * len(KINDS), desc="tampering", disable=quiet or None) as bar:
        for kind, make in zip(KINDS, makers, strict=True):
            attempt = make(folder, random.Random(f"{seed} {kind}"))
            for _ in range(count):
                try:
                    outcome, why = attempt(), ""
                except Exception as error:  # that there is none of these is what is measured
                    outcome, why = CRASHED, f"{type(error).__name__}: {error}"
                yield kind, outcome, why
                bar.update()


def results(trials: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """By kind, how many had each outcome; and the first crashes."""
    counts = {kind: Counter(o for k, o, _ in trials if k == kind) for kind in KINDS}
    return {
        "kinds": {
            kind: {outcome: found[outcome] for outcome in (REFUSED, ACCEPTED, SAME, CRASHED)}
            for kind, found in counts.items()
        },
        "crashes": [why for _, _, why in trials if why][:20],
    }


def table(found: Facts) -> str:
    """The counts as lines of text."""
    lines = [f"{'':10}" + "".join(f"{o:>10}" for o in (REFUSED, ACCEPTED, SAME, CRASHED))]
    for kind, row in found["kinds"].items():
        lines.append(f"{kind:10}" + "".join(f"{number:10}" for number in row.values()))
    return "\n".join([*lines, *found["crashes"]])


Attempt = Callable[[], str]


def _receipt_trials(folder: Path, rng: random.Random) -> Attempt:
    whole = receipts.attest(_STATEMENT, _RECORDING)

    def attempt() -> str:
        tried = altered(whole, rng)
        if tried == whole:
            return SAME
        try:
            receipts.check(tried, _RECORDING)
        except Error:
            return REFUSED
        return ACCEPTED

    return attempt


def _record_trials(folder: Path, rng: random.Random) -> Attempt:
    path = folder / "record.wav"
    _made_speech().save(path)
    beside = provenance.sidecar_path(path)
    data = beside.read_bytes()
    whole = json.loads(data)

    def attempt() -> str:
        if rng.random() < 0.5:
            tried = json.dumps(altered(whole, rng)).encode()
        else:
            tried = broken(data, rng)
        beside.write_bytes(tried)
        if _says_the_same(tried, whole):
            return SAME
        return ACCEPTED if provenance_facts(path)["verified"] is True else REFUSED

    return attempt


def _says_the_same(data: bytes, whole: Facts) -> bool:
    try:
        return bool(json.loads(data) == whole)
    except (ValueError, RecursionError):
        return False


def _speech_trials(folder: Path, rng: random.Random) -> Attempt:
    speech = _made_speech()
    files: dict[Path, bytes] = {}
    for ending in _ENDINGS:
        path = folder / f"speech.{ending}"
        speech.save(path)
        files[path] = path.read_bytes()
    own = ledger.signer().watermark_key()
    payload = Payload.of(own, speech.provenance["consent"]["id"])
    read = 0

    def attempt() -> str:
        nonlocal read
        path = rng.choice(list(files))
        tried = broken(files[path], rng)
        path.write_bytes(tried)
        if tried == files[path]:
            return SAME
        accepted = provenance_facts(path)["verified"] is True
        try:
            recording = load_recording(path)
        except Error:
            return ACCEPTED if accepted else REFUSED
        read += 1
        if read % _SEARCHED == 1:
            found = detect(recording.samples, recording.sample_rate, own)
            accepted |= any(span.payload not in (None, payload) for span in found.spans)
        return ACCEPTED if accepted else REFUSED

    return attempt


def _made_speech() -> Speech:
    """A marked sentence by espeak-ng, with a receipt of its own."""
    speaker = MadeSpeaker.draw(_MADE_SEED, {"espeak": 1.0})
    (utterance,) = say(speaker, [_TEXT])[0]
    receipt = receipts.attest(_STATEMENT, _RECORDING)["id"]
    own = ledger.signer().watermark_key()
    payload = Payload.of(own, receipt)
    record = {
        "made_by": "valle evaluate tampering",
        "model": "espeak-ng",
        "voice": None,
        "consent": {"kind": "attested", "id": receipt},
        "watermark": {"version": payload.version, "payload": f"{payload.bits:08x}"},
    }
    audio = mark(utterance.samples, JUDGE_RATE, own, payload)
    return Speech(audio, JUDGE_RATE, np.zeros((0, 1), np.int64), [], [], None, [], record)
