"""Times of phonemes and words from the symbol of each frame."""

from __future__ import annotations

import numpy as np
import pytest

from valle.synthesis.assembler import Timeline
from valle.text.segmentation import split_sentences


def make_timeline(text: str, frames: int, step: int) -> Timeline:
    """Speak every symbol of one sentence for `frames` frames, fed `step` frames at a time."""
    (sentence,), _ = split_sentences(text)
    timeline = Timeline(50.0)
    timeline.begin(sentence)
    symbols = np.repeat(np.arange(len(sentence.phonemes)), frames)
    for start in range(0, len(symbols), step):
        timeline.feed(symbols[start : start + step])
    timeline.end()
    return timeline


def test_every_symbol_and_word_has_its_times() -> None:
    (sentence,), _ = split_sentences("The house is green.")
    phonemes, words = make_timeline("The house is green.", 3, 1000).take()
    assert [p.symbol for p in phonemes] == [p.symbol for p in sentence.phonemes]
    for index, phoneme in enumerate(phonemes):
        assert (phoneme.start, phoneme.end) == pytest.approx((index * 0.06, index * 0.06 + 0.06))
    assert [word.word for word in words] == ["The", "house", "is", "green"]
    for (_, start, end), index in zip(words, range(4), strict=True):
        symbols = [i for i, p in enumerate(sentence.phonemes) if p.word == index]
        assert (start, end) == pytest.approx((symbols[0] * 0.06, symbols[-1] * 0.06 + 0.06))


@pytest.mark.parametrize("step", [1, 2, 7])
def test_times_do_not_depend_on_how_frames_are_fed(step: int) -> None:
    assert make_timeline("Is it 123 miles, or not?", 2, step).take() == (
        make_timeline("Is it 123 miles, or not?", 2, 1000).take()
    )


def test_number_of_several_spoken_words_is_one_word() -> None:
    _, words = make_timeline("It is 123 miles.", 2, 5).take()
    assert [word.word for word in words] == ["It", "is", "123", "miles"]


def test_skipped_borders_are_not_reported_and_sentences_are_consecutive() -> None:
    (sentence,), _ = split_sentences("So be it.")
    phonemes = [i for i, p in enumerate(sentence.phonemes) if p.word >= 0]
    timeline = Timeline(50.0)
    for _ in range(2):
        timeline.begin(sentence)
        timeline.feed(phonemes)
        timeline.end()
        timeline.add_pause(10)
    spoken_phonemes, words = timeline.take()
    assert len(spoken_phonemes) == 2 * len(phonemes)
    assert [word.word for word in words] == ["So", "be", "it"] * 2
    assert words[3].start == pytest.approx((len(phonemes) + 10) / 50)
    assert timeline.take() == ([], [])
