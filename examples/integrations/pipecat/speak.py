"""Speak through Pipecat's own services, with no more than their URL set.

python examples/integrations/pipecat/speak.py --voice Ada "Hello." "And good night."

`ElevenLabsTTSService` knows when each word begins. `OpenAITTSService` refuses all voices but
OpenAI's names: point one of them at yours (`valle serve --alias alloy=Ada`) and ask for that.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import wave
from pathlib import Path

from loguru import logger
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.workers.runner import WorkerRunner


class Recorder(FrameProcessor):  # type: ignore[misc]
    """Keeps what is heard, where a bot has a loudspeaker."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[tuple[int, str]] = []  # nanoseconds of the pipeline's clock
        self.sound = bytearray()
        self.sample_rate = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take one frame, and pass it on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.sample_rate = frame.sample_rate
            self.sound += frame.audio
        elif isinstance(frame, TTSTextFrame) and frame.pts is not None:
            self.words.append((frame.pts, frame.text))
        elif isinstance(frame, TTSStartedFrame):
            await self.push_frame(BotStartedSpeakingFrame(), FrameDirection.UPSTREAM)
        elif isinstance(frame, TTSStoppedFrame):
            await self.push_frame(BotStoppedSpeakingFrame(), FrameDirection.UPSTREAM)
        await self.push_frame(frame, direction)


async def speak(options: argparse.Namespace) -> int:
    """Speak a text in parts, and print when each word begins, from the first one on."""
    service: ElevenLabsTTSService | OpenAITTSService
    if options.api == "elevenlabs":
        service = ElevenLabsTTSService(
            url=options.url.replace("http", "ws", 1),
            api_key=options.key,
            settings=ElevenLabsTTSService.Settings(voice=options.voice),
            stop_frame_timeout_s=options.patience,
        )
    else:
        service = OpenAITTSService(
            base_url=f"{options.url}/v1",
            api_key=options.key,
            settings=OpenAITTSService.Settings(voice=options.voice),
            stop_frame_timeout_s=options.patience,
        )
    recorder = Recorder()
    worker = PipelineWorker(Pipeline([service, recorder]))
    errors: list[str] = []

    @worker.event_handler("on_pipeline_error")
    async def note(_worker: PipelineWorker, frame: ErrorFrame) -> None:
        errors.append(frame.error)
        await worker.cancel()

    runner = WorkerRunner()
    await runner.add_workers(worker)
    # As a language model would write a reply.
    reply = [LLMTextFrame(f"{part} ") for part in options.text]
    frames = [LLMFullResponseStartFrame(), *reply, LLMFullResponseEndFrame()]
    await worker.queue_frames([*frames, EndFrame()])
    await runner.run()
    if recorder.sound:
        with wave.open(str(options.output), "wb") as file:
            file.setparams((1, 2, recorder.sample_rate, 0, "NONE", ""))
            file.writeframes(recorder.sound)
    for moment, word in recorder.words:
        print(f"{(moment - recorder.words[0][0]) / 1e9:7.3f} s  {word}")
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


def main() -> None:
    """Speak a text in parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="+", help="parts of the text, as they come")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of valle serve")
    parser.add_argument("--key", default="unused", help="API key, if the server needs one")
    parser.add_argument("--voice", required=True, help="name or id of a voice, or an alias")
    parser.add_argument("--api", choices=("elevenlabs", "openai"), default="elevenlabs")
    parser.add_argument(
        "--patience", type=float, default=3.0, help="seconds without sound after which it gives up"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("pipecat.wav"))
    options = parser.parse_args()
    logger.remove()
    sys.exit(asyncio.run(speak(options)))


if __name__ == "__main__":
    main()
