"""Films dubbed by the tiny model: what is spoken when, and what stays as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="needs the extra [media]")

import valle
from command_line import Result, RunCommand
from conftest import ATTEST
from film_files import FilmSpec, find_clicks, hash_pictures, write_film_file
from valle.audio.loudness import measure_loudness
from valle.cli.main import main
from valle.dubbing.dub import dub_film
from valle.dubbing.onsets import find_sound
from valle.dubbing.report import DubResult, describe_result
from valle.errors import ConsentError, RecordingError, TextError, UsageError
from valle.media.films import read_film, read_sound
from valle.media.subtitles import read_subtitles, to_srt
from valle.trust import ledger
from valle.trust.provenance import read_sidecar
from valle.trust.spoken import was_spoken

CUES = [
    (0.5, 2.0, "Oh no."),
    (2.0, 2.6, "This is far too long for that."),
    (4.0, 5.0, "[a bell] Go."),
    (5.5, 6.5, "BOB: Go."),
]
SECONDS = 8.0


@pytest.fixture
def film(tmp_path: Path) -> Path:
    spec = FilmSpec(seconds=SECONDS, clicks=(0.1, 3.7), level=0.3)
    return write_film_file(tmp_path / "film.mp4", spec)


@pytest.fixture
def subtitles(tmp_path: Path) -> Path:
    (tmp_path / "film.srt").write_text(to_srt(CUES))
    return tmp_path / "film.srt"


Dub = Callable[..., DubResult]


@pytest.fixture
def dub(model: valle.Model, voice: valle.Voice, film: Path, subtitles: Path, tmp_path: Path) -> Dub:
    def call(**options: Any) -> DubResult:
        given: dict[str, Any] = {"film": film, "subtitles": subtitles, "retries": 0}
        output = {"output": tmp_path / "out.mp4"}
        return dub_film(model, voice=voice, **(given | output | options))

    return call


def hear(path: Path, track: int = 0) -> np.ndarray:
    film = read_film(path)
    return np.concatenate(list(read_sound(film, film.sounds[track], 48_000)), axis=1)[0]


def test_speech_begins_with_its_cue_and_the_rest_stays(film: Path, dub: Dub) -> None:
    result = dub()
    assert hash_pictures(result.path) == hash_pictures(film)
    written = read_film(result.path)
    assert [track.language for track in written.sounds] == ["eng", "deu"]
    assert find_clicks(hear(result.path, 1), 48_000) == pytest.approx([0.1, 3.7], abs=1e-4)
    samples = hear(result.path)
    first = result.cues[0]
    assert first.placement.start == first.slot.start == 0.5
    heard = samples[: round((first.placement.end + 0.01) * 48_000)]
    begin, end = find_sound(heard, 48_000)
    assert begin == pytest.approx(0.5, abs=0.02)
    assert end == pytest.approx(first.placement.end, abs=0.02)
    texts = [dubbed.cue.text for dubbed in result.cues]
    assert texts == ["Oh no.", "This is far too long for that.", "Go.", "Go."]
    assert [round(d.slot.start, 3) for d in result.cues] == [0.5, 2.0, 4.0, 5.5]


def test_reports_say_what_to_shorten(dub: Dub) -> None:
    result = dub()
    lines = "\n".join(describe_result(result))
    for dubbed in result.too_long:
        syllables, characters = dubbed.shorten or (0, 0)
        assert 1 <= syllables <= dubbed.speech.syllables
        assert 1 <= characters <= len(dubbed.cue.text)
    assert "[a bell]" in lines
    assert "BOB (1 cue)" in lines
    described = json.loads(json.dumps(result.describe()))
    assert [cue["cue"] for cue in described["cues"]] == ["1", "2", "3", "4"]
    cues = result.to_cues()
    assert [text for _, _, text in cues] == [text for _, _, text in CUES]
    for (start, end, _), dubbed in zip(cues, result.cues, strict=True):
        assert start == dubbed.placement.start
        assert end >= dubbed.placement.end - 1e-9


def test_a_second_run_speaks_only_what_changed(
    model: valle.Model, dub: Dub, subtitles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = dub(cache=True)
    before = first.path.read_bytes()
    spoken: list[str] = []
    original = model.speak

    def speak(text: str, *rest: Any, **options: Any) -> valle.Speech:
        spoken.append(text)
        return original(text, *rest, **options)

    monkeypatch.setattr(model, "speak", speak)
    assert dub(overwrite=True).path.read_bytes() == before
    assert spoken == []
    subtitles.write_text(to_srt([*CUES[:3], (5.5, 6.5, "Now it is new.")]))
    dub(overwrite=True)
    assert set(spoken) <= {"Now it is new.", "This is far too long for that.", "Go."}
    assert "Now it is new." in spoken
    spoken.clear()
    dub(overwrite=True, cache=False)
    assert len(spoken) >= 4
    spoken.clear()
    dub(overwrite=True, redo=[1])
    assert "Oh no." in spoken


def test_short_cues_are_known_again(voice: valle.Voice, dub: Dub) -> None:
    receipt = voice.consent["id"]
    sounds = [cue.placement.end - cue.placement.start for cue in dub(original="replace").cues]
    assert max(sounds[2:]) < 1.0  # alone, they are too short for a fingerprint
    samples = hear(dub(original="replace", overwrite=True).path)
    last = samples[round(3.4 * 48_000) : round(7.4 * 48_000)]
    assert was_spoken(receipt, last, 48_000) is True
    assert was_spoken(receipt, last[::-1].copy(), 48_000) is False
    assert was_spoken(receipt, np.zeros_like(last), 48_000) is False


def test_voices_of_speakers(model: valle.Model, recording: Path, dub: Dub) -> None:
    bob = model.enroll(recording, name="Bob", attest=ATTEST)
    result = dub(voices={"bob": bob, "EVE": bob})
    assert [dubbed.voice for dubbed in result.cues] == ["Babble", "Babble", "Babble", "Bob"]
    notes = "\n".join(map(str, result.notes))
    assert "no cue is of eve" in notes
    record = read_sidecar(result.path)
    assert record is not None
    assert not record.altered
    assert [voice["voice"] for voice in record.record["voices"]] == ["Babble", "Bob"]


@pytest.mark.parametrize("original", ["keep", "replace", "duck"])
def test_original_sound(dub: Dub, original: str) -> None:
    result = dub(original=original)
    assert len(read_film(result.path).sounds) == (2 if original == "keep" else 1)
    silence = hear(result.path)[round(3.69 * 48_000) : round(3.72 * 48_000)]
    quiet_enough = not any(
        d.placement.start - 0.3 < 3.7 < d.placement.end + 0.3 for d in result.cues
    )
    if quiet_enough:
        assert (np.abs(silence).max() > 0.1) == (original == "duck")


def test_background_is_mixed_in(dub: Dub, recording: Path) -> None:
    with_background = hear(dub(background=str(recording), original="replace").path)
    without = hear(dub(original="replace", overwrite=True).path)
    difference = with_background[: 3 * 48_000] - without[: 3 * 48_000]
    assert np.abs(difference).max() > 0.05
    with pytest.raises(RecordingError, match="no file"):
        dub(background="missing.wav", overwrite=True)
    with pytest.raises(UsageError, match="background"):
        dub(background=str(recording), original="duck", overwrite=True)


def test_loudness_is_given_or_that_of_the_original(dub: Dub, film: Path) -> None:
    assert dub(loudness=-23.0).loudness == -23.0
    assert dub(overwrite=True).loudness == -16.0  # of a film that is nearly silent
    time = np.arange(round(SECONDS * 48_000)) / 48_000
    tone = (0.1 * np.sin(2 * np.pi * 997 * time)).astype(np.float32)
    write_film_file(film, FilmSpec(seconds=SECONDS), tone)
    result = dub(overwrite=True)
    assert result.loudness == pytest.approx(-20.0, abs=0.3)  # 0 dBFS in two channels is 0 LUFS
    where = result.cues[0].placement
    heard = hear(result.path)[round(where.start * 48_000) : round(where.end * 48_000)]
    assert measure_loudness(heard, 48_000) + 3.01 == pytest.approx(-20.0, abs=2.0)


def test_films_without_sound(tmp_path: Path, dub: Dub) -> None:
    silent = write_film_file(tmp_path / "silent.mp4", FilmSpec(seconds=SECONDS, layouts=()))
    assert len(read_film(dub(film=silent).path).sounds) == 1
    with pytest.raises(UsageError, match="no sound"):
        dub(film=silent, original="duck", overwrite=True)


def test_the_ledger_has_each_text_also_from_the_cache(dub: Dub) -> None:
    dub()
    before = list(ledger.read_lines())
    dub(overwrite=True)
    (line,) = list(ledger.read_lines())[len(before) :]
    assert line["what"] == "speak"
    text = "\n".join(["Oh no.", "This is far too long for that.", "Go.", "Go."])
    assert line["text_hmac"] == ledger.get_signing_key().authenticate_text(text)


def test_what_is_wrong_is_said_and_nothing_is_written(
    tmp_path: Path, dub: Dub, subtitles: Path, voice: valle.Voice
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match=".mkv"):
        dub(output=tmp_path / "out.ogg")
    with pytest.raises(UsageError, match="--redo 9"):
        dub(redo=[9])
    with pytest.raises(UsageError, match="--spill"):
        dub(spill=-1)
    with pytest.raises(UsageError, match="track 'jpn'"):
        dub(track="jpn")
    late = read_subtitles(subtitles)
    late.cues[:] = [
        type(cue)(**{**vars(cue), "start": cue.start + 900, "end": cue.end + 900})
        for cue in late.cues
    ]
    with pytest.raises(TextError, match="another film"):
        dub(subtitles=late)
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "out.mp4").write_text("mine")
    with pytest.raises(FileExistsError):
        dub()
    assert (tmp_path / "out.mp4").read_text() == "mine"


def test_revoked_voices_are_refused_even_from_the_cache(
    model: valle.Model, recording: Path, film: Path, subtitles: Path, tmp_path: Path
) -> None:
    other = model.enroll(recording, name="Other", attest=ATTEST)
    dub_film(model, film, subtitles, other, tmp_path / "out.mp4", retries=0)
    ledger.append("revoke", revoked={other.consent["id"]: "0" * 64})
    with pytest.raises(ConsentError):
        dub_film(model, film, subtitles, other, tmp_path / "again.mp4", retries=0)
    assert not (tmp_path / "again.mp4").exists()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], debug_bundle: Path, recording: Path) -> RunCommand:
    def call(*argv: object) -> Result:
        words = ["dub", *argv, "--ref-audio", recording, "--attest", ATTEST]
        code = main([str(word) for word in [*words, "--bundle", debug_bundle]])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_command(run: RunCommand, film: Path, subtitles: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra [plot]")
    output = tmp_path / "dubbed.mkv"
    files = ["-o", output, "--srt", "--plot", tmp_path / "plot.png"]
    base = [film, "--subtitles", subtitles, *files, "--retries", "0"]
    (tmp_path / "who.csv").write_text("1-2,Ada\n")
    code, out, err = run(*base, "--json", "--speakers", tmp_path / "who.csv")
    assert code == 0, err
    assert len(json.loads(out)["cues"]) == 4
    assert re.search(r"4 cues spoken: \d faster", err)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "dubbed.srt").read_text().count("-->") == 4
    code, _, err = run(*base)
    assert (code, "--force" in err) == (7, True)
    code, _, err = run(*base, "--force", "-q")
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--cast", "BOB"], 2, "SPEAKER=NAME"),
        (["--cast", "BOB=nobody"], 2, "nobody"),
        (["--max-rate", "9"], 2, "--max-rate"),
        (["--subtitles", "missing.srt"], 4, "missing.srt"),
        (["--background", "missing.wav"], 3, "missing.wav"),
        (["-o", "out.wav"], 2, ".mkv"),
    ],
)
def test_command_refuses(
    run: RunCommand,
    film: Path,
    subtitles: Path,
    tmp_path: Path,
    words: list[str],
    code: int,
    message: str,
) -> None:
    result = run(film, "--subtitles", subtitles, "-o", tmp_path / "out.mp4", *words)
    assert result[0] == code, result
    assert message in result[2]
    assert not (tmp_path / "out.mp4").exists()
