"""The ledger: one signed line for every voice enrolled, receipt revoked, and text spoken.

Each line holds the hash of the one before, and the signature of the user's key. Beside the file
stands its signed end: how many lines, the hash of the last, the latest time ever seen, and which
receipts are revoked, so that using a voice reads the end only, however long the ledger is.

The end is written first and holds the last line itself. So after a crash between the two writes
the line is known, and is added at the next use; a file longer than its end says was altered.
A key and its ledger begin together: where there is a key, a ledger that is gone was taken away.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from valle.errors import ConsentError
from valle.trust import keys, private_files
from valle.trust.canonical_json import canonical
from valle.trust.keys import SigningKey
from valle.trust.private_files import Strict

LEDGER_FILE, END_FILE = "ledger.jsonl", "ledger.end.json"
CLOCK_SLACK = 60  # seconds that a clock may step back, as they do when they are set by a network

FIRST = "0" * 64  # in the place of the hash of a line before the first
LINE, _END = "ledger line", "ledger end"  # what is signed


class End(Strict):
    """The signed end of a ledger."""

    lines: int
    bytes: int
    hash: str
    """SHA-256 of the last line."""
    last: str
    """The last line itself; empty when there is none yet."""
    latest: str
    """The latest time ever seen."""
    revoked: dict[str, str]
    """By receipt, the SHA-256 of the recording that it was for; "" where that is not known."""


def now() -> str:
    """The time by this machine's clock, UTC, to the second."""
    return stamp(time.time())


def signer() -> SigningKey:
    """The user's key; it and its ledger are begun where there is neither.

    Raises ConsentError if one of them is gone, OutputError if they cannot be written.
    """
    key = keys.own()
    if key is not None:
        return key
    with private_files.locked() as folder:
        key = keys.own()  # somebody may have been quicker
        if key is None:
            if (folder / LEDGER_FILE).exists():
                raise ConsentError(
                    f"the signing key {folder / keys.KEY_FILE} is gone: put back a copy of it, or "
                    f"move the folder {folder} away and enroll anew"
                )
            key = keys.generate()
            _write_end(
                folder, key, End(lines=0, bytes=0, hash=FIRST, last="", latest=now(), revoked={})
            )
            # Last, so that a crash before this leaves nothing that stands for a key.
            keys.keep(key, folder)
        return key


def append(what: str, revoked: dict[str, str] | None = None, **details: Any) -> None:
    """Add one line: `what` happened, its details, by whose key, and when.

    `revoked`: receipts that are revoked from here on, each with its recording's hash.

    Raises ConsentError if the ledger was altered or the clock was set back, OutputError if it
    cannot be written.
    """
    with private_files.locked() as folder:
        key = signer()
        end = _settled(folder, key)
        latest = _time(end)
        facts = {
            "n": end.lines + 1,
            "previous": end.hash,
            "time": latest,
            "key": key.id,
            "what": what,
            **details,
        }
        line = canonical(facts | {"signature": key.sign(LINE, canonical(facts))})
        _write_end(
            folder,
            key,
            End(
                lines=end.lines + 1,
                bytes=end.bytes + len(line) + 1,
                hash=hashlib.sha256(line).hexdigest(),
                last=line.decode(),
                latest=latest,
                revoked=end.revoked | (revoked or {}),
            ),
        )
        _extend(folder / LEDGER_FILE, line + b"\n")


def end() -> End:
    """The end as it stands, its latest time being now. Raises what `append` raises."""
    with private_files.locked() as folder:
        found = _settled(folder, signer())
        return found.model_copy(update={"latest": _time(found)})


def saw(moment: str) -> None:
    """Keep the time, so that no clock that is set back can make it earlier."""
    with private_files.locked() as folder:
        key = signer()
        found = _settled(folder, key)
        if moment > found.latest:
            _write_end(folder, key, found.model_copy(update={"latest": moment}))


def lines() -> Iterator[dict[str, Any]]:
    """What the lines say, from the first; not checked (see `valle.trust.audit`)."""
    for raw in raw_lines():
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict):
            yield line


def raw_lines() -> list[bytes]:
    """The lines as they lie on the disk. Raises ConsentError if they cannot be read."""
    path = private_files.folder() / LEDGER_FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConsentError(f"cannot read the ledger {path}: {error.strerror}") from error
    *whole, rest = data.split(b"\n")
    return [*whole, rest] if rest else whole


def signed_end(key: SigningKey) -> End:
    """The end as it was signed, whatever the lines are. Raises ConsentError if it was altered."""
    path = private_files.folder() / END_FILE
    try:
        content = json.loads(path.read_bytes())
        found = End.model_validate(content["end"])
        genuine = keys.verify(key.id, content["signature"], _END, canonical(content["end"]))
    except FileNotFoundError:
        raise _altered(f"its signed end {path} is gone") from None
    except OSError as error:
        raise ConsentError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, RecursionError, ValidationError):
        genuine = False
    if not genuine:
        raise _altered(f"its signed end {path} is damaged or by another key")
    return found


def _settled(folder: Path, key: SigningKey) -> End:
    """The end, after the last line was added that a crash kept from the file.

    Raises ConsentError if the file is not as the end says.
    """
    found = signed_end(key)
    path, last = folder / LEDGER_FILE, found.last.encode() + b"\n" if found.last else b""
    begin = found.bytes - len(last)
    tail = b""
    size = path.stat().st_size if path.exists() else 0
    if size > begin:
        with path.open("rb") as file:
            file.seek(begin)
            tail = file.read(len(last) + 1)
    if size < begin or not last.startswith(tail):
        raise _altered("it does not end as its signed end says")
    if tail != last:
        _extend(path, last[len(tail) :])
    return found


def _time(found: End) -> str:
    """Now, never before the latest time seen. Raises ConsentError for a clock set back."""
    moment = now()
    if seconds(moment) < seconds(found.latest) - CLOCK_SLACK:
        raise ConsentError(
            f"this machine's clock says {moment}, and the ledger has seen {found.latest} already: "
            "set the clock right (if it once stood wrong in the future, move the folder "
            f"{private_files.folder()} away and enroll anew)"
        )
    return max(moment, found.latest)


def _altered(why: str) -> ConsentError:
    return ConsentError(
        f"the ledger in {private_files.folder()} was altered or damaged: {why}. "
        "`valle ledger verify` tells more; put back a copy of the folder, or move it away and "
        "enroll anew"
    )


def _write_end(folder: Path, key: SigningKey, new: End) -> None:
    facts = new.model_dump()
    signed = {"end": facts, "signature": key.sign(_END, canonical(facts))}
    private_files.write_private(folder / END_FILE, canonical(signed) + b"\n")


def _extend(path: Path, data: bytes) -> None:
    flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
    with os.fdopen(os.open(path, flags, private_files.FILE_MODE), "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def stamp(seconds: float) -> str:
    """A moment, in seconds since 1970, as it is written here."""
    moment = datetime.fromtimestamp(int(seconds), timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(written: str) -> float:
    """The inverse of `stamp`."""
    return datetime.strptime(written, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
