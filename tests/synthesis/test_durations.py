"""Pauses are as long as asked for, and everything is stretched alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import valle
from valle.options import SpeakOptions
from valle.synthesis.durations import schedule, trim_borders
from valle.synthesis.source_text import SourceText
from valle.synthesis.utterance import BorderLimits, Symbols, Utterance
from valle.text.segmentation import split_sentences

TEXT = "It is green. So it is.\n\nThen it rains."


def make_utterances(text: str) -> list[Utterance]:
    source, previous_end, utterances = SourceText(text), None, []
    for index, sentence in enumerate(split_sentences(text)[0]):
        written = source.locate(sentence, previous_end)
        previous_end = written.end
        count = len(sentence.phonemes)
        symbols = Symbols(np.zeros(count, int), np.zeros(count, int), np.zeros(count, bool))
        utterances.append(
            Utterance(sentence, symbols, np.ones(count), index=index, written=written)
        )
    return utterances


def plan(text: str, **options: Any) -> list[Utterance]:
    """The schedule of a text in which every symbol takes 5 frames by itself."""
    chosen = SpeakOptions.from_keywords(**options)
    return list(
        schedule(make_utterances(text), chosen, 50.0, lambda u: np.full(len(u.symbols.ids), 5))
    )


@pytest.mark.parametrize(
    ("pause", "frames"),
    [
        ({}, [0, 25, 50]),
        ({"pause": "sentence=0.3,paragraph=0.8"}, [0, 15, 40]),
        ({"pause": {"sentence": 2}}, [0, 100, 200]),
        ({"pause": "paragraph=0"}, [0, 25, 0]),
    ],
)
def test_pauses_of_sentences_and_paragraphs(pause: dict[str, Any], frames: list[int]) -> None:
    assert [utterance.pause_frames for utterance in plan(TEXT, **pause)] == frames


@pytest.mark.parametrize(
    "pause", ["sentence", "sentence=-1", "sentence=61", "word=1", "sentence=nan", 3, "", None]
)
def test_invalid_pauses_are_refused(pause: Any) -> None:
    with pytest.raises(valle.UsageError, match="--pause takes sentence=SECONDS"):
        SpeakOptions.from_keywords(pause=pause)


def test_parts_of_a_long_sentence_have_a_short_pause() -> None:
    text = "and so it is, " * 40
    utterances = plan(text)
    assert len(utterances) > 2
    assert {utterance.pause_frames for utterance in utterances[1:]} == {12}


@given(st.floats(0.3, 3.5))
def test_speed_stretches_sentences_and_pauses_alike(speed: float) -> None:
    assume(speed != 1.0)
    natural = plan(TEXT, speed=1.0000001)
    planned = plan(TEXT, speed=speed)
    length = sum((u.added_frames or 0) + (u.target_frames or 0) for u in natural)
    total = sum((u.added_frames or 0) + (u.target_frames or 0) for u in planned)
    assert total == pytest.approx(length / speed, abs=1)
    for before, after in zip(natural, planned, strict=True):
        assert after.target_frames == pytest.approx((before.target_frames or 0) / speed, abs=1)


def test_speed_that_phonemes_do_not_allow_is_saved_elsewhere_or_stated() -> None:
    planned = plan(TEXT, speed=4.0)
    slowest = plan(TEXT, speed=1.000001)
    assert sum(u.target_frames or 0 for u in planned) * 4 < 1.1 * sum(
        (u.added_frames or 0) + (u.target_frames or 0) for u in slowest
    )
    assert all(u.speed <= 5.0 for u in planned)
    with pytest.raises(valle.UsageError, match="too short for this text"):
        plan(TEXT, duration=0.1)


@given(st.floats(1.0, 60.0))
def test_duration_is_met_to_a_frame(duration: float) -> None:
    planned = plan(TEXT, duration=duration)
    total = sum((u.added_frames or 0) + (u.target_frames or 0) for u in planned)
    assert total == round(duration * 50)


@given(
    st.lists(st.integers(0, 6), min_size=8, max_size=8),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_borders_are_trimmed_however_blocks_are_divided(
    frames: list[int], block: int, lead: int, trail: int
) -> None:
    (utterance,) = make_utterances("So.")[:1]
    last = len(utterance.sentence.phonemes) - 1
    counts = np.array([*frames[:last], max(1, frames[last])])
    counts[1:last] += 1
    symbols = np.repeat(np.arange(last + 1), counts)
    codes = np.arange(len(symbols))[:, None]
    blocks = [(codes[a : a + block], symbols[a : a + block]) for a in range(0, len(codes), block)]
    limited = replace(utterance, borders=BorderLimits(lead, trail))
    trimmed = list(trim_borders(blocks, limited))
    kept = np.concatenate([part for part, _ in trimmed])[:, 0]
    first = max(0, counts[0] - lead)
    end = len(codes) - max(0, counts[-1] - trail)
    np.testing.assert_array_equal(kept, np.arange(first, end))
    untouched = trim_borders(blocks, utterance)
    assert sum(len(part) for part, _ in untouched) == len(codes)


def test_pauses_are_heard_as_long_as_asked(model: valle.Model, voice: valle.Voice) -> None:
    speech = model.speak(TEXT, voice, retries=0, pause={"sentence": 0.3, "paragraph": 0.8})
    first, second, third = speech.sentences
    assert second.start - first.end == pytest.approx(0.3, abs=0.021)
    assert third.start - second.end == pytest.approx(0.8, abs=0.021)
    assert third.begins_paragraph
    joined = model.speak(TEXT, voice, retries=0, pause={"sentence": 0, "paragraph": 0})
    first, second, third = joined.sentences
    assert second.start == first.end
    assert third.start == second.end
    slow = model.speak(TEXT, voice, retries=0, speed=0.8)
    usual = model.speak(TEXT, voice, retries=0)
    assert slow.seconds * 0.8 == pytest.approx(usual.seconds, rel=0.03)
