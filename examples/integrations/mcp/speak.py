"""Speak as an assistant does: starts `valle mcp`, and calls its tools by the official MCP client.

python examples/integrations/mcp/speak.py --voice Ada "Hello."

An assistant that you use (a desktop program, an editor) is given the command `valle mcp` in its
settings, and does the same.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from mcp import Client, StdioServerParameters
from mcp_types import TextContent


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--voice", help="one of your saved voices")
    parser.add_argument("--folder", default=".", help="where the speech is saved")
    parser.add_argument("--bundle", help="another model than the built-in one")
    return parser.parse_args()


async def main(arguments: argparse.Namespace) -> str | None:
    """Speak and check the speech; returns why it was refused, or nothing."""
    options = ["--folder", arguments.folder]
    options += ["--bundle", arguments.bundle] if arguments.bundle else []
    # By itself the client passes on little of the environment.
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "valle", "mcp", *options], env=dict(os.environ)
    )
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        print("tools:", ", ".join(tool.name for tool in tools))
        words = {"text": arguments.text, "voice": arguments.voice}
        spoken = await client.call_tool("speak", words)
        if spoken.is_error:
            return " ".join(part.text for part in spoken.content if isinstance(part, TextContent))
        speech = spoken.structured_content
        print(f"{speech['seconds']} s in the voice {speech['voice']}: {speech['file']}")
        checked = await client.call_tool("check_recording", {"file": speech["file"]})
        found = checked.structured_content["watermark"]["found"]
        print("its watermark was", "found" if found else "not found")
    return None


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse())))
