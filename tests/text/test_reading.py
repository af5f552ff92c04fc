"""Lexicons, and how lines are phonemized."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import valle
from valle.cli.main import main
from valle.errors import UsageError
from valle.text.phonemes import parse_ipa
from valle.text.reading import load_lexicon, make_reading, parse_pronunciation
from valle.text.segmentation import split_sentences


def symbols(sounds: str) -> str:
    return "".join(symbol for symbol, _ in parse_pronunciation(sounds, "here"))


@pytest.mark.parametrize(
    ("sounds", "expected"),
    [("win", "wɪn"), ("wah-KEEN", "wɑːkiːn"), ("/dʒɪf/", "dʒɪf"), ("[[wɪn]]", "wɪn")],
)
def test_pronunciations(sounds: str, expected: str) -> None:
    assert symbols(sounds) == expected


def test_syllable_in_capitals_is_stressed() -> None:
    stress = [stress for symbol, stress in parse_pronunciation("wah-KEEN", "here") if stress]
    assert stress == [2]
    assert [s for s, stress in parse_pronunciation("wah-KEEN", "here") if stress] == ["iː"]


@pytest.mark.parametrize("sounds", ["xqzt", "", "w1n", "win-", "/wɪ$n/", "/pst/", "вин"])
def test_wrong_pronunciation_names_the_line(sounds: str, tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text(f"# names\nLee, lee\nNguyen, {sounds}\n", "utf-8")
    with pytest.raises(UsageError, match=r"words\.txt, line 3"):
        load_lexicon(file)


def test_line_without_a_comma_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("Nguyen win\n", "utf-8")
    with pytest.raises(UsageError, match="line 1: 'Nguyen win' has no comma"):
        load_lexicon(file)


def test_lexicon_is_used_for_words_initialisms_and_possessives() -> None:
    reading = make_reading(lexicon={"Nguyen": "win", "SQL": "sequel"})
    (sentence,), _ = split_sentences("Nguyen's SQL", reading=reading)
    sounds = [
        "".join(p.symbol for p in sentence.phonemes if p.word == index)
        for index in range(len(sentence.words))
    ]
    assert sounds == ["wɪnz", "".join(s for s, _ in parse_ipa("siːkwəl"))]
    assert [word.spoken for word in sentence.words] == ["Nguyen's", "SQL"]


def test_phonemize_reads_line_by_line() -> None:
    first, second = valle.phonemize("# My Title\n\nHello 🎉 there.")
    assert (first.text, first.spoken) == ("# My Title", "My Title |")
    assert second.spoken == "Hello there |"
    assert second.phonemes.endswith(" |")
    assert second.skipped == [{"text": "🎉", "why": "a sign with no spoken form"}]
    (line,) = valle.phonemize("🎉")
    assert (line.spoken, line.phonemes) == ("", "")


def test_plain_keeps_marks() -> None:
    assert valle.phonemize("<b>Hi</b>")[0].spoken == "Hi |"
    assert "less than" in valle.phonemize("<b>Hi</b>", plain=True)[0].spoken


def test_command_prints_a_line_of_json_per_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "text.txt"
    file.write_text("One, two.\nThree.\n", "utf-8")
    assert main(["phonemize", "-i", str(file), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["spoken"] for line in lines] == ["One | two |", "Three |"]
    assert all(line.keys() == {"text", "spoken", "phonemes", "skipped"} for line in lines)


def test_command_refuses_two_texts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phonemize"]) == 2
    assert "give the text in one way" in capsys.readouterr().err
