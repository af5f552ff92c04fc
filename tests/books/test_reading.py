"""Books are read whole from every format: each word is in a chapter, or left out for a reason."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from book_files import JPEG, Epub, page
from valle.books.document import clean_text, find_words
from valle.books.html_text import read_page
from valle.books.reader import ReadingChoices, read_book, select_chapters
from valle.errors import Error, TextError, UsageError

USUAL = ReadingChoices()


def read(path: Path, text: str, choices: ReadingChoices = USUAL):
    path.write_text(text, encoding="utf-8")
    return read_book(path, choices)


def titles(book) -> list[str]:
    return [chapter.title for chapter in book.chapters]


def reasons(book) -> dict[str, str]:
    return {omission.text: omission.why for omission in book.omissions}


def test_plain_text_has_chapters_title_and_author(tmp_path: Path) -> None:
    text = (
        "The Small Book\n\nby Ada Byron\n\nCONTENTS\n\nCHAPTER I. Rain\nCHAPTER II. Sun\n\n"
        "CHAPTER I\n\nRain\n\nIt was raining on\nthe hills.\n\n* * *\n\nThen it stopped.\n\n"
        "CHAPTER II\n\nSun\n\nThe sun came out.\n\nEPILOGUE\n\nThat was all.\n"
    )
    book = read(tmp_path / "small.txt", text)
    assert (book.title, book.author) == ("The Small Book", "Ada Byron")
    assert titles(book)[1:] == ["CHAPTER I. Rain", "CHAPTER II. Sun", "EPILOGUE"]
    assert [block.kind for block in book.chapters[1].blocks] == [
        *["heading", "heading", "paragraph", "rule", "paragraph"]
    ]
    assert book.chapters[1].blocks[2].text == "It was raining on the hills."
    assert set(reasons(book).values()) == {"a table of contents"}


def test_gutenberg_texts_leave_the_license_out(tmp_path: Path) -> None:
    text = (
        "The Project Gutenberg eBook of Rain\n\nTitle: Rain\n\nAuthor: Ada Byron\n\n"
        "*** START OF THE PROJECT GUTENBERG EBOOK RAIN ***\n\nIt rained.\n\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK RAIN ***\n\nLicense text.\n"
    )
    book = read(tmp_path / "rain.txt", text)
    assert (book.title, book.author) == ("Rain", "Ada Byron")
    assert [chapter.text for chapter in book.chapters] == ["It rained."]
    assert all(why == "Project Gutenberg's own words" for why in reasons(book).values())
    assert any("License text." in text for text in reasons(book))


def test_markdown_has_chapters_and_leaves_marks_out(tmp_path: Path) -> None:
    text = (
        "---\ntitle: Weather\nauthor: Ada\n---\n\n# Rain\n\nIt *rained* on [hills](http://x.org/y).[^1]"
        "\n\n[^1]: In May.\n\n## Later\n\nIt stopped.\n\n# Sun\n\n| a | b |\n|---|---|\n| c | d |\n"
    )
    book = read(tmp_path / "weather.md", text)
    assert (book.title, book.author) == ("Weather", "Ada")
    assert titles(book) == ["Rain", "Sun"]
    assert book.chapters[0].text == "Rain\n\nIt rained on hills.\n\nLater\n\nIt stopped."
    assert reasons(book)["[^1]: In May."] == "a footnote"
    spoken = read(tmp_path / "weather.md", text, ReadingChoices(speak_notes=True))
    assert "In May." in spoken.chapters[0].text


def test_html_tables_notes_ligatures_and_soft_hyphens(tmp_path: Path) -> None:
    body = (
        "<h1>One</h1><p>The \ufb01rst of\u00ad\ufb01ce<a epub:type='noteref' href='#n'>1</a>.</p>"
        "<table><tr><td>Name</td><td>Age</td></tr><tr><td>Ada</td><td>36</td></tr></table>"
        "<aside epub:type='footnote' id='n'>A note.</aside><p>Next<sup><a href='#m'>2</a></sup>"
        " line<br/>broken. <span epub:type='pagebreak'>12</span><img alt='A cat'/></p>"
        "<ul><li>one<li>two</ul><h1>Two</h1><p>x<sup>2</sup> <del hidden>gone</del>"
    )
    book = read(tmp_path / "page.html", page(body))
    assert titles(book) == ["One", "Two"]
    assert [block.text for block in book.chapters[0].blocks] == [
        *["One", "The first office.", "Name, Age", "Ada, 36", "Next line\nbroken.", "one", "two"]
    ]
    assert book.chapters[1].text == "Two\n\nx2"
    assert reasons(book) == {
        "1": "the mark of a footnote",
        "2": "the mark of a footnote",
        "A note.": "a footnote",
        "12": "a page number",
        "A cat": "the description of a picture",
        "gone": "hidden on the page",
    }


def test_epub_chapters_come_from_nested_navigation(tmp_path: Path) -> None:
    contents = (
        "<nav epub:type='toc'><ol><li><a href='a.xhtml'>Part</a><ol>"
        "<li><a href='a.xhtml#one'>First &amp; only</a><ol><li><a href='a.xhtml#deep'>Deep</a></li>"
        "</ol></li></ol></li><li><a href='b%20c.xhtml'>Second</a></li></ol></nav>"
        "<nav epub:type='page-list'><ol><li><a href='a.xhtml#deep'>12</a></li></ol></nav>"
    )
    pages = {
        "a.xhtml": "<h1>Part</h1><p id='one'>One.</p><p id='deep'>Deeper.</p>",
        "b c.xhtml": "<p>Two.</p>",
    }
    path = Epub(pages, contents, extra={"cover.jpg": JPEG}).write(tmp_path / "book.epub")
    book = read_book(path, USUAL)
    assert (book.title, book.author) == ("Small Book", "Ada")
    assert titles(book) == ["Part", "First & only", "Second"]
    assert book.chapters[1].text == "One.\n\nDeeper."
    assert book.cover is not None
    assert book.cover.data == JPEG


def test_epub_2_navigation_and_no_navigation(tmp_path: Path) -> None:
    pages = {"a.xhtml": "<h2>A</h2><p>One.</p>", "b.xhtml": "<h2>B</h2><p>Two.</p>"}
    ncx = (
        "<ncx><navMap><navPoint><navLabel><text>Alpha</text></navLabel><content src='a.xhtml'/>"
        "</navPoint><navPoint><navLabel><text>Beta</text></navLabel><content src='b.xhtml'/>"
        "</navPoint></navMap></ncx>"
    )
    older = read_book(Epub(pages, ncx=ncx).write(tmp_path / "older.epub"), USUAL)
    assert titles(older) == ["Alpha", "Beta"]
    without = read_book(Epub(pages).write(tmp_path / "without.epub"), USUAL)
    assert titles(without) == ["A", "B"]
    plain = read_book(
        Epub({"a.xhtml": "<p>One.</p>", "b.xhtml": "<p>Two.</p>"}).write(tmp_path / "p.epub"), USUAL
    )
    assert [chapter.text for chapter in plain.chapters] == ["One.", "Two."]


def test_epub_with_400_files_and_pages_beside_the_text(tmp_path: Path) -> None:
    pages = {f"p{number}.xhtml": f"<p>Page {number}.</p>" for number in range(400)}
    path = Epub(pages, linear={"p399.xhtml": "no"}).write(tmp_path / "many.epub")
    book = read_book(path, USUAL)
    assert len(book.chapters) == 399
    assert "linear=no" in reasons(book)["Page 399."]


def make_broken(path: Path) -> Path:
    data = Epub({"a.xhtml": "<p>One.</p>" * 99}).write(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def make_damaged_page(path: Path) -> Path:
    with zipfile.ZipFile(Epub({"a.xhtml": "<p>One.</p>"}).write(path)) as archive:
        at = archive.getinfo("OPS/a.xhtml").header_offset + 60
    data = bytearray(path.read_bytes())
    data[at : at + 8] = b"xxxxxxxx"
    path.write_bytes(data)
    return path


ENCRYPTED = (
    "<encryption><EncryptedData><EncryptionMethod Algorithm='http://www.w3.org/2001/04/xmlenc#aes'/>"
    "</EncryptedData></encryption>"
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_broken, "it is damaged, or cut off; get it again"),
        (make_damaged_page, "OPS/a.xhtml in it cannot be read"),
        (
            lambda path: Epub(
                {"a.xhtml": "<p>x</p>"}, extra={"META-INF/encryption.xml": ENCRYPTED.encode()}
            ).write(path),
            "is encrypted (DRM)",
        ),
        (
            lambda path: Epub({"a.xhtml": "<img src='1.jpg'/>"}, extra={"1.jpg": JPEG}).write(path),
            "pictures of pages and no text; run a text recognition",
        ),
        (
            lambda path: Epub({"a.xhtml": "<p>\u0645\u0631\u062d\u0628\u0627 hi</p>"}).write(path),
            "mostly in Arabic writing (right to left)",
        ),
        (lambda path: Epub({"a.xhtml": "<p>你好世界</p>"}).write(path), "mostly in Chinese"),
        (
            lambda path: Epub(
                {"a.xhtml": "<p>Bonjour.</p>"}, metadata="<dc:language>fr</dc:language>"
            ).write(path),
            "its language is 'fr'",
        ),
    ],
)
def test_unreadable_epubs_are_refused_by_name(tmp_path: Path, make, message: str) -> None:
    path = make(tmp_path / "bad.epub")
    with pytest.raises(TextError) as caught:
        read_book(path, USUAL)
    assert message in str(caught.value)
    assert "bad.epub" in str(caught.value)


def test_foreign_parts_are_skipped_when_told(tmp_path: Path) -> None:
    book = read(
        tmp_path / "a.txt", "你好世界你好世界\n\nHello there.\n", ReadingChoices(False, True)
    )
    assert "Hello there." in book.chapters[0].text


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.pdf", b"%PDF-1.7", "a PDF document"),
        ("a.mobi", b"\0" * 60 + b"BOOKMOBI", "a Kindle book"),
        ("a.txt", b"\xff\xfa\x80", "is not UTF-8 text"),
        ("a.txt", b"", "holds no text"),
        ("a.epub", b"no zip", "is not an EPUB"),
        ("a.txt", b"a\0b", "null characters"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Error, match=message):
        read_book(tmp_path / name, USUAL)


def test_chapters_can_be_selected(tmp_path: Path) -> None:
    book = read(tmp_path / "a.md", "# A\n\none\n\n# B\n\ntwo\n\n# C\n\nthree\n")
    chosen = select_chapters(book, "2-")
    assert titles(chosen) == ["B", "C"]
    assert reasons(chosen)["A\n\none"] == "a chapter that was not asked for (--chapters)"
    for wrong in ("0", "3-2", "4", "x"):
        with pytest.raises(UsageError, match="--chapters"):
            select_chapters(book, wrong)


@given(st.text(st.sampled_from("<>/pab \"'=&;!-h1sup0#\n"), max_size=200))
def test_any_page_is_read(markup: str) -> None:
    result = read_page(markup, "page", False)
    assert all(block.text or block.kind == "rule" for block in result.blocks)


@given(st.lists(st.sampled_from(["<div>", "<p>", "</p>", "</div>", "<li>", "<b>", "word "])))
def test_no_word_of_a_page_is_lost(parts: list[str]) -> None:
    result = read_page("".join(parts), "page", False)
    found = sum(len(find_words(block.text)) for block in result.blocks)
    assert found == parts.count("word ")


def test_deep_pages_are_read() -> None:
    result = read_page("<div>" * 50_000 + "deep", "page", False)
    assert [block.text for block in result.blocks] == ["deep"]


def test_text_is_cleaned() -> None:
    assert clean_text("of\u00ad\ufb01ce\u200b \u00a0x\r\n y ") == "office x\ny"
