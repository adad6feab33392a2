"""Markdown: CommonMark with tables, footnotes, front matter and the usual ways of writing notes and warnings."""

import re

from bs4 import BeautifulSoup, Tag

from knowledge.parsing._document import PageWriter, ParsedDocument
from knowledge.parsing._limits import ParseFailed
from knowledge.parsing._text import decode, readable
from knowledge.parsing._walk import Walker

_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n([\w-]+[ \t]*[:=].*?\n)(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(.+)$", re.MULTILINE | re.IGNORECASE)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_NOTE = re.compile(r"^\[\^([^\]\s]{1,60})\]:[ \t]*(.*)$")
_REFERENCE = re.compile(r"\[\^([^\]\s]{1,60})\]")
_MKDOCS = re.compile(r"^(?:!!!|\?\?\?\+?)[ \t]+([\w-]+)(?:[ \t]+\"([^\"]*)\")?[ \t]*$")
_COLONS = re.compile(r"^:{3,}[ \t]*\{?\.?([\w-]*)\}?[ \t]*(.*?)[ \t]*$")
_GITHUB = re.compile(r"^\s*\[!([\w-]+)\][ \t]*")
_LABEL = re.compile(
    r"^(?:note|tip|important|warning|caution|attention|danger|key (?:point|message)s?|recommend(?:ation|ed)s?|"
    r"good practice|à (?:savoir|noter|retenir)|remarque|rappel|recommandations?|points?[ -]clés?|avertissement|"
    r"mise en garde|encadré)\b",
    re.IGNORECASE,
)


def parse_markdown(data: bytes) -> ParsedDocument:
    """The text of a Markdown file. Raw HTML inside it is read as text, not as markup. Raises ParseFailed."""
    from markdown_it import MarkdownIt

    text = decode(data)
    if text is None:
        raise ParseFailed("damaged", kind="text")
    title, text = _front_matter(readable(text))
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(_plain_markdown(text))
    soup = BeautifulSoup(html, "lxml")
    for quote in soup.find_all("blockquote"):
        _mark_box(quote)
    writer = PageWriter()
    Walker(writer).walk(soup.body or soup)
    return ParsedDocument(title, (writer.page(),))


def _front_matter(text: str) -> tuple[str, str]:
    """The title that the lines at the top of a file give, and the text below them."""
    front = _FRONT_MATTER.match(text)
    if front is None:
        return "", text
    named = _FRONT_TITLE.search(front.group(2))
    return (named.group(1).strip().strip("\"'").strip() if named else ""), text[front.end() :]


def _plain_markdown(text: str) -> str:
    """CommonMark from the dialects: footnotes below the paragraph that refers to them, in brackets; notes and warnings
    as quotations that say what they are; comments out. What stands in code stays as it is."""
    kept: list[str] = []
    for index, part in enumerate(_by_fences(text)):
        kept.append(part if index % 2 else _COMMENT.sub("", part))
    notes: dict[str, str] = {}
    parts = [part if index % 2 else _without_notes(part, notes) for index, part in enumerate(kept)]
    cited = [name for part in parts[::2] for name in _REFERENCE.findall(part) if name in notes]
    numbers = {name: str(number) for number, name in enumerate(dict.fromkeys([*cited, *notes]), start=1)}
    return "".join(
        part if index % 2 else _with_boxes(_with_notes(part, notes, numbers)) for index, part in enumerate(parts)
    )


def _by_fences(text: str) -> list[str]:
    """Text and fenced code by turns, text first."""
    parts: list[str] = []
    current: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line)
        if found and not fence:
            parts.append("".join(current))
            current, fence = [line], found.group(1)
        elif found and fence and found.group(1).startswith(fence):
            parts.append("".join([*current, line]))
            current, fence = [], ""
        else:
            current.append(line)
    return [*parts, "".join(current)]


def _without_notes(text: str, notes: dict[str, str]) -> str:
    """The text without the definitions of footnotes, which go into `notes`."""
    kept: list[str] = []
    name = ""
    for line in text.split("\n"):
        found = _NOTE.match(line)
        if found:
            name = found.group(1)
            notes[name] = found.group(2)
        elif name and line.strip() and (line.startswith((" ", "\t")) or kept[-1:] != [""]):
            notes[name] += " " + line.strip()
        else:
            name = name if name and not line.strip() else ""
            kept.append(line)
    return "\n".join(kept)


def _with_notes(text: str, notes: dict[str, str], numbers: dict[str, str]) -> str:
    """References as numbers in brackets, and behind each paragraph the notes that it refers to."""
    if not notes:
        return text
    kept: list[str] = []
    waiting: list[str] = []
    for line in [*text.split("\n"), ""]:
        waiting += [name for name in _REFERENCE.findall(line) if name in notes and name not in waiting]
        kept.append(_REFERENCE.sub(lambda found: _bracketed(found, numbers), line))
        if not line.strip() and waiting:
            kept += [part for name in waiting for part in (rf"\[{numbers[name]} {notes[name].strip()}\]", "")]
            waiting = []
    return "\n".join(kept[:-1])


def _bracketed(found: re.Match[str], numbers: dict[str, str]) -> str:
    number = numbers.get(found.group(1))
    return rf"\[{number}\]" if number else found.group()


def _with_boxes(text: str) -> str:
    """Admonitions (`!!! note "Title"` and what is indented below, `::: warning` to `:::`) as quotations."""
    kept: list[str] = []
    inside = ""  # "indented" or "colons"
    for line in text.split("\n"):
        colons = _COLONS.match(line)
        mkdocs = _MKDOCS.match(line)
        if inside == "indented" and line.strip() and not line.startswith(("    ", "\t")):
            inside = ""
            kept.append("")
        if mkdocs:
            inside = "indented"
            kept += ["", f"> [!{mkdocs.group(1)}] {mkdocs.group(2) or ''}", ">"]
        elif colons and inside != "colons" and colons.group(1):
            inside = "colons"
            kept += ["", f"> [!{colons.group(1)}] {colons.group(2)}", ">"]
        elif colons and inside == "colons":
            inside = ""
            kept.append("")
        elif inside:
            kept.append("> " + (line[4:] if inside == "indented" and line.startswith("    ") else line.lstrip("\t")))
        else:
            kept.append(line)
    return "\n".join(kept)


def _mark_box(quote: Tag) -> None:
    """Give a quotation that is a note or a warning the class that boxes have; any other one stays plain text."""
    first = quote.find(string=lambda text: bool(text and text.strip()))
    if first is None:
        return
    said = str(first)
    marked = _GITHUB.match(said)
    if marked:
        rest = said[marked.end() :]
        titled = bool(rest.split("\n")[0].strip()) and rest.split("\n")[0].strip()[-1].isalnum()
        label = "" if titled else marked.group(1).capitalize() + (": " if rest.strip() else ":")
        first.replace_with(label + rest)
    if marked or (
        _LABEL.match(said.strip()) and first.parent is not None and first.parent.name in {"strong", "b", "p"}
    ):
        quote["class"] = "note"
