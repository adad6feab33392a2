"""Erasures that two people decide, and legal holds.

A compliance officer asks for an erasure; an administrator or another compliance officer, never whoever asked and never
whom it is about, confirms it or declines. What is confirmed stands as a decision before anything is erased: it can not
be taken back any more, and where carrying it out is broken off, the clock or a second person goes on with it. A
compliance officer sets and lifts holds. Each step is an event.
"""

import logging
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from portal.accounts.models import Role, User
from portal.audit import keys
from portal.audit.models import Actor
from portal.audit.services import code_of, is_code, record
from portal.chat import attested, erasing
from portal.chat.erasing import By, Extent, NotErased, Target
from portal.chat.keeping import AboutOne, Erasure, Hold
from portal.chat.models import Conversation, Turn

logger = logging.getLogger(__name__)

State = Erasure.State

_BROKEN_OFF_AFTER = timedelta(minutes=2)  # whoever confirmed is at it until then


class NotDecided(Exception):
    """The step is not possible; the text says why."""


class Unfinished(NotDecided):
    """It is decided, and could not be carried out now: it goes on later. The text says what it waits for."""


def ask(user: User, target: Target, reason: str) -> Erasure:
    """Ask a second person to erase something. Raises NotDecided where it cannot be erased, or somebody asked before."""
    if refusal := _refusal_to_ask(_as_now(user), target):
        raise NotDecided(refusal)
    try:
        with transaction.atomic():
            _hold_still(target)
            erasure = Erasure.objects.create(reason=reason, asked_by=_actor(user), **_about(target))
            _record("erasure.asked", user, erasure, reason=reason)
    except IntegrityError:
        raise NotDecided(_("Somebody has asked for this already: it waits for a second person.")) from None
    return erasure


def refusal_to_confirm(user: User, erasure: Erasure) -> str:
    """Why this person may not confirm, or go on with what was confirmed, in a sentence; empty where they may."""
    if erasure.state not in {State.OPEN, State.CONFIRMED}:
        return _("This was decided already.")
    return not_attested(erasure) or _refusal_to_decide(user, erasure) or erasing.refusal(erasure.target)


def refusal_to_decline(user: User, erasure: Erasure) -> str:
    """Why this person may not decline, or take back what they asked for, in a sentence; empty where they may."""
    if erasure.state == State.CONFIRMED and not not_attested(erasure):
        return _("This was confirmed: it cannot be taken back any more.")
    if erasure.state not in {State.OPEN, State.CONFIRMED}:
        return _("This was decided already.")
    return "" if _is_of(erasure, user) else _refusal_to_decide(user, erasure)


def not_attested(erasure: Erasure) -> str:
    """Where an erasure that waits is not what the audit trail says that people asked for and confirmed: a sentence that
    says so. Empty for every other one."""
    try:
        if erasure.state == State.OPEN:
            attested.asked(erasure)
        elif erasure.state == State.CONFIRMED:
            attested.confirmed(erasure)
    except attested.NotAttested as error:
        return str(error)
    return ""


def confirm(user: User, erasure_id: uuid.UUID, seen: str) -> Erasure:
    """Decide that what was asked for goes, and erase it. `seen` is the counts that the person was shown (`counts`).
    Raises NotDecided, and Unfinished where it is decided and could not be carried out now; keys.NoAuditKey,
    DatabaseError."""
    with transaction.atomic():
        erasure, user = _get(erasure_id, lock=True), _as_now(user)
        if erasure.state != State.OPEN:
            raise NotDecided(_("This was decided already."))
        if refusal := refusal_to_confirm(user, erasure):
            raise NotDecided(refusal)
        extent = erasing.extent_of(erasure.target)
        if seen != counts(extent):
            raise NotDecided(_("What would go has changed meanwhile. Read it again, then confirm."))
        goes = {"conversations": extent.conversations, "turns": extent.turns}
        Erasure.objects.filter(pk=erasure_id).update(**_decided(user, State.CONFIRMED), **goes)
        _record("erasure.confirmed", user, erasure, asked_by=erasure.asked_by_id, **goes)
    return carry_out(erasure_id)


def go_on(user: User, erasure_id: uuid.UUID) -> Erasure:
    """Go on with an erasure that was confirmed and broken off. Raises as `confirm` does."""
    if refusal := refusal_to_confirm(_as_now(user), _get(erasure_id)):
        raise NotDecided(refusal)
    return carry_out(erasure_id)


def carry_out(erasure_id: uuid.UUID) -> Erasure:
    """Erase what was confirmed, or what is left of it, in the name of whoever confirmed. Raises NotDecided, Unfinished;
    keys.NoAuditKey, DatabaseError."""
    erasure = _get(erasure_id)
    if erasure.state != State.CONFIRMED:
        raise NotDecided(_("This was decided already."))
    try:
        asked, confirmed = attested.confirmed(erasure)
    except attested.NotAttested as error:
        raise NotDecided(str(error)) from error
    by = By(confirmed.by, confirmed.role, asked.reason)
    try:
        if is_erased(erasure.target):
            _end(erasure, by, confirmed.at)
        else:
            erasing.erase(erasure.target, by, then=lambda extent: _end(erasure, by, confirmed.at))
    except NotErased as error:
        if _get(erasure_id).state != State.DONE:  # nobody else has carried it out meanwhile
            raise Unfinished(str(error)) from error
    return _get(erasure_id)


def carry_out_what_was_broken_off() -> None:
    """Go on with every erasure that is confirmed and not done; what a hold is on, or cannot be written now, waits."""
    before = timezone.now() - _BROKEN_OFF_AFTER
    for erasure_id in Erasure.objects.filter(state=State.CONFIRMED, decided_at__lt=before).values_list("pk", flat=True):
        try:
            carry_out(erasure_id)
        except (NotDecided, keys.NoAuditKey, DatabaseError) as error:
            logger.warning("erasure %s was confirmed and waits: %s", erasure_id, type(error).__name__)


@transaction.atomic
def decline(user: User, erasure_id: uuid.UUID) -> Erasure:
    """Leave everything as it is: whoever asked takes it back, anybody else of both roles declines. Raises
    NotDecided."""
    erasure, user = _get(erasure_id, lock=True), _as_now(user)
    if refusal := refusal_to_decline(user, erasure):
        raise NotDecided(refusal)
    state = State.WITHDRAWN if _is_of(erasure, user) and not not_attested(erasure) else State.DECLINED
    Erasure.objects.filter(pk=erasure_id).update(**_decided(user, state))
    _record(f"erasure.{state.value}", user, erasure, asked_by=erasure.asked_by_id)
    erasure.state = state
    return erasure


def set_hold(user: User, target: Target, reason: str) -> Hold:
    """Keep something from being erased, by whomever, until the hold is lifted. Raises NotDecided."""
    if refusal := _refusal_to_hold(_as_now(user)):
        raise NotDecided(refusal)
    try:
        with transaction.atomic():
            _hold_still(target)
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
    hold = Hold.objects.select_for_update(of=("self",)).select_related("conversation__owner", "person").get(pk=hold_id)
    if refusal := _refusal_to_hold(_as_now(user)):
        raise NotDecided(refusal)
    if owner_of(hold.target).pk == user.pk:
        raise NotDecided(_("This is about yourself: another compliance officer has to lift it."))
    if hold.lifted_at:
        raise NotDecided(_("This hold was lifted already."))
    hold.lifted_at, hold.lifted_by = timezone.now(), _actor(user)
    hold.save(update_fields=["lifted_at", "lifted_by"])
    _record("hold.lifted", user, hold, reason=reason)
    for one in holds_without_row(attested.subject_of(hold.target)):
        payload = {
            "request": one.hold,
            "reason": reason,
            "conversation" if hold.conversation_id else "person": one.subject,
        }
        record("hold.lifted", actor=user.username, actor_role=user.role, subject=one.subject, payload=payload)
    return hold


def holds_without_row(subject: str | None = None) -> list[attested.InForce]:
    """The legal holds on this, or on anything, that were never lifted and whose row has gone or says something else."""
    in_force = attested.holds(None if subject is None else [subject])
    if not in_force:
        return []
    rows = Hold.objects.filter(lifted_at=None).select_related("conversation__owner", "person")
    as_rows_say = {(str(one.pk), attested.subject_of(one.target)) for one in rows}
    return [one for one in in_force if (one.hold, one.subject) not in as_rows_say]


def decided_without_row() -> list[tuple[str, str]]:
    """Request and subject of each erasure that was confirmed and not carried out, whose row has gone or says something
    else: nothing goes on with it."""
    decided = attested.never_carried_out()
    if not decided:
        return []
    rows = Erasure.objects.filter(state=State.CONFIRMED).select_related("conversation__owner", "person")
    as_rows_say = {(str(one.pk), attested.subject_of(one.target)) for one in rows}
    return [one for one in decided if one not in as_rows_say]


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


def _hold_still(target: Target) -> None:
    """Nothing of it is erased and no question is begun until the caller's transaction ends: whoever does takes this
    lock first, and the audit trail after it."""
    User.objects.select_for_update().get(pk=owner_of(target).pk)
    target.refresh_from_db()


def _refusal_to_decide(user: User, erasure: Erasure) -> str:
    if user.role not in {Role.ADMIN, Role.COMPLIANCE}:
        return _("Administrators and compliance officers confirm erasures.")
    if _is_of(erasure, user):
        return _("You asked for this yourself: a second person has to confirm it.")
    if owner_of(erasure.target).pk == user.pk:
        return _("This is about yourself: somebody else has to decide it.")
    return ""


def _end(erasure: Erasure, by: By, since: datetime) -> None:
    """Everything is erased that was decided then; in the transaction that erased the last of it."""
    with transaction.atomic():
        if _get(erasure.pk, lock=True).state != State.CONFIRMED:
            raise NotErased(_("This was decided already."))
        mine = {"owner": erasure.person_id} if erasure.person_id else {"pk": erasure.conversation_id}
        gone = Conversation.objects.filter(erased_at__gte=since, **mine).order_by()
        went = {"conversations": gone.count(), "turns": Turn.objects.filter(conversation__in=gone).count()}
        Erasure.objects.filter(pk=erasure.pk).update(state=State.DONE, done_at=timezone.now(), **went)
        _record_as("erasure.done", by, erasure, asked_by=erasure.asked_by_id, **went)


def _is_of(erasure: Erasure, user: User) -> bool:
    return erasure.asked_by.name == user.username


def _as_now(user: User) -> User:
    """The person as they are at this moment, whatever the page knew when it began. Raises NotDecided."""
    found = User.objects.filter(pk=user.pk, is_active=True).first()
    if found is None:
        raise NotDecided(_("This account was closed meanwhile."))
    return found


def _refusal_to_ask(user: User, target: Target) -> str:
    if user.role != Role.COMPLIANCE:
        return _("Compliance officers ask for erasures.")
    if owner_of(target).pk == user.pk:
        return _("This is about yourself: another compliance officer has to ask for it.")
    return erasing.refusal(target)


def _refusal_to_hold(user: User) -> str:
    return "" if user.role == Role.COMPLIANCE else _("Compliance officers set and lift legal holds.")


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
    _record_as(kind, By(user.username, user.role), about, **payload)


def _record_as(kind: str, by: By, about: AboutOne, **payload: object) -> None:
    """One event. Its subject is the conversation, or the person's code. A person who is erased by this very step has no
    name any more, and the code in its place."""
    if about.person_id is not None:
        subject = code_of(User.objects.values_list("username", flat=True).get(pk=about.person_id))
        about_what = {"person": subject}
    else:
        subject = str(about.conversation_id)
        about_what = {"conversation": subject}
    payload = {"request": str(about.pk), **about_what, **payload}
    record(kind, actor=by.actor, actor_role=by.role, subject=subject, payload=payload)
