"""Blocks of text from a page in HTML or XHTML, in the order of reading.

The page is read once from top to bottom; nothing is built that a hostile page could make deep. What
is not spoken (a footnote, a page number, a table of contents) is kept with the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

from valle.books.document import BlockKind, Omission, clean_text

_BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html li main nav ol p pre section "
    "summary table tbody tfoot thead tr ul".split()
)
_VOID = frozenset(
    "area base br col embed hr img input link meta param source track wbr image".split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CLOSED_BY_BLOCKS = frozenset(["p", "h1", "h2", "h3", "h4", "h5", "h6"])
_SELF_CLOSING = {"li": "li", "dt": "dd dt", "dd": "dd dt", "tr": "tr", "td": "td th", "th": "td th"}
_NOT_TEXT = frozenset("head style script template".split())

NOTE = "a footnote"
_REASONS_BY_TAG = {
    "nav": "a table of contents",
    "rt": "a reading aid above the text (ruby)",
    "rp": "a reading aid above the text (ruby)",
    "svg": "words in a drawing",
    "math": "a formula",
    "audio": "what is shown where sound cannot be played",
    "video": "what is shown where a film cannot be played",
    "object": "what is shown where an object cannot be",
    "iframe": "what is shown where a frame cannot be",
    "select": "a form",
    "textarea": "a form",
    "button": "a form",
}
_REASONS_BY_TYPE = {
    "pagebreak": "a page number",
    "noteref": "the mark of a footnote",
    "backlink": "a link back from a footnote",
    "footnote": NOTE,
    "footnotes": NOTE,
    "endnote": NOTE,
    "endnotes": NOTE,
    "rearnote": NOTE,
    "rearnotes": NOTE,
    "toc": "a table of contents",
    "landmarks": "a table of contents",
    "page-list": "a list of pages",
    "index": "an index",
}
_NOTE_MARK = re.compile(r"\W*(?:\d{1,4}|[*†‡§¶]+|[a-z]|[ivxlc]{1,6})\W*")
_NOTE_CLASS = re.compile(r"\b(?:noteref|footnote-?ref|fn-?ref)\b", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


@dataclass
class PageBlock:
    """A block of a page."""

    kind: BlockKind
    text: str
    level: int = 0
    """Of a heading: 1 to 6."""
    ids: set[str] = field(default_factory=set)
    """The ids that stand in it, or between it and the block before it."""


@dataclass
class Page:
    """What a page holds."""

    blocks: list[PageBlock] = field(default_factory=list)
    omissions: list[Omission] = field(default_factory=list)
    title: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    """Of `meta` elements, by their names in small letters."""
    language: str = ""
    pictures: int = 0


def read_page(markup: str, where: str, speak_notes: bool) -> Page:
    """Read a page.

    Args:
        markup: The page.
        where: Its name, for the list of what is left out.
        speak_notes: Whether footnotes are spoken where they stand.
    """
    reader = _PageReader(where, speak_notes)
    reader.feed(markup)
    reader.close()
    reader.end_block()
    reader.end_omission()
    return reader.page


@dataclass
class _Element:
    tag: str
    reason: str | None
    """Why its text is not spoken; "" for what is not text at all."""
    may_be_mark: bool = False


class _PageReader(HTMLParser):
    def __init__(self, where: str, speak_notes: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._where = where
        self._speak_notes = speak_notes
        self._open: list[_Element] = []
        self._tags: Counter[str] = Counter()  # of the open elements: pages may be deep
        self._in_mark = False  # whether one of them may be the mark of a footnote
        self._text: list[str] = []  # of the present block
        self._omitted: list[str] = []
        self._omitted_reason = ""
        self._ids: set[str] = set()
        self._level = 0  # of the heading that is open
        self._cells = 0  # of the row so far
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        tag = tag.rpartition(":")[2]
        self._close_implied(tag)
        self._read_metadata(tag, attributes)
        if tag in _BLOCKS:
            self.end_block()
            self._level = _HEADINGS.get(tag, 0)
            self._cells = 0
        if identifier := attributes.get("id") or (tag == "a" and attributes.get("name")):
            self._ids.add(str(identifier))
        if tag in _VOID:
            self._read_void(tag, attributes)
            return
        if tag in ("td", "th"):
            if self._cells:
                self._add_text(", ")
            self._cells += 1
        reason = self._reason
        if reason is None:
            reason = self._find_reason(tag, attributes)
        if tag == "title" and self._reason in (None, ""):
            self._in_title = not self.page.title
            reason = "" if self._in_title else reason
        may_be_mark = reason is None and self._may_be_note_mark(tag, attributes)
        if may_be_mark:
            self._text.append("\0")  # where it begins
            self._in_mark = True
        self._open.append(_Element(tag, reason, may_be_mark))
        self._tags[tag] += 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag.rpartition(":")[2] not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        tag = tag.rpartition(":")[2]
        if tag == "title":
            self._in_title = False
        if tag in _VOID or not self._tags[tag]:
            return
        if tag in _BLOCKS:
            self.end_block()
        while self._open:
            element = self._open.pop()
            self._tags[element.tag] -= 1
            if element.may_be_mark and self._in_mark:
                self._end_note_mark()
                self._in_mark = False
            if element.tag == tag:
                break
        if self._reason is None:
            self.end_omission()

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.page.title = clean_text(self.page.title + data)
        elif self._reason:
            if self._reason != self._omitted_reason:
                self.end_omission()
            self._omitted.append(data)
            self._omitted_reason = self._reason
        elif self._reason is None:
            self._add_text(data if self._tags["pre"] else re.sub(r"\s+", " ", data))

    def unknown_decl(self, data: str) -> None:
        """Read a CDATA section, which XHTML has as text."""
        if data.startswith("CDATA["):
            self.handle_data(data[6:])

    def end_block(self) -> None:
        """End the present block, if there is any."""
        self._in_mark = False
        text = clean_text("".join(self._text).replace("\0", ""))
        self._text = []
        if text.strip(" ,"):
            kind: BlockKind = "heading" if self._level else "paragraph"
            self.page.blocks.append(PageBlock(kind, text, self._level, self._ids))
            self._ids = set()

    def end_omission(self) -> None:
        """End what is being left out, if there is any."""
        text = clean_text(re.sub(r"\s+", " ", "".join(self._omitted)))
        if text:
            self.page.omissions.append(Omission(text, self._omitted_reason, self._where))
        self._omitted = []

    @property
    def _reason(self) -> str | None:
        return self._open[-1].reason if self._open else None

    def _add_text(self, text: str) -> None:
        if self._reason is None:
            self._text.append(text)

    def _close_implied(self, tag: str) -> None:
        """Close what HTML allows to be left open: a paragraph before a block, an item."""
        closed = _SELF_CLOSING.get(tag, "").split()
        if not self._open:
            return
        last = self._open[-1].tag
        if last in closed or (tag in _BLOCKS and last in _CLOSED_BY_BLOCKS):
            self.handle_endtag(last)

    def _read_metadata(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "html":
            self.page.language = attributes.get("lang") or attributes.get("xml:lang") or ""
        elif tag == "meta" and attributes.get("name"):
            self.page.metadata[attributes["name"].lower()] = attributes.get("content", "")
        elif tag in ("img", "image"):
            self.page.pictures += 1

    def _read_void(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "br":
            self._add_text("\n")
        elif tag == "hr" and self._reason is None:
            if reason := self._find_reason(tag, attributes):
                self._omit(attributes.get("title", ""), reason)
            else:
                self.page.blocks.append(PageBlock("rule", "", 0, self._ids))
                self._ids = set()
        elif tag == "img" and self._reason in (None, ""):
            self._omit(attributes.get("alt", ""), "the description of a picture")

    def _omit(self, text: str, why: str) -> None:
        if text.strip():
            self.page.omissions.append(Omission(clean_text(text), why, self._where))

    def _find_reason(self, tag: str, attributes: dict[str, str]) -> str | None:
        if tag in _NOT_TEXT:
            return ""
        if "hidden" in attributes or _HIDDEN.search(attributes.get("style", "")):
            return "hidden on the page"
        if tag in _REASONS_BY_TAG:
            return _REASONS_BY_TAG[tag]
        types = attributes.get("epub:type", "").split()
        types += [role.removeprefix("doc-") for role in attributes.get("role", "").split()]
        for name in types:
            reason = _REASONS_BY_TYPE.get(name)
            if reason is not None and not (reason == NOTE and self._speak_notes):
                return reason
        return None

    def _may_be_note_mark(self, tag: str, attributes: dict[str, str]) -> bool:
        """Return whether a link is the mark of a footnote, if its text is a number or a sign."""
        if self._in_mark:
            return False
        if tag == "a":
            is_inner = "#" in attributes.get("href", "")
            is_raised = self._tags["sup"] > 0
            return is_inner and (is_raised or bool(_NOTE_CLASS.search(str(attributes))))
        return tag == "sup" and self._tags["a"] > 0

    def _end_note_mark(self) -> None:
        """Take back the text of a link that is the mark of a footnote."""
        text = "".join(self._text)
        before, separator, mark = text.rpartition("\0")
        if not separator:
            return
        if _NOTE_MARK.fullmatch(mark):
            self._omit(mark, "the mark of a footnote")
            self._text = [before]
        else:
            self._text = [before, mark]
