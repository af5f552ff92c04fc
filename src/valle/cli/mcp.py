"""`valle mcp`: tools for assistants, by the Model Context Protocol."""

from __future__ import annotations

import argparse
import sys

from valle.assistants.options import AssistantOptions
from valle.assistants.server import create_server
from valle.assistants.tools import Tools
from valle.cli.arguments import add_fields, given_fields, nonempty
from valle.errors import OutputError

_ADDRESS = "127.0.0.1"  # there are no keys, so nobody else may reach it


def mcp_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle mcp`."""
    add_fields(parser, AssistantOptions.model_fields, parse=nonempty)


def mcp(arguments: argparse.Namespace) -> None:
    """Serve the tools until standard input ends, or until interrupted.

    Raises:
        UsageError: an option is out of range, or there is no such voice.
        OutputError: the folder cannot be made, nothing plays sound, or the port is taken.
        BundleError: there is no such bundle.
    """
    options = AssistantOptions.from_keywords(**given_fields(arguments, AssistantOptions))
    server = create_server(Tools(options))
    if options.port is None:
        server.run()
        return
    print(f"valle's tools are at http://{_ADDRESS}:{options.port}/mcp", file=sys.stderr)
    try:
        server.run("streamable-http", host=_ADDRESS, port=options.port)
    except SystemExit as error:  # uvicorn has logged why
        if error.code:
            raise OutputError(
                f"the server could not start at {_ADDRESS}:{options.port}: the log above says why; "
                "another --port may be free"
            ) from error
