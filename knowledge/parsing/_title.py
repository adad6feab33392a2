"""What a document is called, told from what it says of itself and from what is printed in it.

What a file says of its own title is often left over from a template or from the file that it was copied from, and the
largest print on a page may be the name of a hospital. A guideline that takes over another one's title takes its place
in answers, so a title is `sure` only where two things agree.
"""

import re
from dataclasses import dataclass

from knowledge.parsing._document import ParsedDocument, ParsedPage

SHORTEST, LONGEST = 3, 200  # characters
_PAGES = 3  # where a title is looked for
_FILE_NAME = re.compile(r"\.[a-z]{2,4}x?$|^\S*[_\\/]\S*$", re.IGNORECASE)
_MADE_BY = re.compile(r"^(?:microsoft (?:word|powerpoint|excel|publisher)\b|(?:power\s?point|word) [-–]|www\.)", re.I)
_SAYS_NOTHING = re.compile(
    r"(?:untitled|sans[ -]titre|no title|new|nouveau|blank|title|titre|(?:microsoft )?(?:word )?document|"
    r"powerpoint presentation|présentation(?: powerpoint)?|presentation|diapositive|slide|page|layout|cover|couverture|"
    r"template|modèle(?: de document)?|draft|brouillon|index|home|accueil|readme|"
    r"(?:table of )?contents|table des matières|sommaire|introduction|préambule|preamble|foreword|avant[- ]propos|"
    r"abstract|summary|résumé|synthèse|background|contexte|context|purpose|aims?|objectives?|scope|objet|objectifs?|"
    r"definitions?|définitions?|domaine d['’]application|champ d['’]application|references?|références|annexes?|"
    r"protocole?s?|procédures?|procedures?|guidelines?|recommandations?|policy|note(?: de service)?)"
    r"[\s\d.:()-]*",
    re.IGNORECASE,
)
_SECTION = re.compile(
    r"^(?:\d{1,2}(?:\.\d+)*[.)]?\s|[IVX]{1,4}[.)]\s|(?:chapter|chapitre|annexe|appendix|article)\s)", re.I
)
_HOUSE = re.compile(
    r"^(?:le |la |les |the |l['’])?(?:centre hospitalier|centre de|ch|chu|chru|chs|ghu|ght|epsm|eps|ap-hp|cmp|"
    r"hôpita(?:l|ux)|clinique|groupe hospitalier|groupement|établissement|pôle|service|direction|unité|ministère|"
    r"université|agence|hospitals?|clinic|department|ministry|university|national institutes? of|nhs|trust|unit)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Title:
    """What a document is called; an empty text where nothing in it looks like a title. `sure` where the document's own
    word for it is also printed in it, or stands alone at the top of its headings."""

    text: str
    sure: bool


def find_title(document: ParsedDocument) -> Title:
    """The title of a document, from the file's own word and its first pages."""
    pages = [page for page in document.pages[:_PAGES] if page.text]
    said = " ".join(document.title.split())
    printed, alone = _top_heading(pages[0]) if pages else ("", False)
    if looks_like_title(said):
        if looks_like_title(printed) and re.match(rf"{re.escape(printed)}\s*[|–—·-]\s", said, re.IGNORECASE):
            return Title(printed, sure=True)  # a browser's title: that of the page, then that of the site
        if _plain(said) in _plain("".join(page.text for page in pages)):
            return Title(said, sure=True)
    if looks_like_title(printed) and not _SECTION.match(printed) and not _HOUSE.match(printed):
        return Title(printed, alone)
    return Title(said, sure=False) if looks_like_title(said) and len(said.split()) >= 3 else Title("", sure=False)


def looks_like_title(text: str) -> bool:
    """Whether a person may have written this as a title: neither a file's name nor what programs put there."""
    return (
        SHORTEST <= len(text) <= LONGEST
        and re.search(r"[^\W\d_]{2}", text) is not None
        and not _FILE_NAME.search(text)
        and not _MADE_BY.match(text)
        and "://" not in text
        and not _SAYS_NOTHING.fullmatch(text)
    )


def _top_heading(page: ParsedPage) -> tuple[str, bool]:
    """The first heading of the highest level on a page; and whether markup, not how it is printed, makes it the one
    heading of the first level (`parse_docx` gives a lower one to headings that are no more than bold)."""
    if not page.headings:
        return "", False
    level = min(heading.level for heading in page.headings)
    top = [heading for heading in page.headings if heading.level == level]
    text = page.text[top[0].start : top[0].end].strip(" :–—-")
    return text, page.number is None and level == 1 and len(top) == 1 and top[0] is page.headings[0]


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())
