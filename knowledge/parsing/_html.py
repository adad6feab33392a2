"""HTML: the main content with its headings, lists, tables and boxes; navigation, banners, scripts and what is hidden
are left out."""

import codecs
import re

from bs4 import BeautifulSoup, Tag

from knowledge.parsing._document import PageWriter, ParsedDocument
from knowledge.parsing._furniture import is_brief
from knowledge.parsing._limits import ParseFailed
from knowledge.parsing._text import decode, readable
from knowledge.parsing._walk import Walker

_CHARSET = re.compile(rb"<(?:meta|\?xml)[^>]+(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_DECLARATIONS = re.compile(
    r"<!DOCTYPE[^>\[]{0,1000}\[[^\]]*\]\s*>", re.IGNORECASE
)  # of entities, of which none is used
_TEXT_CODECS = re.compile(r"^(?:ascii|big5|cp\d|euc|gb|iso8859|iso2022|johab|koi8|latin|mac-|shift|tis|utf)")
_CONTENT = "#content, #main-content, #main, #contenu, #page-content, .main-content, .page-content, .entry-content"
_SCRIPTS = ["script", "style", "template", "head"]
_MOST_FRAMES = 2000  # headers, footers and asides; a page with more was made to do harm


def parse_html(data: bytes) -> ParsedDocument:
    """The main content of a web page. Raises ParseFailed."""
    text = _decode_html(data)
    if text is None:
        raise ParseFailed("damaged", kind="html")
    soup = BeautifulSoup(_DECLARATIONS.sub("", readable(text), count=1), "lxml")
    title = " ".join(soup.title.get_text(" ").split()) if soup.title else ""
    root, body = _main(soup), soup.body or soup
    if root is body:
        _remove_frame(soup)
    writer = PageWriter()
    Walker(writer).walk(root)
    if writer.place < 200 and not is_brief(body, 1000) and writer.place < 0.2 * _length(body):
        writer = PageWriter()  # nearly all of it looked like furniture: better too much than nothing
        Walker(writer, whole=True).walk(_without_scripts(body))
    return ParsedDocument(title, (writer.page(),))


def _decode_html(data: bytes) -> str | None:
    declared = _CHARSET.search(data[:4096])
    if declared and not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            try:
                codec = codecs.lookup(declared.group(1).decode("ascii")).name
                if _TEXT_CODECS.match(codec):
                    return data.decode(codec)
            except (LookupError, UnicodeError):
                pass
    return decode(data)


def _main(soup: BeautifulSoup) -> Tag:
    body = soup.body or soup
    least = min(200, 0.3 * _length(body))
    candidates = [*soup.find_all("main", limit=3), soup.select_one("[role=main]"), _single_article(soup)]
    for candidate in (*candidates, soup.select_one(_CONTENT)):
        if isinstance(candidate, Tag) and not candidate.has_attr("hidden") and _length(candidate) > least:
            return candidate
    return body


def _single_article(soup: BeautifulSoup) -> Tag | None:
    articles = soup.find_all("article", limit=2)
    if not articles or (len(articles) == 2 and articles[1].find_parent("article") is not articles[0]):
        return None
    return articles[0] if _length(articles[0]) > 0.3 * _length(soup.body or soup) else None


def _length(tag: Tag) -> int:
    return len(tag.get_text(strip=True))


def _remove_frame(soup: BeautifulSoup) -> None:
    """Remove the header, the footer and the margins of the page; those of an article stay."""
    for tag in soup.find_all(["header", "footer", "aside"], limit=_MOST_FRAMES):
        if not tag.decomposed and not tag.find_parent(["article", "main", "section"]) and not tag.find("h1"):
            tag.decompose()


def _without_scripts(body: Tag) -> Tag:
    for tag in body.find_all(_SCRIPTS):
        if not tag.decomposed:
            tag.decompose()
    return body
