"""Marks of writing that are not spoken, removed from a text: Markdown, HTML, entities, citations.

The rule: what only formats is dropped (emphasis, tags, code marks, heading marks, quote marks,
table rules, front matter); what only refers is dropped (citation marks, footnote marks, link
targets); what holds words is kept (link texts, alternative texts, list numbers, code). The ends of
headings, list items, table rows and block tags are pauses. A wrapped line is joined with the next.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from re import Match

PAUSE = "\n\n"  # ends a sentence wherever it stands

_TAGS = (
    "a abbr acronym address article aside audio b bdi bdo big blockquote body br break button "
    "caption center cite code col colgroup data dd del details dfn div dl dt em emphasis "
    "figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe img input "
    "ins kbd label li link main mark meta nav ol option p phoneme picture pre prosody q s samp "
    "say-as section select small source span speak strike strong sub summary sup svg table tbody "
    "td textarea tfoot th thead time title tr tt u ul var video voice wbr"
).split()
_BLOCK_TAGS = frozenset(
    "address article aside blockquote body br break caption center dd details div dl dt figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 head header hr html li main nav ol option p pre section "
    "summary table tbody td tfoot th thead title tr ul".split()
)
_ATTRIBUTE = r"\s+[\w:.-]{1,40}(?:=(?:\"[^\"<>]{0,2000}\"|'[^'<>]{0,2000}'|[^\s\"'<>=]{1,500}))?"
_TAG = re.compile(
    rf"</?(?P<name>{'|'.join(sorted(_TAGS, key=len, reverse=True))})(?:{_ATTRIBUTE}){{0,30}}\s*/?>",
    re.IGNORECASE,
)
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]{1,2000}|[\w.+-]{1,64}@[\w.-]{1,200})>")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_LINK = re.compile(
    r"(?<!\[)!?\[([^\[\]\n]{0,300})\]"
    r"(?:\([^()\s\[\]]{0,1000}(?:\([^()\s\[\]]{0,200}\)[^()\s\[\]]{0,200})?"
    r"(?:\s+[\"'][^\"'\n\[\]]{0,200}[\"'])?\)|\[[^\[\]\n]{1,100}\](?!\]))"
)
_CITATION = re.compile(
    r"[ \t]?(?<!\[)(?:\[(?:\^[^\[\]\s]{1,40}|\d{1,3}(?:\s?[,;–-]\s?\d{1,3}){0,20}"
    r"|(?:note|n\.?|nb) \d{1,3}|citation needed|[a-z])\](?<!\[x\])){1,20}(?![\[(:\]])",
)
_NOTE_MARK = re.compile(r"(?<=[A-Za-z.,;:!?\"”’'])[⁰¹²³⁴-⁹]{1,3}(?![\w⁺⁻])")
_UNIT_BEFORE = re.compile(r"(?:^|[\s\d/(])(?:[kcmdµ]?m|ft|in|mi|yd|[A-Za-z])$")
# "= mc²", "+ 4ac²"
_FORMULA_BEFORE = re.compile(r"[=+*/−<>-]\s?\d?[a-zA-Z]{1,3}$")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!|>~$-])")
# IPA between double brackets is matched first and kept
_EMPHASIS = re.compile(
    r"\[\[[^\[\]]{1,1000}\]\]|(?<![\w*])_{1,3}(?=[^\s_])|(?<=[^\s_*])_{1,3}(?!\w)"
    r"|(?<![\w=!<>])==(?=[^\s=])|(?<=[^\s=!<>])==(?![\w=])|\*{1,3}|~~|`{1,3}"
)

_HEADING = re.compile(r"[ \t]{0,3}#{1,6}[ \t]+")
_CLOSING_HASHES = re.compile(r"[ \t]+#{1,6}[ \t]*$")
_QUOTE = re.compile(r"[ \t]{0,3}(?:>[ \t]?){1,10}")
_RULE = re.compile(
    r"[ \t]*(?:(?:-[ \t]*){3,}|(?:_[ \t]*){3,}|(?:\*[ \t]*){3,}|={3,}[ \t]*|~{3,}[ \t]*)$"
)
_FENCE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[\w+#.-]{0,20}[ \t]*$")
_ITEM = re.compile(
    r"[ \t]*(?:(?P<bullet>[-*+•·‣▪◦–—])[ \t]+(?:\[[ xX]\][ \t]+)?"
    r"|(?P<number>\(?\d{1,3}[.)]|[a-zA-Z]\)|[ivxIVX]{1,5}[.)])[ \t]+(?=\S))"
)
_TABLE_ROW = re.compile(r"[ \t]*\|(?=.*\|)")
_TABLE_RULE = re.compile(
    r"[ \t]{0,9}\|?[ \t]{0,9}:?-{2,99}:?[ \t]{0,9}(?:\|[ \t]{0,9}:?-{2,99}:?[ \t]{0,9}){0,99}\|?$"
)
_DEFINITION = re.compile(r"[ \t]{0,3}\[(?!\^)[^\[\]\n]{1,100}\]:[ \t]+\S")
_FOOTNOTE = re.compile(r"[ \t]{0,3}\[\^[^\[\]\s]{1,40}\]:[ \t]*")
_ENDED = re.compile(r"[.!?…:;,)\]\"”'’。！？][*_~`]{0,3}$")
_HYPHEN_END = re.compile(r"([^\W\d_]{1,40})[-\u00ad‐]$")
_FIRST_WORD = re.compile(r"\S{0,60}")
_BLOCKS = (("<!--", "-->"), ("<script", "</script>"), ("<style", "</style>"))
_MIN_WRAP = 45  # a line of fewer characters is not filled up to a margin
# A hyphen after these at the end of a line belongs to the word: "well-\nknown".
_KEPT_HYPHENS = frozenset(
    "well self non semi ex half all cross high low long short full part twenty thirty forty fifty "
    "sixty seventy eighty ninety one two three four five six seven eight nine ten mother father "
    "sister brother vice so first second third old new good ill hard soft left right far near "
    "left north south east west mid post pre anti pro co e".split()
)


class MarkedText:
    """A text that is rewritten in steps, with the span in the source of every character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts: list[int] | range = range(len(text))
        self.ends: list[int] | range = range(1, len(text) + 1)

    def substitute(
        self, pattern: re.Pattern[str], replace: Callable[[Match[str]], str | None]
    ) -> None:
        """Replace matches of a pattern; None keeps a match as it is."""
        edits: list[tuple[int, int, str]] = []
        for match in pattern.finditer(self.text):
            replacement = replace(match)
            if replacement is not None and replacement != match[0]:
                edits.append((match.start(), match.end(), replacement))
        self.apply(edits)

    def apply(self, edits: list[tuple[int, int, str]]) -> None:
        """Replace spans of the present text, given in order and apart from each other."""
        if not edits:
            return
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for start, end, replacement in edits:
            pieces += (self.text[at:start], replacement)
            starts += self.starts[at:start]
            ends += self.ends[at:start]
            first = self.starts[start] if start < len(self.starts) else self._end
            last = self.ends[end - 1] if end > start else first
            starts += [first] * len(replacement)
            ends += [last] * len(replacement)
            at = end
        pieces.append(self.text[at:])
        starts += self.starts[at:]
        ends += self.ends[at:]
        self.text, self.starts, self.ends = "".join(pieces), starts, ends

    @property
    def _end(self) -> int:
        return self.ends[-1] if self.ends else 0

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """Return the span in the source of a span of the present text."""
        if end > start:
            return self.starts[start], self.ends[end - 1]
        at = self.starts[start] if start < len(self.starts) else self._end
        return at, at


def strip_markup(text: str, plain: bool = False) -> MarkedText:
    """Return a text without its marks, with wrapped lines joined and line ends made pauses.

    Args:
        text: Any Unicode string.
        plain: Whether marks are text too: only lines are joined.
    """
    marked = MarkedText(text)
    if "\r" in text:
        marked.substitute(re.compile(r"\r\n?"), lambda _match: "\n")
    if not plain:
        _strip_blocks(marked)
        marked.substitute(_TAG, _replace_tag)
        marked.substitute(_AUTOLINK, lambda match: match[1].removeprefix("mailto:"))
        marked.substitute(_LINK, _replace_link)
        marked.substitute(_CITATION, _replace_citation)
        marked.substitute(_NOTE_MARK, _replace_note_mark)
    if "\n" in marked.text or not plain:
        marked.apply(_edit_lines(marked.text, plain))
    if not plain:
        marked.substitute(_EMPHASIS, _replace_emphasis)
        marked.substitute(_ESCAPE, lambda match: match[1])
        marked.substitute(_ENTITY, lambda match: html.unescape(match[0]))
    return marked


def find_open_mark(text: str) -> int:
    """Return where a mark begins that more text may close, or else the length of the text."""
    opened = [len(text)]
    for opening, closing in (*_BLOCKS, ("[[", "]]"), ("[", "]"), ("<", ">")):
        at = text.rfind(opening)
        if at >= 0 and text.find(closing, at) < 0:
            opened.append(at)
    if text.endswith("]"):  # the target of a link may follow
        opened.append(text.rfind("["))
    if "](" in text:
        at = text.rfind("](")
        opened += [text.rfind("[", 0, at)] if text.find(")", at) < 0 else []
    if text.startswith("---\n") and "\n---\n" not in text[3:]:
        opened.append(0)
    return max(min(opened), 0)


def _strip_blocks(marked: MarkedText) -> None:
    """Remove comments, scripts and style sheets, and the front matter of a Markdown file."""
    for opening, closing in _BLOCKS:
        edits = []
        at = marked.text.find(opening)
        while at >= 0:
            end = marked.text.find(closing, at)
            if end < 0:
                break
            edits.append((at, end + len(closing), PAUSE if opening != "<!--" else ""))
            at = marked.text.find(opening, end + len(closing))
        marked.apply(edits)
    if marked.text.startswith("---\n"):
        end = marked.text.find("\n---\n", 3)
        lines = marked.text[4:end].split("\n") if end > 0 else []
        if lines and all(re.match(r"[\w-]+:|\s|#|$", line) for line in lines):
            marked.apply([(0, end + 5, "")])


def _replace_tag(match: Match[str]) -> str:
    return PAUSE if match["name"].lower() in _BLOCK_TAGS else ""


def _replace_link(match: Match[str]) -> str | None:
    # "[3][4]" are two citations
    return None if match[1].isdecimal() and match[0].endswith("]") else match[1]


def _replace_citation(match: Match[str]) -> str | None:
    before = match.string[match.start() - 1 : match.start()]
    if not before or before == "\n":
        return None  # "[1] at the beginning of a line" is an entry of a list
    after = match.string[match.end() : match.end() + 1]
    is_variable = match[0][0] == "[" and match[0][1].islower() and match[0][2] == "]"
    if is_variable and not (before.isalpha() or before in '.,;:!?"”’'):
        return None
    # "fine.[2]Then": the sentence ends
    return " " if after.isalnum() or (match[0][0] == " " and after == "(") else ""


def _replace_note_mark(match: Match[str]) -> str | None:
    text, at = match.string, match.start()
    if text[at - 1].isalpha():
        word = text[max(at - 6, 0) : at]
        if _UNIT_BEFORE.search(word) or _FORMULA_BEFORE.search(text, max(at - 8, 0), at):
            return None
        if word[-2:].isupper():  # "CO²"
            return None
    return ""


def _replace_emphasis(match: Match[str]) -> str | None:
    text, (start, end) = match.string, match.span()
    before, after = text[start - 1 : start], text[end : end + 1]
    if match[0][0] == "[":
        return None
    if match[0] == "*":
        is_spaced = before in ("", " ") and after in ("", " ", "\n")
        if is_spaced or (before.isdigit() and after.isdigit()):
            return None  # arithmetic: "3 * 4"
    return ""


def _edit_lines(text: str, plain: bool) -> list[tuple[int, int, str]]:
    """Return the edits that strip the marks of lines and make their ends spaces or pauses."""
    edits: list[tuple[int, int, str]] = []
    reader = _LineReader(plain)
    at = 0
    for line in text.split("\n"):
        reader.read(line, at, edits)
        at += len(line) + 1
    return edits


class _LineReader:
    """Decides at each line what the end of the line before it is: a space, nothing or a pause."""

    def __init__(self, plain: bool) -> None:
        self.plain = plain
        self.previous = ""  # the line before without its marks; "" after a blank line
        self.previous_breaks = False  # a heading, an item of a table: what follows is apart
        self.width = 0  # of the lines of this paragraph so far
        self.is_list = False  # lines after one that ends with a colon

    def read(self, line: str, at: int, edits: list[tuple[int, int, str]]) -> None:
        """Add the edits for one line, which begins at `at`."""
        if not line.strip():
            self._reset()
            return
        if not self.plain and self._is_mark_alone(line):
            edits.append((at, at + len(line), ""))
            self._reset(breaks=True)
            return
        size, starts_block, breaks_after = (0, False, False)
        if not self.plain:
            size, starts_block, breaks_after = self._measure_mark(line)
        content = line[size:].rstrip()
        if self.previous and at:
            self._join(content, at, starts_block, edits)
        elif starts_block and at:
            edits.append((at, at, PAUSE))
        if size:
            edits.append((at, at + size, ""))
        if breaks_after and (hashes := _CLOSING_HASHES.search(line, max(size, len(line) - 20))):
            edits.append((at + hashes.start(), at + len(line), ""))
        if not self.plain and _TABLE_ROW.match(line):
            bars = [index for index in range(size, len(line)) if line[index] == "|"]
            edits += [(at + index, at + index + 1, ", ") for index in bars[:-1]]
            edits += [(at + bars[-1], at + bars[-1] + 1, "")] if bars else []
        if content.endswith(":"):
            self.is_list = True
        self.previous, self.previous_breaks = content, breaks_after
        self.width = max(self.width, len(content))

    def _reset(self, breaks: bool = False) -> None:
        self.previous, self.previous_breaks = "", breaks
        self.width, self.is_list = 0, False

    @staticmethod
    def _is_mark_alone(line: str) -> bool:
        is_rule = _RULE.match(line) or _FENCE.match(line)
        is_table = "|" in line and _TABLE_RULE.match(line.rstrip())
        return bool(is_rule or is_table or _DEFINITION.match(line))

    @staticmethod
    def _measure_mark(line: str) -> tuple[int, bool, bool]:
        """Return the length of the mark of a line, and whether it stands apart before and after."""
        size = 0
        quote = _QUOTE.match(line)
        if quote and not re.match(r"[ \t]*>=?[ \t]?\d", line):
            size = quote.end()
        if heading := _HEADING.match(line, size):
            return heading.end(), True, True
        if footnote := _FOOTNOTE.match(line, size):
            return footnote.end(), True, False
        if _TABLE_ROW.match(line):
            return size + line[size:].index("|") + 1, True, True
        if item := _ITEM.match(line, size):
            return (item.end() if item["bullet"] else size), True, False
        return size, False, False

    def _join(
        self, content: str, at: int, starts_block: bool, edits: list[tuple[int, int, str]]
    ) -> None:
        """Add the edit for the line end before `at`."""
        if self.previous_breaks or starts_block:
            edits.append((at - 1, at, PAUSE))
            return
        hyphen = _HYPHEN_END.search(self.previous, max(len(self.previous) - 42, 0))
        first = content.lstrip()[:1]
        if hyphen and first.islower():
            size = 0 if hyphen[1].lower() in _KEPT_HYPHENS else 1
            indent = len(content) - len(content.lstrip())
            edits.append((at - 1 - size, at + indent, ""))
        elif not _ENDED.search(self.previous[-5:]) or self.is_list:
            edits += [(at - 1, at, PAUSE)] if self._is_break(content, first) else []

    def _is_break(self, content: str, first: str) -> bool:
        """Return whether a line that ends without a mark is complete, and not wrapped."""
        word = _FIRST_WORD.match(content.lstrip())
        needed = len(self.previous) + 1 + (len(word[0]) if word else 0)
        if needed > max(self.width, _MIN_WRAP):
            return False  # the next word had no room
        return self.is_list or not first.islower()
