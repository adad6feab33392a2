"""EPUB: the chapters of a book in the order of its spine, each read as a web page; a chapter without a heading gets the
one that the table of contents gives it."""

import posixpath
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from knowledge.parsing._archive import Archive
from knowledge.parsing._document import Block, Heading, PageWriter, ParsedDocument, ParsedPage
from knowledge.parsing._html import parse_html
from knowledge.parsing._limits import Limits, ParseFailed
from knowledge.parsing._text import readable

_PAGES = {"application/xhtml+xml", "text/html", "application/x-dtbook+xml"}
_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def parse_epub(data: bytes, limits: Limits) -> ParsedDocument:
    """The text of an EPUB. Raises ParseFailed."""
    archive = Archive(data, "epub", limits)
    package_name = _package_name(archive)
    package = archive.xml(package_name)
    if package is None:
        raise ParseFailed("damaged", kind="epub")
    folder = posixpath.dirname(package_name)
    items = {_attribute(item, "id"): item for item in _all(package, "item")}
    chapters = [
        _inside(folder, _attribute(items[reference], "href"))
        for reference in (_attribute(one, "idref") for one in _all(package, "itemref"))
        if reference in items
        and _attribute(items[reference], "media-type") in _PAGES
        and "nav" not in _attribute(items[reference], "properties").split()
    ]
    locked = _locked(archive)
    if any(chapter in locked for chapter in chapters):
        raise ParseFailed("encrypted")
    names = _contents(archive, items, folder)
    pages = [_chapter(archive.bytes_of(name), names.get(name, "")) for name in chapters if name in archive.names]
    titles = [title.text or "" for title in _all(package, "title")]
    return ParsedDocument(" ".join(readable(titles[0] if titles else "").split()), (_joined(pages),))


def _package_name(archive: Archive) -> str:
    container = archive.xml("META-INF/container.xml")
    files = _all(container, "rootfile") if container is not None else []
    return _attribute(files[0], "full-path") if files else ""


def _all(root: Any, name: str) -> list[Any]:
    """Elements of a local name in whatever namespace."""
    return [one for one in root.iter() if isinstance(one.tag, str) and one.tag.rpartition("}")[2] == name]


def _attribute(element: Any, name: str) -> str:
    return str(element.get(name) or "")


def _inside(folder: str, reference: str) -> str:
    """The name of a part that another one in `folder` refers to. It is looked up in the archive and nowhere else."""
    return posixpath.normpath(posixpath.join(folder, unquote(reference.partition("#")[0])))


def _locked(archive: Archive) -> set[str]:
    """The parts that are encrypted; fonts are often disguised, which locks nothing up."""
    root = archive.xml("META-INF/encryption.xml")
    locked = set()
    for data in _all(root, "EncryptedData") if root is not None else []:
        methods = [_attribute(method, "Algorithm") for method in _all(data, "EncryptionMethod")]
        if not any(method in _FONTS for method in methods):
            locked |= {unquote(_attribute(one, "URI")) for one in _all(data, "CipherReference")}
    return locked


def _contents(archive: Archive, items: dict[str, Any], folder: str) -> dict[str, str]:
    """What the table of contents calls each chapter (the older form of it, which nearly all books have)."""
    names: dict[str, str] = {}
    for item in items.values():
        if _attribute(item, "media-type") != "application/x-dtbncx+xml":
            continue
        name = _inside(folder, _attribute(item, "href"))
        root = archive.xml(name)
        for point in _all(root, "navPoint") if root is not None else []:
            labels, targets = _all(point, "text"), _all(point, "content")
            if labels and targets:
                names.setdefault(_inside(posixpath.dirname(name), _attribute(targets[0], "src")), labels[0].text or "")
    return names


def _chapter(data: bytes, name: str) -> ParsedPage:
    page = parse_html(data).pages[0] if data else ParsedPage(None, "", "")
    if not page.text or page.headings or not name.strip():
        return page
    writer = PageWriter()
    writer.heading(readable(name), 1)
    return _joined([writer.page(), page])


def _joined(pages: list[ParsedPage]) -> ParsedPage:
    """Pages one below the other as one."""
    texts: list[str] = []
    headings: list[Heading] = []
    blocks: list[Block] = []
    place = 0
    for page in (page for page in pages if page.text):
        headings += [replace(one, start=one.start + place, end=one.end + place) for one in page.headings]
        blocks += [replace(one, start=one.start + place, end=one.end + place) for one in page.blocks]
        texts.append(page.text)
        place += len(page.text) + 1
    return ParsedPage(None, "", "\n".join(texts), tuple(headings), tuple(blocks))
