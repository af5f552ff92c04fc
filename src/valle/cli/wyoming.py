"""`valle wyoming`: speech for Home Assistant."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from functools import partial

from wyoming.server import AsyncTcpServer

from valle.cli.arguments import add_fields, given_fields, nonempty
from valle.cli.serve import DATABASE_VARIABLE
from valle.errors import OutputError, UsageError
from valle.registry.keys import LOCAL_CALLER
from valle.server.access import EVERYBODY
from valle.server.logs import configure_logs
from valle.server.services import Services
from valle.server.settings import ServeOptions, ServiceOptions, WyomingOptions
from valle.server.wyoming.handler import SpeechHandler


def wyoming_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle wyoming`."""
    add_fields(parser, WyomingOptions.model_fields, parse=nonempty)


def wyoming(arguments: argparse.Namespace) -> None:
    """Serve until interrupted.

    Raises:
        UsageError: an option is out of range, or others could reach the server unasked.
        OutputError: the port is taken, or the server cannot be announced in the network.
        Error: what `Services.open` raises.
    """
    given = given_fields(arguments, WyomingOptions)
    options = WyomingOptions.from_keywords(
        **({"database": os.environ.get(DATABASE_VARIABLE)} | given)
    )
    _check_reach(options)
    configure_logs()
    shared = options.model_dump(include=set(ServiceOptions.model_fields))
    services = Services.open(ServeOptions.from_keywords(**shared))
    try:
        asyncio.run(_run(options, services))
    finally:
        services.close()


def _check_reach(options: WyomingOptions) -> None:
    """Refuse to be reached by others, unless that is said: this protocol has no keys."""
    if options.is_private and options.zeroconf:
        raise UsageError(
            f"--zeroconf announces the server, which only this computer reaches at {options.host}; "
            "add --host 0.0.0.0"
        )
    if not (options.is_private or options.without_keys):
        raise UsageError(
            f"others could reach {options.host}, and Wyoming has no keys: say --without-keys to "
            "let everybody in this network speak in your voices"
        )


async def _run(options: WyomingOptions, services: Services) -> None:
    caller = LOCAL_CALLER if options.is_private else EVERYBODY
    server = AsyncTcpServer(options.host, options.port)
    address = f"tcp://{options.host}:{options.port}"
    async with contextlib.AsyncExitStack() as stack:
        if options.zeroconf:
            await _announce(options)
        stack.push_async_callback(server.stop)
        print(f"valle speaks Wyoming at {address}", file=sys.stderr)
        try:
            await server.run(partial(SpeechHandler, services, caller))
        except OSError as error:
            raise OutputError(
                f"the server could not start at {address}: {error.strerror}; another --port may be "
                "free"
            ) from error


async def _announce(options: WyomingOptions) -> None:
    """Announce the server in the local network, by multicast DNS."""
    try:
        from wyoming.zeroconf import HomeAssistantZeroconf
    except ModuleNotFoundError as error:
        raise UsageError(
            "--zeroconf needs the package zeroconf: pip install 'valle[wyoming]'"
        ) from error
    host = None if options.host in ("0.0.0.0", "::") else options.host
    try:
        await HomeAssistantZeroconf(options.port, name="valle", host=host).register_server()
    except Exception as error:  # zeroconf has many, and the network may be missing
        raise OutputError(
            f"the server could not be announced in the network ({error}); leave --zeroconf out, "
            "and enter the address in Home Assistant"
        ) from error
