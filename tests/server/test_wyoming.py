"""`valle wyoming`: the client of Home Assistant's own package, unchanged, against our server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("wyoming", reason="needs the extra [wyoming]")
pytest.importorskip("fastapi", reason="needs the extra [serve]")

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event, Eventable
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.server import AsyncTcpServer
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeTextFormat,
    SynthesizeVoice,
)

import valle
from valle.cli.main import main
from valle.registry.keys import LOCAL_CALLER, Caller
from valle.server.access import EVERYBODY
from valle.server.encoders import to_int16
from valle.server.services import Services
from valle.server.settings import ServeOptions
from valle.server.wyoming import handler
from valle.server.wyoming.handler import SpeechHandler

TEXT = "Hello there. This is the second sentence."
LONG = "This sentence goes on and on. " * 200
EXAMPLE = Path(__file__).parents[2] / "examples" / "integrations" / "wyoming" / "speak.py"
Run = Callable[..., Any]


def find_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@pytest.fixture
def services(home: Path, debug_bundle: Path, stored_voice: str) -> Iterator[Services]:
    opened = Services.open(ServeOptions.from_keywords(bundle=str(debug_bundle), threads=1))
    opened.ready.wait(30)
    yield opened
    opened.close()


@contextlib.asynccontextmanager
async def serving(services: Services, caller: Caller) -> AsyncIterator[AsyncTcpClient]:
    server = AsyncTcpServer("127.0.0.1", find_free_port())
    await server.start(partial(SpeechHandler, services, caller))
    try:
        async with AsyncTcpClient(server.host, server.port) as client:
            yield client
    finally:
        await server.stop()


@pytest.fixture
def ask(services: Services) -> Run:
    """Send events, and return those that come back: `count` of them, or all up to `until`."""

    def run(
        *events: Eventable, until: type[Eventable] = AudioStop, caller: Caller = LOCAL_CALLER
    ) -> list[Event]:
        async def talk() -> list[Event]:
            answers = []
            async with serving(services, caller) as client:
                for event in events:
                    await client.write_event(event.event())
                while (answer := await client.read_event()) is not None:
                    answers.append(answer)
                    if until.is_type(answer.type):
                        break
            return answers

        return asyncio.run(talk())

    return run


def join_sound(events: list[Event]) -> np.ndarray:
    chunks = [AudioChunk.from_event(e).audio for e in events if AudioChunk.is_type(e.type)]
    return np.frombuffer(b"".join(chunks), "<i2")


def expect(model: valle.Model, voice: str, text: str) -> np.ndarray:
    pieces = list(model.stream(text, voice))
    gain = np.float32(model.stream_gain(voice))
    return np.concatenate([to_int16(piece.audio * gain) for piece in pieces])


def test_voices_are_listed_with_all_spellings_of_their_language(
    ask: Run, stored_voice: str
) -> None:
    (answer,) = ask(Describe(), until=Info)
    (program,) = Info.from_event(answer).tts
    assert program.supports_synthesize_streaming
    (voice,) = program.voices
    assert (voice.name, voice.languages) == (stored_voice, ["en", "en_US", "en_GB"])
    assert program.installed
    assert voice.installed
    assert ask(Ping(text="x"), until=Pong)[0].data == {"text": "x"}


def test_a_text_is_spoken_sample_by_sample(ask: Run, model: valle.Model, stored_voice: str) -> None:
    events = ask(Synthesize(TEXT, SynthesizeVoice(stored_voice)))
    start = AudioStart.from_event(events[0])
    assert (start.rate, start.width, start.channels) == (model.sample_rate, 2, 1)
    assert np.array_equal(join_sound(events), expect(model, stored_voice, TEXT))
    without_name = ask(Synthesize(TEXT, SynthesizeVoice(language="en_GB")))
    assert np.array_equal(join_sound(without_name), join_sound(events))


def test_text_that_is_still_being_written_is_spoken_once(
    ask: Run, model: valle.Model, stored_voice: str
) -> None:
    """As Home Assistant sends it: with the whole text too, for servers that know only that."""
    parts = [
        SynthesizeChunk(part) for part in ("Hello the", "re. This is ", "the second sentence.")
    ]
    events = ask(
        SynthesizeStart(SynthesizeVoice(stored_voice)),
        *parts,
        Synthesize(TEXT, SynthesizeVoice(stored_voice)),
        SynthesizeStop(),
        until=SynthesizeStopped,
    )
    kinds = [event.type for event in events]
    assert kinds.count("audio-start") == kinds.count("audio-stop") == 1
    assert kinds[-2:] == ["audio-stop", "synthesize-stopped"]
    expected = np.concatenate([piece.audio for piece in model.stream(iter([TEXT]), stored_voice)])
    assert len(join_sound(events)) == len(expected)


def test_sound_comes_before_the_text_ends(services: Services, stored_voice: str) -> None:
    async def talk() -> str:
        async with serving(services, LOCAL_CALLER) as client:
            await client.write_event(SynthesizeStart().event())
            await client.write_event(SynthesizeChunk(f"{TEXT} And").event())
            answer = await client.read_event()
            assert answer is not None
            return answer.type

    assert asyncio.run(asyncio.wait_for(talk(), 60)) == "audio-start"


def test_two_texts_of_a_connection_do_not_mix(
    ask: Run, services: Services, model: valle.Model, stored_voice: str
) -> None:
    events = ask(
        Synthesize("One."),
        SynthesizeStart(),
        SynthesizeChunk(TEXT),
        SynthesizeStop(),
        until=SynthesizeStopped,
    )
    kinds = [event.type for event in events if event.type != "audio-chunk"]
    assert kinds == ["audio-start", "audio-stop"] * 2 + ["synthesize-stopped"]
    first = join_sound(events[: [event.type for event in events].index("audio-stop")])
    assert np.array_equal(first, expect(model, stored_voice, "One."))


def test_a_stream_without_text_ends(ask: Run) -> None:
    events = ask(
        SynthesizeStart(), SynthesizeChunk("  "), SynthesizeStop(), until=SynthesizeStopped
    )
    assert [event.type for event in events] == ["synthesize-stopped"]


def test_ssml_is_read(ask: Run, model: valle.Model, stored_voice: str) -> None:
    document = '<speak>One.<break time="1s"/>Two.</speak>'
    whole = ask(Synthesize(document, text_format=SynthesizeTextFormat.SSML))
    streamed = ask(
        SynthesizeStart(text_format=SynthesizeTextFormat.SSML),
        SynthesizeChunk(document[:20]),
        SynthesizeChunk(document[20:]),
        SynthesizeStop(),
        until=SynthesizeStopped,
    )
    expected = model.speak(document, stored_voice, ssml=True, retries=0)
    assert len(join_sound(whole)) == len(join_sound(streamed)) == len(expected.audio)


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([Synthesize(TEXT, SynthesizeVoice("Nobody"))], "voice_not_found"),
        ([Synthesize(" ")], "invalid_text"),
        ([Synthesize("word " * 30_000)], "invalid_text"),
        ([Synthesize("<speak>", text_format=SynthesizeTextFormat.SSML)], "invalid_text"),
        ([SynthesizeChunk("lost")], "invalid_text"),
        ([SynthesizeStart(), SynthesizeStart()], "invalid_text"),
        ([SynthesizeStart(SynthesizeVoice("Nobody")), SynthesizeChunk(TEXT)], "voice_not_found"),
        ([SynthesizeStart(), *[SynthesizeChunk("word " * 3000)] * 8], "invalid_text"),
        ([Synthesize(LONG)] * 20, "too_many_requests"),
    ],
)
def test_refusals_are_events_and_end_the_connection(
    ask: Run, events: list[Eventable], code: str
) -> None:
    answers = ask(*events, until=Error)
    assert Error.is_type(answers[-1].type)
    error = Error.from_event(answers[-1])
    assert error.code == code
    assert error.text


def test_everybody_needs_the_owners_consent(ask: Run, stored_voice: str) -> None:
    """A voice that rests on its user's word is for him alone, until he says otherwise."""
    (answer,) = ask(Describe(), until=Info, caller=EVERYBODY)
    assert Info.from_event(answer).tts[0].voices == []
    (refused,) = ask(Synthesize(TEXT, SynthesizeVoice(stored_voice)), caller=EVERYBODY)
    assert Error.from_event(refused).code == "consent_required"
    (nobody,) = ask(Synthesize(TEXT), caller=EVERYBODY)
    assert "--allow-attested" in Error.from_event(nobody).text


def test_a_client_that_leaves_stops_its_speech(services: Services) -> None:
    async def talk() -> int:
        async with serving(services, LOCAL_CALLER) as client:
            await client.write_event(Synthesize(LONG).event())
            await client.read_event()
            running = services.engine.count()
            await client.disconnect()
            while services.engine.count():
                await asyncio.sleep(0.01)
            return running

    assert asyncio.run(asyncio.wait_for(talk(), 60)) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"[]\n",
        b"{}\n",
        b'{"type": "synthesize"}\n',
        b'{"type": "synthesize", "data": {"text": 7}}\n',
        b'{"type": "synthesize", "data": {"text": "x", "voice": "y"}}\n',
        b'{"type": "synthesize", "data": {"text": "x", "voice": {"name": ["y"]}}}\n',
        b'{"type": "synthesize-chunk", "data": 7}\n',
        b'{"type": "describe", "payload_length": 99999999999}\n',
        b'{"type": "describe", "data_length": -5}\n',
        b'{"type": "describe", "data_length": "x"}\n',
        b"x" * 200_000,
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_event_ends_only_its_own_connection(
    services: Services, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async def talk() -> None:
        async with serving(services, LOCAL_CALLER) as client:
            assert client._writer is not None
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(data)
            with contextlib.suppress(OSError):
                await asyncio.wait_for(writer.drain(), 10)
                writer.write_eof()
                await asyncio.wait_for(reader.read(), 30)  # to the end of the connection
            writer.close()
            await client.write_event(Describe().event())
            answer = await client.read_event()
            assert answer is not None
            assert Info.is_type(answer.type)

    asyncio.run(talk())
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_of_whom_nothing_is_heard_is_let_go(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "IDLE_SECONDS", 0.05)

    async def talk() -> Event | None:
        async with serving(services, LOCAL_CALLER) as client:
            await client.write_event(SynthesizeStart().event())
            return await client.read_event()

    assert asyncio.run(asyncio.wait_for(talk(), 60)) is None


def test_the_example_speaks_and_the_server_ends_cleanly(
    home: Path, debug_bundle: Path, stored_voice: str, tmp_path: Path
) -> None:
    port = find_free_port()
    command = [sys.executable, "-m", "valle", "wyoming", "--port", str(port)]
    command += ["--bundle", str(debug_bundle), "--threads", "1"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert server.poll() is None
            time.sleep(0.05)
        output = tmp_path / "speech.wav"
        done = subprocess.run(
            [sys.executable, str(EXAMPLE), "--port", str(port), "-o", str(output), TEXT],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"voices: {stored_voice}\n"
        samples, rate = soundfile.read(output)
        assert rate == 16_000
        assert np.abs(samples).max() > 0.01
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=30)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 0, log
    lines = log.splitlines()
    assert str(port) in lines[0]
    for line in lines[1:]:
        assert TEXT not in json.loads(line).values()


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--host", "0.0.0.0"), 2, "--without-keys"),
        (("--zeroconf",), 2, "--host 0.0.0.0"),
        (("--port", "0"), 2, "--port"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, reason: str
) -> None:
    assert main(["wyoming", *words]) == code
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1


def test_a_port_that_is_taken_is_said_to_be(
    capfd: pytest.CaptureFixture[str], debug_bundle: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["wyoming", "--port", port, "--bundle", str(debug_bundle)]) == 7
    assert f"127.0.0.1:{port}" in capfd.readouterr().err
