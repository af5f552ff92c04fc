"""Words to phonemes: known answers, IPA, threads, and a lazy import."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from valle.errors import UsageError
from valle.text.espeak import phonemize
from valle.text.phonemes import parse_ipa, phonemes_to_ids, pronounce
from valle.text.segmentation import Sentence, split_sentences
from valle.text.symbols import SYMBOLS


def format_sentence(sentence: Sentence) -> str:
    """The symbols of a sentence in one line, with stress marks."""
    return "".join(" ˌˈ"[p.stress].strip() + p.symbol for p in sentence.phonemes)


def to_ipa(text: str) -> str:
    """The symbols of all sentences of a text."""
    return " / ".join(map(format_sentence, split_sentences(text)[0]))


@pytest.mark.parametrize(
    ("text", "ipa"),
    [
        ("Hello, world!", "^həlˈoʊ,wˈɜːld!"),
        ("A choice of cheese", "^ɐ tʃˈɔɪs ʌv tʃˈiːz."),
        # words that espeak joins are split again
        ("of the law in the end", "^ʌv ðə lˈɔː ɪn ðɪ ˈɛnd."),
        ("I would not have gone.", "^aɪ wʊd nˌɑːɾ ɐv ɡˈɔn."),
        # "the" before a vowel, "use" the verb, "idea" with two vowels, one r in "insurance"
        ("the apple; the chair", "^ðɪ ˈæpəl,ðə tʃˈɛɹ."),
        ("to use the idea of insurance", "^tə jˈuːz ðɪ aɪdˈiə ʌv ɪnʃˈʊɹəns."),
        ("Say [[vˈæliː]] now", "^sˈeɪ vˈæliː nˈaʊ."),
        ("[[t͡ʃɛk ʁa]]?", "^tʃɛk ɹɑː?"),
        ("Who? Me! Yes", "^hˈuː? / ^mˈiː! / ^jˈɛs."),
        ("plan A", "^plˈæn ˈeɪ."),
        ("hmm", "^həm."),
        ("(yes)", "^jˈɛs."),
        ("well,", "^wˈɛl,"),
    ],
)
def test_known_sounds(text: str, ipa: str) -> None:
    assert to_ipa(text) == ipa


def test_word_without_a_sound_is_empty_and_reported() -> None:
    assert [len(phones) for phones in pronounce(["hello", "''"], "en-us")] == [4, 0]
    (sentence,), (skipped,) = split_sentences("hello [[***]]")
    assert [word.text for word in sentence.words] == ["hello"]
    assert (skipped.text, skipped.why) == ("[[***]]", "no sound in it")


def test_unknown_language_is_refused() -> None:
    with pytest.raises(UsageError, match="en-us"):
        split_sentences("hallo", language="de")
    with pytest.raises(ValueError, match="xx-none"):
        phonemize("hello", "xx-none")
    assert phonemize("hello")  # the previous voice is restored


def test_phonemes_to_ids() -> None:
    (sentence,), _ = split_sentences("Hello.")
    ids, stress = phonemes_to_ids(sentence.phonemes)
    assert ids.dtype == stress.dtype == np.int64
    assert [SYMBOLS[i] for i in ids] == [p.symbol for p in sentence.phonemes]
    assert stress.tolist() == [0, 0, 0, 0, 2, 0]
    assert phonemes_to_ids([])[0].shape == (0,)


def test_order_of_symbols_is_that_of_trained_models() -> None:
    # a bundle's embedding rows follow this order: append, never insert
    assert SYMBOLS[:7] == ("<unknown>", "^", " ", ",", ".", "?", "!")
    assert "".join(SYMBOLS[7:]) == "æʌɐəɚɛɪiiːᵻɑːɔɔːʊuːɜːeɪaɪɔɪaʊoʊpbtdkɡɾʔtʃdʒfvθðszʃʒhmnŋlɹjw"
    assert len(set(SYMBOLS)) == len(SYMBOLS) == 54


def test_parse_ipa() -> None:
    assert parse_ipa("ˈpɹɛ") == (("p", 0), ("ɹ", 0), ("ɛ", 2))
    assert parse_ipa("ˌɔːɹ", "ɹ") == (("ɔː", 1), ("ɹ", 0))
    assert parse_ipa("t͡ʃ") == parse_ipa("tʃ") == parse_ipa("ʧ") == (("tʃ", 0),)
    assert parse_ipa("n̩") == (("ə", 0), ("n", 0))
    assert parse_ipa("☃") == ()


def test_threads_do_not_interfere() -> None:
    texts = [f"{word} number {i}" for i, word in enumerate(["apple", "chair", "river", "stone"])]
    expected = [to_ipa(text) for text in texts]
    errors: list[str] = []

    def pronounce_repeatedly(text: str, answer: str) -> None:
        errors.extend(text for _ in range(50) if to_ipa(text) != answer)

    threads = [
        threading.Thread(target=pronounce_repeatedly, args=pair)
        for pair in zip(texts, expected, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_library_is_loaded_lazily_and_writes_nothing() -> None:
    program = (
        "import valle.text.segmentation, valle.text.espeak as e;"
        "assert e._library.cache_info().currsize == 0;"
        "valle.text.segmentation.split_sentences('hello 🎉 мир'); e.phonemize('(de) <b> &amp;')"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert process.stdout == process.stderr == b""
