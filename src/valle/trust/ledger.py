"""The ledger: one signed line for every voice enrolled, receipt revoked, and text spoken.

A clock that was set back gets a line too. What had ended by the latest time seen stays ended, so
setting the clock back renews no consent; everything else goes on, so a clock that was once wrong
locks nobody out. An older copy of the ledger that was put back gets a line as well, where it can be
noticed (see `valle.trust.ledger_witness`): what was revoked since then stays revoked.

Each line holds the hash of the line before it and the signature of the user's key (a hash chain).
The signed *head*, kept in a second file, holds the number of lines, the hash of the last line, the
latest time ever seen, and the revoked receipts: using a voice reads the head only, however long the
ledger is.

The head is written first and contains the last line. After a crash between the two writes the
missing line is known, and is appended at the next use; a file longer than its head says has been
altered. A key and its ledger are created together: where there is a key without a ledger, the
ledger was removed.
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

from pydantic import Field, ValidationError

from valle.errors import ConsentError
from valle.trust import keys, ledger_witness, private_files
from valle.trust.canonical_json import canonicalize
from valle.trust.keys import SigningKey
from valle.trust.ledger_line import sign_line, verify_line
from valle.trust.private_files import StrictModel

LEDGER_FILE, HEAD_FILE = "ledger.jsonl", "ledger.end.json"
CLOCK_TOLERANCE = 60  # seconds that a clock may step back, as network time adjustments do

GENESIS_HASH = "0" * 64  # the "previous" hash of the first line
_HEAD_PURPOSE = "ledger end"  # of its signature


class Head(StrictModel):
    """The signed head of a ledger."""

    lines: int
    bytes: int
    hash: str
    """SHA-256 of the last line."""
    last: str
    """The last line itself; empty when there is none yet."""
    latest: str
    """The latest time seen since the clock was last set back."""
    revoked: dict[str, str]
    """Recording SHA-256 by revoked receipt id; "" where the recording is not known."""
    ended: dict[str, str] = Field(default_factory=dict)
    """Recording SHA-256 by the id of every receipt whose last day had passed when the clock was
    set back. It stays ended, whatever the clock says."""
    clock_changes: int = 0
    """How often the clock was set back."""
    latest_ever: str = ""
    """The latest time seen before the clock was set back."""


def now() -> str:
    """Return this machine's time in UTC, to the second."""
    return format_time(time.time())


def get_signing_key() -> SigningKey:
    """Return the user's key; where there is neither key nor ledger, create both.

    Raises:
        ConsentError: One of the two is missing, or the key cannot be used.
        OutputError: They cannot be written.
    """
    key = keys.load_user_key()
    if key is not None:
        return key
    with private_files.lock_folder() as folder:
        key = keys.load_user_key()  # another process may have been faster
        if key is None:
            if (folder / LEDGER_FILE).exists():
                raise ConsentError(
                    f"the signing key {folder / keys.KEY_FILE} is gone: put back a copy of it, or "
                    f"move the folder {folder} away and enroll again"
                )
            key = keys.generate()
            _begin(folder, key)
        return key


def begin_with_key(key: SigningKey) -> None:
    """Begin the ledger of a data folder that holds nothing yet, with a key that is given.

    Raises:
        ConsentError: There is a key already.
        OutputError: It cannot be written.
    """
    with private_files.lock_folder() as folder:
        if keys.load_user_key() is not None:
            raise ConsentError(f"{folder / keys.KEY_FILE} exists already; it is not replaced")
        _begin(folder, key)


def _begin(folder: Path, key: SigningKey) -> None:
    head = Head(lines=0, bytes=0, hash=GENESIS_HASH, last="", latest=now(), revoked={})
    _write_head(folder, key, head)
    # Last, so that a crash before this leaves nothing that counts as a key.
    keys.save_user_key(key, folder)


def append(event: str, revoked: dict[str, str] | None = None, **details: Any) -> None:
    """Append a line: what happened, its details, the user's key, and the time.

    Args:
        event: "enroll", "revoke", "speak", "restyle" or another.
        revoked: Receipts that are revoked from now on, each with its recording's hash.
        details: Further fields of the line.

    Raises:
        ConsentError: The ledger was altered.
        OutputError: The ledger cannot be written.
    """
    with private_files.lock_folder() as folder:
        key = get_signing_key()
        head = _read_current_head(folder, key)
        _append_line(folder, key, head, event, details, revoked=head.revoked | (revoked or {}))


def record_text(text: str, *, receipt: str, model: str, voice: str, seed: int) -> None:
    """Enter that a text is about to be spoken, by its HMAC. Raises what `append` raises.

    Args:
        text: What is spoken; the ledger keeps nothing of it that others could read.
        receipt: The id of the receipt under which it is spoken.
        model: The name of the bundle.
        voice: The name of the voice.
        seed: Of the speech.
    """
    text_hmac = get_signing_key().authenticate_text(text)
    append("speak", receipt=receipt, text_hmac=text_hmac, model=model, voice=voice, seed=seed)


def read_head() -> Head:
    """Return the head, with the present time as its `latest`. Raises what `append` raises."""
    with private_files.lock_folder() as folder:
        return _read_current_head(folder, get_signing_key())


def describe_state() -> tuple[object, ...]:
    """Return what differs once a line was appended, keys were changed or a day has passed.

    That is the day, and the files' places, sizes and times; it reads none of them.
    """
    folder = private_files.folder()
    state: list[object] = [now()[:10]]
    for name in (HEAD_FILE, LEDGER_FILE, keys.KEY_FILE, keys.TRUSTED_FILE):
        try:
            found = os.stat(folder / name)
            state.append((found.st_ino, found.st_size, found.st_mtime_ns))
        except OSError:
            state.append(None)
    return tuple(state)


def repair_end() -> None:
    """Append the last line, if a crash kept it from the file. Raises what `append` raises."""
    with private_files.lock_folder() as folder:
        _read_repaired_head(folder, get_signing_key())


def record_time(moment: str) -> None:
    """Record that the time has reached `moment`, so that setting the clock back is noticed."""
    with private_files.lock_folder() as folder:
        key = get_signing_key()
        head = _read_repaired_head(folder, key)
        if moment > head.latest:
            _write_head(folder, key, head.model_copy(update={"latest": moment}))


def read_lines() -> Iterator[dict[str, Any]]:
    """Yield the lines in order, without verifying them (see `valle.trust.audit`)."""
    for raw_line in read_raw_lines():
        try:
            line = json.loads(raw_line)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict):
            yield line


def read_raw_lines() -> list[bytes]:
    """Return the lines as they are on disk.

    Raises:
        ConsentError: The file cannot be read.
    """
    path = private_files.folder() / LEDGER_FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConsentError(f"cannot read the ledger {path}: {error.strerror}") from error
    *complete, rest = data.split(b"\n")
    return [*complete, rest] if rest else complete


def read_signed_head(key: SigningKey) -> Head:
    """Read the head and verify its signature, without looking at the lines.

    Raises:
        ConsentError: It is missing or was altered.
    """
    path = private_files.folder() / HEAD_FILE
    try:
        content = json.loads(path.read_bytes())
        head = Head.model_validate(content["end"])
        message = canonicalize(content["end"])
        genuine = keys.verify(key.id, content["signature"], _HEAD_PURPOSE, message)
    except FileNotFoundError:
        raise _tampering_error(f"its signed head {path} is gone") from None
    except OSError as error:
        raise ConsentError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, RecursionError, ValidationError):
        genuine = False
    if not genuine:
        raise _tampering_error(f"its signed head {path} is damaged, or signed by another key")
    return head


def format_time(seconds: float) -> str:
    """Format a Unix time as the ledger writes it: UTC, to the second."""
    moment = datetime.fromtimestamp(int(seconds), timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> float:
    """Parse a time that `format_time` wrote; returns seconds since 1970."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


def is_expired(last_day: str | None, moment: str) -> bool:
    """Tell whether a last day (inclusive, UTC) is before a moment (as `now` gives it)."""
    return last_day is not None and moment[:10] > last_day


def _read_repaired_head(folder: Path, key: SigningKey) -> Head:
    """Read the head, and append the last line if a crash kept it from the file.

    Raises:
        ConsentError: The file does not match the head.
    """
    head = read_signed_head(key)
    path, last = folder / LEDGER_FILE, head.last.encode() + b"\n" if head.last else b""
    last_start = head.bytes - len(last)
    tail = b""
    size = path.stat().st_size if path.exists() else 0
    if size > last_start:
        with path.open("rb") as file:
            file.seek(last_start)
            tail = file.read(len(last) + 1)
    if size < last_start or not last.startswith(tail):
        raise _tampering_error("it does not end as its signed head says")
    if tail != last:
        _append_bytes(path, last[len(tail) :])
    return head


def _read_current_head(folder: Path, key: SigningKey) -> Head:
    """Read the head as of now; enters it in the ledger if that or the clock was set back.

    Its `latest` is the present time, or the latest time seen if that is a little later.
    """
    head, moment = _notice_older_copy(folder, key, _read_repaired_head(folder, key)), now()
    if parse_time(moment) < parse_time(head.latest) - CLOCK_TOLERANCE:
        ended = dict(head.ended)
        for raw_line in read_raw_lines():
            line = verify_line(raw_line, key.id)
            if line and line["what"] == "enroll" and is_expired(line["expires"], head.latest):
                ended[line["receipt"]] = line["recording_sha256"]
        return _append_line(
            folder,
            key,
            head.model_copy(update={"latest": moment}),
            "clock",
            {"set_back_from": head.latest},
            ended=ended,
            clock_changes=head.clock_changes + 1,
            latest_ever=max(head.latest, head.latest_ever),
        )
    return head.model_copy(update={"latest": max(moment, head.latest)})


def _notice_older_copy(folder: Path, key: SigningKey, head: Head) -> Head:
    """Enter in the ledger that an older copy of it was put back; what was revoked stays so."""
    witness = ledger_witness.recall(key)
    if witness is None or not ledger_witness.is_older(head, witness):
        return head
    return _append_line(
        folder,
        key,
        head.model_copy(update={"latest": max(head.latest, witness.latest)}),
        "rollback",
        {"lines_before": witness.lines, "hash_before": witness.hash},
        revoked=head.revoked | witness.revoked,
    )


def _append_line(
    folder: Path,
    key: SigningKey,
    head: Head,
    event: str,
    details: dict[str, Any],
    **changes: Any,
) -> Head:
    """Append a line at the time `head.latest`; returns the new head, with `changes`."""
    entry = {
        "n": head.lines + 1,
        "previous": head.hash,
        "time": head.latest,
        "key": key.id,
        "what": event,
        **details,
    }
    line = sign_line(entry, key)
    following = {
        "lines": head.lines + 1,
        "bytes": head.bytes + len(line) + 1,
        "hash": hashlib.sha256(line).hexdigest(),
        "last": line.decode(),
    }
    new_head = head.model_copy(update=following | changes)
    _write_head(folder, key, new_head)
    _append_bytes(folder / LEDGER_FILE, line + b"\n")
    ledger_witness.remember(key, new_head)
    return new_head


def _tampering_error(reason: str) -> ConsentError:
    return ConsentError(
        f"the ledger in {private_files.folder()} was altered or damaged: {reason}. "
        "`valle ledger verify` tells more; put back a copy of the folder, or move it away and "
        "enroll again"
    )


def _write_head(folder: Path, key: SigningKey, head: Head) -> None:
    payload = head.model_dump()
    signed = {"end": payload, "signature": key.sign(_HEAD_PURPOSE, canonicalize(payload))}
    private_files.write_private(folder / HEAD_FILE, canonicalize(signed) + b"\n")


def _append_bytes(path: Path, data: bytes) -> None:
    flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
    with os.fdopen(os.open(path, flags, private_files.FILE_MODE), "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
