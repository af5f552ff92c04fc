"""EPUB 3 with Media Overlays: the text of a book, and its sound, sentence by sentence.

After the recommendations EPUB 3.3 (package, navigation) and Media Overlays 3.3 (SMIL) of the W3C.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from valle.books.document import Cover
from valle.books.muxing import BookTags, ChapterMark
from valle.books.timeline import TimedSentence

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same bytes from the same book, whenever it is written
_CONTAINER = """<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles>
<rootfile full-path="EPUB/package.opf" media-type="application/oebps-package+xml"/>
</rootfiles>
</container>
"""
_STYLE = """body { font-family: serif; line-height: 1.5; margin: 1em; }
p { margin: 0 0 0.7em 0; }
.-epub-media-overlay-active { background: #ffe9a8; }
"""
_PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"
 lang="en" xml:lang="en">
<head><title>{title}</title><link rel="stylesheet" type="text/css" href="style.css"/></head>
<body>
{body}
</body>
</html>
"""
_SMIL = """<?xml version="1.0" encoding="UTF-8"?>
<smil xmlns="http://www.w3.org/ns/SMIL" xmlns:epub="http://www.idpf.org/2007/ops" version="3.0">
<body epub:textref="{page}">
{body}
</body>
</smil>
"""


@dataclass(frozen=True)
class ReadAlongChapter:
    """A chapter with its sound."""

    mark: ChapterMark
    sentences: list[TimedSentence]
    """With times from the beginning of the book."""
    audio: Path
    """An MP4 file with the sound of the chapter (AAC)."""


def write_read_along(
    path: Path, chapters: Sequence[ReadAlongChapter], tags: BookTags, identity: tuple[str, str]
) -> None:
    """Write a book that is read along.

    Args:
        path: The file, which is overwritten at once.
        chapters: In order.
        tags: Title, author, narrator and cover.
        identity: An identifier of the book (a URN), and when its source was last changed.
    """
    with zipfile.ZipFile(path, "w") as archive:
        _add(archive, "mimetype", b"application/epub+zip", zipfile.ZIP_STORED)
        _add(archive, "META-INF/container.xml", _CONTAINER.encode())
        _add(archive, "EPUB/style.css", _STYLE.encode())
        for number, chapter in enumerate(chapters, 1):
            name = f"chapter-{number:04d}"
            _add(archive, f"EPUB/{name}.xhtml", _make_page(chapter).encode())
            _add(archive, f"EPUB/{name}.smil", _make_smil(chapter, name).encode())
            audio = chapter.audio.read_bytes()
            _add(archive, f"EPUB/audio/{name}.m4a", audio, zipfile.ZIP_STORED)
        if tags.cover is not None:
            cover_name = f"EPUB/{_cover_name(tags.cover)}"
            _add(archive, cover_name, tags.cover.data, zipfile.ZIP_STORED)
        _add(archive, "EPUB/nav.xhtml", _make_navigation(chapters).encode())
        _add(archive, "EPUB/package.opf", _make_package(chapters, tags, identity).encode())


def _add(
    archive: zipfile.ZipFile, name: str, data: bytes, method: int = zipfile.ZIP_DEFLATED
) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data, method)


def _make_page(chapter: ReadAlongChapter) -> str:
    """Return the text of a chapter, each sentence an element with an id."""
    lines: list[str] = []
    open_tag = ""
    has_heading = False
    for each in chapter.sentences:
        planned = each.sentence.planned
        if planned.starts_paragraph or not open_tag:
            if open_tag:
                lines[-1] += f"</{open_tag}>"
            open_tag = ("h2" if has_heading else "h1") if planned.is_heading else "p"
            has_heading = has_heading or planned.is_heading
            lines.append(f"<{open_tag}>")
        else:
            lines[-1] += " "
        text = escape(_visible(" ".join(each.sentence.text.split())))
        lines[-1] += f'<span id="s{each.sentence.number}">{text}</span>'
    if open_tag:
        lines[-1] += f"</{open_tag}>"
    body = '<section id="chapter" epub:type="chapter">\n' + "\n".join(lines) + "\n</section>"
    return _PAGE.format(title=escape(_visible(chapter.mark.title)), body=body)


def _make_smil(chapter: ReadAlongChapter, name: str) -> str:
    start = chapter.mark.start
    lines = []
    for index, each in enumerate(chapter.sentences):
        number = each.sentence.number
        begin = 0.0 if index == 0 else each.start - start
        following = chapter.sentences[index + 1 : index + 2]
        end = following[0].start - start if following else chapter.mark.end - start
        lines.append(
            f'<par id="p{number}"><text src="{name}.xhtml#s{number}"/>'
            f'<audio src="audio/{name}.m4a" clipBegin="{_clock(begin)}" clipEnd="{_clock(end)}"/>'
            "</par>"
        )
    return _SMIL.format(page=f"{name}.xhtml#chapter", body="\n".join(lines))


def _make_navigation(chapters: Sequence[ReadAlongChapter]) -> str:
    items = "\n".join(
        f'<li><a href="chapter-{number:04d}.xhtml">{escape(_visible(chapter.mark.title))}</a></li>'
        for number, chapter in enumerate(chapters, 1)
    )
    body = f'<nav epub:type="toc" id="toc"><h1>Contents</h1>\n<ol>\n{items}\n</ol></nav>'
    return _PAGE.format(title="Contents", body=body)


def _make_package(
    chapters: Sequence[ReadAlongChapter], tags: BookTags, identity: tuple[str, str]
) -> str:
    identifier, modified = identity
    metadata = [
        f'<dc:identifier id="id">{escape(identifier)}</dc:identifier>',
        f"<dc:title>{escape(_visible(tags.title))}</dc:title>",
        "<dc:language>en</dc:language>",
        f'<meta property="dcterms:modified">{modified}</meta>',
        '<meta property="media:active-class">-epub-media-overlay-active</meta>',
    ]
    if tags.author:
        metadata.append(f"<dc:creator>{escape(_visible(tags.author))}</dc:creator>")
    if tags.narrator:
        narrator = escape(_visible(tags.narrator))
        metadata.append(f'<meta property="media:narrator">{narrator}</meta>')
    manifest = [
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>',
        '<item id="style" href="style.css" media-type="text/css"/>',
    ]
    if tags.cover is not None:
        manifest.append(
            f'<item id="cover" href={quoteattr(_cover_name(tags.cover))} '
            f'media-type="{tags.cover.media_type}" properties="cover-image"/>'
        )
    spine = []
    total = 0.0
    for number, chapter in enumerate(chapters, 1):
        seconds = chapter.mark.end - chapter.mark.start
        total += seconds
        metadata.append(
            f'<meta property="media:duration" refines="#smil{number}">{_clock(seconds)}</meta>'
        )
        name = f"chapter-{number:04d}"
        manifest += [
            f'<item id="c{number}" href="{name}.xhtml" media-type="application/xhtml+xml" '
            f'media-overlay="smil{number}"/>',
            f'<item id="smil{number}" href="{name}.smil" media-type="application/smil+xml"/>',
            f'<item id="a{number}" href="audio/{name}.m4a" media-type="audio/mp4"/>',
        ]
        spine.append(f'<itemref idref="c{number}"/>')
    metadata.append(f'<meta property="media:duration">{_clock(total)}</meta>')
    parts = ["\n".join(part) for part in (metadata, manifest, spine)]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" '
        'xml:lang="en">\n<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">\n'
        f"{parts[0]}\n</metadata>\n<manifest>\n{parts[1]}\n</manifest>\n"
        f"<spine>\n{parts[2]}\n</spine>\n</package>\n"
    )


def _cover_name(cover: Cover) -> str:
    return "cover.jpg" if cover.media_type == "image/jpeg" else "cover.png"


def _clock(seconds: float) -> str:
    """Return a clock value of SMIL: hours, minutes and seconds to the millisecond."""
    milliseconds = round(max(0.0, seconds) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _visible(text: str) -> str:
    """Leave out characters that XML does not allow."""
    return "".join(
        sign for sign in text if sign in "\t\n" or (sign >= " " and sign not in "\ufffe\uffff")
    )
