"""A new voice on the times of the old one: in a film, alone, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import valle
from command_line import expect_usage_error
from film_files import FilmSpec, write_film_file
from valle.cli.main import main
from valle.files import data_folder

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "voice.wav"
TEXT = "The lighthouse stood alone above the harbor. A boat brought bread and letters."
ATTEST = "I hold the rights to this voice"


@pytest.fixture(scope="module")
def speech() -> valle.Speech:
    model = valle.load(threads=1)
    return model.speak(TEXT, model.enroll(SAMPLE, name="Sample", attest=ATTEST), retries=0)


@pytest.fixture
def folder(speech: valle.Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A film that speaks from 2 s on, and its script."""
    pytest.importorskip("av", reason="needs the extra [media]")
    monkeypatch.chdir(tmp_path)
    samples, rate = speech.render(rate=48_000)
    late = np.concatenate([np.zeros(2 * rate, np.float32), samples])
    write_film_file(Path("film.mp4"), FilmSpec(seconds=len(late) / rate), late)
    Path("script.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def test_film_is_spoken_on_its_own_times(
    folder: Path, speech: valle.Speech, capsys: pytest.CaptureFixture[str]
) -> None:
    from film_files import hash_pictures
    from valle.media.films import read_film, read_sound

    argv = ["sync", "film.mp4", "--script", "script.txt", "--ref-audio", str(SAMPLE)]
    argv += ["--attest", ATTEST, "--seed", "3", "--retries", "0", "-o", "new.mp4"]
    assert main([*argv, "--json", "--plot", "plot.png"]) == 0
    report = json.loads(capsys.readouterr().out)
    spoken = [word["start"] for word in report["spoken"]]
    errors = np.abs(np.array(spoken) - 2 - [word.start for word in speech.words])
    assert np.median(errors) <= 0.06
    assert hash_pictures(Path("new.mp4")) == hash_pictures(Path("film.mp4"))
    film = read_film("new.mp4")
    assert [track.language for track in film.sounds] == ["eng", "deu"]
    sound = np.concatenate([block[0] for block in read_sound(film, film.sounds[0], 16_000)])
    assert np.abs(sound[: round(1.9 * 16_000)]).max() < 1e-3  # nothing before the first word
    assert np.abs(sound[2 * 16_000 :]).max() > 0.05
    assert Path("new.mp4.json").exists()
    assert main(["verify", "new.mp4"]) == 0
    assert main(argv) == 7


def test_speech_alone_is_as_long_as_the_original(folder: Path, speech: valle.Speech) -> None:
    argv = ["sync", "film.mp4", "--script", "script.txt", "--ref-audio", SAMPLE, "-q"]
    argv += ["--attest", ATTEST, "--retries", "0", "-o", "new.wav"]
    assert main([str(word) for word in argv]) == 0
    import soundfile

    samples, rate = soundfile.read("new.wav")
    assert 2 + speech.words[-1].end == pytest.approx(len(samples) / rate, abs=0.5)


def test_what_makes_no_sense_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ["sync", "film.mp4", "--script", "script.txt"]
    message = expect_usage_error(capsys, *start, "-o", "new.mp4")
    assert "--voice NAME|FILE or --ref-audio FILE" in message
    unconsented = [*start, "--ref-audio", str(SAMPLE)]
    start = [*unconsented, "--attest", ATTEST]
    message = expect_usage_error(capsys, *start, "--original", "duck", "-o", "new.wav")
    assert "--original is about the sound of a film" in message
    message = expect_usage_error(capsys, *start, "-o", "new.avi")
    assert ".mp4" in message
    message = expect_usage_error(capsys, "sync", SAMPLE, *start[2:], "-o", "new.mp4")
    assert "has no picture" in message
    assert main([*unconsented, "-o", "new.mp4"]) == 6
    assert not Path("new.mp4").exists()


def test_a_second_run_speaks_only_what_changed(folder: Path) -> None:
    kept = data_folder() / "cache"
    argv = ["sync", "film.mp4", "--script", "script.txt", "--ref-audio", SAMPLE, "-q", "--force"]
    argv += ["--attest", ATTEST, "--retries", "0", "--original", "replace", "-o", "new.mp4"]

    def run(*more: str) -> int:
        before = set(kept.glob("*.npz"))
        assert main([str(word) for word in [*argv, *more]]) == 0
        return len(set(kept.glob("*.npz")) - before)

    assert run("--no-cache") == 0
    whole = Path("new.mp4").read_bytes()
    phrases = run()
    assert phrases >= 2
    assert Path("new.mp4").read_bytes() == whole
    assert run() == 0
    assert Path("new.mp4").read_bytes() == whole
    # Without the first sentence, the phrases after it are at other numbers, and the same ones.
    Path("script.txt").write_text("A boat brought bread and letters.", encoding="utf-8")
    assert run() == 0
    Path("script.txt").write_text(TEXT.replace("bread", "tread"), encoding="utf-8")
    assert 1 <= run() < phrases


def test_an_interrupt_says_what_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("valle.cli.sync.synchronize", interrupt)
    argv = ["sync", "film.mp4", "--script", "script.txt", "--ref-audio", str(SAMPLE)]
    argv += ["--attest", ATTEST, "-o", "new.mp4"]
    assert main(argv) == 130
    assert "goes on from here" in capsys.readouterr().err
    assert main([*argv, "--no-cache"]) == 130
    assert "nothing is kept" in capsys.readouterr().err
    assert not Path("new.mp4").exists()
