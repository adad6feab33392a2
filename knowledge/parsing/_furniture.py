"""What on a web page is not its content: navigation, cookie banners, what is hidden; and what on it is a box."""

import re
from collections.abc import Iterator

from bs4 import Tag
from bs4.element import Comment, NavigableString, PreformattedString

_NEVER = {
    "script", "style", "noscript", "template", "nav", "button", "select", "datalist", "iframe", "svg", "canvas",
    "object", "embed", "audio", "video", "head", "rt", "rp", "annotation", "annotation-xml", "menu", "dialog",
}  # fmt: skip
_ROLES = {"navigation", "banner", "contentinfo", "search", "menu", "menubar", "toolbar", "dialog", "alertdialog"}
_PANELS = {"tabpanel", "collapse", "accordion", "panel", "tab", "tabs", "fr"}  # hidden until somebody clicks
_COOKIES = {
    "cookie", "cookies", "cookiebot", "cookiebanner", "tarteaucitron", "onetrust", "didomi", "axeptio", "gdpr", "rgpd",
}  # fmt: skip
_BANNERS = {"banner", "bandeau", "popup", "modal", "overlay", "manager", "dialog"}
_UNSEEN = re.compile(r"\b(?:sr-only|visually-?hidden|screen-reader(?:-text)?)\b")
_LINKS = {
    "breadcrumb", "breadcrumbs", "ariane", "share", "sharing", "partage", "partager", "social", "socials", "addtoany",
    "pagination", "pager", "skip", "skiplink", "skiplinks", "newsletter", "toolbar", "menu", "navbar", "nav", "sidebar",
    "navigation", "sitemap", "related", "toc", "sommaire", "tags", "links", "liens", "footer",
}  # fmt: skip
_BOXES = {
    "admonition", "alert", "attention", "box", "callout", "caution", "encadre", "encadré", "important", "infobox",
    "keypoint", "keypoints", "note", "notice", "recommandation", "recommandations", "recommendation", "recommendations",
    "remarque", "savoir", "tip", "warning", "well",
}  # fmt: skip
_BOX_TAGS = {"div", "section", "aside", "blockquote", "p", "dl", "ul"}
_LEAST_BOX, _LARGEST_BOX = 25, 2500  # characters
_ANCHORS = {"¶", "#", "§", "🔗", "⚓"}


def is_furniture(tag: Tag) -> bool:
    """Whether an element is none of the page's content, whatever part of the page it stands in."""
    if tag.name in _NEVER or str(tag.get("role", "")).lower() in _ROLES:
        return True
    if tag.name == "a" and is_brief(tag, 3) and tag.get_text().strip() in _ANCHORS:
        return True
    if tag.name == "form" and is_brief(tag, 300) and tag.find(["h1", "h2", "h3"]) is None:
        return True
    words = _words(tag)
    return (
        _is_hidden(tag, words)
        or bool(words & _COOKIES and is_brief(tag, 4000))
        or bool("consent" in words and words & _BANNERS and is_brief(tag, 4000))
        or bool(words & _LINKS and tag.name not in {"body", "main", "article", "html"} and _is_links(tag))
        or (tag.name in {"ul", "ol"} and _is_contents(tag))
    )


def is_box(tag: Tag) -> bool:
    """Whether an element is set off from the text around it: a recommendation, a warning, a note."""
    if tag.name not in _BOX_TAGS:
        return False
    marked = tag.name == "aside" or str(tag.get("role", "")).lower() in {"note", "alert"} or bool(_words(tag) & _BOXES)
    return (
        marked
        and not is_brief(tag, _LEAST_BOX)
        and is_brief(tag, _LARGEST_BOX)
        and len(tag.find_all(re.compile(r"^h[1-6]$"), limit=2)) < 2
    )


def is_brief(tag: Tag, characters: int) -> bool:
    """Whether the text in an element is shorter than that, and in few pieces. Stops counting where it is not."""
    count = 0
    for index, text in enumerate(_texts(tag)):
        count += len(text.strip())
        if count >= characters or index > characters // 4 + 25:
            return False
    return True


def nodes_of(tag: Tag) -> Iterator[Tag | NavigableString]:
    """What is inside an element, in order; unlike Beautiful Soup's own way it costs nothing to begin, however deep the
    element is."""
    waiting = [iter(tag.contents)]
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
        elif isinstance(node, Tag):
            yield node
            waiting.append(iter(node.contents))
        elif isinstance(node, NavigableString):
            yield node


def _texts(tag: Tag) -> Iterator[str]:
    for node in nodes_of(tag):
        seen = isinstance(node, NavigableString) and not isinstance(node, Comment | PreformattedString)
        yield str(node) if seen else ""


def _words(tag: Tag) -> set[str]:
    """The words that its classes and its id are made of."""
    names = f"{_classes(tag)} {tag.get('id') or ''}"
    return set(re.split(r"[\s_:.-]+", names.lower())) - {""}


def _classes(tag: Tag) -> str:
    given = tag.get("class") or ""
    return given if isinstance(given, str) else " ".join(given)


def _is_hidden(tag: Tag, words: set[str]) -> bool:
    if words & _PANELS or tag.get("role") == "tabpanel":
        return False
    style = re.sub(r"\s", "", str(tag.get("style", "")).lower())
    if "display:none" in style or "visibility:hidden" in style:
        return True
    if tag.has_attr("hidden") and tag.get("hidden") != "until-found":
        return True
    if str(tag.get("aria-hidden", "")).lower() == "true" and is_brief(tag, 200):
        return True
    return bool(_UNSEEN.search(_classes(tag)) and is_brief(tag, 300))


def _is_links(tag: Tag) -> bool:
    """Whether most of the text in an element is links."""
    if not is_brief(tag, 5000):
        return False
    text = sum(len(piece.strip()) for piece in _texts(tag))
    links = sum(len(link.get_text().strip()) for link in tag.find_all("a"))
    return links >= 0.5 * text


def _is_contents(tag: Tag) -> bool:
    """Whether a list holds nothing but links to places on the page."""
    if not is_brief(tag, 5000):
        return False
    links = tag.find_all("a")
    return (
        len(links) >= 2
        and all(str(link.get("href", "")).startswith("#") for link in links)
        and sum(len(link.get_text().strip()) for link in links) >= 0.9 * sum(len(text.strip()) for text in _texts(tag))
    )
