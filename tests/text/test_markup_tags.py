"""Tags in brackets: what they say, where they end, and that none is ever read aloud."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.errors import TextError
from valle.text.delivery import Delivery, DirectedText, Passage
from valle.text.markup_tags import DEFAULT_PAUSE, TagReader, parse_tags

TEXT = (
    "[pause:2s]It begins. [voice:Ada Lovelace]Yes. [rate:80%]Quite [style: low, soft]so[/style]"
    "[/rate]. [pause:1s] [pause:500ms]\n\n[voice:Bob]No.[/voice] Done. [pause]"
)


def describe(directed: DirectedText) -> list[tuple[str, Delivery, float | None, bool]]:
    return [
        (passage.text.strip(), passage.delivery, passage.pause, passage.continues)
        for passage in directed.passages
    ]


def test_tags_hold_until_the_next_or_their_end() -> None:
    slow = Delivery("Ada Lovelace", 0.8)
    assert describe(parse_tags(TEXT)) == [
        ("", Delivery(), 2.0, False),
        ("It begins.", Delivery(), None, False),
        ("Yes.", Delivery("Ada Lovelace"), None, False),
        ("Quite", slow, None, True),
        ("so", Delivery("Ada Lovelace", 0.8, "low, soft"), None, True),
        (".", Delivery("Ada Lovelace"), 1.5, False),
        ("No.", Delivery("Bob"), None, False),
        ("Done.", Delivery("Ada Lovelace"), DEFAULT_PAUSE, False),
    ]
    assert parse_tags(TEXT).voices == ["Ada Lovelace", "Bob"]


@given(st.lists(st.sampled_from(TEXT.split(" ")) | st.text("ab[]:/\\ \n", max_size=6)))
def test_passages_are_the_source_in_order(words: list[str]) -> None:
    text = " ".join(words)
    try:
        directed = parse_tags(text)
    except TextError:
        return
    end = 0
    for passage in directed.passages:
        assert passage.start >= end
        end = passage.start + len(passage.text)
        assert text[passage.start : end] == passage.text
    assert directed.text == text


@pytest.mark.parametrize(
    "text",
    [
        "He said [sic] that, [1] and [a link](https://example.com/a:b) too.",
        "See [Date: 5 May], [note: below], [doi:10.1000/182], [arXiv:1706.03762], [https://a.b/c].",
        "[b]Bold[/b] and [x] and [ ] and [10:30] and [[həˈloʊ]] and [[rate:9]].",
        r"Write \[voice:NAME] and \[foo:bar].",
        "[Gen:1] [He] went [emphasis added] home.",
    ],
)
def test_other_brackets_are_text(text: str) -> None:
    (passage,) = parse_tags(text).passages
    assert passage.text == text
    assert parse_tags(text).is_plain


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("[foo:bar]", "there is no tag [foo:bar]; known are [voice:NAME]"),
        ("[speed: 2]", "there is no tag [speed: 2]"),
        ("[paus:1s]", "did you mean [pause:...]?"),
        ("[rat: 1]", "did you mean [rate:...]?"),
        ("[laughs]", "there is no tag [laughs]"),
        ("[S1]", "see valle script"),
        ("[/emotion]", "there is no tag [/emotion]"),
        ("[/voice]", "[/voice] closes nothing"),
        ("[voice: ]", "it names no voice"),
        ("[rate:9]", "'9' is not a rate; use 0.25 to 4"),
        ("[rate:fast]", "'fast' is not a rate"),
        ("[pause:61]", "'61' is not a pause; use 0s to 60s"),
        ("[pause:-1s]", "is not a pause"),
        ("[style:hihg]", "there is no style 'hihg'; did you mean 'high'?"),
        ("[style:pitch=9]", "pitch=9.0 is out of range: less than or equal to 6"),
        ("[style:sud]", "there is no style 'sud'; did you mean 'sad'?"),
        ("[style:sad, happy]", "sets emotion twice"),
        ("[style:pitch=up]", "pitch=up is not a number"),
        ("[style:high, pitch=3]", "sets pitch twice"),
        ("[style:mood=2]", "a style has no 'mood'"),
        ("[voice:Ada is here", "has no closing ]"),
    ],
)
def test_wrong_tags_are_refused_with_their_line(tag: str, reason: str) -> None:
    with pytest.raises(TextError) as raised:
        parse_tags(f"One. [pause:1s]\nTwo.\n\n{tag} three.\nFour.")
    assert str(raised.value).startswith("line 4: ")
    assert reason in str(raised.value)


def test_many_tags_are_counted_once() -> None:
    directed = parse_tags("Word.\n[pause:1s] " * 3000)
    assert [passage.line for passage in directed.passages] == list(range(1, 3001))


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_text_in_parts_has_the_same_passages(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(TEXT)]
    reader = TagReader()
    passages: list[Passage] = []
    for start, end in pairwise(places):
        passages += reader.feed(TEXT[start:end])
        known = reader.open_passage
        assert TEXT[known.start :].startswith(known.text)
        assert "[" not in known.text
    passages += reader.close()
    # A pause that comes later than the passage before it stands alone.
    expected = [p for p in parse_tags(TEXT).passages if p.text]
    assert [(p.text, p.start, p.delivery, p.line) for p in passages if p.text] == [
        (p.text, p.start, p.delivery, p.line) for p in expected
    ]
    assert sum(p.pause or 0.0 for p in passages) == 4.5
