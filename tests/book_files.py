"""EPUB files that tests make, and independent readers of chapter marks."""

from __future__ import annotations

import re
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
    '<rootfiles><rootfile full-path="OPS/book.opf" '
    'media-type="application/oebps-package+xml"/></rootfiles></container>'
)
# The smallest JPEG there is: one gray pixel.
JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300" + "01" * 64 + "ffc0000b080001000101011100"
    "ffc40014000100000000000000000000000000000009ffc40014100100000000000000000000000000000000"
    "ffda0008010100003f0054dfffd9"
)


@dataclass
class Epub:
    """An EPUB to be written; `pages` are in the order of reading."""

    pages: dict[str, str] = field(default_factory=dict)
    contents: str | None = None
    """The body of a navigation document."""
    ncx: str | None = None
    metadata: str = "<dc:title>Small Book</dc:title><dc:creator>Ada</dc:creator>"
    extra: dict[str, bytes] = field(default_factory=dict)
    linear: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        items, spine = [], []
        for index, name in enumerate(self.pages):
            items.append(f'<item id="p{index}" href="{name}" media-type="application/xhtml+xml"/>')
            linear = f' linear="{self.linear[name]}"' if name in self.linear else ""
            spine.append(f'<itemref idref="p{index}"{linear}/>')
        if self.contents is not None:
            items.append(
                '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" '
                'properties="nav"/>'
            )
        if self.ncx is not None:
            items.append('<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>')
        if "cover.jpg" in self.extra:
            items.append(
                '<item id="cover" href="cover.jpg" media-type="image/jpeg" '
                'properties="cover-image"/>'
            )
        package = (
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
            f'xmlns:dc="http://purl.org/dc/elements/1.1/">{self.metadata}</metadata>'
            f'<manifest>{"".join(items)}</manifest><spine toc="ncx">{"".join(spine)}</spine>'
            "</package>"
        )
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("mimetype", "application/epub+zip")
            archive.writestr("META-INF/container.xml", CONTAINER)
            archive.writestr("OPS/book.opf", package)
            for name, body in self.pages.items():
                archive.writestr(f"OPS/{name}", page(body))
            if self.contents is not None:
                archive.writestr("OPS/nav.xhtml", page(self.contents))
            if self.ncx is not None:
                archive.writestr("OPS/toc.ncx", self.ncx)
            for name, data in self.extra.items():
                archive.writestr(name if "/" in name else f"OPS/{name}", data)
        return path


def page(body: str) -> str:
    """Return a page of XHTML."""
    return (
        '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml" '
        'xmlns:epub="http://www.idpf.org/2007/ops"><head><title>Page</title>'
        f"<style>p {{ color: red }}</style></head><body>{body}</body></html>"
    )


def read_chpl(data: bytes) -> list[tuple[float, str]]:
    """Return the chapters in the `chpl` box of an MP4 file (Nero): seconds and titles."""
    at = data.index(b"chpl") + 4
    count = data[at + 8]
    at += 9
    chapters = []
    for _ in range(count):
        start, length = struct.unpack(">QB", data[at : at + 9])
        chapters.append((start / 1e7, data[at + 9 : at + 9 + length].decode("utf-8")))
        at += 9 + length
    return chapters


def read_id3_chapters(data: bytes) -> list[tuple[float, str]]:
    """Return the chapters in CHAP frames of an ID3v2.3 tag (ID3v2 Chapter Frame Addendum)."""
    assert data[:4] == b"ID3\3"
    end = 10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    at, chapters, listed = 10, [], 0
    while at + 10 < end and data[at]:
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
        body = data[at + 10 : at + 10 + size]
        if name == b"CTOC":
            listed = body[body.index(b"\0") + 2]
        if name == b"CHAP":
            _, _, rest = body.partition(b"\0")
            assert rest[16:20] == b"TIT2"
            encoding = {0: "latin-1", 1: "utf-16"}[rest[26]]
            title = rest[27:].decode(encoding).rstrip("\0")
            chapters.append((int.from_bytes(rest[:4], "big") / 1000, title))
        at += 10 + size
    assert listed == len(chapters)
    return chapters


def read_vorbis_chapters(data: bytes) -> list[tuple[float, str]]:
    """Return the chapters in the Vorbis comments of an Ogg or FLAC file."""
    comments = _read_flac_comments(data) if data[:4] == b"fLaC" else _read_ogg_packet(data, 1)[8:]
    at = 4 + int.from_bytes(comments[:4], "little")
    count = int.from_bytes(comments[at : at + 4], "little")
    at += 4
    fields = {}
    for _ in range(count):
        length = int.from_bytes(comments[at : at + 4], "little")
        name, _, value = comments[at + 4 : at + 4 + length].decode("utf-8").partition("=")
        fields[name.upper()] = value
        at += 4 + length
    chapters = []
    for name, clock in sorted(fields.items()):
        if re.fullmatch(r"CHAPTER\d{3}", name):
            hours, minutes, seconds = clock.split(":")
            start = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
            chapters.append((start, fields[f"{name}NAME"]))
    return chapters


def _read_flac_comments(data: bytes) -> bytes:
    """Return the block VORBIS_COMMENT (RFC 9639, section 8)."""
    at = 4
    while True:
        kind, length = data[at] & 0x7F, int.from_bytes(data[at + 1 : at + 4], "big")
        if kind == 4:
            return data[at + 4 : at + 4 + length]
        at += 4 + length


def _read_ogg_packet(data: bytes, index: int) -> bytes:
    """Return a packet of an Ogg file (RFC 3533)."""
    at, packets = 0, [b""]
    while len(packets) <= index + 1:
        segments = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(segments)
        for length in segments:
            packets[-1] += data[at : at + length]
            at += length
            if length < 255:
                packets.append(b"")
    return packets[index]
