"""SSML: what its elements say, what is refused with its line, and that it takes linear time."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.errors import TextError, UsageError
from valle.text.delivery import Delivery, DirectedText, Mark
from valle.text.notations import parse_text
from valle.text.passages import read_passages
from valle.text.ssml import parse_ssml
from valle.text.ssml_values import verbalize

SAID = "minus one thousand two hundred fifty point five"
DATE = "July fourth two thousand five"


def parse(inner: str) -> DirectedText:
    return parse_ssml(f"<speak>{inner}</speak>")


def describe(inner: str) -> list[tuple[str, Delivery, float | None, bool]]:
    return [(p.text.strip(), p.delivery, p.pause, p.continues) for p in parse(inner).passages]


def test_elements_direct_what_is_in_them() -> None:
    ada = Delivery("Ada")
    assert describe(
        '<voice name="Ada">Go <prosody rate="80%" pitch="low">on <prosody rate="150%">now</prosody>'
        '</prosody>, then.</voice> <break time="500ms"/><break strength="strong"/> Done<break/> so.'
    ) == [
        ("Go", ada, None, True),
        ("on", Delivery("Ada", 0.8, "pitch=-2"), None, True),
        ("now,", Delivery("Ada", 1.2, "pitch=-2"), None, True),
        ("then.", ada, 1.5, False),
        ("Done", Delivery(), 0.5, True),
        ("so.", Delivery(), None, False),
    ]


def test_sentences_and_paragraphs_end() -> None:
    directed = parse("<p><s>One</s> <s>Two</s></p>\n<p>Three <prosody rate='fast'>x</prosody>.</p>")
    assert [(p.text.strip(), p.continues) for p in directed.passages] == [
        ("One", False),
        ("Two", False),
        ("Three", True),
        ("x.", False),
    ]
    assert "\n\n" in directed.text[: directed.text.index("Three")]
    symbols = [
        s.sentence.phonemes[-1].symbol for s in read_passages(directed, "en-us") if s.sentence
    ]
    assert symbols == [".", ".", ",", "."]


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ('<say-as interpret-as="characters">Ab1-é</say-as>', "[[ˈeɪ]] B one dash É"),
        ('<say-as interpret-as="cardinal"> -1,250.5 </say-as>', SAID),
        ('<say-as interpret-as="ordinal">21st</say-as>', "twenty first"),
        ('<say-as interpret-as="date">2026-07-04</say-as>', "July fourth twenty twenty six"),
        ('<say-as interpret-as="date">7/4/2026</say-as>', "July fourth twenty twenty six"),
        ('<say-as interpret-as="date" format="dmy">4.7.05</say-as>', "July fourth oh five"),
        ('<say-as interpret-as="date" format="ymd">20050704</say-as>', DATE),
        ('<say-as interpret-as="date" format="mdy">07042005</say-as>', DATE),
        ('<say-as interpret-as="date" format="my">7/1999</say-as>', "July nineteen ninety nine"),
        (
            '<say-as interpret-as="telephone">+1 (555) 010 ext. 7</say-as>',
            "plus one, five five five, zero one zero, extension seven",
        ),
        ('<sub alias="World  Wide Web">WWW</sub>', "World Wide Web"),
        ('<phoneme alphabet="ipa" ph="wɪn">Nguyen</phoneme>', "[[wɪn]]"),
        ("a <!-- no --> <![CDATA[<b> &]]>\n\n c", "a <b> & c"),
        ('<lang xml:lang="en-GB">color</lang>', "color"),
        ("It costs [12] [voice:x]", "It costs [12] [voice:x]"),
    ],
)  # fmt: skip
def test_text_is_replaced(inner: str, said: str) -> None:
    assert parse(inner).text.strip() == said


def test_marks_are_places_of_the_text() -> None:
    directed = parse('<mark name="0"/>One <mark name="1"/>two.<mark name="2"/> <break/>Three.')
    assert directed.marks == (Mark("0", 0), Mark("1", 4), Mark("2", 8, before_pause=True))
    assert not directed.is_plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Hello.", "line 1: this is not SSML; it begins with <speak>"),
        ("<p>Hello.</p>", "line 1: SSML begins with <speak>, and not with <p>"),
        ("<speak>\n\n<audio src='x'/></speak>", "line 3: <audio> cannot be spoken; known are p, s"),
        ("<speak>\n<prosdy>x</prosdy></speak>", "line 2: .* did you mean <prosody>"),
        ("<speak>\n<amazon:effect>x</amazon:effect></speak>", "line 2: <amazon:effect> cannot"),
        ("<speak>\na & b</speak>", "line 2: this is not XML .* write &amp; for &"),
        ("<speak>&nbsp;</speak>", "line 1: this is not XML .undefined entity"),
        ("<speak>\n<s>x</speak>", "line 2: this is not XML .mismatched tag"),
        ("<speak>\ud800</speak>", "line 1: .*surrogates"),
        (
            '<!DOCTYPE speak [<!ENTITY x SYSTEM "file:///etc/passwd">]><speak>&x;</speak>',
            "line 1: SSML needs no DOCTYPE",
        ),
        ("<speak><break time='99s'/></speak>", "line 1: <break>: '99s' is not a pause"),
        ("<speak><break strength='big'/></speak>", "strength='big' is not known; use none"),
        ("<speak><break>x</break></speak>", "<break> holds no text"),
        ("<speak><prosody rate='9'>x</prosody></speak>", "<prosody>: '9' is not a rate"),
        ("<speak><prosody rate='-200%'>x</prosody></speak>", "'0' is not a rate"),
        ("<speak><prosody rate='quick'>x</prosody></speak>", "rate='quick' is not known; use x"),
        ("<speak><prosody pitch='120Hz'>x</prosody></speak>", r"pitch='120Hz' .* such as \+10%"),
        ("<speak><prosody volume='silent'>x</prosody></speak>", r"use x-soft, soft.*\+6dB"),
        ("<speak><prosody contour='x'>x</prosody></speak>", "<prosody> has no contour; known are"),
        ("<speak xml:lang='de'>x</speak>", "the language 'de'; only English is spoken"),
        ("<speak><lang xml:lang='fr-FR'>x</lang></speak>", "the language 'fr-FR'"),
        ("<speak><voice>x</voice></speak>", '<voice> needs name="..."'),
        ("<speak><sub alias='a'><s>x</s></sub></speak>", "<sub> holds no elements, such as <s>"),
        ("<speak>\n<say-as interpret-as='date'>13/45</say-as></speak>", "line 2: .*not a date"),
        ("<speak><say-as interpret-as='date' format='x'>1</say-as></speak>", "format='x'"),
        ("<speak><say-as interpret-as='time'>1</say-as></speak>", "'time' is not known"),
        ("<speak><say-as interpret-as='cardinal'>one</say-as></speak>", "'one' cannot be read as"),
        ("<speak><say-as interpret-as='telephone'>me</say-as></speak>", "not a telephone number"),
        ("<speak><say-as interpret-as='ordinal'/></speak>", "it has no text"),
        ("<speak><phoneme ph='a]]b'>x</phoneme></speak>", "']' in 'a]]b' is not a sound in IPA"),
        ("<speak><phoneme alphabet='x-sampa' ph='a'/></speak>", "alphabet 'x-sampa' is not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_spoken_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(TextError, match=message):
        parse_ssml(text)


def wrap(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    tags = [
        ("<p>", "</p>"),
        ("<s>", "</s>"),
        ("<prosody rate='50%'>", "</prosody>"),
        ("<voice name='A'>", "</voice>"),
    ]
    wrapped = st.tuples(st.sampled_from(tags), inner).map(lambda parts: parts[1].join(parts[0]))
    return wrapped | st.lists(inner, max_size=5).map("".join)


@given(
    st.recursive(
        st.sampled_from([" word ", "word", ".", ", ", "\n", "<break/>", "<mark name='m'/>"]), wrap
    )
)
def test_passages_are_the_text_in_order(inner: str) -> None:
    try:
        directed = parse(inner)
    except TextError as error:
        assert "is not a rate" in str(error)  # noqa: PT017 - the rates multiplied
        return
    end = 0
    for passage in directed.passages:
        assert passage.start >= end
        end = passage.start + len(passage.text)
        assert directed.text[passage.start : end] == passage.text
    assert sum(p.text.count("word") for p in directed.passages) == inner.count("word")
    positions = [mark.position for mark in directed.marks]
    assert len(positions) == inner.count("<mark")
    assert positions == sorted(positions)


@given(st.text(max_size=30), st.sampled_from(["characters", "cardinal", "date", "telephone"]))
def test_say_as_reads_or_refuses_any_text(written: str, kind: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(verbalize(kind, written), str)


@pytest.mark.parametrize(
    "unit",
    [
        "<s>word</s>",
        "<prosody rate='fast'>.</prosody>",
        "<mark name='m'/>",
        "<mark name='m'/><break time='1ms'/>",
        "<sub alias='a'>b</sub> ",
        "a &amp; b ",
        "<!-- x -->\n",
    ],
)
def test_time_is_linear(unit: str) -> None:
    """Work is counted in calls, and text that is copied in characters."""
    short, long = (_count(unit * count) for count in (500, 2_000))
    assert long < 4.4 * short


def test_deep_nesting_is_read() -> None:
    depth = 20_000
    opened, closed = "<prosody volume='loud'>" * depth, "</prosody>" * depth
    assert parse(f"{opened}word{closed}").text == "word"


def _count(inner: str) -> int:
    calls = 0

    def count(_frame: Any, _event: str, argument: Any) -> None:
        nonlocal calls
        calls += 1
        if _event == "c_return" or argument is None:
            return
        if _event == "return" and isinstance(argument, str):
            calls += len(argument)

    sys.setprofile(count)
    try:
        parse(inner)
    finally:
        sys.setprofile(None)
    return calls


def test_notations_are_chosen_by_option() -> None:
    text = "<speak>[rate:2]x</speak>"
    assert parse_text(text, ssml=True).text == "[rate:2]x"
    assert parse_text(text).passages[1].delivery.rate == 2.0
    assert parse_text(text, plain=True).is_plain


@pytest.mark.parametrize(
    ("attributes", "style"),
    [
        ("pitch='+2st'", "pitch=2"),
        ("pitch='-50%'", "pitch=-12"),
        ("pitch='x-high' volume='-3.5dB'", "pitch=4,energy=-3.5"),
        ("range='+20%'", "range=1.2"),
        ("range='medium' pitch='default' volume='+0dB'", None),
    ],
)
def test_prosody_is_a_style_in_numbers(attributes: str, style: str | None) -> None:
    if style == "pitch=-12":
        with pytest.raises(TextError, match="pitch=-12.0 is out of range"):
            parse(f"<prosody {attributes}>x</prosody>")
        return
    assert describe(f"<prosody {attributes}>x</prosody>")[0][1].style == style


def test_changes_of_prosody_add_up() -> None:
    inner = "<prosody pitch='high'>a <prosody pitch='+1st' volume='loud'>b</prosody> c</prosody>"
    styles = [delivery.style for _, delivery, _, _ in describe(inner)]
    assert styles == ["pitch=2", "pitch=3,energy=6", "pitch=2"]
