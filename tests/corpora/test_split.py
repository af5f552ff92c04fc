"""The split of sentences into training and evaluation depends on the words alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from valle.corpora.split import is_evaluation_sentence, plain_words


def test_plain_words_have_no_case_and_no_punctuation() -> None:
    assert plain_words("“It’s  late—Don't  STOP!” 3 o'clock") == (
        ["it's", "late", "don't", "stop", "3", "o'clock"]
    )
    assert plain_words(" -- '' ") == []
    assert not is_evaluation_sentence("...")


@given(st.lists(st.sampled_from("the rain has stopped it's Élan nine".split()), min_size=1))
def test_the_split_does_not_depend_on_spelling(words: list[str]) -> None:
    side = is_evaluation_sentence(" ".join(words))
    assert is_evaluation_sentence("“" + ",  ".join(words).upper() + "!”") == side


def test_one_sentence_in_32_is_for_evaluation() -> None:
    count = sum(is_evaluation_sentence(f"sentence number {i}") for i in range(32_000))
    assert 900 < count < 1100
