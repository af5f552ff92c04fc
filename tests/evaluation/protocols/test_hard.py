"""The hard texts, and the figures of known trials."""

from __future__ import annotations

from pathlib import Path

import pytest

import valle
from valle.evaluation.metrics.word_alignment import WordCheck, spoken_words
from valle.evaluation.protocols import hard
from valle.text.segmentation import split_sentences


def test_there_are_a_hundred_hard_texts() -> None:
    texts = hard.read_texts()
    assert len(texts) == len({text for _, text in texts}) == 100
    kinds = {kind for kind, _ in texts}
    assert {kind for kind, _ in texts[:20]} == kinds
    assert len(kinds) == 6
    for kind, text in texts:
        words = spoken_words(split_sentences(text)[0])
        assert words
        assert kind != "long" or len(text.split()) >= 60
        assert kind != "one word" or len(words) == 1


def test_figures_of_known_trials() -> None:
    fine = WordCheck(4, (), (), truncated=False, run_on=False)
    lost = WordCheck(4, ("x",), ("y",), truncated=True, run_on=False)
    trials = [
        hard.Trial("numbers", "s1", "t", 0, 1.0, fine),
        hard.Trial("numbers", "s2", "t", 1, 1.0, lost),
        hard.Trial(hard.CODEC, "s1", "o", None, 1.0, fine),
    ]
    numbers, everything, codec = hard.summarize(trials)
    assert (numbers.clips, numbers.words) == (2, 8) == (everything.clips, everything.words)
    assert numbers.deleted.value == numbers.repeated.value == 1 / 8
    assert numbers.truncated.value == numbers.flagged.value == 0.5
    assert numbers.run_on.value == codec.flagged.value == 0.0
    assert len(hard.table([numbers, everything, codec]).splitlines()) == 4


def test_a_line_without_a_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("# kind and text\nno tab\n", encoding="utf-8")
    with pytest.raises(valle.UsageError, match="not a kind"):
        hard.read_texts(tmp_path / "texts")
