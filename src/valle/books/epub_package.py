"""The package of an EPUB: its files, metadata, order of reading and table of contents.

XML is read by the tolerant parser of HTML, which neither expands entities nor opens other files.
"""

from __future__ import annotations

import codecs
import posixpath
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from valle.books.chapters import Target
from valle.errors import TextError

MAX_ENTRY = 64 << 20  # bytes of one file
MAX_TOTAL = 1 << 30
MAX_FILES = 20_000
_FONT_OBFUSCATION = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#rc")
_ENCODING = re.compile(rb"<\?xml[^>]{0,200}encoding=[\"']([A-Za-z0-9._-]{1,40})[\"']")
_ANY_CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([A-Za-z0-9._-]{1,40})", re.IGNORECASE)


class ManifestItem(NamedTuple):
    """A file of the package."""

    path: str
    media_type: str
    properties: str


@dataclass
class Package:
    """What the OPF file says."""

    titles: list[str] = field(default_factory=list)
    authors: list[str] = field(default_factory=list)
    language: str = ""
    items: dict[str, ManifestItem] = field(default_factory=dict)
    """By their ids."""
    spine: list[tuple[str, bool]] = field(default_factory=list)
    """Ids in the order of reading, and whether they belong to it (linear)."""
    toc: str = ""
    """Id of the table of contents of EPUB 2."""
    cover: str = ""
    """Id of the cover picture, as EPUB 2 names it."""


class Archive:
    """The files of an EPUB. Names are looked up in the archive only, never on a disk."""

    def __init__(self, path: Path) -> None:
        """Open an EPUB.

        Raises:
            TextError: It is not a ZIP archive, too large, or protected by a password.
        """
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
            entries = self._zip.infolist()
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise TextError(
                f"{path} cannot be opened as an EPUB ({error}): it is damaged, or cut off; get it "
                "again"
            ) from error
        if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_TOTAL:
            raise TextError(f"{path} is too large: an EPUB of text has less than 1 GiB in it")
        if any(entry.flag_bits & 1 for entry in entries):
            raise TextError(f"{path} is protected by a password; valle reads open files only")
        self._names = {entry.filename: entry for entry in entries}
        self._folded = {entry.filename.lower(): entry for entry in entries}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._zip.close()

    @property
    def names(self) -> list[str]:
        """The names of all files."""
        return list(self._names)

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, or None if there is none of that name.

        Raises:
            TextError: It is damaged.
        """
        entry = self._names.get(name) or self._folded.get(name.lower())
        if entry is None or entry.is_dir():
            return None
        try:
            with self._zip.open(entry) as file:
                data = file.read(MAX_ENTRY + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
            raise TextError(
                f"{self._path} is damaged: {name} in it cannot be read ({error}); get it again"
            ) from error
        if len(data) > MAX_ENTRY:
            raise TextError(f"{self._path}: {name} in it is larger than a chapter can be")
        return data

    def read_markup(self, name: str) -> str | None:
        """Return the text of a file of markup, or None if there is none of that name."""
        data = self.read(name)
        return None if data is None else decode_markup(data)

    def check_open(self) -> None:
        """Check that the files are not encrypted; fonts may be.

        Raises:
            TextError: They are.
        """
        data = self.read_markup("META-INF/encryption.xml")
        if data is None:
            return
        algorithms = re.findall(
            r"<(?:\w+:)?EncryptedData\b.*?EncryptionMethod[^>]*Algorithm=[\"']([^\"']*)",
            data,
            re.DOTALL,
        )
        if any(algorithm.lower() not in _FONT_OBFUSCATION for algorithm in algorithms):
            raise TextError(
                f"{self._path} is encrypted (DRM), so its text cannot be read; use an EPUB that is "
                "not protected against copying"
            )


def decode_markup(data: bytes) -> str:
    """Return the text of HTML or XML in the encoding that it states, else UTF-8."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    stated = _ENCODING.match(data[:300]) or _ANY_CHARSET.search(data[:2000])
    for encoding in ([stated[1].decode("ascii")] if stated else []) + ["utf-8", "cp1252"]:
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeDecodeError):
            continue
    return data.decode("utf-8", "replace")


def read_package(archive: Archive) -> Package:
    """Read the OPF file of an EPUB.

    Raises:
        TextError: There is none.
    """
    name = ""
    if container := archive.read_markup("META-INF/container.xml"):
        match = re.search(r"full-path=[\"']([^\"']+)[\"']", container)
        name = match[1] if match else ""
    markup = archive.read_markup(name) if name else None
    if markup is None:
        name = next((each for each in archive.names if each.lower().endswith(".opf")), "")
        markup = archive.read_markup(name) if name else None
    if markup is None:
        raise TextError(f"{archive._path} is a ZIP archive, and no EPUB: it has no package file")
    reader = _PackageReader(posixpath.dirname(name))
    reader.feed(markup)
    reader.close()
    return reader.package


def resolve(base: str, reference: str) -> tuple[str, str]:
    """Return the name in the archive, and the fragment, that a reference in a folder leads to."""
    file, _, fragment = reference.partition("#")
    return posixpath.normpath(posixpath.join(base, unquote(file))), unquote(fragment)


class _PackageReader(HTMLParser):
    def __init__(self, folder: str) -> None:
        super().__init__(convert_charrefs=True)
        self.package = Package()
        self._folder = folder
        self._field = ""
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        name = tag.rpartition(":")[2]
        if name == "item" and attributes.get("id"):
            self.package.items[attributes["id"]] = ManifestItem(
                resolve(self._folder, attributes.get("href", ""))[0],
                attributes.get("media-type", ""),
                attributes.get("properties", ""),
            )
        elif name == "itemref":
            linear = attributes.get("linear", "yes") != "no"
            self.package.spine.append((attributes.get("idref", ""), linear))
        elif name == "spine":
            self.package.toc = attributes.get("toc", "")
        elif name == "meta" and attributes.get("name") == "cover":
            self.package.cover = attributes.get("content", "")
        elif name in ("title", "creator", "language"):
            self._field, self._text = name, ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if not self._field or tag.rpartition(":")[2] != self._field:
            return
        text = " ".join(self._text.split())
        if self._field == "title" and text:
            self.package.titles.append(text)
        elif self._field == "creator" and text:
            self.package.authors.append(text)
        elif self._field == "language" and not self.package.language:
            self.package.language = text
        self._field = ""


def read_contents(archive: Archive, package: Package, depth: int) -> list[Target]:
    """Return the entries of the table of contents, to `depth` levels; empty if there is none."""
    navigation = [item for item in package.items.values() if "nav" in item.properties.split()]
    older = package.items.get(package.toc)
    candidates = navigation + ([older] if older else [])
    candidates += [
        item for item in package.items.values() if item.media_type == "application/x-dtbncx+xml"
    ]
    for item in candidates:
        markup = archive.read_markup(item.path)
        if markup is None:
            continue
        reader = _ContentsReader(posixpath.dirname(item.path), depth)
        reader.feed(markup)
        reader.close()
        if reader.targets:
            return reader.targets
    return []


class _ContentsReader(HTMLParser):
    """Reads a navigation document of EPUB 3 (nested lists) or an NCX of EPUB 2 (nested points)."""

    def __init__(self, folder: str, depth: int) -> None:
        super().__init__(convert_charrefs=True)
        self.targets: list[Target] = []
        self._folder = folder
        self._max_depth = depth
        self._depth = 0
        self._nav = 0  # 1 within the list of chapters, 2 within another, such as that of pages
        self._text: list[str] | None = None
        self._label = ""
        self._reference = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        name = tag.rpartition(":")[2]
        if name == "nav":
            kind = attributes.get("epub:type", "toc").split()
            self._nav = 1 if "toc" in kind else 2
        elif name in ("pagelist", "navlist"):
            self._nav = 2
        elif name in ("ol", "navpoint"):
            self._depth += 1
        elif name in ("a", "text"):
            self._text, self._reference = [], attributes.get("href", "")
        elif name == "content":
            self._add(self._label, attributes.get("src", ""))

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        name = tag.rpartition(":")[2]
        if name in ("nav", "pagelist", "navlist"):
            self._nav = 0
        elif name in ("ol", "navpoint"):
            self._depth -= 1
        elif name in ("a", "text") and self._text is not None:
            label = " ".join("".join(self._text).split())
            self._text = None
            if name == "text":
                self._label = label
            else:
                self._add(label, self._reference)

    def _add(self, title: str, reference: str) -> None:
        if self._nav != 2 and reference and 0 < self._depth <= self._max_depth:
            self.targets.append(Target(title, *resolve(self._folder, reference)))
