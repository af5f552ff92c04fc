"""The application under Ray Serve: two replicas share one registry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray.serve", reason="needs the extra [ray]")

import valle
from valle.server.settings import ServeOptions
from valle.voices import registry as voice_folder

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, socket, subprocess, sys, time, urllib.error, urllib.request

import ray
from ray import serve

ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 << 20)
import ray_serve

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(ray_serve.deployment)
body = {"model": "tts-1", "voice": "Babble", "input": "Hello.", "response_format": "pcm"}


def speak():
    url = f"http://127.0.0.1:{port}/v1/audio/speech"
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        return urllib.request.urlopen(request).read()
    except urllib.error.HTTPError as error:
        return error.code


answers = {speak() for _ in range(8)}
assert len(answers) == 1 and len(answers.pop()) > 1000
subprocess.run([sys.executable, "-m", "valle", "consent", "revoke", "Babble"], check=True)
assert {speak() for _ in range(8)} == {403}
serve.shutdown()
"""


@pytest.mark.slow
def test_two_replicas_speak_the_same_and_hear_of_a_revocation(
    home: Path, debug_bundle: Path, voice: valle.Voice, tmp_path: Path
) -> None:
    voice_folder.add(voice)
    options = ServeOptions.from_keywords(bundle=str(debug_bundle), threads=1)
    paths = [str(ROOT / "src"), str(ROOT / "examples" / "server"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "VALLE_SERVE_OPTIONS": options.model_dump_json(),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
