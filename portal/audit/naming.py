"""Whose a code is: the name that stands beside it, held against what was recorded when the code was given to somebody.
A name that does not fit is shown as nobody's."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal.audit import stored
from portal.audit.models import Event
from portal.audit.services import NOBODY, commitment, is_code
from portal.audit.stored import Row

OTHER_NAME = "the name that stands beside its code is not the one that was recorded"

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Names:
    """The `names` of codes, and the codes beside which another name stands than was recorded (`wrong`)."""

    names: Mapping[str, str]
    wrong: frozenset[str]


def names(codes: Collection[str] | None = None) -> Names:
    """The names of these codes, or of all that have one. Raises DatabaseError where nothing can be read."""
    pages = [None] if codes is None else _pages(sorted(one for one in codes if one in NOBODY or is_code(one)))
    found = {code: (name, salt) for page in pages for code, name, salt in stored.people(page)}
    given, erased = _recorded(sorted(set(found) - NOBODY))
    known, wrong = {}, set()
    for code, (name, salt) in found.items():
        is_own = name == code if code in NOBODY else _commitment(salt, name) == given.get(code) and code not in erased
        if is_own:
            known[code] = name
        else:
            wrong.add(code)
    return Names(known, frozenset(wrong))


def problem_of(event: Row, wrong: Collection[str]) -> str:
    """What is wrong with an event: that its row is not what was recorded, or that nobody can say whom it names."""
    return event.problem or (OTHER_NAME if event.actor_id in wrong or event.subject in wrong else "")


def _recorded(codes: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    """The commitments by which these codes were given to somebody, and those whose name was erased."""
    given: dict[str, str] = {}
    erased: set[str] = set()
    if not codes:
        return given, erased
    marks = stored.Marks()
    for page in _pages(codes):
        told = Event.objects.filter(kind__in=("person.named", "person.erased"), subject__in=page)
        seqs = sorted(one for one in told.values_list("seq", flat=True) if type(one) is int)
        for row in stored.rows(seqs, marks):
            if row.kind == "person.named":
                given.setdefault(row.subject, str(row.payload.get("commitment")))
            elif not row.problem:
                erased.add(row.subject)
    return given, erased


def _commitment(salt: str, name: str) -> str:
    try:
        return commitment(bytes.fromhex(salt), name)
    except ValueError:  # no salt
        return ""


def _pages(some: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(some), _AT_ONCE):
        yield some[start : start + _AT_ONCE]
