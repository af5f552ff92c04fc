"""Whether a ledger is whole: every line as it was written, none missing, moved, or put in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from valle.errors import ConsentError
from valle.trust import keys, private_files
from valle.trust.canonical_json import canonical
from valle.trust.ledger import FIRST, LINE, End, raw_lines, signed_end


@dataclass(frozen=True)
class Fault:
    """What is wrong at a line, counted from 1; line 0 is the signed end."""

    line: int
    why: str

    def __str__(self) -> str:
        return f"line {self.line} {self.why}" if self.line else self.why


@dataclass(frozen=True)
class Audit:
    """What an audit of the ledger found."""

    lines: int
    """How many lines the signed end counts."""
    hash: str
    """Of the last line: kept elsewhere, it shows later that no older copy was put back."""
    faults: tuple[Fault, ...]


def audit() -> Audit:
    """Check every line of the ledger; nothing is changed.

    Raises ConsentError if there is no ledger, or it cannot be read at all.
    """
    with private_files.locked():
        key = keys.own()
        found = raw_lines()
        if key is None and not found:
            raise ConsentError(
                f"there is no ledger in {private_files.folder()} yet; enrolling a voice begins one"
            )
        if key is None:
            return Audit(0, FIRST, (Fault(0, "the signing key is gone, nothing can be checked"),))
        try:
            end = signed_end(key)
        except ConsentError as error:
            return Audit(0, FIRST, (Fault(0, str(error)), *_faults(found, key.id, None)))
        return Audit(end.lines, end.hash, tuple(_faults(found, key.id, end)))


def _faults(raw: list[bytes], key_id: str, end: End | None) -> list[Fault]:
    """All faults, in the order of the lines."""
    faults: list[Fault] = []
    where: dict[int, int] = {}  # of each line its true number was given to, the place it stands at
    read: dict[int, tuple[str, str]] = {}  # by number: the hash it follows on, and its own
    changed: set[int] = set()
    highest = 0
    for place, line in enumerate(raw, start=1):
        facts = genuine(line, key_id)
        if facts is None:
            changed.add(place)
            faults.append(Fault(place, "was changed, or is not the ledger's"))
            continue
        number = int(facts["n"])
        if number in where:
            faults.append(Fault(number, f"stands a second time, as line {place} of the file"))
            continue
        if number < highest:
            faults.append(Fault(number, f"is out of its place: it is line {place} of the file"))
        highest = max(highest, number)
        where[number] = place
        read[number] = (facts["previous"], hashlib.sha256(line).hexdigest())
    last = end.lines if end else max([*where, *changed], default=0)
    for number in range(1, last + 1):
        # A changed line stands for the one that is missing at its place, and is named already.
        if number not in where and number not in changed:
            faults.append(Fault(number, "is missing"))
    for number, (previous, _) in read.items():
        if number == 1:
            follows = previous == FIRST
        else:
            follows = number - 1 not in read or previous == read[number - 1][1]
        if not follows:
            faults.append(Fault(number, "does not follow on the line before it"))
        if end and number > end.lines:
            faults.append(Fault(number, "stands after the signed end"))
    if end and end.lines in read and read[end.lines][1] != end.hash:
        faults.append(Fault(end.lines, "is not the last line of the signed end"))
    return sorted(faults, key=lambda fault: fault.line)


def genuine(line: bytes, key_id: str) -> dict[str, Any] | None:
    """What a line says, if it is to the byte as it was written and signed."""
    try:
        facts = json.loads(line)
        signature = facts.pop("signature")
        message = canonical(facts)
        whole = canonical(facts | {"signature": signature}) == line
        number = facts["n"]
        genuine = facts["key"] == key_id and keys.verify(key_id, signature, LINE, message)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if not (whole and genuine and type(number) is int):
        return None
    return dict(facts)
