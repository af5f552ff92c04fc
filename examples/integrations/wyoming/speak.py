"""Speak as Home Assistant does, by its own package: a text that is still being written.

python examples/integrations/wyoming/speak.py --voice Ada "Hello." "And good night."
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import wave
from pathlib import Path

from wyoming.audio import AudioChunk, AudioStart
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.tts import (
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)


async def speak(options: argparse.Namespace) -> str | None:
    """Write the speech while it comes; returns why it was refused, or nothing."""
    async with AsyncTcpClient(options.host, options.port) as client:
        await client.write_event(Describe().event())
        answer = await client.read_event()
        assert answer is not None
        (program,) = Info.from_event(answer).tts
        print("voices:", ", ".join(voice.name for voice in program.voices))
        await client.write_event(SynthesizeStart(SynthesizeVoice(options.voice)).event())
        for part in options.text:
            await client.write_event(SynthesizeChunk(f"{part} ").event())
        await client.write_event(SynthesizeStop().event())
        with wave.open(str(options.output), "wb") as file:
            while (event := await client.read_event()) is not None:
                if AudioStart.is_type(event.type):
                    start = AudioStart.from_event(event)
                    file.setframerate(start.rate)
                    file.setsampwidth(start.width)
                    file.setnchannels(start.channels)
                elif AudioChunk.is_type(event.type):
                    file.writeframes(AudioChunk.from_event(event).audio)
                elif Error.is_type(event.type):
                    return Error.from_event(event).text
                elif SynthesizeStopped.is_type(event.type):
                    return None
    return "the connection was closed"


def main() -> None:
    """Speak a text in parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="+", help="parts of the text, as they come")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=10200)
    parser.add_argument("--voice", help="name of a voice")
    parser.add_argument("-o", "--output", type=Path, default=Path("wyoming.wav"))
    sys.exit(asyncio.run(speak(parser.parse_args())))


if __name__ == "__main__":
    main()
