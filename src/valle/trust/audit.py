"""Audit of the ledger: every line as it was written, none missing, moved, or inserted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from valle.errors import ConsentError
from valle.trust import keys, ledger_witness, private_files
from valle.trust.ledger import GENESIS_HASH, Head, read_raw_lines, read_signed_head
from valle.trust.ledger_line import verify_line

OLDER_COPY = "it is an older copy of the ledger: the next use of valle enters that in it"
INTERRUPTED = "was being written when valle was stopped; its next use completes it"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line, counted from 1; line 0 is the signed head."""

    line: int
    why: str

    def __str__(self) -> str:
        return f"line {self.line} {self.why}" if self.line else self.why


@dataclass(frozen=True)
class Audit:
    """The result of an audit."""

    lines: int
    """How many lines the signed head counts."""
    hash: str
    """Hash of the last line; a copy kept elsewhere shows later if an older ledger was put back."""
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class _VerifiedLine:
    """A line whose signature is valid."""

    previous: str
    """The hash that it gives for the line before it."""
    hash: str
    """Its own hash."""


def audit() -> Audit:
    """Verify every line of the ledger; nothing is changed.

    Raises:
        ConsentError: There is no ledger, or it cannot be read at all.
    """
    with private_files.lock_folder():
        key = keys.load_user_key()
        raw_lines = read_raw_lines()
        if key is None and not raw_lines:
            raise ConsentError(
                f"there is no ledger in {private_files.folder()} yet; enrolling a voice creates one"
            )
        if key is None:
            fault = Fault(0, "the signing key is gone, nothing can be verified")
            return Audit(0, GENESIS_HASH, (fault,))
        try:
            head = read_signed_head(key)
        except ConsentError as error:
            faults = (Fault(0, str(error)), *_find_faults(raw_lines, key.id, None))
            return Audit(0, GENESIS_HASH, faults)
        faults = tuple(_find_faults(raw_lines, key.id, head))
        if ledger_witness.is_older(head, ledger_witness.recall(key)):
            faults = (Fault(0, OLDER_COPY), *faults)
        if [fault.line for fault in faults] == [head.lines] and _is_cut_off(raw_lines, head):
            faults = (Fault(head.lines, INTERRUPTED),)
        return Audit(head.lines, head.hash, faults)


def _is_cut_off(raw_lines: list[bytes], head: Head) -> bool:
    """Whether all that is wrong can be that a crash kept the last line from the file."""
    if len(raw_lines) == head.lines - 1:
        return True
    return len(raw_lines) == head.lines and head.last.encode().startswith(raw_lines[-1])


def _find_faults(raw_lines: list[bytes], key_id: str, head: Head | None) -> list[Fault]:
    """Return all faults, in the order of the lines."""
    faults: list[Fault] = []
    verified: dict[int, _VerifiedLine] = {}  # by line number
    changed: set[int] = set()  # positions in the file
    highest = 0
    for position, raw_line in enumerate(raw_lines, start=1):
        entry = verify_line(raw_line, key_id)
        if entry is None:
            changed.add(position)
            faults.append(Fault(position, "was changed, or was not written by valle"))
            continue
        number = int(entry["n"])
        if number in verified:
            faults.append(Fault(number, f"is duplicated: it is also line {position} of the file"))
            continue
        if number < highest:
            faults.append(Fault(number, f"is out of order: it is line {position} of the file"))
        highest = max(highest, number)
        line_hash = hashlib.sha256(raw_line).hexdigest()
        verified[number] = _VerifiedLine(entry["previous"], line_hash)
    last = head.lines if head else max([*verified, *changed, 0])
    # The first `last` numbers must all exist. A changed line accounts for the one missing at its
    # position, and is reported already.
    for number in range(1, last + 1):
        if number not in verified and number not in changed:
            faults.append(Fault(number, "is missing"))
    faults += _find_chain_faults(verified, head)
    return sorted(faults, key=lambda fault: fault.line)


def _find_chain_faults(verified: dict[int, _VerifiedLine], head: Head | None) -> list[Fault]:
    """Check the hash chain, and that it ends where the head says."""
    faults: list[Fault] = []
    for number, line in verified.items():
        before = verified.get(number - 1)
        if number == 1:
            follows = line.previous == GENESIS_HASH
        else:
            follows = before is None or line.previous == before.hash
        if not follows:
            faults.append(Fault(number, "does not follow the line before it"))
        if head and number > head.lines:
            faults.append(Fault(number, "comes after the end that the signed head gives"))
    if head and head.lines in verified and verified[head.lines].hash != head.hash:
        faults.append(Fault(head.lines, "is not the last line of the signed head"))
    return faults
