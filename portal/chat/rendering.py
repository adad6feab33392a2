"""An answer's Markdown as HTML that is safe to show: headings, lists, emphasis, tables and citations, nothing else."""

import re
import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any

import nh3
from django.urls import reverse
from django.utils.html import escape
from django.utils.translation import gettext, override
from markdown_it import MarkdownIt

_MARKER = re.compile(r"\[(\d{1,2})\]")
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
        return f'<a class="citation" data-marker="{marker}" href="{escape(links[marker])}">[{marker}]</a>'

    with override(language):
        title = escape(gettext("Not found in your guidelines: check this sentence"))
    # words for whoever listens, because a title is not read out
    mark = (
        f'<span class="unsupported" title="{title}"><span aria-hidden="true">{_UNSUPPORTED}</span>'
        f'<span class="visually-hidden"> ({title})</span></span>'
    )
    return _MARKER.sub(link, html).replace(_UNSUPPORTED, mark)


def passage_url(turn: uuid.UUID, marker: int) -> str:
    """The page that shows the passage which `turn` cites as [marker]."""
    return reverse("chat:passage", args=[turn, marker]) + "#quote"


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
    return parser.disable(["image", "link", "autolink", "html_inline", "html_block", "reference"])
