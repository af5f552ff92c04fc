"""The notations of scripts: who says what, and in which line something is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.errors import TextError
from valle.scripts.script import parse_script
from valle.scripts.turns import read_turns

EXPECTED = [("A", "Good evening. How are you?"), ("B", "Fine."), ("A", "Good.")]


def describe(text: str) -> list[tuple[str, str]]:
    return [(turn.speaker, " ".join(turn.text.split())) for turn in read_turns(text)]


@pytest.mark.parametrize(
    ("notation", "first", "second"),
    [
        ("{first}: Good evening.\nHow are you?\n\n{second}: Fine.\n{first}: Good.", "ADA", "Bob"),
        ("**{first}:** Good evening. How are you?\n**{second}**: Fine.\n{first}: Good.", "A", "B"),
        (
            "# A scene\n{first} (softly): Good evening.\n(She waits.)\nHow are you?\n---\n"
            "{second}: Fine.\n- {first}: Good.",
            "Ada Lovelace",
            "Dr. Bob",
        ),
        ("[{first}] Good evening. How are you? [{second}] Fine.\n[{first}] Good.", "S1", "S2"),
        (
            "<{first}>Good evening. How are you?</{first}><{second}>Fine.</{second}>\n"
            "<{first}>Good.</{first}>",
            "Person1",
            "Person2",
        ),
        (
            "{first}: Good evening.\n  How are you?\n{second}: Fine.\n{first}: Good.",
            "Speaker 1",
            "Speaker 2",
        ),
        (
            "\ufeff{first}: Good evening. How are you?\r\n{second}: Fine.\r\n{first}: Good.",
            "A",
            "B",
        ),
    ],
)
def test_notations_are_read(notation: str, first: str, second: str) -> None:
    text = notation.format(first=first, second=second)
    assert describe(text) == [({"A": first, "B": second}[who], said) for who, said in EXPECTED]


@pytest.mark.parametrize("key", ["voice", "speaker", "voice_id"])
@pytest.mark.parametrize("wrapper", [None, "turns", "inputs"])
def test_json_turns_are_read(key: str, wrapper: str | None) -> None:
    items = [{key: who, "text": said} for who, said in EXPECTED]
    assert describe(json.dumps(items if wrapper is None else {wrapper: items})) == EXPECTED


def test_fields_of_json_are_directions() -> None:
    text = '[{"voice":"A","text":"Go.","rate":1.2,"style":"low","pause":2,"overlap":"300ms"}]'
    (turn,) = read_turns(text)
    assert turn.overlap == 0.3
    (first, passage) = parse_script(text).text.passages
    assert (first.text, first.pause) == ("", 2.0)
    assert passage.delivery.rate == 1.2
    assert passage.delivery.style == "low"
    assert passage.delivery.voice == "A"


def test_turns_have_their_spans_and_voices() -> None:
    script = parse_script("A: One. [rate:2]Two.\nB: [overlap:0.5s] Three. [voice:C]Four.\nA: Five.")
    assert script.speakers == ["A", "B"]
    assert script.text.voices == ["A", "B", "C"]
    assert [script.text.text[a:b] for a, b in script.spans] == [
        "One. [rate:2]Two.",
        "Three. [voice:C]Four.",
        "Five.",
    ]
    for passage in script.text.passages:
        end = passage.start + len(passage.text)
        assert script.text.text[passage.start : end] == passage.text
    assert [turn.overlap for turn in script.turns] == [0.0, 0.5, 0.0]
    assert script.text.passages[-1].delivery.rate == 1.0  # directions end with their turn


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there are no turns in this script"),
        ("# Only a comment\n\n---\n", "there are no turns"),
        ("\nOnce upon a time\nA: Hello.", "line 2: nobody says 'Once upon a time'"),
        ("A: Hello.\nB:\nA: So.", "line 2: B says nothing"),
        ("A: Hello.\n\nB: [foo:1] So.", "line 3: there is no tag [foo:1]"),
        ("A: Hello.\nand [pause:99s]", "line 2: [pause:99s]"),
        ("A: Hello. [overlap:1s]", "line 1: [overlap:1s] stands at the beginning of a turn"),
        ("A: Hello.\nB: [overlap:11s] So.", "line 2: '11s' is not an overlap; use 0s to 10s"),
        ("A: Hello.\nB: (laughs) So.", "line 2: (laughs) cannot be spoken"),
        ('[{"voice": "A", "text": "So."}', "line 1: this is not JSON"),
        ("[]", "there are no turns"),
        ('[{"voice": "A", "text": "So.", "pause": ' + "1" * 5000 + "}]", "this is not a script"),
        ('{"a": 1}', "a script in JSON is a list of turns"),
        ('[{"voice": "A"}]', 'turn 1 has no "text"'),
        ('[{"text": "So."}]', 'turn 1 needs one "voice"'),
        ('[{"voice": "A", "text": "So."}, {"voice": "A", "text": 3}]', 'turn 2 has no "text"'),
        ('[{"voice": "A", "text": "So.", "mood": 1}]', "turn 1 has a field 'mood'; known are"),
        ('[{"voice": "A", "text": "So.", "overlap": -1}]', "turn 1: '-1' is not an overlap"),
        ('[{"voice": "A", "text": "So. [foo:1]"}]', "turn 1, line 1: there is no tag [foo:1]"),
    ],
)
def test_wrong_scripts_are_refused_with_their_place(text: str, reason: str) -> None:
    with pytest.raises(TextError) as raised:
        parse_script(text)
    assert reason in str(raised.value)


@given(st.text("AB: []<>()\n#*{}\"'1Sp", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        script = parse_script(text)
    except TextError:
        return
    assert script.turns
    assert all(turn.text.strip() and turn.speaker for turn in script.turns)
