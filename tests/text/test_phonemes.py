"""Text to symbols: known answers, and properties that hold for any Unicode string."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from valle.errors import TextError, UsageError
from valle.text.espeak import phonemize
from valle.text.phonemes import parse_ipa, phonemes_to_ids
from valle.text.segmentation import Sentence, split_sentences
from valle.text.symbols import BORDERS, SYMBOLS, VOWELS


def spoken(text: str) -> str:
    """All that is said of a text, sentences ended by their last border."""
    sentences, _ = split_sentences(text)
    return " ".join(
        " ".join(word.spoken for word in sentence.words) + sentence.phonemes[-1].symbol
        for sentence in sentences
    )


def sounds(sentence: Sentence) -> str:
    """The symbols of a sentence in one line, with stress marks."""
    return "".join(" ˌˈ"[p.stress].strip() + p.symbol for p in sentence.phonemes)


def said(text: str) -> str:
    return " / ".join(map(sounds, split_sentences(text)[0]))


@pytest.mark.parametrize(
    ("text", "ipa"),
    [
        ("Hello, world!", "^həlˈoʊ,wˈɜːld!"),
        ("A choice of cheese", "^ɐ tʃˈɔɪs ʌv tʃˈiːz."),
        # what espeak joins is cut again
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
    assert said(text) == ipa


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # numbers
        ("0 7 12 45 100", "zero seven twelve forty five one hundred."),
        ("1,234,567", "one million two hundred thirty four thousand five hundred sixty seven."),
        ("3.14 -2 007", "three point one four minus two zero zero seven."),
        ("1/2, 3/4, 2 2/3", "one half three quarters two and two thirds."),
        ("½ and 2½", "one half and two and one half."),
        ("50% of 3 × 4 = 12", "fifty percent of three by four equals twelve."),
        ("10-20 people, 1914–18", "ten to twenty people nineteen fourteen to eighteen."),
        ("٣ and 3", "three and three."),
        ("9" * 37, " ".join(["nine"] * 37) + "."),
        ("version 3.11.2", "version three point eleven point two."),
        # ordinals, years, dates, times
        ("1st 2nd 3rd 12th 20th 101st", "first second third twelfth twentieth one hundred first."),
        ("in 1905, 2000, 2007", "in nineteen oh five two thousand two thousand seven."),
        ("the 1990s, '80s, 1800s", "the nineteen nineties eighties eighteen hundreds."),
        ("March 5, 2024", "March fifth twenty twenty four."),
        ("Jan. 2nd", "January second."),
        ("5 March 1999", "the fifth of March nineteen ninety nine."),
        ("2024-03-05", "March fifth twenty twenty four."),
        ("3/5/2024", "March fifth twenty twenty four."),
        ("5:05 p.m. He left at 17:00.", "five oh five P M. He left at seventeen hundred."),
        ("at 5:00 or 5pm", "at five o'clock or five P M."),
        # money and units
        ("$5.20", "five dollars and twenty cents."),
        ("$1, €0.50, £3.5m", "one dollar fifty cents three point five million pounds."),
        ("$2 billion", "two billion dollars."),
        ("5 km, 1kg, 20°C", "five kilometers one kilogram twenty degrees Celsius."),
        ("60mph, 10MB", "sixty miles per hour ten megabytes."),
        ("6 ft. tall", "six feet tall."),
        ("Call 555-1234", "Call five five five one two three four."),
        # abbreviations, initials, acronyms
        ("Dr. Smith met Mrs. Lee.", "Doctor Smith met Misses Lee."),
        ("Main St. in St. Louis", "Main Street in Saint Louis."),
        ("No. 5, p. 3. No.", "number five page three. No."),
        ("J. R. R. Tolkien", "J R R Tolkien."),
        ("the U.S. army. The U.S. The end", "the U S army. The U S. The end."),
        ("the FBI, NASA and TVs", "the F B I nasa and T v's."),
        ("AT&T, R&D, MP3, B2B", "A T and T R and D M P three B two B."),
        ("e.g. this, i.e. that, etc.", "for example this that is that et cetera."),
        ("Henry VIII, World War II", "Henry the eighth World War two."),
        ("THIS IS ALL IN CAPITALS", "this is all in capitals."),
        ("YouTube and McDonald", "You Tube and Mcdonald."),
        # addresses and signs
        ("see www.example.com/a-b", "see example dot com slash A dash B."),
        ("mail me@site.org.", "mail me at site dot org."),
        ("and/or C++ & #1", "and or C plus plus and number one."),
        # sentences
        ("Wait... what? \"No,\" he said.", "Wait what? No he said."),
        ("One line\nbroken. The end.Next", "One line broken. The end. Next."),
        ("Title\n\nText", "Title. Text."),
        ("- one\n- two", "one. two."),
        # letters
        ("ﬁne soft\u00adhyphen ｆｕｌｌ", "fine softhyphen full."),
        ("Łódź naïve Straße", "Lódz naïve Strasse."),
        ("don’t ’em O’Brien", "don't em O'brien."),
        ("x² and α", "X squared and alpha."),
        ("noooooo", "noo."),
    ],
)  # fmt: skip
def test_known_words(text: str, words: str) -> None:
    assert spoken(text) == words


def test_spans_lead_back_to_the_source() -> None:
    text = "  He paid $5.20, on the 5th."
    sentences, skipped = split_sentences(text)
    assert not skipped
    (sentence,) = sentences
    assert [word.text for word in sentence.words] == ["He", "paid", "$5.20", "on", "the", "5th"]
    assert sentence.text == text.strip() and sentence.start == 2
    money = [p for p in sentence.phonemes if p.word == 2]
    assert {text[p.start : p.end] for p in money} == {"$5.20"}
    comma = next(p for p in sentence.phonemes if p.symbol == ",")
    assert text[comma.start : comma.end] == "," and comma.word == -1
    assert sentence.phonemes[-1].start == text.index(".", 14)


@pytest.mark.parametrize(
    ("text", "part", "why"),
    [
        ("hello мир world", "мир", "Cyrillic"),
        ("hello 你好", "你好", "Chinese"),
        ("hello हिन्दी world", "हिन्दी", "Devanagari"),
        ("hello λόγος", "λόγος", "Greek"),
        ("helloмир", "мир", "Cyrillic"),
        ("hello 🎉", "🎉", "sign"),
        ("hello \ud800", "\ud800", "printable"),
        ("hello [[***]]", "[[***]]", "no sound"),
    ],
)
def test_what_cannot_be_said_is_named(text: str, part: str, why: str) -> None:
    sentences, skipped = split_sentences(text)
    assert sentences[0].words[0].spoken == "hello"
    (skip,) = skipped
    assert skip.text == part == text[skip.start : skip.end]
    assert why in skip.why


@pytest.mark.parametrize(
    "text", ["", " \n", "...", "?!", "мир", "🎉", "[[ ]]", "\0", "\ud800", "-"]
)
def test_nothing_to_say(text: str) -> None:
    with pytest.raises(TextError, match="English"):
        split_sentences(text)


def test_unknown_language_is_refused() -> None:
    with pytest.raises(UsageError, match="en-us"):
        split_sentences("hallo", language="de")
    with pytest.raises(ValueError, match="xx-none"):
        phonemize("hello", "xx-none")
    assert phonemize("hello")  # the voice before is back


def check(text: str, max_phonemes: int = 180) -> None:
    """All that `split_sentences` promises, for one text."""
    try:
        sentences, skipped = split_sentences(text, max_phonemes=max_phonemes)
    except TextError:
        return
    assert sentences
    for skip in skipped:
        assert 0 <= skip.start < skip.end <= len(text) and skip.why
        assert skip.text == text[skip.start : skip.end]
    starts = [sentence.start for sentence in sentences]
    assert starts == sorted(starts)
    for sentence in sentences:
        phonemes = sentence.phonemes
        before = sentence.start
        assert text[sentence.start :].startswith(sentence.text)
        assert 3 <= len(phonemes) <= max_phonemes
        assert phonemes[0].symbol == "^" and phonemes[-1].symbol in ".?!,"
        for this, following in pairwise(phonemes):
            assert not (this.symbol in BORDERS and following.symbol in BORDERS)
            assert this.symbol not in ".?!" and following.symbol != "^"
        for p in phonemes:
            assert p.symbol in SYMBOLS[1:]
            assert 0 <= p.start <= p.end <= len(text)
            assert p.start >= before
            before = p.start
            assert (p.word == -1) == (p.symbol in BORDERS)
            assert p.stress == 0 or (p.stress in (1, 2) and p.symbol in VOWELS)
            if p.word >= 0:
                word = sentence.words[p.word]
                assert (p.start, p.end) == (word.start, word.end) and p.start < p.end
                assert word.text == text[p.start : p.end]
        assert {p.word for p in phonemes} - {-1} == set(range(len(sentence.words)))


# single characters that mean something to some rule, and whole words and figures
_PIECES = st.one_of(
    st.text(max_size=4),
    st.text(alphabet="aAbIzZ09.,:;-–—'’\"/()[]$€%°&@#+=!?… \n\tx", max_size=8),
    st.sampled_from(
        "of the|in the|Mr.|U.S.|e.g.|VIII|Henry|$5.20|3/4|10:30|p.m.|1990s|Jan.|5th|km|°C|½|www.|"
        "a.com|me@b.org|[[həˈloʊ]]|[[|]]|FBI|A|I|don't|’em|мир|é|e\u0301|ﬁ|²|٣|\u00ad|\ud800|\0".split(
            "|"
        )
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=12).map("".join))
@example("A" * 500)
@example("1" * 500)
@example("ﬁ" * 100 + "\u0301")
@example("²" * 5)
@example("ʃ ɪŋɡlɪʃ ʰ")
@example("a\u0301\u0302b ' 'n ''")
@example("[[" + "a" * 400 + "]]")
@example("of the " * 100)
def test_any_text(text: str) -> None:
    check(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(_PIECES, max_size=12).map(" ".join), st.integers(3, 40))
def test_any_text_in_short_sentences(text: str, max_phonemes: int) -> None:
    check(text, max_phonemes)


def test_long_sentence_is_cut_at_commas_or_conjunctions() -> None:
    text = "the quick brown fox jumps over the lazy dog, " * 12
    sentences, _ = split_sentences(text)
    assert len(sentences) > 1
    assert all(sentence.text.endswith("dog,") for sentence in sentences)
    sentences, _ = split_sentences("the quick brown fox jumps over the lazy dog and " * 12)
    assert all(sentence.words[0].text in ("the", "and") for sentence in sentences)
    assert [w.text for s in sentences for w in s.words] == text.replace(",", " and").split()


@pytest.mark.parametrize(
    "text",
    [
        "It was the best of times, it was the worst of times; Dr. Smith paid $5.20 in 1999. ",
        # what would make a careless pattern or alignment quadratic
        "a", "1", "a-", "[", "\n", "я", "of the ",
    ],
)  # fmt: skip
def test_a_hundred_thousand_characters_take_seconds(text: str) -> None:
    started = time.process_time()  # not the wall's: other work on the machine is not counted
    with contextlib.suppress(TextError):
        split_sentences((text * 100_000)[:100_000])
    assert time.process_time() - started < 8


def test_symbol_ids() -> None:
    (sentence,), _ = split_sentences("Hello.")
    ids, stress = phonemes_to_ids(sentence.phonemes)
    assert ids.dtype == stress.dtype == np.int64
    assert [SYMBOLS[i] for i in ids] == [p.symbol for p in sentence.phonemes]
    assert stress.tolist() == [0, 0, 0, 0, 2, 0]
    assert phonemes_to_ids([])[0].shape == (0,)


def test_symbol_table_is_as_trained_models_have_it() -> None:
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


def test_threads_do_not_mix() -> None:
    texts = [f"{word} number {i}" for i, word in enumerate(["apple", "chair", "river", "stone"])]
    expected = [said(text) for text in texts]
    wrong: list[str] = []

    def work(text: str, answer: str) -> None:
        wrong.extend(text for _ in range(50) if said(text) != answer)

    threads = [
        threading.Thread(target=work, args=pair) for pair in zip(texts, expected, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_import_is_lazy_and_quiet() -> None:
    program = (
        "import valle.text.segmentation, valle.text.espeak as e;"
        "assert e._library.cache_info().currsize == 0;"
        "valle.text.segmentation.split_sentences('hello 🎉 мир'); e.phonemize('(de) <b> &amp;')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == done.stderr == b""
