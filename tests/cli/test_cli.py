"""The command line: what it writes, and for everything that can go wrong its code and one line."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import valle
from conftest import ATTEST, RATE
from valle.cli import main as cli
from valle.cli.main import COMMANDS, Command, main
from valle.trust import ledger
from valle.voices import registry

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder: (exit code, stdout, stderr)."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def call(*argv: object) -> tuple[int, str, str]:
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def speak(run: Run, debug_bundle: Path, recording: Path) -> Run:
    """`valle speak` with the tiny model and a recording; the rest is given."""

    def call(*argv: object) -> tuple[int, str, str]:
        source = [] if "--voice" in argv or "--ref-audio" in argv else ["--ref-audio", recording]
        agreed = [] if "--voice" in argv or "--attest" in argv else ["--attest", ATTEST]
        bundle = [] if "--bundle" in argv else ["--bundle", debug_bundle]
        return run("speak", *argv, *source, *agreed, *bundle)

    return call


def refused(result: tuple[int, str, str], code: int, *says: str) -> None:
    """It ended with this code, one line that says so, nothing on stdout, and no file was left."""
    assert result[0] == code, result
    assert result[1] == ""
    assert result[2].startswith("valle: ") and result[2].count("\n") == 1, result[2]
    for part in says:
        assert part in result[2]
    assert os.listdir() == []


def test_speak_writes_the_file_and_says_so(speak: Run) -> None:
    code, out, err = speak("So be it.")
    assert (code, out) == (0, "")
    assert err.splitlines()[-1].startswith("speech.wav: ")
    assert sorted(os.listdir()) == ["speech.wav", "speech.wav.json"]
    with soundfile.SoundFile("speech.wav") as file:
        assert file.samplerate == 16000 and file.channels == 1 and file.frames > 1600


def test_what_was_spoken_can_be_verified(speak: Run, run: Run) -> None:
    speak("So be it.")
    code, out, _ = run("verify", "speech.wav")
    assert code == 0 and ledger.signer().id in out
    samples, rate = soundfile.read("speech.wav", dtype="int16")
    soundfile.write("speech.wav", samples[:-1], rate)
    assert run("verify", "speech.wav")[0] == 8


def test_quiet_is_quiet(speak: Run) -> None:
    assert speak("So be it.", "-q", "-o", "a.flac") == (0, "", "")
    assert soundfile.info("a.flac").format == "FLAC"


def test_json_tells_what_was_made(speak: Run) -> None:
    code, out, _ = speak("So be it. \U0001f980", "--json", "-q", "--seed", "5")
    made = json.loads(out)
    assert code == 0 and made["file"] == "speech.wav"
    assert [word["word"] for word in made["words"]] == ["So", "be", "it"]
    assert made["seconds"] == soundfile.info("speech.wav").duration
    assert made["skipped"][0]["text"] == "\U0001f980"
    assert made["provenance"]["options"]["seed"] == 5
    assert made["check"]["phoneme_error_rate"] >= 0


def test_options_have_an_effect_in_both_spellings(speak: Run) -> None:
    made = {}
    for name, options in {
        "plain": [],
        "again": ["--seed", "0"],
        "seed": ["--seed=7"],
        "cold": ["--temperature", "0"],
        "narrow": ["--top_p", "0.01"],
        "narrow2": ["--top-p=0.01"],
    }.items():
        assert speak("So be it.", "-q", "-o", f"{name}.wav", *options)[0] == 0
        made[name] = Path(f"{name}.wav").read_bytes()
    assert made["plain"] == made["again"] and made["narrow"] == made["narrow2"]
    assert len(set(made.values())) == 4
    assert speak("So be it.", "-q", "--duration", "3")[0] == 0
    assert soundfile.info("speech.wav").duration == 3.0


def test_text_from_a_file_and_from_standard_input(
    speak: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("text.txt").write_bytes("\ufeffSo be it.".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"So be it.")))
    for name, words in (("a", ["So be it."]), ("b", ["-i", "text.txt"]), ("c", ["-"])):
        assert speak(*words, "-q", "-o", f"{name}.wav")[0] == 0
    assert len({Path(f"{name}.wav").read_bytes() for name in "abc"}) == 1


def test_a_file_that_was_there_is_replaced(speak: Run) -> None:
    Path("speech.wav").write_bytes(b"old")
    assert speak("So be it.", "-q")[0] == 0
    assert soundfile.info("speech.wav").frames > 0


def test_help_and_version_need_no_model(run: Run) -> None:
    for argv, says in (
        (["--help"], [*COMMANDS, "valle COMMAND --help"]),
        (["--version"], [valle.__version__]),
        (["speak", "--help"], ["--ref-audio", "--top-p", "0.25 to 4"]),
        (["voices", "rename", "--help"], ["NEW-NAME"]),
    ):
        code, out, err = run(*argv)
        assert (code, err) == (0, "")
        assert all(part in out for part in says)


def bad_recordings(folder: Path, good: NDArray[np.float32]) -> dict[str, Path]:
    def written(name: str, samples: NDArray[np.float32]) -> Path:
        soundfile.write(folder / name, samples, RATE, subtype="FLOAT")
        return folder / name

    holed = good.copy()
    holed[1000] = np.nan
    cut = written("whole.wav", good).read_bytes()[: 44 + 1000]
    (folder / "cut.wav").write_bytes(cut)
    (folder / "text.wav").write_text("this is no audio")
    (folder / "nothing.wav").write_bytes(b"")
    return {
        "missing": folder / "missing.wav",
        "a folder": folder,
        "no bytes": folder / "nothing.wav",
        "no samples": written("empty.wav", good[:0]),
        "one sample": written("one.wav", good[:1]),
        "too short": written("short.wav", good[:RATE]),
        "silent": written("silent.wav", np.zeros(3 * RATE, np.float32)),
        "not a number": written("nan.wav", holed),
        "cut off": folder / "cut.wav",
        "no audio": folder / "text.wav",
    }


KINDS = (
    "missing|a folder|no bytes|no samples|one sample|too short|silent|not a number|cut off|no audio"
)


@pytest.mark.parametrize("kind", KINDS.split("|"))
def test_recordings_that_cannot_be_used(
    speak: Run, babble: NDArray[np.float32], tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    refused(speak("So be it.", "--ref-audio", bad_recordings(folder, babble)[kind]), 3)


@pytest.mark.parametrize("text", ["", " ", "... !?", "\U0001f980\U0001f600"])
def test_text_with_nothing_to_say(speak: Run, text: str) -> None:
    refused(speak(text), 4)


def test_text_that_cannot_be_read(speak: Run, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    refused(speak("-i", tmp_path / "latin.txt"), 4, "UTF-8")
    refused(speak("-i", tmp_path / "none.txt"), 4, "none.txt")


@pytest.mark.parametrize("kind", ["missing", "no folder", "altered", "graph gone", "later"])
def test_bundles_that_cannot_be_used(
    speak: Run, debug_bundle: Path, tmp_path: Path, kind: str
) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in debug_bundle.iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())
    if kind == "missing":
        (bundle / "config.json").unlink()
    elif kind == "no folder":
        bundle = tmp_path / "none"
    elif kind == "altered":
        data = bytearray((bundle / "ar.onnx").read_bytes())
        data[len(data) // 2] ^= 1
        (bundle / "ar.onnx").write_bytes(data)
    elif kind == "graph gone":
        (bundle / "nar.onnx").unlink()
    else:
        config = json.loads((bundle / "config.json").read_text())
        (bundle / "config.json").write_text(json.dumps(config | {"format": 99}))
    says = {"altered": "ar.onnx", "graph gone": "nar.onnx", "later": "99"}
    refused(speak("So be it.", "--bundle", bundle), 5, says.get(kind, "bundle"))


def test_outputs_that_cannot_be_written(speak: Run, tmp_path: Path) -> None:
    refused(speak("So be it.", "-o", tmp_path), 7, "folder")
    refused(speak("So be it.", "-o", tmp_path / "none" / "a.wav"), 7, "none")
    refused(speak("So be it.", "-o", "x" * 300 + ".wav"), 7)
    refused(speak("So be it.", "-o", "speech.xyz"), 2, ".flac")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_full_disk(speak: Run, tmp_path: Path) -> None:
    (tmp_path / "full.wav").symlink_to("/dev/full")
    code, _, err = speak("So be it.", "-q", "-o", tmp_path / "full.wav")
    assert code == 7 and err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "COMMAND"),
        (["sing"], "sing"),
        (["speak"], "TEXT"),
        (["speak", "Hi.", "-i", "x.txt"], "TEXT"),
        (["speak", "Hi."], "--voice"),
        (["speak", "Hi.", "--voice", "A", "--ref-audio", "a.wav"], "--voice"),
        (["speak", "Hi.", "--voice", "A", "--attest", "mine"], "--attest"),
        (["speak", "Hi.", "--voice", "A", "--ref_text", "x"], "--ref-text"),
        (["speak", "Hi.", "--voice", "A", "--speed", "9"], "--speed"),
        (["speak", "Hi.", "--voice", "A", "--speed", "x"], "--speed"),
        (["speak", "Hi.", "--voice", "A", "--top-p", "0"], "--top-p"),
        (["speak", "Hi.", "--voice", "A", "--seed", "1.5"], "--seed"),
        (["speak", "Hi.", "--voice", "A", "--speed", "2", "--duration", "3"], "--duration"),
        (["speak", "Hi.", "--voice", "A", "--sped", "2"], "--sped"),
        (["speak", "Hi.", "--voice", "A", "-o", "-", "--json"], "--json"),
        (["speak", "Hi.", "--voice", "nobody"], "nobody"),
        (["speak", "Hi.", "--voice", "A", "--threads", "0"], "--threads"),
        (["enroll", "a.wav", "--attest", "mine"], "--name"),
        (["enroll", "a.wav", "--attest", "mine", "--name", "../up"], "../up"),
        (["enroll", "a.wav", "--attest", "mine", "--name", ""], "name"),
        (["voices", "show", "nobody"], "nobody"),
        (["voices", "show", "../../etc/passwd"], "passwd"),
        (["voices", "remove", "nobody"], "nobody"),
        (["voices", "rename", "nobody", "somebody"], "nobody"),
        (["voices", "dance"], "dance"),
        (["speak", "Hi.", "--voice", "A", "--challenge", "x"], "--challenge"),
        (["enroll", "a.wav", "--name", "A", "--attest", "mine", "--challenge", "x"], "--consent"),
        (["consent"], "ACTION"),
        (["consent", "new"], "--name"),
        (["consent", "new", "--name", "../up"], "../up"),
        (["consent", "new", "--name", "A", "--languages", "tlh"], "tlh"),
        (["consent", "new", "--name", "A", "--expires", "2020-01-01"], "past"),
        (["consent", "new", "--name", "A", "--expires", "soon"], "soon"),
        (["consent", "new", "--name", "A", "--purpose", "[[x]]"], "--purpose"),
        (["consent", "new", "--name", "A", "--user", "\n"], "--user"),
        (["consent", "revoke", "nobody"], "nobody"),
        (["ledger", "burn"], "burn"),
    ],
)
def test_usage(run: Run, argv: list[str], says: str) -> None:
    refused(run(*argv), 2, says)


def test_a_voice_file_that_is_none(run: Run) -> None:
    refused(run("speak", "Hi.", "--voice", "./none.voice"), 3, "none.voice")


@pytest.mark.parametrize("command", ["speak", "enroll"])
def test_a_new_recording_needs_agreement(run: Run, recording: Path, command: str) -> None:
    words = {
        "speak": ["speak", "So be it.", "--ref-audio", str(recording)],
        "enroll": ["enroll", str(recording), "--name", "Ada"],
    }[command]
    refused(run(*words), 6, "--attest")
    refused(run(*words, "--attest", " "), 6, "--attest")
    refused(run(*words, "--consent", recording), 6, "valle consent new")
    refused(run(*words, "--consent", recording, "--attest", "mine"), 2, "--attest")
    assert registry.names() == []


def test_enroll_keeps_a_voice_and_voices_manages_it(
    run: Run, speak: Run, debug_bundle: Path, recording: Path
) -> None:
    enroll = ["enroll", recording, "--attest", ATTEST, "--bundle", debug_bundle, "--name"]
    code, out, _ = run(*enroll, "Ada", "--json")
    assert code == 0 and json.loads(out)["consent"]["statement"] == ATTEST
    refused(run(*enroll, "ada"), 2, "Ada")
    assert run("voices") == (0, "Ada\n", "")
    assert run("voices", "list", "--json") == (0, '["Ada"]\n', "")
    code, out, _ = run("voices", "show", "Ada", "--json")
    assert code == 0 and json.loads(out)["name"] == "Ada" and json.loads(out)["seconds"] > 1.5
    assert "name: Ada" in run("voices", "show", "Ada")[1]
    assert run("voices", "rename", "Ada", "Grace")[:2] == (0, "")
    assert registry.names() == ["Grace"]
    assert speak("So be it.", "--voice", "Grace", "-q")[0] == 0
    assert json.loads(Path("speech.wav.json").read_text())["voice"] == "Grace"
    assert run("voices", "remove", "Grace")[0] == 0
    assert run("voices") == (0, "", "")


def test_a_missing_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "train", Command("valle_needs_torch", "train", "train"))
    monkeypatch.setattr(
        cli.importlib, "import_module", lambda name: exec("import torch_that_is_not_there")
    )
    refused(run("train"), 2, "torch_that_is_not_there", "pip install 'valle[train]'")


def test_a_fault_is_one_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "names", lambda: 1 / 0)
    refused(run("voices"), 1, "ZeroDivisionError", "VALLE_DEBUG")


def outside(*argv: object, **settings: object) -> subprocess.Popen[bytes]:
    """Python in a process of its own, with this very valle."""
    return subprocess.Popen(
        [sys.executable, *map(str, argv)],
        env=os.environ | {"PYTHONPATH": str(Path(valle.__file__).parents[1])},
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings),  # type: ignore
    )


def test_standard_output_carries_a_wav(debug_bundle: Path, recording: Path, tmp_path: Path) -> None:
    words = ["-m", "valle", "speak", "So be it.", "--ref-audio", recording, "--attest", ATTEST]
    process = outside(*words, "--bundle", debug_bundle, "-o", "-", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and b"Traceback" not in err
    samples, rate = soundfile.read(io.BytesIO(out))
    assert rate == 16000 and len(samples) > 1600
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []


def test_a_reader_that_leaves(tmp_path: Path, voice: valle.Voice) -> None:
    registry.add(voice)
    read, write = os.pipe()
    os.close(read)
    process = outside("-m", "valle", "voices", stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert err.count(b"\n") == 1 and b"Traceback" not in err


def test_an_interrupt_at_any_other_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "names", interrupted)
    refused(run("voices"), 130, "interrupted")


# The process says when it has begun to speak, so that the interrupt comes in the middle of it.
INTERRUPTED = """
import sys
from valle.cli.main import main
from valle.synthesis.assembler import Output

begin = Output.begin

def begin_and_say_so(self, sentence):
    print("begun", file=sys.stderr, flush=True)
    begin(self, sentence)

Output.begin = begin_and_say_so
sys.exit(main(sys.argv[1:]))
"""


def test_an_interrupt_leaves_nothing(debug_bundle: Path, recording: Path, tmp_path: Path) -> None:
    folder = tmp_path / "interrupted"
    folder.mkdir()
    words = ["speak", "It goes on and on. " * 500, "--ref-audio", recording, "--attest", ATTEST]
    process = outside("-c", INTERRUPTED, *words, "--bundle", debug_bundle, cwd=folder)
    assert process.stderr is not None
    for _ in range(2):
        assert process.stderr.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = [line for line in err.splitlines() if line != b"begun"]
    assert len(lines) == 1 and lines[0].startswith(b"valle: interrupted")
    assert list(folder.iterdir()) == []


def test_importing_valle_is_light() -> None:
    heavy = "{'numpy', 'onnxruntime', 'pydantic', 'soundfile', 'torch'}"
    code = f"import sys, valle, valle.cli.main; print(sorted({heavy} & set(sys.modules)))"
    out, _ = outside("-c", code).communicate(timeout=60)
    assert out.strip() == b"[]"
