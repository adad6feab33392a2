"""CSV (RFC 4180, UTF-8 with a byte order mark), for spreadsheets. No cell is taken for a formula.

A spreadsheet that expects semicolons between cells, as in France, knows nothing of the quotes around ours and begins a
new cell at each semicolon, a new row at each line break: so neither stands in a cell before what could be a formula.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable
from typing import IO

from portal.audit.exporting._formats import About, Events
from portal.audit.stored import Row

COLUMNS = (
    *(
        "seq",
        "at",
        "kind",
        "actor",
        "actor_name",
        "actor_role",
        "subject",
        "subject_name",
        "payload",
        "leaf",
        "problem",
    ),
)
_ROWS_AT_ONCE = 1000
_BEGINS_FORMULA = frozenset("=+-@\u2212\t\r\n")
_HARMLESS = re.compile(r"(?:[A-Za-z0-9][ -:<-~]*)?")  # most cells; no semicolon, no control character
_QUOTES = frozenset("\"'`\u00b4\u2018\u2019\u201c\u201d\u00ab\u00bb")


def write(events: Events, out: IO[bytes], about: About, progress: Callable[[int], None]) -> int:
    """A row for each event, under a row of names. `payload` is JSON. A `problem` says that the row is not what was
    recorded, and then the payload is what stands there, as a JSON string; or that a name is not."""
    page = io.StringIO()
    rows = csv.writer(page, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    out.write("\ufeff".encode())
    count = 0
    for count, event in enumerate(events, 1):
        rows.writerow(_cells(event, about))
        if not count % _ROWS_AT_ONCE:
            _turn(page, out)
            progress(count)
    _turn(page, out)
    return count


def defused(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula: an apostrophe stands before what could be one, and
    control characters are written out."""
    if _HARMLESS.fullmatch(text):
        return text
    parts = ("'" + part if _could_be_formula(part) else part for part in text.split(";"))
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", lambda hit: json.dumps(hit.group())[1:-1], ";".join(parts))


def _could_be_formula(text: str) -> bool:
    """Whether the first character that counts begins a formula: behind spaces, quotes and what cannot be seen, and in
    its full-width and small forms too."""
    for character in unicodedata.normalize("NFKC", text):
        if character in _BEGINS_FORMULA:
            return True
        if not (character in _QUOTES or unicodedata.category(character) in {"Zs", "Zl", "Zp", "Cc", "Cf"}):
            return False
    return False


def _cells(event: Row, about: About) -> list[str]:
    held = (event.values or {}).get("payload") if event.problem else event.payload
    payload = json.dumps(held, ensure_ascii=False, sort_keys=True).replace(";", "\\u003b")
    actor, subject = (about.names.get(code, "") for code in (event.actor_id, event.subject))
    when = defused(event.when) if event.problem else event.when
    texts = (event.kind, event.actor_id, actor, event.actor_role, event.subject, subject)
    return [str(event.seq), when, *map(defused, texts), payload, event.leaf.hex(), about.problem_of(event)]


def _turn(page: io.StringIO, out: IO[bytes]) -> None:
    out.write(page.getvalue().encode("utf-8"))
    page.seek(0)
    page.truncate()
