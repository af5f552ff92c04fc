"""Written text to spoken words: known answers, everyday strings, and what is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from valle.text.normalization import normalize
from valle.text.segmentation import split_sentences

EVERYDAY = Path(__file__).with_name("everyday.tsv")


def speak(text: str) -> str:
    """The spoken words of a text, and the punctuation that ends each sentence."""
    sentences, _ = split_sentences(text)
    return " ".join(
        " ".join(word.spoken for word in sentence.words) + sentence.phonemes[-1].symbol
        for sentence in sentences
    )


def read_everyday_strings() -> list[tuple[str, str]]:
    """Rows (written, spoken) of the table."""
    lines = EVERYDAY.read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("# "))
    return [(written.replace("\\n", "\n"), spoken) for written, spoken in rows]


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
    assert speak(text) == words


@pytest.mark.parametrize(("written", "words"), read_everyday_strings())
def test_everyday_strings(written: str, words: str) -> None:
    assert speak(written) == words


@pytest.mark.parametrize("letters", ["v", "V", "Llama", "Python", "iOS", "USB", "B", "x-", "é"])
@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("1.5", "one point five"),
        ("3.11", "three point one one"),
        ("0.9", "zero point nine"),
        ("17.4.1", "seventeen point four point one"),
        ("2.0.0.3", "two point zero point zero point three"),
        ("1.05", "one point zero five"),
        ("3", "three"),
        ("007", "zero zero seven"),
        ("1,500", "one thousand five hundred"),
    ],
)
def test_number_after_letters_is_read_to_its_end(letters: str, digits: str, words: str) -> None:
    for after, end in (("", "."), (".", "."), ("?", "?"), (" is", " is.")):
        assert speak(f"the {letters}{digits}{after}").endswith(f"{words}{end}")


ABBREVIATIONS = ("Inc.", "etc.", "Jr.", "U.S.", "6 p.m.", "Mon.")


def count_sentence_ends(text: str) -> int:
    tokens, _ = normalize(text)
    return sum(token.is_border and token.spoken != (",",) for token in tokens)


@pytest.mark.parametrize("abbreviation", [*ABBREVIATIONS, "2 ft.", "2 lbs."])
@pytest.mark.parametrize(
    "following",
    [
        *("+44", "$5", "€ 5", "#5", "& five", "= five", "@ five", "% five", "/ the", "± five"),
        *(", the", "; the", ": the", "- the", "– the", "—the", "-based", '"+5"', "(+5)"),
    ],
)
def test_sign_after_abbreviation_continues_the_sentence(abbreviation: str, following: str) -> None:
    assert count_sentence_ends(f"Call {abbreviation} {following} today.") == 1
    assert count_sentence_ends(f"Call {abbreviation}{following} today.") == 1


@pytest.mark.parametrize("abbreviation", ABBREVIATIONS)
def test_emphasized_word_after_abbreviation(abbreviation: str) -> None:
    assert count_sentence_ends(f"Call {abbreviation} *really* loud.") == 1
    assert count_sentence_ends(f"Call {abbreviation} *The* end.") == 2


@pytest.mark.parametrize("abbreviation", ABBREVIATIONS)
@pytest.mark.parametrize(
    "following",
    [
        *(" The end.", ' "The end."', ") The end.", " #five."),
        *("\n\nfive.", "\n- five.", "\n* five."),
    ],
)
def test_abbreviation_may_end_the_sentence(abbreviation: str, following: str) -> None:
    assert count_sentence_ends(f"Call {abbreviation}{following}") >= 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("U.S.-based", "U S based."),
        ("Jr.'s car", "Junior's car."),
        ("the Co.’s plan", "the Company's plan."),
        ("J. & K. Lee", "J and K Lee."),
        ("Poe, J., and Lee, K., wrote", "Poe J and Lee K wrote."),
        ("Node18.2-rc1", "Node eighteen point two R C one."),
    ],
)
def test_text_joined_to_an_abbreviation_or_version(text: str, words: str) -> None:
    assert speak(text) == words


def test_spans_refer_to_the_source() -> None:
    text = "  He paid $5.20, on the 5th."
    sentences, skipped = split_sentences(text)
    assert not skipped
    (sentence,) = sentences
    assert [word.text for word in sentence.words] == ["He", "paid", "$5.20", "on", "the", "5th"]
    assert sentence.text == text.strip()
    assert sentence.start == 2
    money = [p for p in sentence.phonemes if p.word == 2]
    assert {text[p.start : p.end] for p in money} == {"$5.20"}
    comma = next(p for p in sentence.phonemes if p.symbol == ",")
    assert text[comma.start : comma.end] == ","
    assert comma.word == -1
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
def test_skipped_text_is_reported_with_a_reason(text: str, part: str, why: str) -> None:
    sentences, skipped = split_sentences(text)
    assert sentences[0].words[0].spoken == "hello"
    (skip,) = skipped
    assert skip.text == part == text[skip.start : skip.end]
    assert why in skip.why


def test_interjections_are_ipa_tokens() -> None:
    tokens, skipped = normalize("Hmm, yes")
    assert [(token.kind, token.spoken) for token in tokens] == [
        ("ipa", ("həm",)),
        ("border", (",",)),
        ("word", ("yes",)),
    ]
    assert not skipped
