"""Lexicons in the format PLS of the W3C."""

from __future__ import annotations

from pathlib import Path

import pytest

from valle.errors import UsageError
from valle.text.reading import load_lexicon, parse_pronunciation

PLS = """<?xml version="1.0" encoding="UTF-8"?>
<lexicon version="1.0" xmlns="http://www.w3.org/2005/01/pronunciation-lexicon"
  alphabet="ipa" xml:lang="en-US">
  <!-- names -->
  <lexeme>
    <grapheme>Nguyen</grapheme><grapheme>Nguyên</grapheme>
    <phoneme>wɪn</phoneme><phoneme>njuːjɛn</phoneme>
  </lexeme>
  <lexeme><grapheme>Joaquin</grapheme><alias>wah-KEEN</alias></lexeme>
</lexicon>
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "words.pls"
    path.write_text(text, encoding="utf-8")
    return path


def test_words_have_their_first_pronunciation(tmp_path: Path) -> None:
    entries = load_lexicon(write(tmp_path, PLS))
    win, keen = (parse_pronunciation(sounds, "") for sounds in ("/wɪn/", "wah-KEEN"))
    assert entries == {"nguyen": win, "nguyên": win, "joaquin": keen}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("wɪn", "w0n", "line 5: '0' in 'w0n' is not a sound of IPA"),
        ('alphabet="ipa"', 'alphabet="x-sampa"', "the alphabet 'x-sampa' is not IPA"),
        ("<alias>wah-KEEN</alias>", "", "line 9: a lexeme needs a grapheme, and a phoneme"),
        ("</lexicon>", "", "this is not XML"),
        ("<lexicon ", "<words ", "it begins with <words>"),
        ("<lexicon ", '<!DOCTYPE lexicon [<!ENTITY a "b">]><lexicon ', "has a DOCTYPE"),
        ("Joaquin", "two words", "'two words' is not a single word"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, before: str, after: str, reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        load_lexicon(write(tmp_path, PLS.replace(before, after)))
    assert reason in str(raised.value)
