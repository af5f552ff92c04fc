"""`valle serve` and `valle keys`: the server, and the keys of its callers."""

from __future__ import annotations

import argparse
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn

from valle.cli.arguments import POSITIVE, add_fields, add_json, given_fields, nonempty
from valle.cli.console import print_json
from valle.dubbing.caption_recognition import check_whisper
from valle.errors import OutputError, UsageError
from valle.registry import keys as api_keys
from valle.registry.database import Database
from valle.registry.registry import Registry, default_database_url
from valle.registry.tables import KeyRow
from valle.server.app import OPTIONS_VARIABLE
from valle.server.logs import configure_logs
from valle.server.settings import ServeOptions
from valle.voices import registry as voice_folder

DATABASE_VARIABLE = "VALLE_DATABASE"


def serve_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle serve`."""
    add_fields(parser, ServeOptions.model_fields, parse=nonempty)


def serve(arguments: argparse.Namespace) -> None:
    """Serve until interrupted.

    Raises:
        UsageError: an option is out of range, or others could reach the server without a key.
        OutputError: the port is taken, or the database cannot be reached.
        Error: what `Registry` raises.
    """
    options = ServeOptions.from_keywords(
        **({"database": os.environ.get(DATABASE_VARIABLE)} | given_fields(arguments, ServeOptions))
    )
    if options.whisper is not None:
        check_whisper(Path(options.whisper))
    # Opened once before the workers are, so that whatever is wrong is said here in one line.
    registry = Registry(options.database, options.objects)
    has_keys = api_keys.count_keys(registry.database) > 0
    registry.close()
    _check_reach(options, has_keys)
    _check_socket(options)
    os.environ[OPTIONS_VARIABLE] = options.model_dump_json()
    configure_logs()
    _greet(options, has_keys)
    _run(options)


def _run(options: ServeOptions) -> None:
    """Serve, in this process or in several, until interrupted."""
    try:
        uvicorn.run(
            "valle.server.app:create_app",
            factory=True,
            workers=options.workers,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(options.shutdown_timeout),
            timeout_keep_alive=30,
            **_address(options),
        )
    except SystemExit as error:  # uvicorn has logged why: the port is taken, or cannot be used
        if error.code:
            where = options.uds or f"{options.host}:{options.port}"
            raise OutputError(
                f"the server could not start at {where}: the log above says why; another --port "
                "may be free"
            ) from error


def _check_reach(options: ServeOptions, has_keys: bool) -> None:
    """Refuse to be reached by others without keys, unless that is said."""
    if not (options.is_private or has_keys or options.without_keys):
        raise UsageError(
            f"others could reach {options.host}, and there is no API key yet: `valle keys new NAME`"
            " makes one; or say --without-keys to let everybody use this server"
        )


def _check_socket(options: ServeOptions) -> None:
    """Refuse a name that something other than a socket has; a socket left behind is replaced."""
    if options.uds is None:
        return
    path = Path(options.uds)
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise UsageError(f"--uds {path}: there is another file; choose another name")


def _address(options: ServeOptions) -> dict[str, Any]:
    if options.uds is not None:
        return {"uds": options.uds}
    return {"host": options.host, "port": options.port}


def _greet(options: ServeOptions, has_keys: bool) -> None:
    """Say where the server is, and what a client needs."""
    where = options.uds or f"http://{options.host}:{options.port}"
    names = voice_folder.names()
    voices = (
        f"voices: {', '.join(names[:8])}"
        if names
        else (
            "there are no voices yet: `valle enroll FILE --name NAME` makes one, also while it runs"
        )
    )
    print(f"valle serves at {where}/v1 (OpenAI's API); {voices}", file=sys.stderr)
    if has_keys and not options.without_keys:
        print("clients need an API key; `valle keys` lists them", file=sys.stderr)


def keys_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `valle keys`."""
    parser.set_defaults(action="list", database=None)
    actions = parser.add_subparsers(metavar="ACTION", parser_class=type(parser))
    new = actions.add_parser("new", help="make a key, and show it once", allow_abbrev=False)
    new.set_defaults(action="new")
    new.add_argument("name", type=nonempty, metavar="NAME", help="what the key is for")
    new.add_argument(
        "--scopes",
        type=nonempty,
        default=",".join(api_keys.DEFAULT_SCOPES),
        metavar="A,B",
        help=f"what it may do: {', '.join(api_keys.SCOPES)} (default: %(default)s)",
    )
    new.add_argument(
        "--seconds-per-minute",
        type=POSITIVE,
        metavar="X",
        help="seconds of speech per minute that it may ask for (default: the server's limit)",
    )
    revoke = actions.add_parser("revoke", help="revoke a key", allow_abbrev=False)
    revoke.set_defaults(action="revoke")
    revoke.add_argument("name", type=nonempty, metavar="NAME|ID", help="which one")
    for action in (parser, new, revoke):
        default = None if action is parser else argparse.SUPPRESS
        action.add_argument(
            "--database",
            type=nonempty,
            default=default,
            metavar="URL",
            help="the server's database (default: SQLite in the user's data folder)",
        )
        if action is not parser:
            action.add_argument(
                "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON"
            )
    add_json(parser)


def keys(arguments: argparse.Namespace) -> None:
    """List, make or revoke API keys.

    Raises:
        UsageError: a scope is unknown, or there is no such key.
        OutputError: the database cannot be reached.
    """
    database = Database(
        arguments.database or os.environ.get(DATABASE_VARIABLE) or default_database_url()
    )
    try:
        result = _act(database, arguments)
    finally:
        database.close()
    if arguments.json:
        print_json(result)


def _act(database: Database, arguments: argparse.Namespace) -> Any:
    """Do what is asked, say it unless JSON is wanted, and return it."""
    if arguments.action == "new":
        scopes = tuple(part for part in arguments.scopes.replace(" ", "").split(",") if part)
        secret, row = api_keys.create_key(
            database, arguments.name, scopes, arguments.seconds_per_minute
        )
        if not arguments.json:
            print("keep this key: it is not stored, and cannot be shown again", file=sys.stderr)
            print(secret)
        return _describe(row) | {"key": secret}
    if arguments.action == "revoke":
        count = api_keys.revoke_key(database, arguments.name)
        if not arguments.json:
            print(f"revoked {count} key{'s' if count > 1 else ''}", file=sys.stderr)
        return {"revoked": count}
    listed = [_describe(known) for known in api_keys.list_keys(database)]
    if not arguments.json:
        for key in listed:
            state = "revoked" if key["revoked"] else ",".join(key["scopes"])
            print(f"{key['id']}  {key['created']}  {key['name']}  {state}")
    return listed


def _describe(row: KeyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "scopes": row.scopes.split(","),
        "seconds_per_minute": row.seconds_per_minute,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.created)),
        "revoked": row.revoked is not None,
    }
