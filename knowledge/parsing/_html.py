"""HTML and Markdown: the main content with its headings, lists and table rows; navigation, scripts and forms are left
out."""

import re

from bs4 import BeautifulSoup, Tag
from bs4.element import Comment, NavigableString, PreformattedString

from knowledge.parsing._document import PageWriter, ParsedDocument
from knowledge.parsing._limits import ParseFailed
from knowledge.parsing._text import clean, decode

_DROPPED = [
    "script",
    "style",
    "noscript",
    "template",
    "nav",
    "form",
    "button",
    "select",
    "iframe",
    "svg",
    "object",
    "head",
]
_ROLES = {"navigation", "banner", "contentinfo", "search", "complementary", "menu", "dialog", "alert"}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl",
    "dt",    "fieldset", "figcaption", "figure", "footer", "header", "hgroup", "hr", "html",
    "legend", "li", "main", "ol", "p",
    "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul", "br",
}  # fmt: skip
_HEADING = re.compile(r"^h([1-6])$")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE | re.IGNORECASE)
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)


def parse_html(data: bytes) -> ParsedDocument:
    """The main content of a web page. Raises ParseFailed."""
    text = _decode_html(data)
    if text is None:
        raise ParseFailed("damaged", kind="html")
    soup = BeautifulSoup(clean(text), "lxml")
    title = " ".join(soup.title.get_text(" ").split()) if soup.title else ""
    return _document(soup, title)


def parse_markdown(data: bytes) -> ParsedDocument:
    """Markdown (CommonMark with tables). Raw HTML inside it is read as text, not as markup. Raises ParseFailed."""
    from markdown_it import MarkdownIt

    text = decode(data)
    if text is None:
        raise ParseFailed("damaged", kind="text")
    text = clean(text)
    title = ""
    if front := _FRONT_MATTER.match(text):
        text = text[front.end() :]
        named = _FRONT_TITLE.search(front.group())
        title = named.group(1).strip("\"' ") if named else ""
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return _document(BeautifulSoup(html, "lxml"), title)


def _decode_html(data: bytes) -> str | None:
    declared = _CHARSET.search(data[:4096])
    if declared and not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            try:
                return data.decode(declared.group(1).decode("ascii"))
            except (LookupError, UnicodeDecodeError):
                pass
    return decode(data)


def _document(soup: BeautifulSoup, title: str) -> ParsedDocument:
    for tag in soup.find_all(_DROPPED):
        tag.decompose()
    for tag in soup.select("[role]"):
        if not tag.decomposed and str(tag.get("role")).lower() in _ROLES:
            tag.decompose()
    for tag in soup.select("[hidden]"):
        if not tag.decomposed:
            tag.decompose()
    root = _main(soup)
    if root is soup.body or root is soup:
        for tag in soup.find_all(["header", "footer", "aside"]):  # of the page, not of an article
            if not tag.decomposed and not tag.find_parent(["article", "main", "section"]) and not tag.find("h1"):
                tag.decompose()
    writer = PageWriter()
    _Walker(writer).walk(root)
    return ParsedDocument(title, (writer.page(),))


def _main(soup: BeautifulSoup) -> Tag:
    for candidate in (soup.find("main"), soup.select_one("[role=main]"), _single_article(soup)):
        if isinstance(candidate, Tag) and len(candidate.get_text(strip=True)) > 200:
            return candidate
    return soup.body or soup


def _single_article(soup: BeautifulSoup) -> Tag | None:
    articles = [tag for tag in soup.find_all("article") if not tag.find_parent("article")]
    return articles[0] if len(articles) == 1 else None


class _Walker:
    """Goes through a tree once and writes its blocks as lines; an explicit stack, because documents nest without
    bounds."""

    def __init__(self, writer: PageWriter) -> None:
        self._writer = writer
        self._inline: list[str] = []

    def _flush(self) -> None:
        text = "".join(self._inline)
        if text.strip() != "•":  # the mark of a list item waits for the paragraph inside the item
            self._writer.line(text)
            self._inline.clear()

    def walk(self, root: Tag) -> None:
        """Write everything below `root`."""
        stack: list[tuple[str, Tag | NavigableString]] = [("open", root)]
        while stack:
            action, node = stack.pop()
            if isinstance(node, NavigableString):
                if not isinstance(node, Comment | PreformattedString):
                    self._inline.append(str(node))
            elif action == "close":
                self._flush()
            elif len(stack) > 100_000:
                raise ParseFailed("too_deep")
            else:
                self._open(node, stack)
        self._flush()

    def _open(self, tag: Tag, stack: list[tuple[str, Tag | NavigableString]]) -> None:
        heading = _HEADING.match(tag.name)
        if heading:
            self._flush()
            self._writer.heading(tag.get_text(" "), int(heading.group(1)))
            return
        if tag.name == "tr":
            self._flush()
            cells = [" ".join(cell.get_text(" ").split()) for cell in tag.find_all(["td", "th"], recursive=False)]
            self._writer.line(" | ".join(cells) if any(cells) else "")
            return
        if tag.name in _BLOCKS:
            self._flush()
            stack.append(("close", tag))
        if tag.name == "li":
            self._inline.append("• ")
        children = [child for child in tag.children if isinstance(child, Tag | NavigableString)]
        stack.extend(("open", child) for child in reversed(children))
