"""The tools as a server of the Model Context Protocol, by its official SDK."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio
from anyio import from_thread, to_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from valle.assistants.tools import SpokenFile, Tools, VoiceList
from valle.errors import Error
from valle.runtime.cancellation import Cancellation
from valle.version import __version__

Result = TypeVar("Result")

_INSTRUCTIONS = (
    "Speaks text in voices whose owners have agreed, and tells where a recording comes from. "
    "Voices are made by the user, with the owner's consent: there is no tool for that."
)


def create_server(tools: Tools) -> MCPServer[Any]:
    """Return a server of some tools; `run` serves it."""
    server: MCPServer[Any] = MCPServer(
        "valle",
        title="valle: speech",
        version=__version__,
        instructions=_INSTRUCTIONS,
        log_level="WARNING",
    )
    _add_speak(server, tools)
    _add_list_voices(server, tools)
    _add_check_recording(server, tools)
    return server


def _add_speak(server: MCPServer[Any], tools: Tools) -> None:
    @server.tool(
        description="Speak a text in one of the user's saved voices, to a WAV file on the user's "
        "computer.",
        annotations=ToolAnnotations(
            title="Speak a text",
            read_only_hint=False,
            destructive_hint=False,
            open_world_hint=False,
        ),
    )
    async def speak(
        context: Context[Any],
        text: Annotated[str, Field(description="the text, in English")],
        voice: Annotated[str | None, Field(description="a name of list_voices")] = None,
        speed: Annotated[float, Field(ge=0.25, le=4.0, description="1 is the usual rate")] = 1.0,
    ) -> SpokenFile:
        cancellation = Cancellation()

        def report(done: int, count: int) -> None:
            from_thread.run(context.report_progress, done, count)

        try:
            return await _run(tools.speak, text, voice, speed, report, cancellation)
        except anyio.get_cancelled_exc_class():
            cancellation.cancel()
            raise


def _add_list_voices(server: MCPServer[Any], tools: Tools) -> None:
    @server.tool(
        description="List the user's saved voices, and which of them may be used.",
        annotations=ToolAnnotations(
            title="List voices", read_only_hint=True, open_world_hint=False
        ),
    )
    async def list_voices() -> VoiceList:
        return await _run(tools.list_voices)


def _add_check_recording(server: MCPServer[Any], tools: Tools) -> None:
    @server.tool(
        description="Tell whether a recording is synthetic speech, by valle's watermark, a "
        "detector and its signed record. What it cannot know is part of the answer.",
        annotations=ToolAnnotations(
            title="Check a recording", read_only_hint=True, open_world_hint=False
        ),
    )
    async def check_recording(
        file: Annotated[
            str, Field(description="name of a file in the folder where speech is saved")
        ],
    ) -> dict[str, Any]:
        return await _run(tools.check_recording, file)


async def _run(work: Callable[..., Result], *arguments: Any) -> Result:
    """Do some work on a thread; what a user can act on becomes the tool's error."""
    try:
        return await to_thread.run_sync(partial(work, *arguments), abandon_on_cancel=True)
    except Error as error:
        raise ToolError(str(error)) from error
