"""Speak through LiveKit's own plugins, with no more than their base URL set.

python examples/integrations/livekit/speak.py --voice Ada "Hello." "And good night."

The plugin `elevenlabs` takes text while it is being written, and knows when each word begins; the
plugin `openai` takes a whole text.
"""

from __future__ import annotations

import argparse
import asyncio
import wave
from pathlib import Path

import aiohttp
from livekit.agents import tts
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT
from livekit.plugins import elevenlabs, openai


async def speak(options: argparse.Namespace, session: aiohttp.ClientSession) -> None:
    """Write the speech while it comes, and print when each word begins."""
    plugin: tts.TTS
    stream: tts.SynthesizeStream | tts.ChunkedStream
    if options.api == "elevenlabs":
        plugin = elevenlabs.TTS(
            base_url=f"{options.url}/v1",
            api_key=options.key,
            voice_id=options.voice,
            http_session=session,
        )
        stream = plugin.stream()
        for part in options.text:
            stream.push_text(f"{part} ")
        stream.end_input()
    else:
        plugin = openai.TTS(base_url=f"{options.url}/v1", api_key=options.key, voice=options.voice)
        stream = plugin.synthesize(" ".join(options.text))
    with wave.open(str(options.output), "wb") as file:
        file.setnchannels(plugin.num_channels)
        file.setsampwidth(2)
        file.setframerate(plugin.sample_rate)
        async with stream:
            async for event in stream:
                file.writeframes(event.frame.data)
                for word in event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, []):
                    print(f"{word.start_time:7.3f} s  {word.strip()}")
    await plugin.aclose()


async def main() -> None:
    """Speak a text in parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="+", help="parts of the text, as they come")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of valle serve")
    parser.add_argument("--key", default="unused", help="API key, if the server needs one")
    parser.add_argument("--voice", required=True, help="name or id of a voice")
    parser.add_argument("--api", choices=("elevenlabs", "openai"), default="elevenlabs")
    parser.add_argument("-o", "--output", type=Path, default=Path("livekit.wav"))
    options = parser.parse_args()
    async with aiohttp.ClientSession() as session:
        await speak(options, session)


if __name__ == "__main__":
    asyncio.run(main())
