"""Whom a guideline is for. To fewer people it is closed at once; to more than it was approved for it is opened by two:
one person asks for it, another one agrees.

What no version of was ever approved is opened at once, because whoever approves it sees whom it is for. Once one was,
it takes a second person for good: a version that was archived or superseded meanwhile comes back without another
approval. `actor` is the sign-in name of whoever decides; each step is announced (`signals.guideline_changed`).
"""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from django.db import transaction

from knowledge._errors import NotPossible
from knowledge.models import Department, Guideline, Opening
from knowledge.signals import guideline_changed


def would_open(own: Iterable[Department], other: Iterable[Department]) -> bool:
    """Whether what is for some departments (none: everybody) would be seen by more people if it were for others."""
    own, other = set(own), set(other)
    return bool(own) and not (other and other <= own)


def close_or_ask(guideline: Guideline, wanted: Collection[Department], *, actor: str) -> dict[str, list[Any]]:
    """Make a guideline, which is locked, be for other departments (none: everybody), as far as one person may; for the
    rest, ask. Returns what changed at once, {"departments": [before, after]}, by their names.

    What was asked before is withdrawn where something else is wanted now.
    """
    own = list(guideline.departments.order_by("name"))
    asked = Opening.objects.filter(guideline=guideline).first()
    if set(own) == set(wanted) or (asked and set(asked.departments.all()) == set(wanted)):
        return {}
    if asked:
        _withdraw(asked, actor)
    now = list(wanted)
    if would_open(own, wanted) and guideline.versions.filter(approved_at__isnull=False).exists():
        now = [one for one in own if one in wanted] or own
        opening = Opening.objects.create(guideline=guideline, asked_by=actor[:150])
        opening.departments.set(wanted)
        _announce(opening, "opening_asked", actor, now, wanted)
    if set(now) == set(own):
        return {}
    guideline.departments.set(now)
    return {"departments": [_names(own), _names(now)]}


@transaction.atomic
def agree_to_opening(opening_id: UUID | str, *, actor: str) -> Guideline:
    """Open a guideline to the departments that another person asked for: from the next question on, their people get
    answers from it. Raises NotPossible for whoever asked, and where it was withdrawn or asked anew meanwhile."""
    opening = _held(opening_id)
    if refusal := refusal_to_agree(opening, actor):
        raise refusal
    guideline, before, after = opening.guideline, opening.guideline.departments.all(), opening.departments.all()
    _announce(opening, "opened", actor, before, after)
    guideline.departments.set(after)
    opening.delete()
    return guideline


@transaction.atomic
def withdraw_opening(opening_id: UUID | str, *, actor: str) -> Guideline:
    """Leave a guideline as it is: whoever asked takes it back, or another person does not agree. Raises NotPossible
    where that was decided meanwhile."""
    opening = _held(opening_id)
    _withdraw(opening, actor)
    return opening.guideline


def withdraw_those_for(department: Department, *, actor: str) -> None:
    """Withdraw what was asked for a department that goes: without it, it would be something else that is agreed to."""
    for opening in Opening.objects.filter(departments=department).select_related("guideline").order_by("guideline_id"):
        _withdraw(opening, actor)


def refusal_to_agree(opening: Opening, actor: str) -> NotPossible | None:
    """Why this person may not agree; None when they may."""
    if actor in {"", opening.asked_by}:
        return NotPossible("second_person_opening", title=opening.guideline.title)
    return None


def _held(opening_id: UUID | str) -> Opening:
    """What was asked, with its guideline locked until the transaction ends."""
    guideline_id = Opening.objects.filter(pk=opening_id).values_list("guideline_id", flat=True).first()
    if guideline_id:
        Guideline.objects.select_for_update().get(pk=guideline_id)
    opening = Opening.objects.select_related("guideline").filter(pk=opening_id).first()
    if opening is None:
        raise NotPossible("opening_gone")
    return opening


def _withdraw(opening: Opening, actor: str) -> None:
    _announce(opening, "opening_withdrawn", actor, opening.departments.all(), opening.guideline.departments.all())
    opening.delete()


def _announce(
    opening: Opening, kind: str, actor: str, before: Iterable[Department], after: Iterable[Department]
) -> None:
    """`changes` also says who asked: the two people of an opening stand in one record."""
    changes: dict[str, list[Any]] = {"departments": [_names(before), _names(after)]}
    if kind != "opening_asked":
        changes["asked_by"] = [opening.asked_by, ""]
    guideline_changed.send(
        Guideline, guideline=opening.guideline, kind=kind, actor=actor, version=None, changes=changes
    )


def _names(departments: Iterable[Department]) -> list[str]:
    return sorted(one.name for one in departments)
