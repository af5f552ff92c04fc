"""`valle consent` and `valle ledger`: consent statements, receipts, and the signed log."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from valle.cli.arguments import add_json, nonempty, path
from valle.cli.console import print_json, print_result
from valle.cli.printable import make_printable
from valle.consent import challenge, revocation
from valle.errors import ConsentError
from valle.files import check_target, write_private_file
from valle.trust.audit import INTERRUPTED, audit
from valle.trust.ledger import get_signing_key, read_lines, repair_end
from valle.trust.receipts import CONSENT_PROVES

MAX_FAULTS = 10  # named in an error; --json lists all
_HASH_LENGTH = 64  # hexadecimal digits of a SHA-256 or a public key
_HASH_SHOWN = 16
_LONGEST_SHOWN = 300  # characters of a field, such as the name of somebody's bundle
_UNSHOWN = {"n", "time", "what", "previous", "signature"}  # shown apart, or for machines only


def consent_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `valle consent`."""
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=type(parser)
    )
    new = _add_action(actions, "new", "print a statement for a speaker to read aloud")
    new.add_argument(
        "--speaker",
        "--name",
        type=nonempty,
        required=True,
        metavar="NAME",
        help="the speaker's name, as the statement says it",
    )
    new.add_argument(
        "--purpose",
        type=nonempty,
        metavar="TEXT",
        default=challenge.DEFAULT_PURPOSE,
        help="what the voice may be used for (default: %(default)s)",
    )
    new.add_argument(
        "--user",
        type=nonempty,
        metavar="TEXT",
        default=challenge.DEFAULT_USER,
        help="who may use the voice (default: %(default)s)",
    )
    new.add_argument(
        "--languages",
        type=nonempty,
        metavar="LIST",
        default="en-us",
        help="languages it may speak, separated by commas (default: %(default)s)",
    )
    new.add_argument(
        "--expires",
        type=nonempty,
        metavar="DATE|DAYS",
        help="last valid day, as 2027-01-31 or counted from today (default: never expires)",
    )
    _add_action(actions, "list", "list all receipts of consent and whether they are valid")
    revoke = _add_action(actions, "revoke", "withdraw consent permanently")
    revoke.add_argument("which", type=nonempty, metavar="NAME|RECEIPT-ID")
    key = _add_action(actions, "key", "print the public key that others can trust")
    key.add_argument(
        "--owner-key",
        type=path,
        metavar="FILE",
        help="also write the secret key that reads your watermarks to a file",
    )


def consent(arguments: argparse.Namespace) -> None:
    """Create a consent statement, list or revoke receipts, or print the key.

    Raises:
        UsageError: an option cannot be used, or there is nothing to revoke under that name.
        ConsentError: the ledger was altered.
        OutputError: a file cannot be written.
    """
    if arguments.action == "new":
        _create_statement(arguments)
    elif arguments.action == "list":
        entries = revocation.list_receipts()
        rows = [
            f"{e.id[:_HASH_SHOWN]}  {e.kind:9}  {e.state:7}  {e.expires or '-':10}  {e.voice}"
            for e in entries
        ]
        if any(entry.kind == "consented" for entry in entries):
            rows.append(f"consented: a spoken statement proves {CONSENT_PROVES}")
        if any(entry.kind == "attested" for entry in entries):
            rows.append("attested: the word of the user of this computer, verified by nobody")
        print_result(arguments, [asdict(entry) for entry in entries], "\n".join(rows))
    elif arguments.action == "revoke":
        receipt, *others = revocation.revoke(arguments.which)
        result = {"revoked": receipt.id, "also": [entry.id for entry in others]}
        print_result(arguments, result, f"revoked {receipt.id}")
        for entry in others:
            print(
                f"the same recording was enrolled as {entry.voice!r} too: that is revoked as well",
                file=sys.stderr,
            )
    else:
        _print_key(arguments)


def _create_statement(arguments: argparse.Namespace) -> None:
    statement = challenge.create(
        arguments.speaker,
        arguments.user,
        arguments.purpose,
        arguments.languages,
        arguments.expires,
    )
    text = (
        f"{statement.text}\n\nChallenge {statement.id}: record the speaker reading this, then "
        f'enroll with --speaker "{statement.speaker}" --consent RECORDING by {statement.expires}.'
    )
    print_result(arguments, statement.model_dump(), text)


def _print_key(arguments: argparse.Namespace) -> None:
    if arguments.owner_key is not None:
        check_target(arguments.owner_key)
    key = get_signing_key()
    if arguments.owner_key is not None:
        write_private_file(arguments.owner_key, key.derive_watermark_key())
    print_result(arguments, {"key": key.id}, key.id)


def ledger_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `valle ledger`."""
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=type(parser)
    )
    show = _add_action(actions, "show", "print every enrollment, revocation and spoken text")
    show.add_argument(
        "--text",
        type=nonempty,
        metavar="TEXT",
        help="only where this text was spoken, word for word",
    )
    _add_action(actions, "verify", "find every line that was changed, removed or moved")


def ledger(arguments: argparse.Namespace) -> None:
    """Show the ledger, or verify it.

    Raises:
        ConsentError: the ledger was altered.
    """
    if arguments.action == "show":
        entries = list(read_lines())
        if arguments.text is not None:
            text_hmac = get_signing_key().authenticate_text(arguments.text)
            entries = [entry for entry in entries if entry.get("text_hmac") == text_hmac]
        print_result(arguments, entries, "\n".join(map(_format_entry, entries)))
        return
    result = audit()
    if any(fault.why == INTERRUPTED for fault in result.faults):
        repair_end()
        result = audit()
    if result.faults:
        if arguments.json:
            print_json(asdict(result))
        listed = "; ".join(map(str, result.faults[:MAX_FAULTS]))
        more = len(result.faults) - MAX_FAULTS
        raise ConsentError(
            f"the ledger was altered: {listed}" + (f"; and {more} more faults" if more > 0 else "")
        )
    summary = f"{result.lines} lines, none altered; the hash of the last line is {result.hash}"
    print_result(arguments, asdict(result), summary)


def _add_action(actions: Any, name: str, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=summary, allow_abbrev=False
    )
    add_json(parser)
    return parser


def _format_entry(entry: dict[str, Any]) -> str:
    """Format an entry of the ledger as one readable line, long hashes shortened."""
    fields = "  ".join(
        f"{name}={make_printable(_shorten(value), _LONGEST_SHOWN)}"
        for name, value in entry.items()
        if name not in _UNSHOWN and value is not None
    )
    return f"{entry.get('n')}  {entry.get('time')}  {entry.get('what')}  {fields}"


def _shorten(value: object) -> object:
    if isinstance(value, str) and len(value) == _HASH_LENGTH:
        return value[:_HASH_SHOWN]
    return value
