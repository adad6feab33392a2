"""Erasures that two people decide, and legal holds.

A compliance officer asks for an erasure; an administrator or another compliance officer, never whoever asked and never
whom it is about, confirms it or declines. A compliance officer sets and lifts holds. Each step is an event.
"""

import uuid
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from portal.accounts.models import Role, User
from portal.audit.models import Actor
from portal.audit.services import code_of, is_code, record
from portal.chat import erasing
from portal.chat.erasing import By, Extent, NotErased, Target
from portal.chat.keeping import AboutOne, Erasure, Hold

State = Erasure.State


class NotDecided(Exception):
    """The step is not possible; the text says why."""


def ask(user: User, target: Target, reason: str) -> Erasure:
    """Ask a second person to erase something. Raises NotDecided where it cannot be erased, or somebody asked before."""
    if refusal := _refusal_to_ask(user, target):
        raise NotDecided(refusal)
    try:
        with transaction.atomic():
            erasure = Erasure.objects.create(reason=reason, asked_by=_actor(user), **_about(target))
            _record("erasure.asked", user, erasure, reason=reason)
    except IntegrityError:
        raise NotDecided(_("Somebody has asked for this already: it waits for a second person.")) from None
    return erasure


def refusal_to_confirm(user: User, erasure: Erasure) -> str:
    """Why this person may not confirm, in a sentence; empty where they may."""
    if erasure.state != State.OPEN:
        return _("This was decided already.")
    if user.role not in {Role.ADMIN, Role.COMPLIANCE}:
        return _("Administrators and compliance officers confirm erasures.")
    if erasure.asked_by.name == user.username:
        return _("You asked for this yourself: a second person has to confirm it.")
    if owner_of(erasure.target).pk == user.pk:
        return _("This is about yourself: somebody else has to confirm it.")
    return erasing.refusal(erasure.target)


def confirm(user: User, erasure_id: uuid.UUID, seen: str) -> Extent:
    """Erase what was asked for. `seen` is the counts that the person was shown (`counts`). Raises NotDecided."""
    erasure = _get(erasure_id)
    if refusal := refusal_to_confirm(user, erasure):
        raise NotDecided(refusal)
    if seen != counts(erasing.extent_of(erasure.target)):
        raise NotDecided(_("What would go has changed meanwhile. Read it again, then confirm."))

    def decided(extent: Extent) -> None:
        held = Erasure.objects.select_for_update().select_related("asked_by").get(pk=erasure_id)
        if held.state != State.OPEN:
            raise NotErased(_("This was decided already."))
        gone = {"conversations": extent.conversations, "turns": extent.turns}
        asked_by = {"asked_by": held.asked_by_id}
        Erasure.objects.filter(pk=erasure_id).update(**_decided(user, State.DONE), **gone)
        _record("erasure.confirmed", user, erasure, **asked_by, **gone)

    try:
        return erasing.erase(erasure.target, By(user.username, user.role, erasure.reason), then=decided)
    except NotErased as error:
        raise NotDecided(str(error)) from error


@transaction.atomic
def decline(user: User, erasure_id: uuid.UUID) -> Erasure:
    """Leave everything as it is: whoever asked takes it back, anybody else of both roles declines. Raises
    NotDecided."""
    erasure = _get(erasure_id, lock=True)
    if erasure.state != State.OPEN:
        raise NotDecided(_("This was decided already."))
    withdrawn = erasure.asked_by.name == user.username
    state = State.WITHDRAWN if withdrawn else State.DECLINED
    Erasure.objects.filter(pk=erasure_id).update(**_decided(user, state))
    _record(f"erasure.{state.value}", user, erasure, asked_by=erasure.asked_by_id)
    erasure.state = state
    return erasure


def set_hold(user: User, target: Target, reason: str) -> Hold:
    """Keep something from being erased, by whomever, until the hold is lifted. Raises NotDecided."""
    try:
        with transaction.atomic():
            User.objects.select_for_update().get(pk=owner_of(target).pk)  # nothing is erased meanwhile
            target.refresh_from_db()
            if is_erased(target):
                raise NotDecided(_("This was erased already: there is nothing left to hold."))
            hold = Hold.objects.create(reason=reason, set_by=_actor(user), **_about(target))
            _record("hold.set", user, hold, reason=reason)
    except IntegrityError:
        raise NotDecided(_("There is a legal hold on this already.")) from None
    return hold


@transaction.atomic
def lift_hold(user: User, hold_id: uuid.UUID, reason: str) -> Hold:
    """End a hold. Raises NotDecided; Hold.DoesNotExist."""
    hold = Hold.objects.select_for_update().get(pk=hold_id)
    if hold.lifted_at:
        raise NotDecided(_("This hold was lifted already."))
    hold.lifted_at, hold.lifted_by = timezone.now(), _actor(user)
    hold.save(update_fields=["lifted_at", "lifted_by"])
    _record("hold.lifted", user, hold, reason=reason)
    return hold


def counts(extent: Extent) -> str:
    """What a person was shown before they confirmed, to be sent back."""
    return f"{extent.conversations}-{extent.turns}-{extent.pieces}"


def owner_of(target: Target) -> User:
    """Whose it is."""
    owner: User = target if isinstance(target, User) else target.owner
    return owner


def is_erased(target: Target) -> bool:
    """Whether nothing is left of it to erase."""
    if isinstance(target, User):
        return is_code(target.username) and not target.is_active
    return target.erased_at is not None


def _refusal_to_ask(user: User, target: Target) -> str:
    if owner_of(target).pk == user.pk:
        return _("This is about yourself: another compliance officer has to ask for it.")
    return erasing.refusal(target)


def _get(erasure_id: uuid.UUID, *, lock: bool = False) -> Erasure:
    rows = Erasure.objects.select_for_update(of=("self",)) if lock else Erasure.objects.all()
    return rows.select_related("asked_by", "conversation__owner", "person").get(pk=erasure_id)


def _about(target: Target) -> dict[str, Any]:
    return {"person": target} if isinstance(target, User) else {"conversation": target}


def _actor(user: User) -> Actor:
    return Actor.objects.get(code=code_of(user.username))


def _decided(user: User, state: State) -> dict[str, Any]:
    return {"state": state, "decided_by": _actor(user), "decided_at": timezone.now()}


def _record(kind: str, user: User, about: AboutOne, **payload: object) -> None:
    """One event. Its subject is the conversation, or the person's code. A person who is erased by this very step has no
    name any more, and the code in its place."""
    if about.person_id is not None:
        subject = code_of(User.objects.values_list("username", flat=True).get(pk=about.person_id))
        about_what = {"person": subject}
    else:
        subject = str(about.conversation_id)
        about_what = {"conversation": subject}
    payload = {"request": str(about.pk), **about_what, **payload}
    record(kind, actor=user.username, actor_role=user.role, subject=subject, payload=payload)
