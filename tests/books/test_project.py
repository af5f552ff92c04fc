"""A project of a real, tiny model: made, killed, continued, repaired and written again."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import valle
from forked_python import Program, serve_forks
from valle.books.export import BookWriter
from valle.books.options import BookOptions
from valle.books.outputs import Outputs
from valle.books.preparation import change_options, lock_project, prepare_project
from valle.books.project import Project, load_project
from valle.books.report import report_book, sort_worst_first
from valle.books.speaking import BookSpeaker, keep_voice
from valle.errors import OutputError, UsageError
from valle.runtime.codec_decoder import CodecDecoder
from valle.trust.attestation import ATTESTATION
from valle.trust.spoken import was_spoken
from valle.watermark.detect import detect_watermark

pytest.importorskip("av", reason="needs the extra [media]")

TEXT = (
    "# One\n\nIt rains. The house is green.\n\nIt costs $3.\n\n"
    "# Two\n\nThe sun came out. It rains.\n"
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "book.md"
    path.write_text(TEXT)
    return path


def prepare(source: Path, voice: valle.Voice, **options: object) -> Project:
    folder = source.with_suffix(".valle")
    project = prepare_project(source, folder, BookOptions.from_keywords(**options))
    project.narrator = keep_voice(project, voice, "narrator")
    project.save()
    return project


def speak(model: valle.Model, project: Project) -> tuple[BookSpeaker, list[int]]:
    speaker = BookSpeaker(model, project)
    return speaker, [sentence.number for sentence, _ in speaker.speak_all()]


def test_a_book_is_spoken_once(source: Path, model: valle.Model, voice: valle.Voice) -> None:
    project = prepare(source, voice)
    _, spoken = speak(model, project)
    assert sorted(spoken) == [1, 2, 3, 4, 5, 6, 7]
    again = load_project(project.folder)
    assert again == project
    assert speak(model, again)[1] == []


def test_one_sentence_is_redone_and_the_rest_stays(
    source: Path, model: valle.Model, voice: valle.Voice, tmp_path: Path
) -> None:
    project = prepare(source, voice)
    speaker, _ = speak(model, project)
    outputs = [tmp_path / "book.flac"]
    BookWriter(speaker).write(Outputs(outputs, ["words"]), overwrite=False)
    before = {s.number: speaker.key(s) for s in project.sentences}
    sections = set(project.sections_folder.iterdir())
    project.change(3, redo=True)
    project.change(6, text="The moon came out.")
    speaker, spoken = speak(model, project)
    assert sorted(spoken) == [3, 6]
    after = {s.number: speaker.key(s) for s in project.sentences}
    assert {number for number in before if before[number] != after[number]} == {3, 6}
    BookWriter(speaker).write(Outputs(outputs, ["words"]), overwrite=True)
    words = [word["word"] for word in json.loads((tmp_path / "book.words.json").read_text())]
    assert "moon" in words
    assert "sun" not in words
    assert not sections & set(project.sections_folder.iterdir())
    project.restore(3)
    project.restore(6)
    assert {s.number: speaker.key(s) for s in project.sentences} == before


def test_an_edited_manuscript_costs_only_what_changed(
    source: Path, model: valle.Model, voice: valle.Voice
) -> None:
    project = prepare(source, voice)
    project.change(3, redo=True)
    project.save()
    speak(model, project)
    source.write_text(TEXT.replace("# Two", "A new one.\n\n# Two"))
    changed = prepare(source, voice)
    assert changed.find(3).edit.redo == 1
    assert speak(model, changed)[1] == [5]


def test_a_lexicon_entry_costs_only_its_sentences(
    source: Path, model: valle.Model, voice: valle.Voice, tmp_path: Path
) -> None:
    lexicon = tmp_path / "words.csv"
    lexicon.write_text("xyz, win\n")
    project = prepare(source, voice, lexicon=str(lexicon))
    speak(model, project)
    lexicon.write_text("xyz, win\nhouse, hoze\n")
    assert speak(model, load_project(project.folder))[1] == [3]


def test_audio_text_and_watermark_fit(
    source: Path, model: valle.Model, voice: valle.Voice, tmp_path: Path
) -> None:
    import soundfile

    project = prepare(source, voice, loudness="off", pause="sentence=0.4")
    speaker, _ = speak(model, project)
    path = tmp_path / "book.flac"
    outputs = Outputs([path], ["words", "srt", "chapters_json"])
    # It is not decoded again: the book has the sound that was checked.
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(CodecDecoder, "feed")
        seconds = BookWriter(speaker).write(outputs, overwrite=False).seconds
    samples, rate = soundfile.read(path, dtype="float32")
    assert len(samples) / rate == pytest.approx(seconds)
    assert detect_watermark(samples, rate).found
    # Each sentence is too short for a fingerprint; the book is not.
    some = samples[rate : 4 * rate]
    assert was_spoken(voice.consent["id"], some, rate) is True
    assert was_spoken(voice.consent["id"], some[::-1].copy(), rate) is False
    words = json.loads((tmp_path / "book.words.json").read_text())
    times = [(word["start"], word["end"]) for word in words]
    assert times == sorted(times)
    assert [word["word"] for word in words[:3]] == ["One", "It", "rains."]
    chapters = json.loads((tmp_path / "book.chapters.json").read_text())["chapters"]
    assert [chapter["title"] for chapter in chapters] == ["One", "Two"]
    two = next(word for word in words if word["word"] == "Two")
    assert two["start"] == pytest.approx(chapters[1]["startTime"] + 0.6, abs=0.021)
    record = json.loads((tmp_path / "book.flac.json").read_text())
    assert record["voice"] == voice.name
    gap = times[3][0] - times[2][1]  # between "rains." and "The"
    assert gap == pytest.approx(0.4, abs=0.021)


def test_worst_sentences_come_first(source: Path, model: valle.Model, voice: valle.Voice) -> None:
    project = prepare(source, voice)
    speaker, _ = speak(model, project)
    reports = report_book(speaker)
    worst = sort_worst_first(reports)
    assert {r.sentence.number for r in worst} == {
        r.sentence.number for r in reports if r.check is not None and not r.check.passed
    }
    ranks = [report.badness for report in worst]
    assert ranks == sorted(ranks, reverse=True)


def test_levels_of_acx(
    source: Path, model: valle.Model, voice: valle.Voice, tmp_path: Path
) -> None:
    import soundfile

    project = prepare(source, voice, loudness="acx")
    speaker, _ = speak(model, project)
    path = tmp_path / "book.flac"
    BookWriter(speaker).write(Outputs([path]), overwrite=False)
    samples, _ = soundfile.read(path)
    level = 10 * np.log10(np.mean(samples**2))
    assert -23 <= level <= -18
    assert 20 * np.log10(np.abs(samples).max()) <= -3


def test_options_that_change_the_sentences_are_refused_later(
    source: Path, voice: valle.Voice
) -> None:
    project = prepare(source, voice)
    change_options(project, {"loudness": "-18", "title": "Other"})
    assert (project.options.loudness, project.title) == (-18.0, "Other")
    with pytest.raises(UsageError, match="--chapters decides what is read"):
        change_options(project, {"chapters": "1"})
    with pytest.raises(UsageError, match="there is no sentence 8; the book has 1 to 7"):
        project.change(8, redo=True)
    with pytest.raises(UsageError, match="sentence 1"):
        project.change(1, rate=9.0)


def test_damaged_and_held_projects_are_refused(source: Path, voice: valle.Voice) -> None:
    project = prepare(source, voice)
    with (
        lock_project(project.folder),
        pytest.raises(OutputError, match="another process"),
        lock_project(project.folder),
    ):
        pass
    (project.folder / "book.json").write_text("{")
    with pytest.raises(UsageError, match="is damaged"):
        load_project(project.folder)
    with pytest.raises(UsageError, match="is not a book project"):
        load_project(source.parent)


def test_what_is_damaged_or_older_is_made_again(
    source: Path, model: valle.Model, voice: valle.Voice, recording: Path, tmp_path: Path
) -> None:
    import soundfile

    project = prepare(source, voice)
    project.change(3, style="pitch=4")
    speaker, _ = speak(model, project)
    outputs = [tmp_path / name for name in ("a.flac", "b.flac", "c.flac")]
    BookWriter(speaker).write(Outputs(outputs[:1]), overwrite=False)
    for path in project.sentences_folder.rglob("*.npz"):
        path.write_bytes(b"PK")
    for path in project.sections_folder.iterdir():
        path.unlink()
    BookWriter(speaker).write(Outputs(outputs[1:2]), overwrite=False)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    # The version before kept no sound: it is decoded, or spoken again where it has a style.
    for path in [*project.sentences_folder.rglob("*.flac"), *project.sections_folder.iterdir()]:
        path.unlink()
    BookWriter(speaker).write(Outputs(outputs[2:]), overwrite=False)
    first, later = (soundfile.read(path)[0] for path in (outputs[0], outputs[2]))
    assert np.abs(first - later).max() < 1e-3
    # Another receipt is another watermark, so what was kept under the first is not used.
    other = model.enroll(recording, name="Other", attest=ATTESTATION)
    project.narrator = keep_voice(project, other, "other")
    under_other, sentence = BookSpeaker(model, project), project.find(3)
    assert under_other.key(sentence) == speaker.key(sentence)
    record = speaker.load(sentence)
    assert record is not None
    sounds = [each.load_sound(sentence, record) for each in (speaker, under_other)]
    assert sounds[0].shape == sounds[1].shape
    assert np.abs(sounds[0] - sounds[1]).max() > 1e-3


@pytest.mark.slow
def test_ten_kills_leave_the_same_bytes(
    source: Path, debug_bundle: Path, voice: valle.Voice, tmp_path: Path
) -> None:
    """Killed at ten moments, the book is the same as one that was made in one go."""
    source.write_text("# One\n\n" + " ".join(f"It rains {n} times." for n in range(1, 70)))
    voice.save(tmp_path / "narrator.voice")
    command = ["-m", "valle", "book", source, "--voice", tmp_path / "narrator.voice", "--bundle"]
    command += [debug_bundle, "-q", "--force", "--retries", "0", "-o"]
    kills = 0
    with serve_forks(["valle.cli.book", "onnxruntime", "av"]) as python:

        def start(name: str) -> Program:
            return python.start(*map(str, [*command, tmp_path / name]))

        assert start("whole.m4b").wait() == 0
        for kill in range(10):
            process = start("part.m4b")
            wanted = (kill + 1) * 6
            while process.poll() is None:
                done = len(list((tmp_path / "part.valle" / "sentences").rglob("*.npz")))
                if done >= wanted:
                    process.send_signal(signal.SIGKILL)
                time.sleep(0.005)
            kills += process.returncode == -signal.SIGKILL
        assert kills >= 8
        assert start("part.m4b").wait() == 0
    assert (tmp_path / "part.m4b").read_bytes() == (tmp_path / "whole.m4b").read_bytes()
    assert os.listdir(tmp_path / "part.valle" / "sections")
