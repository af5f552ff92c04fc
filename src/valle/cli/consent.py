"""The commands `valle consent` and `valle ledger`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from valle.consent import challenge, revocation
from valle.errors import ConsentError
from valle.files import replacing
from valle.trust.audit import audit
from valle.trust.ledger import lines, signer
from valle.trust.private_files import FILE_MODE

MOST_FAULTS = 10  # named in an error; --json tells them all


def consent_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `valle consent`."""
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=type(parser)
    )
    new = _action(actions, "new", "print a statement for a speaker to read aloud")
    new.add_argument("--name", required=True, help="of the speaker, and of the voice to enroll")
    new.add_argument("--purpose", metavar="TEXT", default=challenge.PURPOSE, help="(%(default)s)")
    new.add_argument("--user", metavar="TEXT", default=challenge.USER, help="(%(default)s)")
    new.add_argument("--languages", metavar="LIST", default="en-us", help="(%(default)s)")
    new.add_argument("--expires", metavar="DATE|DAYS", help="the last day (none)")
    _action(actions, "list", "list the agreements, and whether they hold")
    revoke = _action(actions, "revoke", "take an agreement back, for good")
    revoke.add_argument("which", metavar="NAME|RECEIPT-ID")
    key = _action(actions, "key", "print the key by which others can trust what is signed here")
    key.add_argument(
        "--owner-key", metavar="FILE", help="keep here, for others, the key that reads your marks"
    )


def consent(arguments: argparse.Namespace) -> None:
    """Make a challenge, or list or revoke receipts."""
    if arguments.action == "new":
        made = challenge.new(
            arguments.name,
            arguments.user,
            arguments.purpose,
            arguments.languages,
            arguments.expires,
        )
        shown = f"{made.text}\n\nChallenge {made.id}: record this being read, and enroll with "
        shown += f'--name "{made.name}" --consent RECORDING by {made.ends}.'
        _print(arguments, made.model_dump(), shown)
    elif arguments.action == "list":
        found = revocation.entries()
        rows = [
            f"{e.id[:16]}  {e.kind:9}  {e.state:7}  {e.expires or '-':10}  {e.voice}" for e in found
        ]
        _print(arguments, [asdict(entry) for entry in found], "\n".join(rows))
    elif arguments.action == "revoke":
        receipt = revocation.revoke(arguments.which)
        _print(arguments, {"revoked": receipt}, f"revoked {receipt}")
    else:
        key = signer()
        if arguments.owner_key is not None:
            with replacing(arguments.owner_key) as part:
                part.chmod(FILE_MODE)  # before it holds anything: it is a secret
                part.write_bytes(key.watermark_key())
        _print(arguments, {"key": key.id}, key.id)


def ledger_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `valle ledger`."""
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=type(parser)
    )
    _action(actions, "show", "print what was enrolled, revoked and spoken")
    _action(actions, "verify", "find every line that was changed, removed or moved")


def ledger(arguments: argparse.Namespace) -> None:
    """Show the ledger, or check it."""
    if arguments.action == "show":
        told = list(lines())
        _print(arguments, told, "\n".join(map(_told, told)))
        return
    found = audit()
    facts = asdict(found)
    if found.faults:
        if arguments.json:
            print(json.dumps(facts))
        named = "; ".join(map(str, found.faults[:MOST_FAULTS]))
        more = len(found.faults) - MOST_FAULTS
        raise ConsentError(
            f"the ledger was altered: {named}" + (f"; and {more} faults more" if more > 0 else "")
        )
    shown = f"{found.lines} lines, all as they were written; the last has the hash {found.hash}"
    _print(arguments, facts, shown)


def _action(actions: Any, name: str, help: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=help, description=help, allow_abbrev=False
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _print(arguments: argparse.Namespace, facts: Any, text: str) -> None:
    if arguments.json:
        print(json.dumps(facts, ensure_ascii=False))
    elif text:
        print(text)


def _told(line: dict[str, Any]) -> str:
    """A line of the ledger in one line for the eye."""
    told = {"n", "time", "what", "previous", "signature"}
    rest = "  ".join(
        f"{name}={value[:16] if isinstance(value, str) and len(value) == 64 else value}"
        for name, value in line.items()
        if name not in told and value is not None
    )
    return f"{line.get('n')}  {line.get('time')}  {line.get('what')}  {rest}"
