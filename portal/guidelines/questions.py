"""The facility's own question set: for each question the words of a guideline that should be found. Kept by
administrators, asked by the knowledge worker, whenever somebody wants to know whether retrieval still does what it
should: after a new guideline, a new embedder, a new release."""

import json
import logging
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

import knowledge
from knowledge import selectors
from knowledge.models import Chunk, Guideline, Question
from portal.accounts.models import User
from portal.audit.services import record
from portal.guidelines.trials import tell

logger = logging.getLogger(__name__)

LONGEST_QUESTION = 500  # characters; a unique index has to hold it
LONGEST_QUOTE = 20_000
MOST_LINES = 5_000  # of a file that is taken in
_AT_ONCE = 200  # of them in one transaction
KEPT = timedelta(days=30)  # a case that was withdrawn
SAME = 0.6  # of the runs of words of two texts, for saying the same
_RUN = 5  # words
_WORD = re.compile(r"\w+")

Outcome = Question.Outcome


def questions() -> QuerySet[Question]:
    """The cases that count, newest first."""
    return Question.objects.filter(withdrawn_at=None).select_related("guideline").order_by("-created_at")


def withdrawn() -> QuerySet[Question]:
    """The cases that were taken out and can still be brought back, the last one first."""
    gone = Question.objects.filter(withdrawn_at__isnull=False).select_related("guideline")
    return gone.order_by("-withdrawn_at")


def waiting() -> QuerySet[Question]:
    """The cases that are still to be asked."""
    return questions().filter(wanted_at__isnull=False)


# --- keeping the set -------------------------------------------------------------------------------------------------


def add(actor: User, text: str, chunk: Chunk) -> tuple[Question, bool]:
    """Keep that these words should be found for a question, and have it asked. False where the case was there."""
    guideline = chunk.version.guideline
    with transaction.atomic():
        _hold([guideline])
        case, is_new = _keep(actor.username, text, guideline, chunk.page, chunk.text)
        if is_new:
            _record("case_added", actor, case)
    tell("ask_questions")
    return case, is_new


def _hold(guidelines: Iterable[Guideline]) -> None:
    """Lock guidelines until the transaction ends, in one order for everybody: two people who add the same case then do
    so one after the other, and the second finds the first one's. A row that is not there yet cannot be locked."""
    numbers = {one.pk for one in guidelines}
    list(Guideline.objects.select_for_update().filter(pk__in=numbers).order_by("pk").values_list("pk"))


def _keep(actor: str, text: str, guideline: Guideline, page: int | None, quote: str) -> tuple[Question, bool]:
    """A case of the set, and whether it is new or says something else now. Its guideline is held (`_hold`)."""
    same = Question.objects.select_for_update().filter(text=text, guideline=guideline, page=page)
    known = (same if page is not None else same.filter(quote=quote)).first()
    if known is not None and known.withdrawn_at is None and known.quote == quote:
        return known, False
    case = known or Question(text=text, guideline=guideline, page=page, created_at=timezone.now())
    case.quote, case.added_by, case.withdrawn_at = quote, actor, None
    case.wanted_at, case.outcome, case.rank = timezone.now(), "", None
    case.save()
    return case, True


@transaction.atomic
def withdraw(actor: User, case: Question) -> None:
    """Take a case out of the set; for a month it can be brought back."""
    if Question.objects.filter(pk=case.pk, withdrawn_at=None).update(withdrawn_at=timezone.now()):
        _record("case_removed", actor, case)


def bring_back(actor: User, case: Question) -> None:
    """Undo a withdrawal."""
    with transaction.atomic():
        gone = Question.objects.filter(pk=case.pk, withdrawn_at__isnull=False)
        if gone.update(withdrawn_at=None, wanted_at=timezone.now()):
            _record("case_restored", actor, case)
    tell("ask_questions")


def forget_old() -> None:
    """Delete what was withdrawn a month ago."""
    Question.objects.filter(withdrawn_at__lt=timezone.now() - KEPT).delete()


# --- asking them -----------------------------------------------------------------------------------------------------


def want_all(actor: User) -> int:
    """Have every case asked again; returns how many."""
    with transaction.atomic():
        count = questions().update(wanted_at=timezone.now())
        record("guideline.cases_run", actor=actor.username, actor_role=actor.role, payload={"cases": count})
    tell("ask_questions")
    return count


_asking = threading.Lock()


def ask_waiting() -> None:
    """Ask what waits, one after the other, unless another thread is at it: that one takes on what comes meanwhile."""
    while waiting().exists():
        if not _asking.acquire(blocking=False):
            return
        try:
            while case := waiting().order_by("wanted_at", "pk").first():
                _ask(case)
        finally:
            _asking.release()


def _ask(case: Question) -> None:
    """Ask a case as a turn would, without regard to departments, and write down what came out, unless it was changed or
    wanted again meanwhile."""
    rank: int | None = None
    try:
        outcome, rank = _outcome(case)
    except knowledge.KnowledgeError as error:
        logger.warning("case %s: %s", case.pk, error.code)
        outcome = Outcome.FAILED
    except Exception as error:
        logger.error("case %s failed: %s", case.pk, type(error).__name__, exc_info=error)
        outcome = Outcome.FAILED
    unchanged = Question.objects.filter(pk=case.pk, wanted_at=case.wanted_at, quote=case.quote)
    unchanged.update(outcome=outcome, rank=rank, checked_at=timezone.now(), wanted_at=None)


def _outcome(case: Question) -> tuple[Outcome, int | None]:
    version = selectors.answering_versions().filter(guideline=case.guideline_id).first()
    if version is None:
        return Outcome.SILENT, None
    found = knowledge.explain(case.text, limit=settings.HAVRE_PASSAGES)
    rank = place_of(case, found.passages)
    if rank is not None:
        return (Outcome.FOUND if found.covered else Outcome.UNCOVERED), rank
    rank = place_of(case, found.candidates)
    if rank is None and not any(says(text, case.quote) for text in version.chunks.values_list("text", flat=True)):
        return Outcome.GONE, None
    return Outcome.NOT_FOUND, rank


def place_of(case: Question, passages: Sequence[knowledge.Passage | knowledge.Candidate]) -> int | None:
    """The place, from 1, of the first passage with the words of a case; None where there is none."""
    for place, one in enumerate(passages, start=1):
        if one.guideline_id == case.guideline_id and says(one.text, case.quote):
            return place
    return None


def says(text: str, quote: str) -> bool:
    """Whether a passage has the words of a case, or most of them: a new version may be cut in other places."""
    one, other = _words(text), _words(quote)
    if not other:
        return False
    if f" {' '.join(other)} " in f" {' '.join(one)} ":
        return True
    runs, wanted = _runs(one), _runs(other)
    return bool(runs and wanted) and len(runs & wanted) / min(len(runs), len(wanted)) >= SAME


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _runs(words: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)}


# --- files -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakenIn:
    """A file of cases, taken in: how many were `added`, how many `known`, and a sentence for each line that was not
    taken."""

    added: int = 0
    known: int = 0
    problems: list[str] = field(default_factory=list)


def lines() -> Iterator[str]:
    """The set as JSON, a case a line: what `take_in` reads."""
    for case in questions().order_by("created_at").iterator():
        row = {
            "question": case.text,
            "guideline": case.guideline.title,
            "publisher": case.guideline.publisher,
            "page": case.page,
            "quote": case.quote,
        }
        yield json.dumps(row, ensure_ascii=False) + "\n"


@transaction.atomic
def export(actor: User) -> str:
    """The whole set as JSON lines; that it left the portal is recorded."""
    text = "".join(lines())
    payload = {"cases": text.count("\n")}
    record("guideline.cases_exported", actor=actor.username, actor_role=actor.role, payload=payload)
    return text


def take_in(actor: User, data: bytes) -> TakenIn:
    """Add the cases of a file of JSON lines, some at a time, so that nobody else waits long to write. A line that
    cannot be taken is named; the others are."""
    added = known = 0
    problems: list[str] = []
    written = data.decode("utf-8-sig", errors="replace").rstrip().split("\n")  # a text may have other line breaks
    if len(written) > MOST_LINES:
        problems.append(_("The file has more than %(most)s lines; the rest was not read.") % {"most": MOST_LINES})
    for begin in range(0, min(len(written), MOST_LINES), _AT_ONCE):
        rows, refused = _rows(written[begin : min(begin + _AT_ONCE, MOST_LINES)], begin + 1)
        with transaction.atomic():
            _hold(row[1] for row in rows)
            new = sum(_keep(actor.username, *row)[1] for row in rows)
            payload = {"added": new, "known": len(rows) - new, "refused": len(refused)}
            record("guideline.cases_imported", actor=actor.username, actor_role=actor.role, payload=payload)
        added, known = added + new, known + len(rows) - new
        problems += refused
    tell("ask_questions")
    return TakenIn(added, known, problems)


_Row = tuple[str, Guideline, int | None, str]
"""Question, guideline, page and words of a case."""


def _rows(lines: Sequence[str], first: int) -> tuple[list[_Row], list[str]]:
    """The cases of some lines, the first of which has a number, and a sentence for each that cannot be taken."""
    rows: list[_Row] = []
    refused: list[str] = []
    for number, line in enumerate(lines, start=first):
        if not line.strip():
            continue
        try:
            rows.append(_row(line))
        except ValueError as error:
            refused.append(_("Line %(number)s: %(problem)s") % {"number": number, "problem": error})
    return rows, refused


def _row(line: str) -> _Row:
    """The case of a line. Raises ValueError with a sentence."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise ValueError(_("this is not a JSON object."))
    text, quote = _text(row, "question", LONGEST_QUESTION), _text(row, "quote", LONGEST_QUOTE)
    title = _text(row, "guideline", 300)
    page = row.get("page")
    if page is not None and not (type(page) is int and 0 < page < 1_000_000):
        raise ValueError(_("“page” is not the number of a page."))
    named = Guideline.objects.filter(title=title)
    if row.get("publisher"):
        named = named.filter(publisher=_text(row, "publisher", 200))
    guidelines = list(named[:2])
    if not guidelines:
        raise ValueError(_("there is no guideline “%(title)s”.") % {"title": title})
    if len(guidelines) > 1:
        raise ValueError(_("there are several guidelines “%(title)s”; name the publisher.") % {"title": title})
    return text, guidelines[0], page, quote


def _text(row: dict[str, Any], name: str, most: int) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not (words := value.strip()):
        raise ValueError(_("“%(name)s” is missing.") % {"name": name})
    if len(words) > most:
        raise ValueError(_("“%(name)s” is longer than %(most)s characters.") % {"name": name, "most": most})
    if "\0" in words or any(0xD800 <= ord(character) <= 0xDFFF for character in words):
        raise ValueError(_("“%(name)s” has characters that no text has.") % {"name": name})
    return words


def _record(kind: str, actor: User, case: Question) -> None:
    """The case by its number, without its words."""
    payload = {"case": str(case.pk), "page": case.page}
    record(
        f"guideline.{kind}",
        actor=actor.username,
        actor_role=actor.role,
        subject=str(case.guideline_id),
        payload=payload,
    )
