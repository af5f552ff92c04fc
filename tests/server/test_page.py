"""The examples of docs/SERVER.md do what the page says, against a server of the tests."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

import valle
from valle.registry.keys import SCOPES
from valle.server.openai.speech import SpeechBody
from valle.server.settings import ServeOptions
from valle.voices import registry as voice_folder

PAGE = (Path(__file__).parents[2] / "docs" / "SERVER.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


SAMPLES = Path(__file__).parents[2] / "examples"
UPLOADED = {
    "novel.epub": "rain.epub",
    "film.mp4": "clip.mp4",
    "film.srt": "clip.srt",
    "talk.wav": "voice.wav",
}


@pytest.fixture
def url(serve, home: Path, voice: valle.Voice) -> str:
    import dataclasses

    for name in ("Ada", "Grace"):
        voice_folder.add(dataclasses.replace(voice, name=name))
    return serve().url


def run(example: str, url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = example.replace("http://127.0.0.1:8000", url)
    script = re.sub(r"\bpython -", f"{sys.executable} -", script)
    return subprocess.run(
        ["bash", "-euc", script], cwd=folder, capture_output=True, text=True, check=False
    )


def test_commands_with_curl_work(url: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    examples = [example for example in EXAMPLES if example.startswith("curl")]
    assert len(examples) == 5
    for name, source in UPLOADED.items():
        shutil.copyfile(SAMPLES / source, tmp_path / name)
    for example in examples:
        done = run(example.replace("curl ", "curl -f -sS "), url, tmp_path)
        assert done.returncode == 0, (example, done.stderr)
    for name in ("hello.mp3", "hello-elevenlabs.mp3"):
        assert (tmp_path / name).stat().st_size > 1000


def test_the_program_with_openais_client_works(url: str, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    (example,) = [example for example in EXAMPLES if "import openai" in example]
    done = run(example, url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hello-openai.mp3").stat().st_size > 1000


def test_the_page_names_every_field_and_scope() -> None:
    named = set(re.findall(r"`([a-z_]+)`", PAGE))
    fields = set(SpeechBody.model_fields) - {"redo"}
    assert fields - named == set()
    assert set(SCOPES) - named == set()
    options = {f"--{name.replace('_', '-')}" for name in ServeOptions.model_fields}
    shown = set(re.findall(r"(--[a-z-]+)", PAGE))
    assert {"--allow-attested", "--idle-unload", "--database"} <= shown & options
