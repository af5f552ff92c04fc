"""Lexicons, and how lines are phonemized."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import valle
from valle.cli.main import main
from valle.errors import TextError, UsageError
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


def test_lexicon_of_another_system_with_comments_is_read(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    lines = (
        "\ufeff# names",
        "Nguyen, win",
        "",
        "  # more",
        "GIF\t/dʒɪf/",
        "Nguyen, win ",
        "O’Brien, oh-BRY-en",
    )
    file.write_bytes("\r\n".join(lines).encode())
    assert list(load_lexicon(file)) == ["nguyen", "gif", "o'brien"]


def test_two_pronunciations_of_a_word_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("Nguyen, win\nLee, lee\nnguyen, noo-yen\n", "utf-8")
    with pytest.raises(UsageError, match="line 3: 'nguyen' has another pronunciation in line 1"):
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


def test_phonemize_lists_directions() -> None:
    text = "[pause]It is [rate:2]fast.[/rate] [voice:Ada] [pause:1s]\n\nYes 🎉 so.\n[style:low]"
    first, second, third = valle.phonemize(text)
    assert first.spoken == "It is fast |"
    tags = ["[pause]", "[rate:2]", "[/rate]", "[voice:Ada]", "[pause:1s]"]
    assert first.skipped == [{"text": tag, "why": "a direction"} for tag in tags]
    assert second.spoken == "Yes so |"
    assert [part["text"] for part in second.skipped] == ["🎉"]
    assert (third.spoken, len(third.skipped)) == ("", 1)
    with pytest.raises(TextError, match=r"line 2: there is no tag \[speed:2\]"):
        valle.phonemize("One.\n[speed:2]Two.")
    assert valle.phonemize("[speed:2]Two.", plain=True)[0].skipped == []


def test_hyphenated_and_wrapped_lines_are_joined() -> None:
    lines = valle.phonemize(
        "The nega-\r\ntive case is well-\r\nknown.\r\nOne long line that is wrapped at\r\nits end."
    )
    spoken = [line.spoken for line in lines]
    assert spoken[:3] == ["The negative", "case is well", "known |"]
    assert spoken[3:] == ["One long line that is wrapped at", "its end |"]


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
