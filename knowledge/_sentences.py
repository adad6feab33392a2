"""Where sentences end, in French and English and the languages that are written like them."""

import re
from collections.abc import Iterator

_WORDS = {
    "abbreviations": (
        "dr drs dre pr prof mr mrs ms mme mmes mlle mlles mm m st ste mgr jr sr rev gen gov hon dept univ hôp bd inc "
        "ltd cf ex vs etc al env approx resp incl excl e.g i.e p.ex c.-à-d c-à-d n.b a.m p.m u.s u.k ph.d m.d d.c j.-c "
        "i.v i.m s.c p.o b.i.d t.i.d q.i.d o.d inj cp cps cpr gél gtt amp qsp "
        "ed eds éd vol vols suppl trad coll bull op cit ibid réf ref fig figs tél tel ann annot "
        "janv févr avr juil sept oct nov déc jan feb apr jun jul aug dec"
    ),
    # words or ends of sentences too: an abbreviation only where a number or the letter of an article follows
    "before a number": "no nos nr art arts chap sect sec p pp tab max min mar av alin §",
    # a sentence does not end with these
    "open": (
        "a an the of to in on at by for from with and or but nor as that which who than into over under between is are "
        "was were be been has have had not no if when while whether because their its his her this these those such "
        "can may should must will would could "
        "à au aux de du des d' l' le la les un une et ou où mais ni car en dans par pour sur sous avec sans chez vers "
        "entre que qui dont qu' ce cet cette ces son sa ses leur leurs est sont était ont ne pas plus si lorsque "
        "quand comme être avoir peut peuvent doit doivent"
    ),
}
_ABBREVIATIONS, _BEFORE_NUMBER, _OPEN_WORDS = (frozenset(words.split()) for words in _WORDS.values())
_NUMBER = re.compile(r"\d|[A-Z]{1,2}\.?\s*[\d*-]")
_END = re.compile(
    r"(?:(?<=[^\W\d_]{3})[.!?](?:\d{1,3}(?:[,–-]\d{1,3})*|\[\d[\d,–\s-]*\])(?=\s+[A-ZÀ-Ý«“(]))"  # "… pain.12,13 Then"
    r"|[.!?…]+(?:[\"'”’)\]]|\s?»)*(?=\s)|[。！？؟۔]"
)
_WORD_BEFORE = re.compile(r"[^\s(\[«“\"]+$")
_LAST_WORD = re.compile(r"(?:[^\W\d_]+['’]?)$")
_CLOSED = re.compile(r"[.!?…:;。！？؟۔](?:[\"'”’)\]]|\s?»|\d{1,3}|\[\d[\d,–\s-]*\])*$")


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence in `text`; white space between them belongs to none. A line's end always ends
    one."""
    place = 0
    for line in text.split("\n"):
        begin = 0
        for found in _END.finditer(line):
            if found.start() >= begin and _ends_sentence(line, begin, found):
                yield from _trimmed(line, begin, found.end(), place)
                begin = found.end()
        yield from _trimmed(line, begin, len(line), place)
        place += len(line) + 1


def goes_on(before: str, after: str) -> bool:
    """Whether the sentence at the end of one page goes on at the beginning of the next: a bracket in it is closed
    there; or it has no end yet, and what follows begins in lower case or the last word asks for another."""
    before, after = before.rstrip(), after.lstrip()
    if not before or not after:
        return False
    if before.count("(") > before.count(")") and re.match(r"[^(]{0,400}\)", after):
        return True
    if _CLOSED.search(before[-60:]):
        return False
    if re.match(r"\(?[^\W\d_]", after) and after.lstrip("(")[0].islower() and not re.match(r"[a-z][.)]\s", after):
        return True
    last = _LAST_WORD.search(before[-40:].lower())
    return (
        before[-1] in ",(-–—/&"
        or (after[0] == "(" and len(before) > 60)
        or (last is not None and last.group().replace("’", "'") in _OPEN_WORDS)
    )


def _trimmed(line: str, begin: int, end: int, place: int) -> Iterator[tuple[int, int]]:
    piece = line[begin:end]
    if piece.strip():
        yield place + begin + len(piece) - len(piece.lstrip()), place + begin + len(piece.rstrip())


def _ends_sentence(line: str, begin: int, found: re.Match[str]) -> bool:
    after = line[found.end() : found.end() + 40].lstrip()
    if not after or found.group()[0] != ".":
        # "!" and "?" inside a quotation or a name go on in lower case
        return not (after and after[0].islower() and found.group()[0] in "!?…")
    if found.group().startswith("..") and after[0].islower():
        return False
    before = _WORD_BEFORE.search(line, max(begin, found.start() - 60), found.start())
    word = before.group().lower() if before else ""
    if _is_abbreviation(word, after):
        return False
    if (
        re.fullmatch(r"\(?\d{1,3}|[a-z]|[ivx]+", word)
        and before is not None
        and not line[begin : before.start()].strip()
    ):
        return False  # the number of a list item, "2. Ask …"
    return not after[0].islower()


def _is_abbreviation(word: str, after: str) -> bool:
    """Whether the full stop after `word` is the word's own."""
    plain = word.rpartition("'")[2].rpartition("’")[2].rstrip(".")  # "l'art. 12"
    if plain == "etc":
        return not after[0].isupper()  # "… etc. Then": nearly always the end
    if plain in _BEFORE_NUMBER:
        return _NUMBER.match(after) is not None
    return plain in _ABBREVIATIONS or (len(word) == 1 and word.isalpha())
