"""Reading subtitles, and what of them is spoken."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.errors import TextError
from valle.media.cue_text import clean_cue
from valle.media.subtitles import Subtitles, format_time, read_subtitles, to_srt, write_srt


def read(tmp_path: Path, text: str | bytes, name: str = "film.srt") -> Subtitles:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_subtitles(path)


def spoken(subtitles: Subtitles) -> list[tuple[float, float, str]]:
    return [(round(cue.start, 3), round(cue.end, 3), cue.text) for cue in subtitles.cues]


def messages(subtitles: Subtitles) -> str:
    return "\n".join(map(str, subtitles.notes))


SRT = """1
00:00:01,000 --> 00:00:02,500
Hello
there.

2
00:00:03,000 --> 00:00:04,000
1984
"""


@pytest.mark.parametrize(
    "data",
    [
        SRT,
        "\ufeff" + SRT,
        SRT.replace("\n", "\r\n"),
        SRT.encode("utf-16"),
        SRT.replace("1\n00", "00").replace("2\n00", "00"),
        SRT.replace(",000", ".000"),
    ],
    ids=["plain", "bom", "crlf", "utf-16", "no numbers", "points"],
)
def test_srt(tmp_path: Path, data: str | bytes) -> None:
    subtitles = read(tmp_path, data)
    assert spoken(subtitles) == [(1.0, 2.5, "Hello there."), (3.0, 4.0, "1984")]
    assert subtitles.notes == []
    assert subtitles.cues[0].shown == "Hello\nthere."


def test_windows_1252_is_noted(tmp_path: Path) -> None:
    subtitles = read(tmp_path, SRT.replace("Hello", "Café “ici”").encode("cp1252"))
    assert subtitles.cues[0].text == "Café “ici” there."
    assert "Windows-1252" in messages(subtitles)


def test_vtt_without_identifiers_comments_and_settings(tmp_path: Path) -> None:
    text = (
        "WEBVTT - a title\n\nNOTE not spoken\n\nSTYLE\n::cue { color: red }\n\n"
        "scene-1\n00:01.000 --> 00:02.000 align:start position:10%\n"
        "<v.loud Mary Ann>Hi, <c.red>Bob</c> &amp; co.</v>\n\n"
        "NOTE another\nlong comment\n\n"
        "01:00:00.500 --> 01:00:01.500\n<v Bob>What <00:01.500>now?"
    )
    subtitles = read(tmp_path, text, "wrong-ending.srt")
    assert spoken(subtitles) == [(1.0, 2.0, "Hi, Bob & co."), (3600.5, 3601.5, "What now?")]
    assert [cue.speaker for cue in subtitles.cues] == ["Mary Ann", "Bob"]


ASS = r"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,a comment
Dialogue: 0,0:00:01.00,0:00:02.00,Default,Ada,0,0,0,,{\an8\i1}Good\Nmorning{\i0}, sir.
Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{\p1}m 0 0 l 100 0 100 100{\p0}
Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,{\k20}Sing {\kf30}a{\ko40} song
Dialogue: 0,0:00:07.00,0:00:08.00,Default,,0,0,0,fx,{\pos(1,2)}sy
"""


def test_ass_with_names_drawings_and_karaoke(tmp_path: Path) -> None:
    pytest.importorskip("pysubs2")
    subtitles = read(tmp_path, ASS, "wrong-ending.srt")
    assert spoken(subtitles) == [(1.0, 2.0, "Good morning, sir."), (5.0, 6.0, "Sing a song")]
    assert subtitles.cues[0].speaker == "Ada"
    assert messages(subtitles).count("drawing") == 1
    assert "karaoke" in messages(subtitles)


def cue(start: str, end: str, text: str) -> str:
    return f"{start} --> {end}\n{text}\n\n"


def test_bad_times_are_repaired_and_noted(tmp_path: Path) -> None:
    subtitles = read(
        tmp_path,
        cue("-00:00:02,000", "-00:00:01,000", "Lost.")
        + cue("-00:00:00,500", "00:00:01,000", "Late.")
        + cue("00:00:10,000", "00:00:09,000", "Backward.")
        + cue("00:00:12,000", "00:00:15,000", "Overlapped.")
        + cue("00:00:14,000", "00:00:16,000", "Overlapping.")
        + cue("00:00:05,000", "00:00:06,000", "Unsorted.")
        + cue("00:00:07,000", "00:00:08,000", " ")
        + cue("00:00:17,000", "00:00:17,000", "No length."),
    )
    assert spoken(subtitles) == [
        (0.0, 1.0, "Late."),
        (5.0, 6.0, "Unsorted."),
        (10.0, 10.6, "Backward."),
        (12.0, 14.0, "Overlapped."),
        (14.0, 16.0, "Overlapping."),
        (17.0, 17.667, "No length."),
    ]
    notes = {note.number: note.message for note in subtitles.notes}
    assert "negative" in notes[1]
    assert "taken as 0" in notes[2]
    assert "ends before it begins" in notes[3]
    assert "overlaps cue 5" in notes[4]
    assert "sorted" in notes[6]
    assert "empty" in notes[7]
    assert "no length" in notes[8]


def test_cues_at_the_same_time_take_turns(tmp_path: Path) -> None:
    subtitles = read(
        tmp_path,
        cue("00:00:01,000", "00:00:03,000", "aaaa") + cue("00:00:01,000", "00:00:03,000", "bbbb"),
    )
    assert spoken(subtitles) == [(1.0, 2.0, "aaaa"), (2.0, 3.0, "bbbb")]
    assert "together" in messages(subtitles)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- How are you?\n- Fine.", [(None, "How are you?"), (None, "Fine.")]),
        ("- Only one\nspeaker here.", [(None, "Only one speaker here.")]),
        ("– How?\n– Well,\nso.", [(None, "How?"), (None, "Well, so.")]),
        ("MAN: Stop!\nWOMAN: No!", [("MAN", "Stop!"), ("WOMAN", "No!")]),
        ("DR. O'NEIL:\nCome in.", [("DR. O'NEIL", "Come in.")]),
        ("-JOHN: Hi.\n-[laughs] Oh.", [("JOHN", "Hi."), (None, "Oh.")]),
        ("Note: this is spoken.", [(None, "Note: this is spoken.")]),
        ("At 10:30 we left.", [(None, "At 10:30 we left.")]),
        ("[door slams]", []),
        ("[MAN]: Hello.", [(None, "Hello.")]),
        ("(MAN) Hello.", [(None, "Hello.")]),
        ("(sighs) Well...", [(None, "Well...")]),
        ("I (really) do.", [(None, "I (really) do.")]),
        ("Oh no! (laughing)", [(None, "Oh no!")]),
        ("♪ La la la ♪", []),
        ("# La la la #", []),
        ("♪ La la\nla la ♪", []),
        ("♪ La la ♪\nStop singing!", [(None, "Stop singing!")]),
        ("We're #1", [(None, "We're #1")]),
        (">> NEWS ANCHOR: Good evening.", [("NEWS ANCHOR", "Good evening.")]),
        ("<i>Italic</i> <font color='red'>red</font>", [(None, "Italic red")]),
        ("3 < 4 and 5 > 2", [(None, "3 < 4 and 5 > 2")]),
        ("Say [[t ə m ˈɑ t oʊ]].", [(None, "Say [[t ə m ˈɑ t oʊ]].")]),
        ("{\\an8}Up here", [(None, "Up here")]),
        ("...", []),
    ],
)
def test_clean(text: str, expected: list[tuple[str | None, str]]) -> None:
    assert [(line.speaker, line.text) for line in clean_cue(text).lines] == expected


def test_what_is_not_spoken_is_said() -> None:
    assert clean_cue("[door slams] Hey! (LAUGHS)").left_out == ["[door slams]", "(LAUGHS)"]
    assert clean_cue("♪ La ♪").left_out == ["♪ La ♪"]


def test_known_names_need_no_capitals() -> None:
    (line,) = clean_cue("Ada: Hello.", known_speakers=["ada"]).lines
    assert (line.speaker, line.text) == ("Ada", "Hello.")


@pytest.mark.parametrize("data", [b"", b"no cue here\n", b"\x89PNG\0\0", b"{}"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(TextError):
        read(tmp_path, data)


def test_hostile_times_and_signs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    hours = "9" * 5000
    path.write_text(f"1\n{hours}:00:01,000 --> {hours}:00:02,000\nOne.\n")
    with pytest.raises(TextError, match="no cue"):
        read_subtitles(path)
    text = "1\n00:00:01,000 --> 00:00:02,000\nA \0" + "7\0 b.\n"
    path.write_bytes(text.encode("utf-16"))
    assert [cue.text for cue in read_subtitles(path).cues] == ["A 7 b."]


def test_no_speech_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="door slams"):
        read(tmp_path, cue("00:00:01,000", "00:00:02,000", "[door slams]"))
    with pytest.raises(TextError, match="cannot read"):
        read_subtitles(tmp_path / "missing.srt")


def test_write(tmp_path: Path) -> None:
    write_srt(tmp_path / "out.srt", [(1.0, 2.5, "Hello\nthere."), (3.0, 4.0, "1984")])
    assert (tmp_path / "out.srt").read_text() == SRT
    with pytest.raises(FileExistsError):
        write_srt(tmp_path / "out.srt", [], overwrite=False)
    assert format_time(3661.0015, ".") == "01:01:01.002"


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=60)


@given(st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 9_000), TEXTS), max_size=8))
def test_any_cues_are_ordered_and_positive(
    tmp_path_factory: pytest.TempPathFactory, cues: list[tuple[int, int, str]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "any.srt"
    path.write_text(to_srt((start / 1000, end / 1000, text) for start, end, text in cues))
    try:
        subtitles = read_subtitles(path)
    except TextError:
        return
    assert all(cue.end > cue.start >= 0 and cue.text for cue in subtitles.cues)
    ends = [cue.end for cue in subtitles.cues]
    assert all(a <= b.start + 1e-9 for a, b in zip(ends, subtitles.cues[1:], strict=False))
