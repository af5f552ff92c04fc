"""The commands of docs/TRAINING.md that take a newcomer from a folder to a bundle, in order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import soundfile

from command_line import expect_success
from short_adaptation import limit_rounds
from valle.training.data import labels

PAGE = Path(__file__).parents[2] / "docs" / "TRAINING.md"
SECTION = "From a folder to your own bundle"
RATE = 16_000


def read_commands() -> list[list[str]]:
    page = PAGE.read_text(encoding="utf-8")
    section = page.split(f"\n## {SECTION}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def write_recordings(folder: Path) -> None:
    """Two minutes of a buzz in syllables, with transcripts."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(25):
        seconds = 4.9 + 0.01 * number
        time = np.arange(round(seconds * RATE)) / RATE
        buzz = np.sign(np.sin(2 * np.pi * (110 + number) * time))
        samples = 0.3 * buzz * np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
        name = "one" if number == 0 else str(number)
        samples += 0.001 * rng.standard_normal(len(time))
        soundfile.write(folder / f"{name}.wav", samples.astype(np.float32), RATE)
        (folder / f"{name}.txt").write_text("The boats came home late, one after the other.")


def test_every_command_runs(
    tmp_path: Path, debug_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # A recognizer of random weights finds none of the words, which does not matter here.
    monkeypatch.setattr(labels, "_MIN_SCORE", -100.0)
    limit_rounds(monkeypatch)
    write_recordings(tmp_path / "recordings")
    commands = read_commands()
    assert [command[1] for command in commands] == [
        "prepare",
        "prepare",
        "doctor",
        "train",
        "speak",
        "import",
        "export",
        "speak",
    ]
    for program, *words in commands:
        assert program == "valle"
        if words[0] == "import":
            words.append(str(debug_bundle))
        elif words[0] in ("train", "speak") and "--bundle" not in words:
            words += ["--bundle", str(debug_bundle)]
        if words[0] == "train":
            words[words.index("--minutes") + 1] = "1e6"  # the rounds are limited, not the time
            words += ["--workers", "1", "--device", "cpu"]
        expect_success(*words, *([] if words[0] in ("doctor", "import", "export") else ["-q"]))
    for name in ("mine.wav", "bundle.wav"):
        assert soundfile.info(tmp_path / name).frames > 0
    card = (tmp_path / "mine" / "MODEL_CARD.md").read_text()
    assert "Continued from the bundle debug" in card
    assert "Fine-tuned by the adapter ada" in card
