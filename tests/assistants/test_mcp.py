"""`valle mcp`: the official SDK's own client speaks, lists voices and checks a recording."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

mcp = pytest.importorskip("mcp", reason="needs the extra [mcp]")

import httpx

import valle
from valle.assistants import player
from valle.assistants.options import AssistantOptions
from valle.assistants.server import create_server
from valle.assistants.tools import Tools
from valle.cli.main import main
from valle.consent import revocation
from valle.runtime.cancellation import Cancellation, CancelledError
from valle.voices import registry

TEXT = "Hello there. This is the second sentence."
EXAMPLE = Path(__file__).parents[2] / "examples" / "integrations" / "mcp" / "speak.py"
LONG = "This sentence goes on and on. " * 40


@pytest.fixture
def stored_voice(home: Path, voice: valle.Voice) -> str:
    registry.add(voice)
    return voice.name


@pytest.fixture
def make_tools(debug_bundle: Path, tmp_path: Path) -> Callable[..., Tools]:
    def make(**options: Any) -> Tools:
        folder = options.pop("folder", str(tmp_path / "spoken"))
        return Tools(
            AssistantOptions.from_keywords(
                bundle=str(debug_bundle), threads=1, folder=folder, **options
            )
        )

    return make


def talk(server: Any, *work: Callable[[Any], Awaitable[Any]]) -> list[Any]:
    """Return what an unchanged client gets."""

    async def run() -> list[Any]:
        async with mcp.Client(server) as client:
            return [await step(client) for step in work]

    return asyncio.run(run())


def call(name: str, **arguments: Any) -> Callable[[Any], Awaitable[Any]]:
    return lambda client: client.call_tool(name, arguments)


def test_what_is_spoken_is_a_signed_file(
    make_tools: Callable[..., Tools], stored_voice: str, model: valle.Model
) -> None:
    server = create_server(make_tools())
    spoken, voices = talk(server, call("speak", text=TEXT), call("list_voices"))
    speech = spoken.structured_content
    samples, rate = soundfile.read(speech["file"])
    expected = model.speak(TEXT, stored_voice)
    assert (len(samples), rate) == (len(expected.audio), expected.sample_rate)
    assert speech["seconds"] == pytest.approx(expected.seconds, abs=0.001)
    assert (speech["voice"], speech["played"]) == (stored_voice, False)
    assert Path(f"{speech['file']}.json").is_file()
    assert voices.structured_content == {
        "voices": [{"name": stored_voice, "usable": True, "why": None}]
    }
    (checked,) = talk(server, call("check_recording", file=speech["file"]))
    report = checked.structured_content
    assert report["provenance"]["verified"] is True
    assert report["seconds"] == pytest.approx(speech["seconds"], abs=0.001)
    by_name = talk(server, call("check_recording", file=Path(speech["file"]).name))
    assert by_name[0].structured_content == report


def test_no_tool_makes_a_voice(make_tools: Callable[..., Tools], stored_voice: str) -> None:
    (listed,) = talk(create_server(make_tools()), lambda client: client.list_tools())
    tools = {tool.name: tool for tool in listed.tools}
    assert sorted(tools) == ["check_recording", "list_voices", "speak"]
    assert set(tools["speak"].input_schema["properties"]) == {"text", "voice", "speed"}
    assert tools["list_voices"].annotations.read_only_hint is True


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("speak", {"text": TEXT, "voice": "Nobody"}, "choose one of: Babble"),
        ("speak", {"text": TEXT, "voice": "../../../etc/passwd"}, "no voice named"),
        ("speak", {"text": " "}, "text"),
        ("speak", {"text": "[voice:Nobody] Hello."}, "Nobody"),
        ("speak", {"text": "word " * 20}, "in parts"),
        ("speak", {"text": TEXT, "speed": 99}, "speed"),
        ("check_recording", {"file": "/etc/passwd"}, "no other folder is read"),
        ("check_recording", {"file": "../secret.wav"}, "no other folder is read"),
        ("check_recording", {"file": "notes.wav"}, "notes.wav"),
    ],
)
def test_refusals_say_why(
    make_tools: Callable[..., Tools],
    stored_voice: str,
    tmp_path: Path,
    tool: str,
    arguments: dict[str, Any],
    reason: str,
) -> None:
    tools = make_tools(max_characters=60)
    (tmp_path / "secret.wav").write_bytes(b"mine")
    (tmp_path / "spoken" / "notes.wav").write_text("not a recording")
    (answer,) = talk(create_server(tools), call(tool, **arguments))
    assert answer.is_error
    assert reason in answer.content[0].text
    assert "Traceback" not in answer.content[0].text
    assert sorted(path.name for path in (tmp_path / "spoken").iterdir()) == ["notes.wav"]


def test_a_folder_is_not_a_recording(
    make_tools: Callable[..., Tools], stored_voice: str, tmp_path: Path
) -> None:
    tools = make_tools()
    (tmp_path / "spoken" / "inner").mkdir()
    (answer,) = talk(create_server(tools), call("check_recording", file="inner"))
    assert answer.is_error


def test_a_revoked_voice_is_silent(
    make_tools: Callable[..., Tools], stored_voice: str, voice: valle.Voice, tmp_path: Path
) -> None:
    server = create_server(make_tools())
    revocation.revoke(voice.consent["id"])
    spoken, voices = talk(server, call("speak", text=TEXT), call("list_voices"))
    assert spoken.is_error
    assert "revoked" in spoken.content[0].text
    (known,) = voices.structured_content["voices"]
    assert known["usable"] is False
    assert "revoked" in known["why"]
    assert list((tmp_path / "spoken").iterdir()) == []


def test_progress_is_reported(make_tools: Callable[..., Tools], stored_voice: str) -> None:
    heard: list[tuple[float, float | None]] = []

    async def listen(done: float, count: float | None, _message: str | None) -> None:
        heard.append((done, count))

    talk(
        create_server(make_tools()),
        lambda client: client.call_tool("speak", {"text": TEXT}, progress_callback=listen),
    )
    assert heard[-1] == (2, 2)


def test_cancelled_speech_leaves_nothing(
    make_tools: Callable[..., Tools], stored_voice: str, tmp_path: Path
) -> None:
    tools, cancellation = make_tools(), Cancellation()
    with pytest.raises(CancelledError):
        tools.speak(LONG, report=lambda *_: cancellation.cancel(), cancellation=cancellation)
    assert list((tmp_path / "spoken").iterdir()) == []


def test_speech_is_played_one_after_the_other(
    make_tools: Callable[..., Tools],
    stored_voice: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A player of our own writes down what it is given; it fails for the third."""
    log = tmp_path / "played"
    programs = tmp_path / "programs"
    programs.mkdir()
    script = f'#!/bin/sh\necho noise\necho "$@" >> "{log}"\n[ $(wc -l < "{log}") -lt 3 ]\n'
    (programs / "aplay").write_text(script)
    (programs / "aplay").chmod(0o755)
    monkeypatch.setattr(player, "PLAYERS", (("aplay", "-q"),))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    tools = make_tools(play=True)
    threads = [threading.Thread(target=tools.speak, args=("Hello.",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = log.read_text().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("-q ") and Path(line[3:]).is_file() for line in lines)
    third = tools.speak("Hello.")
    assert not third.played
    assert "could not play" in third.notes[-1]
    assert Path(third.file).is_file()


def test_the_example_runs_by_standard_input(
    stored_voice: str, debug_bundle: Path, tmp_path: Path
) -> None:
    arguments = ["--voice", stored_voice, "--folder", str(tmp_path), "--bundle", str(debug_bundle)]
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments, TEXT],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tools: ")
    assert Path(lines[1].rpartition(": ")[2]).parent == tmp_path
    assert lines[2].startswith("its watermark was")


def test_programs_of_this_computer_reach_it_by_http(
    stored_voice: str, debug_bundle: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "valle", "mcp", "--port", str(port)]
    command += ["--bundle", str(debug_bundle), "--folder", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}/mcp"
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None
            time.sleep(0.05)
        (spoken,) = talk(url, call("speak", text="Hello."))
        assert Path(spoken.structured_content["file"]).is_file()
        # A page in the user's browser could otherwise call it (DNS rebinding).
        for header in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            assert httpx.post(url, json={}, headers=header).status_code in (403, 421)
    finally:
        server.terminate()
        server.wait(20)
        assert server.stderr is not None
        server.stderr.close()


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--voice", "Nobody"), 2, "Nobody"),
        (("--port", "0"), 2, "--port"),
        (("--folder", "/dev/null/x"), 7, "--folder"),
        (("--bundle", "/nowhere"), 5, "nowhere"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, reason: str
) -> None:
    assert main(["mcp", *words]) == code
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1


def test_a_missing_player_is_said_at_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(player, "PLAYERS", (("no-such-player",),))
    assert main(["mcp", "--play"]) == 7
    assert "no-such-player" in capsys.readouterr().err
