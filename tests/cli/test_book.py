"""`valle book` from the command line: made, looked at, repaired, and refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

import valle
from book_files import Epub
from command_line import RunCommand
from valle.voices import registry

pytest.importorskip("av", reason="needs the extra [media]")

XHTML = "{http://www.w3.org/1999/xhtml}"
SMIL = "{http://www.w3.org/ns/SMIL}"


@pytest.fixture
def book(run: RunCommand, debug_bundle: Path, voice: valle.Voice) -> RunCommand:
    """Run `valle book` with the tiny model, a saved voice and a small EPUB, `small.epub`."""
    registry.add(voice)
    registry.add(voice.with_name("Bob"))
    pages = {
        "a.xhtml": "<h1>One</h1><p>It rains. The house is <b>green</b> &amp; old.</p>",
        "b.xhtml": "<h1>Two</h1><p>The sun came out.</p>",
    }
    Epub(pages).write(Path("small.epub"))

    def call(*argv: object):
        return run("book", *argv, "--bundle", debug_bundle)

    return call


def test_a_book_is_made_repaired_and_written_again(book: RunCommand) -> None:
    made = book("small.epub", "-o", "small.m4b", "--voice", "Babble", "--srt")
    assert made[0] == 0, made[2]
    assert "words: 13, of which 13 are spoken" in made[2]
    first = Path("small.m4b").read_bytes()
    status = book("status", "--json", "--all")
    sentences = json.loads(status[1])["sentences"]
    assert [each["text"] for each in sentences][:2] == ["One", "It rains."]
    assert all(each["state"] != "waiting" for each in sentences)
    redone = book("redo", "2")
    assert redone[0] == 0, redone[2]
    assert "listen to small.valle/redone/2.wav" in redone[2]
    assert Path("small.m4b").read_bytes() != first
    fixed = book("fix", "2", "--text", "It snows.", "--voice", "Bob", "--speed", "1.2", "--json")
    report = json.loads(fixed[1])[0]
    assert (report["text"], report["voice"], report["rate"]) == ("It snows.", "Bob", 1.2)
    assert "It snows." in Path("small.srt").read_text()
    voices = json.loads(Path("small.m4b.json").read_text())["voices"]
    assert [each["voice"] for each in voices] == ["Bob"]
    assert book("fix", "2", "--restore")[0] == 0
    assert book("redo", "2")[0] == 0  # the first other reading, which is kept from before
    assert book("status", "2")[1].count("It rains.") == 1


def test_the_first_state_comes_back_with_the_same_bytes(book: RunCommand) -> None:
    book("small.epub", "-o", "small.m4b", "--voice", "Babble", "-q")
    first = Path("small.m4b").read_bytes()
    book("redo", "2", "3", "-q")
    book("fix", "2", "3", "--restore", "-q")
    assert Path("small.m4b").read_bytes() == first


def test_an_e_book_is_read_along(book: RunCommand) -> None:
    result = book("small.epub", "-o", "read.epub", "--voice", "Babble", "--title", "A & B")
    assert result[0] == 0, result[2]
    with zipfile.ZipFile("read.epub") as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        package = ElementTree.fromstring(archive.read("EPUB/package.opf"))
        assert "A & B" in [element.text for element in package.iter()]
        page = ElementTree.fromstring(archive.read("EPUB/chapter-0001.xhtml"))
        overlay = ElementTree.fromstring(archive.read("EPUB/chapter-0001.smil"))
        audio = archive.read("EPUB/audio/chapter-0001.m4a")
    spans = {span.get("id"): span.text for span in page.iter(f"{XHTML}span")}
    assert spans["s3"] == "The house is green & old."
    named = [text.get("src", "").partition("#")[2] for text in overlay.iter(f"{SMIL}text")]
    assert named == list(spans)
    clips = [(a.get("clipBegin", ""), a.get("clipEnd", "")) for a in overlay.iter(f"{SMIL}audio")]
    times = [[float(clock.rpartition(":")[2]) for clock in clip] for clip in clips]
    assert [begin for begin, _ in times[1:]] == [end for _, end in times[:-1]]
    assert audio[4:8] == b"ftyp"


def test_chapters_are_written_apart_with_their_levels(book: RunCommand) -> None:
    book("small.epub", "-o", "small.flac", "--voice", "Babble", "-q")
    argv = ["export", "-o", "acx.flac", "--split", "--loudness", "acx", "--json"]
    code, out, err = book(*argv)
    assert code == 0, err
    levels = json.loads(out)["levels"]
    assert list(levels) == ["acx-01.flac", "acx-02.flac"]
    for file, measured in levels.items():
        assert all(f"{file}: " in err and problem in err for problem in measured["problems"])
    assert book(*argv)[0] == 7  # they exist
    refused = book("export", "-o", "other.flac", "--split", "--srt")
    assert (refused[0], "--split and --srt" in refused[2]) == (2, True)
    assert book("export", "-o", "whole.flac")[0] == 0


def test_a_dry_run_speaks_nothing(book: RunCommand) -> None:
    code, out, _ = book("small.epub", "--dry-run")
    assert code == 0
    assert "    2  Two (2 sentences)" in out
    assert [path.name for path in Path().iterdir()] == ["small.epub"]


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["small.epub", "--voice", "Babble"], 2, "name the file to write with -o"),
        (["small.epub", "-o", "a.wma", "--voice", "Babble"], 2, "end its name in one of .m4b"),
        (["small.epub", "-o", "a.m4b"], 2, "give the voice"),
        (["small.epub", "-o", "a.m4b", "--voice", "Nobody"], 2, "there is no voice named 'Nobody'"),
        (
            ["small.epub", "-o", "a.m4b", "--voice", "Bob", "--consent", "x"],
            2,
            "--consent is for a new recording",
        ),
        (
            ["small.epub", "-o", "a.m4b", "--voice", "Bob", "--loudness", "0"],
            2,
            "acx, off, or LUFS",
        ),
        (["small.epub", "-o", "a.m4b", "--voice", "Bob", "--chapters", "9"], 2, "chapters 1 to 2"),
        (["small.epub", "-o", "small.epub", "--voice", "Bob"], 7, "would be lost"),
        (["none.epub", "-o", "a.m4b", "--voice", "Bob"], 4, "none.epub cannot be read"),
        (["tags.md", "-o", "a.m4b", "--voice", "Bob"], 4, "there is no tag [laughs]"),
        (["voice.md", "-o", "a.m4b", "--voice", "Bob"], 2, "there is no voice named 'Eve'"),
        (["status"], 2, "there is no book project in this folder"),
        (["redo", "1", "--project", "small.epub"], 2, "is not a book project"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    book: RunCommand, argv: list[str], code: int, message: str
) -> None:
    Path("tags.md").write_text("He [laughs] at it.\n")
    Path("voice.md").write_text("Hello. [voice:Eve]Who is there?[/voice]\n")
    result = book(*argv)
    assert result[0] == code, result
    assert message in result[2]
    assert result[2].count("\n") == 1
    assert not Path("a.m4b").exists()


def test_existing_files_are_kept(book: RunCommand) -> None:
    Path("a.m4b").write_text("mine")
    result = book("small.epub", "-o", "a.m4b", "--voice", "Bob")
    assert (result[0], Path("a.m4b").read_text()) == (7, "mine")
    assert not Path("a.valle").exists()
