"""Captions by alignment: their formats, and what is said when the script is not right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import valle
from command_line import expect_usage_error
from film_files import FilmSpec, write_film_file
from valle.cli.main import main
from valle.dubbing.caption import Captions, make_captions
from valle.errors import TextError
from valle.runtime.transcript import TimedSentence, TimedTranscript
from valle.text.segmentation import split_sentences

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "voice.wav"
TEXT = 'Bright "copper" pans hung there.\n\nNobody, she said, had paid $5!'
RATE = 50.0


def time_text(text: str, silent: Sequence[str] = (), pause: int = 0) -> TimedTranscript:
    """Each phoneme takes 4 frames; words in `silent` none; `pause` frames between sentences."""
    position, sentences = 50, []
    for sentence in split_sentences(text)[0]:
        starts, counts = [], []
        for phoneme in sentence.phonemes:
            word = sentence.words[phoneme.word].text if phoneme.word >= 0 else None
            starts.append(position)
            counts.append(0 if word is None or word in silent else 4)
            position += counts[-1]
        position += pause
        scores = np.ones(len(starts), np.float32)
        sentences.append(TimedSentence(sentence, np.array(starts), np.array(counts), scores))
    return TimedTranscript(text, sentences, RATE, position / RATE + 1)


def test_words_keep_their_punctuation_and_times() -> None:
    transcript = time_text(TEXT)
    captions = make_captions(transcript)
    assert [word.text for word in captions.words] == [
        "Bright", '"copper"', "pans", "hung", "there.", "Nobody,", "she", "said,", "had", "paid",
        "$5!",
    ]  # fmt: skip
    assert [word.start for word in captions.words] == [word.start for word in transcript.words]
    assert captions.left_out == []


def test_paragraphs_and_long_pauses_end_cues() -> None:
    assert [cue.lines[0] for cue in make_captions(time_text(TEXT)).cues] == [
        'Bright "copper" pans hung there.',
        "Nobody, she said, had paid $5!",
    ]
    together = make_captions(time_text("Yes. No. Go.", pause=5)).cues
    apart = make_captions(time_text("Yes. No. Go.", pause=150)).cues
    assert len(together) == 1
    assert len(apart) == 3


def test_words_that_are_not_said_are_not_shown() -> None:
    captions = make_captions(time_text(TEXT, silent=["copper", "paid"]))
    assert [word.text for word in captions.left_out] == ["copper", "paid"]
    assert "copper" not in captions.to_srt()
    assert "had $5!" in captions.to_srt()
    with pytest.raises(TextError, match="no word of the script was heard"):
        make_captions(time_text("Go.", silent=["Go"]))


def read_karaoke(captions: Captions) -> list[tuple[float, str]]:
    """(start in seconds, word) as a player lights them up."""
    import pysubs2

    found = []
    for event in pysubs2.SSAFile.from_string(captions.to_ass()):
        moment = event.start / 10
        for part in event.text.replace("\\N", " ").split("{\\k")[1:]:
            length, _, text = part.partition("}")
            found += [(moment / 100, text.strip())] if text.strip() else []
            moment += int(length)
        assert moment <= event.end / 10 + 1
    return found


def test_karaoke_lights_up_each_word_when_it_is_said() -> None:
    pytest.importorskip("pysubs2", reason="needs the extra [media]")
    captions = make_captions(time_text(TEXT * 3, pause=20))
    lit = read_karaoke(captions)
    assert [word for _, word in lit] == [word.text for word in captions.words]
    for (start, _), word in zip(lit, captions.words, strict=True):
        assert start == pytest.approx(word.start, abs=0.011)


def test_all_formats_have_the_same_cues() -> None:
    pysubs2 = pytest.importorskip("pysubs2", reason="needs the extra [media]")
    captions = make_captions(time_text(TEXT))
    read = [
        pysubs2.SSAFile.from_string(text)
        for text in (captions.to_srt(), captions.to_vtt(), captions.to_ass())
    ]
    assert len({tuple(event.plaintext for event in file) for file in read}) == 1
    words = json.loads(captions.to_words())
    assert [word["word"] for word in words] == [word.text for word in captions.words]


@pytest.fixture(scope="module")
def talk() -> tuple[valle.Model, valle.Speech]:
    model = valle.load(threads=1)
    voice = model.enroll(SAMPLE, name="Sample", attest="I hold the rights to this voice")
    text = "The lighthouse stood alone above the harbor. A boat brought bread and letters."
    return model, model.speak(text, voice, retries=0)


def test_command_captions_a_film_on_its_clock(
    talk: tuple[valle.Model, valle.Speech], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av", reason="needs the extra [media]")
    monkeypatch.chdir(tmp_path)
    samples, rate = talk[1].render(rate=48_000)
    late = np.concatenate([np.zeros(3 * rate, np.float32), samples])
    write_film_file(Path("film.mkv"), FilmSpec(seconds=len(late) / rate), late)
    script = "The lighthouse stood alone above the harbor.\n\nA boat brought bread and letters."
    Path("script.txt").write_text(script, encoding="utf-8")
    argv = ["caption", "film.mkv", "--script", "script.txt", "-o", "film.json", "-q"]
    assert main(argv) == 0
    words = json.loads(Path("film.json").read_text(encoding="utf-8"))
    errors = [
        abs(word["start"] - 3 - spoken.start)
        for word, spoken in zip(words, talk[1].words, strict=True)
    ]
    assert np.median(errors) <= 0.06
    assert main(argv) == 7
    assert main([*argv, "--force", "-o", "film.srt", "--plot", "film.png"]) == 0
    assert Path("film.srt").read_text(encoding="utf-8").count("-->") == 2
    assert Path("film.png").read_bytes()[:4] == b"\x89PNG"


def test_command_refuses_what_cannot_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("script.txt").write_text("Hello there.", encoding="utf-8")
    Path("empty.txt").write_text(" \n", encoding="utf-8")
    message = expect_usage_error(capsys, "caption", SAMPLE, "-o", "a.srt")
    assert "--script FILE" in message
    assert "--whisper FOLDER" in message
    message = expect_usage_error(
        capsys, "caption", SAMPLE, "--script", "script.txt", "-o", "a.docx"
    )
    assert ".srt, .vtt, .ass, .json" in message
    message = expect_usage_error(capsys, "caption", SAMPLE, "--whisper", ".", "-o", "a.srt")
    assert "lacks model.bin" in message
    assert main(["caption", str(SAMPLE), "--script", "empty.txt", "-o", "a.srt"]) == 4
    assert "write down what is said" in capsys.readouterr().err
    assert main(["caption", "none.wav", "--script", "script.txt", "-o", "a.srt"]) == 3
    assert not Path("a.srt").exists()
