"""Chapters from plain text and from Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from valle.books.document import Block, Book, Chapter, Omission, clean_text
from valle.books.html_text import NOTE
from valle.text.markup import strip_markup

_MAX_HEADING = 120  # characters
_MAX_SUBTITLE = 70
_NUMBER = (
    r"(?:[ivxlcdm]{1,8}|\d{1,4}|(?:the )?(?:one|two|three|four|five|six|seven|eight|nine|ten|"
    r"eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|"
    r"(?:twenty|thirty|forty|fifty)(?:[- ]\w+)?|first|second|third|fourth|fifth|last))"
)
_NUMBERED = re.compile(
    rf"(?:chapter|part|book|volume|act|scene|canto|letter|stave|section|lecture|adventure|story)"
    rf"\s+{_NUMBER}\b(?:\s*[.:—–-].*|\s+[^a-z\s].*|\s*)",
    re.IGNORECASE | re.DOTALL,
)
_NAMED = re.compile(
    r"(?:prologue|epilogue|preface|foreword|introduction|afterword|conclusion|dedication|"
    r"acknowledge?ments?|postscript|interlude|appendix(?: \w{1,4})?)[.:]?",
    re.IGNORECASE,
)
_ROMAN = re.compile(r"[IVXLC]{1,7}\.?(?:\s+[A-Z][^\n]{0,80})?")
_CONTENTS = re.compile(r"(?:table of )?contents[.:]?", re.IGNORECASE)
_GUTENBERG_START = re.compile(r"^\*{3} ?START OF (?:THE|THIS) PROJECT GUTENBERG[^\n]*\n", re.M)
_GUTENBERG_END = re.compile(
    r"^(?:\*{3} ?END OF (?:THE|THIS) PROJECT GUTENBERG|End of (?:the )?Project Gutenberg)", re.M
)
_GUTENBERG_FIELD = r"^{}: *(\S[^\n]*)$"
_BY = re.compile(r"(?:by|written by)\s+(.{2,60})", re.IGNORECASE)
_RULE = re.compile(r"[\s*_~=#•·—–-]*")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FRONT_MATTER = re.compile(r"\A---\n((?:[\w-]+:[^\n]*\n|[ \t]+[^\n]*\n|#[^\n]*\n|\n)*)---\n")
_ATX = re.compile(r"[ ]{0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*")
_SETEXT = re.compile(r"([^\n]+(?:\n[^\n]+)?)\n[ ]{0,3}(=+|-{2,})[ \t]*")
_FOOTNOTE = re.compile(r"[ ]{0,3}\[\^[^\[\]\s]{1,40}\]:[ \t]*")
_DROPPED = "a mark of the format: the target of a link, a comment, or the mark of a footnote"


@dataclass
class _RawBlock:
    text: str
    level: int = 0
    """Of a heading in Markdown: 1 to 6."""


@dataclass
class _Draft:
    """A chapter that is being filled."""

    title: str
    blocks: list[Block] = field(default_factory=list)


def read_plain_text(text: str) -> Book:
    """Read a text whose chapters begin with lines such as "CHAPTER I" or "Prologue"."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
    text = text.replace("``", "“").replace("`", "‘")  # quotation marks of the typewriter
    omissions: list[Omission] = []
    title = author = ""
    if start := _GUTENBERG_START.search(text):
        header = text[: start.end()]
        title, author = (_read_field(header, name) for name in ("Title", "Author"))
        text = _leave_out(text, 0, start.end(), "Project Gutenberg's own words", omissions)
    if end := _GUTENBERG_END.search(text):
        text = _leave_out(text, end.start(), len(text), "Project Gutenberg's own words", omissions)
    raw = _drop_contents([_RawBlock(part) for part in _split_blocks(text)], omissions)
    find_title = _choose_headings(raw)
    if not title:
        title, author = _guess_title(raw, find_title)
    return _build(raw, find_title, (title, author), omissions)


def read_markdown(text: str, speak_notes: bool) -> Book:
    """Read Markdown; chapters are its headings of the highest level that occurs twice.

    Args:
        text: With or without front matter.
        speak_notes: Whether footnotes are spoken where they stand.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    omissions: list[Omission] = []
    fields: dict[str, str] = {}
    if front := _FRONT_MATTER.match(text):
        pairs = (line.partition(":") for line in front[1].split("\n") if line[:1].isalpha())
        fields = {name.strip().lower(): value.strip().strip("\"'") for name, _, value in pairs}
        text = _leave_out(text, 0, front.end(), "front matter: data about the book", omissions)
    for comment in reversed(list(_COMMENT.finditer(text))):
        text = _leave_out(text, *comment.span(), "a comment", omissions)
    raw = []
    for block in _split_markdown(text):
        if _FOOTNOTE.match(block.text) and not speak_notes:
            omissions.append(Omission(clean_text(block.text), NOTE))
        else:
            raw.append(block)
    levels = [block.level for block in raw if block.level]
    repeated = [level for level in sorted(set(levels)) if levels.count(level) > 1]
    top = min(levels, default=0)
    chapter_level = repeated[0] if repeated and top not in repeated else top
    title = fields.get("title", "")
    if not title and top and top < chapter_level:
        title = clean_text(strip_markup(next(b.text for b in raw if b.level == top)).text)

    def find_title(index: int) -> tuple[str, int] | None:
        block = raw[index]
        if not 0 < block.level <= chapter_level:
            return None
        return clean_text(strip_markup(block.text).text), 1

    return _build(raw, find_title, (title, fields.get("author", "")), omissions)


def _read_field(header: str, name: str) -> str:
    match = re.search(_GUTENBERG_FIELD.format(name), header, re.MULTILINE)
    return match[1].strip() if match else ""


def _leave_out(text: str, start: int, end: int, why: str, omissions: list[Omission]) -> str:
    omissions.append(Omission(clean_text(text[start:end]), why))
    return text[:start] + text[end:]


def _split_blocks(text: str) -> list[str]:
    parts = re.split(r"\n[^\S\n]*\n\s*", text)
    return [part.strip("\n") for part in parts if part.strip()]


def _split_markdown(text: str) -> Iterator[_RawBlock]:
    """Yield blocks, each heading as one of its own; a fenced block stays in one piece."""
    for part in re.split(r"(^(?:```|~~~)[^\n]*\n.*?^(?:```|~~~)[ \t]*$)", text, flags=re.M | re.S):
        if re.match(r"(?:```|~~~)", part):
            yield _RawBlock(part)
            continue
        for block in _split_blocks(part):
            pending: list[str] = []
            if setext := _SETEXT.fullmatch(block):
                yield _RawBlock(setext[1], 1 if setext[2][0] == "=" else 2)
                continue
            for line in block.split("\n"):
                if heading := _ATX.fullmatch(line):
                    if pending:
                        yield _RawBlock("\n".join(pending))
                        pending = []
                    yield _RawBlock(heading[2], len(heading[1]))
                else:
                    pending.append(line)
            if pending:
                yield _RawBlock("\n".join(pending))


def _is_heading(text: str) -> bool:
    line = " ".join(text.split())
    if len(line) > _MAX_HEADING or text.strip().count("\n") > 2:
        return False
    return bool(_NUMBERED.fullmatch(line) or _NAMED.fullmatch(line))


def _drop_contents(raw: list[_RawBlock], omissions: list[Omission]) -> list[_RawBlock]:
    """Leave a table of contents out: a list of headings with nothing between them."""
    kept: list[_RawBlock] = []
    index = 0
    why = "a table of contents"
    while index < len(raw):
        text = raw[index].text
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        if _CONTENTS.fullmatch(" ".join(text.split())):
            end = index + 1
            while end < len(raw) and end < index + 400 and _is_entry(raw, end):
                end += 1
            omitted, index = raw[index:end], end
            omissions += [Omission(clean_text(block.text), why) for block in omitted]
        elif len(lines) > 2 and all(map(_is_heading, lines)):
            omissions.append(Omission(clean_text(text), why))
            index += 1
        else:
            kept.append(raw[index])
            index += 1
    return kept


def _is_entry(raw: list[_RawBlock], index: int) -> bool:
    """Return whether a block after "Contents" belongs to the list, and is not the first chapter."""
    lines = [line.strip() for line in raw[index].text.split("\n") if line.strip()]
    if not all(len(line) < _MAX_HEADING and not line.endswith((",", ";")) for line in lines):
        return False
    if len(lines) > 1:
        return True
    later = {" ".join(block.text.split()).lower() for block in raw[index + 1 :]}
    return " ".join(lines).lower() in later or any(
        " ".join(lines).lower().startswith(text) for text in later if len(text) > 6
    )


def _choose_headings(raw: list[_RawBlock]) -> Callable[[int], tuple[str, int] | None]:
    """Return what finds the title of a chapter that begins at a block, and its length in blocks."""
    is_start = [_is_heading(block.text) for block in raw]
    if not any(is_start):
        numerals = [bool(_ROMAN.fullmatch(block.text.strip())) for block in raw]
        if sum(numerals) > 2:
            is_start = numerals

    def find_title(index: int) -> tuple[str, int] | None:
        if not is_start[index]:
            return None
        title = " ".join(raw[index].text.split())
        following = raw[index + 1].text.strip() if index + 1 < len(raw) else ""
        is_subtitle = (
            "\n" not in following
            and 0 < len(following) <= _MAX_SUBTITLE
            and following[-1] not in ".,;:\"'”’"
            and bool(_NUMBERED.fullmatch(title) or _ROMAN.fullmatch(title))
            and not (index + 1 < len(raw) and is_start[index + 1])
            and not _RULE.fullmatch(following)
        )
        if is_subtitle and len(title) < _MAX_SUBTITLE:
            return f"{title.rstrip('.:')}. {' '.join(following.split())}", 2
        return title, 1

    return find_title


def _guess_title(
    raw: list[_RawBlock], find_title: Callable[[int], tuple[str, int] | None]
) -> tuple[str, str]:
    """Return title and author from the lines before the first chapter, where there are any."""
    title = author = ""
    for index, block in enumerate(raw[:6]):
        line = " ".join(block.text.split())
        if find_title(index) or len(line) > _MAX_HEADING or line.endswith((".", ",", ";")):
            break
        if by := _BY.fullmatch(line):
            author = by[1]
        elif not title:
            title = line
        elif not author and re.fullmatch(r"(?:[A-Z][\w.'’-]*\s?){2,4}", line):
            author = line
    if title.isupper():
        title = re.sub(r"[A-Z]+(?:['’][A-Z]+)?", lambda match: match[0].capitalize(), title)
    return title, author


def _build(
    raw: list[_RawBlock],
    find_title: Callable[[int], tuple[str, int] | None],
    names: tuple[str, str],
    omissions: list[Omission],
) -> Book:
    """Return the book of blocks, whose marks are left out here."""
    drafts = [_Draft(names[0])]
    heading_until = 0
    for index, block in enumerate(raw):
        if index >= heading_until and (found := find_title(index)):
            drafts.append(_Draft(found[0]))
            heading_until = index + found[1]
        is_heading = index < heading_until or block.level > 0
        _add_block(block, is_heading, drafts[-1], omissions)
    chapters = [Chapter(draft.title, draft.blocks) for draft in drafts if draft.blocks]
    return Book(*names, chapters, omissions)


def _add_block(
    block: _RawBlock, is_heading: bool, draft: _Draft, omissions: list[Omission]
) -> None:
    if _RULE.fullmatch(block.text):
        draft.blocks.append(Block("rule", ""))
        return
    marked = strip_markup(block.text)
    kept = bytearray(len(block.text))
    for start, end in zip(marked.starts, marked.ends, strict=True):
        kept[start:end] = b"\1" * (end - start)
    for match in re.finditer(rb"\0+", bytes(kept)):
        dropped = block.text[match.start() : match.end()]
        if re.search(r"[^\W_]", dropped):
            omissions.append(Omission(clean_text(dropped), _DROPPED, draft.title))
    for part in re.split(r"\n\s*\n", marked.text):
        if text := " ".join(clean_text(part).split()):
            draft.blocks.append(Block("heading" if is_heading else "paragraph", text))
