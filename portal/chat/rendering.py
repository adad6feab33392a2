"""An answer's Markdown as HTML that is safe to show: headings, lists, emphasis, tables and citations, nothing else."""

import re
import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any

import nh3
from django.urls import reverse
from django.utils.html import escape
from django.utils.translation import get_language, get_language_info, gettext, override
from markdown_it import MarkdownIt

from portal.chat.sources import page_name

_MARKER = re.compile(r"\[(\d{1,2})\]")
_LEFT_OUT = "[…]"  # between two quotations of one passage
_UNSUPPORTED = "[?]"  # what the output screen writes after a sentence that no passage supports
_TAGS = {
    "p", "br", "strong", "em", "ul", "ol", "li", "blockquote", "code", "pre", "h3", "h4", "h5", "h6", "hr",
    "table", "thead", "tbody", "tr", "th", "td", "a",
}  # fmt: skip


def answer_html(text: str, citations: Sequence[dict[str, Any]], *, language: str) -> str:
    """Render an answer. No image, no link of the model's own, no raw HTML survives; each marker that `citations` knows
    becomes a link to its passage, and each mark of an unsupported sentence says what it means, in the answer's
    `language`: whoever renders it may be a worker, whose own language says nothing."""
    links = {citation["marker"]: citation["url"] for citation in citations}
    html = nh3.clean(
        _parser().render(text),
        tags=_TAGS - {"a"},
        attributes={"ol": {"start"}},
        link_rel=None,
    )

    def link(match: re.Match[str]) -> str:
        marker = int(match[1])
        if marker not in links:
            return match[0]
        return _link(marker, links[marker])

    with override(language):
        title = escape(gettext("Not found in your guidelines: check this sentence"))
    # words for whoever listens, because a title is not read out
    mark = (
        f'<span class="unsupported" title="{title}"><span aria-hidden="true">{_UNSUPPORTED}</span>'
        f'<span class="visually-hidden"> ({title})</span></span>'
    )
    return _MARKER.sub(link, html).replace(_UNSUPPORTED, mark)


def quoted_text(citations: Sequence[dict[str, Any]]) -> str:
    """The words that are quoted of each citation, each run with its marker; what is left out between two is marked."""
    return "\n\n".join(
        f"\n\n{_LEFT_OUT}\n\n".join(f"{run} [{one['marker']}]" for run in _runs(one)) for one in citations
    )


def quoted_html(citations: Sequence[dict[str, Any]], *, language: str) -> str:
    """The same as HTML: a quotation for each citation, with where it stands, and a word where the guidelines are
    written in another language than the answer's `language`."""
    with override(language):
        said = foreign_note(citations, language)
        note = f'<p class="quoted__language">{escape(said)}</p>' if said else ""
        return note + "".join(map(_quoted, citations))


def foreign_note(citations: Sequence[dict[str, Any]], language: str) -> str:
    """That quotations are in another language than the question's, in a sentence of the active language; else empty."""
    others = {one.get("language") or language for one in citations} - {language}
    if not others:
        return ""
    names = ", ".join(sorted(_language_name(code) for code in others))
    return gettext("Your guidelines say this in %(language)s; the words stand as they are written there.") % {
        "language": names
    }


def _quoted(citation: dict[str, Any]) -> str:
    lines = f"\n{_LEFT_OUT}\n".join(_runs(citation)).split("\n")
    words = "".join(f"<p>{escape(line)}</p>" for line in lines if line.strip())
    where = f"{citation['document']}, {citation['version']}"
    if citation["page"]:
        where += f", {page_name(citation['page'], citation['page_label'])}"
    link = _link(citation["marker"], citation["url"])
    spoken = f' lang="{escape(citation["language"])}"' if citation.get("language") else ""
    return f'<blockquote{spoken}>{words}</blockquote><p class="quoted__source">{link} {escape(where)}</p>'


def _link(marker: int, url: str) -> str:
    return f'<a class="citation" data-marker="{marker}" href="{escape(url)}">[{marker}]</a>'


def _runs(citation: dict[str, Any]) -> list[str]:
    """What is quoted of a passage; all of what is shown, where the words themselves may not be."""
    return [citation["quote"][start:end] for start, end in citation.get("quoted", ())] or [citation["quote"]]


def _language_name(code: str) -> str:
    try:
        name = str(get_language_info(code)["name_translated"])
    except KeyError:
        return code
    return name if (get_language() or "").startswith("en") else name.lower()  # French writes them small


def passage_url(turn: uuid.UUID, marker: int) -> str:
    """The page that shows the passage which `turn` cites as [marker]."""
    return reverse("chat:passage", args=[turn, marker]) + "#quote"


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
    return parser.disable(["image", "link", "autolink", "html_inline", "html_block", "reference"])
