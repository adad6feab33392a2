"""The life of a version: draft → in review → approved → effective → superseded or expired → archived.

People decide up to "approved", two of them; from there on the clock does. A decision is made on what the clock says at
that moment: each of these functions first writes down what time has done (`bring_up_to_date`), then checks that the
step may be taken from where the version is now, then takes it, all in one transaction with its announcement
(`signals.version_changed`, `signals.guideline_changed`). A step that may not be taken raises NotPossible with a
sentence. `actor` is the sign-in name of whoever decides.
"""

import hashlib
from datetime import date, datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from knowledge._errors import NotPossible
from knowledge.models import Guideline, GuidelineVersion
from knowledge.signals import guideline_changed, version_changed

State = GuidelineVersion.State
Ingestion = GuidelineVersion.Ingestion

_ALL = frozenset(State)
_FROM: dict[str, frozenset[str]] = {
    "submit": frozenset({State.DRAFT}),
    "send_back": frozenset({State.IN_REVIEW}),
    "approve": frozenset({State.IN_REVIEW}),
    "unapprove": frozenset({State.APPROVED, State.EFFECTIVE}),
    "reschedule": frozenset({State.APPROVED, State.EFFECTIVE}),
    "archive": _ALL - {State.ARCHIVED},
    "restore": frozenset({State.ARCHIVED, State.SUPERSEDED, State.EXPIRED}),
}
_DECIDED = (State.APPROVED, State.EFFECTIVE)
_NOTE = 500  # characters


# --- what people decide


@transaction.atomic
def submit(version_id: UUID | str, *, actor: str) -> GuidelineVersion:
    """Ask a second person to approve a draft."""
    version = _held(version_id)
    _check("submit", version, actor)
    version.submitted_by, version.submitted_at = actor[:150], timezone.now()
    return _change(version, State.IN_REVIEW, actor, fields=["submitted_by", "submitted_at"])


@transaction.atomic
def send_back(version_id: UUID | str, *, actor: str, note: str) -> GuidelineVersion:
    """Make a draft again of what was submitted; `note` says why."""
    version = _held(version_id)
    _check("send_back", version, actor)
    return _change(version, State.DRAFT, actor, note)


@transaction.atomic
def approve(
    version_id: UUID | str,
    *,
    actor: str,
    effective_from: datetime | None = None,
    review_due: date | None = None,
    expires_at: datetime | None = None,
    operator: bool = False,
    seen: str = "",
) -> GuidelineVersion:
    """Let a submitted version answer from `effective_from` on (None: at once, as soon as it is read), until
    `expires_at` or until a later version takes its place. `review_due` only reminds.

    It takes a person who neither uploaded nor submitted it. `operator` is for whoever runs the installation, at its
    terminal: no second person, and no submission. `seen` is the `place` that the version had for whoever decides: it is
    not approved as a version of another guideline than that, nor for other departments.
    """
    version = _held(version_id)
    _check("approve", version, actor, operator=operator)
    _check_seen(version, seen)
    now = timezone.now()
    version.effective_from, version.review_due, version.expires_at = effective_from or now, review_due, expires_at
    _check_ending(version)
    _check_review(version)
    version.approved_by, version.approved_at = actor[:150], now
    fields = ["approved_by", "approved_at", "effective_from", "review_due", "expires_at"]
    _change(version, State.APPROVED, actor, fields=fields, operator=operator)
    return _settled(version)


@transaction.atomic
def unapprove(version_id: UUID | str, *, actor: str, note: str) -> GuidelineVersion:
    """Take the approval back: no answer uses the version from the next question on. The version before it does not
    come back by itself (`selectors.restorable` names it, `restore` brings it back)."""
    version = _held(version_id)
    _check("unapprove", version, actor)
    version.approved_by = version.submitted_by = ""
    version.approved_at = version.submitted_at = version.effective_from = None
    fields = ["approved_by", "approved_at", "submitted_by", "submitted_at", "effective_from"]
    return _change(version, State.DRAFT, actor, note, fields=fields)


@transaction.atomic
def archive(version_id: UUID | str, *, actor: str, note: str = "") -> GuidelineVersion:
    """Put a version away. It no longer answers; what cited it still opens."""
    version = _held(version_id)
    _check("archive", version, actor)
    version.archived_at = timezone.now()
    return _change(version, State.ARCHIVED, actor, note, fields=["archived_at"])


@transaction.atomic
def restore(version_id: UUID | str, *, actor: str) -> GuidelineVersion:
    """Bring a version back: one that had been approved answers again, from now on or from the day ahead that it was
    approved for; an archived draft is a draft again. An end that is over is taken away.

    NotPossible where a later version is in force or scheduled: that one has to go first.
    """
    version = _held(version_id)
    _check("restore", version, actor)
    now = timezone.now()
    version.archived_at = None
    if version.approved_at is None:
        return _change(version, State.DRAFT, actor, fields=["archived_at"])
    version.effective_from = max(version.effective_from or now, now)
    if version.expires_at and version.expires_at <= now:
        _check_other(version, actor)
        version.expires_at = None
    _change(version, State.APPROVED, actor, fields=["archived_at", "effective_from", "expires_at"])
    return _settled(version)


@transaction.atomic
def reschedule(
    version_id: UUID | str,
    *,
    actor: str,
    effective_from: datetime | None,
    review_due: date | None,
    expires_at: datetime | None,
) -> GuidelineVersion:
    """Change the dates of an approved version. `effective_from` None leaves it as it is; None elsewhere takes the date
    away. A version that is in force stays in force: its beginning is history. To let it answer earlier or longer than
    was approved takes a person who neither uploaded nor submitted it."""
    version = _held(version_id)
    _check("reschedule", version, actor)
    before, began, ended = _dates(version), version.effective_from, version.expires_at
    if effective_from is not None and effective_from != version.effective_from:
        if version.state == State.EFFECTIVE:
            raise NotPossible("already_in_force", **_named(version))
        version.effective_from = effective_from
    version.review_due, version.expires_at = review_due, expires_at
    _check_ending(version)
    earlier = began is not None and version.effective_from is not None and version.effective_from < began
    if earlier or (ended is not None and (expires_at is None or expires_at > ended)):
        _check_other(version, actor)
    if _dates(version)["review_due"] != before["review_due"]:
        _check_review(version)
    changes = {name: [was, now] for name, was in before.items() if (now := _dates(version)[name]) != was}
    if changes:
        version.save(update_fields=list(before))
        guideline_changed.send(
            Guideline, guideline=version.guideline, kind="rescheduled", actor=actor, version=version, changes=changes
        )
    return _settled(version)


def place(version: GuidelineVersion) -> str:
    """Which version of which guideline it is now, and for whom: until it is approved it can be joined to another one,
    and opened to other departments."""
    departments = version.guideline.departments.order_by("pk").values_list("pk", flat=True)
    audience = hashlib.sha256(" ".join(map(str, departments)).encode()).hexdigest()[:16]
    return f"{version.guideline_id}/{version.number}/{audience}"


def steps(version: GuidelineVersion, actor: str) -> tuple[str, ...]:
    """Which of `submit`, `send_back`, `approve`, `unapprove`, `reschedule`, `archive` and `restore` this person may
    take with the version as it is now."""
    return tuple(step for step in _FROM if refusal(step, version, actor) is None)


def refusal(step: str, version: GuidelineVersion, actor: str) -> NotPossible | None:
    """Why this person may not take a step with the version as it is now; None when they may."""
    try:
        _check(step, version, actor)
    except NotPossible as error:
        return error
    return None


# --- what the clock decides


def bring_up_to_date(guideline_id: UUID | str | None = None, at: datetime | None = None) -> list[GuidelineVersion]:
    """Write down what the clock has decided: approved versions whose time has come become effective, the ones before
    them superseded, those whose time is over expired. Returns the versions that changed.

    Answers do not wait for it (`selectors.answering_versions`); it keeps the pages and the audit trail true. Called
    before and after every decision about a guideline, and for all of them (`guideline_id` None) every minute.
    """
    now = at or timezone.now()
    due = GuidelineVersion.objects.filter(state__in=_DECIDED, ingestion=Ingestion.INDEXED, effective_from__lte=now)
    if guideline_id is not None:
        due = due.filter(guideline_id=guideline_id)
    changed: list[GuidelineVersion] = []
    for one in sorted(set(due.values_list("guideline_id", flat=True))):
        with transaction.atomic():
            Guideline.objects.select_for_update().get(pk=one)
            changed += _advance(due.filter(guideline_id=one), now)
    return changed


def _advance(due: QuerySet[GuidelineVersion], now: datetime) -> list[GuidelineVersion]:
    """The changes of one guideline, whose versions `due` have begun. The latest of them overtakes every one before it,
    also those that were to begin later: what was replaced never comes back by itself."""
    latest = due.select_related("guideline").order_by("number").last()
    if latest is None:
        return []
    earlier = GuidelineVersion.objects.filter(
        guideline=latest.guideline, state__in=_DECIDED, number__lt=latest.number
    ).order_by("number")
    changed = [_change(version, State.SUPERSEDED) for version in earlier.select_related("guideline")]
    if latest.expires_at and latest.expires_at <= now:
        changed.append(_change(latest, State.EXPIRED))
    elif latest.state != State.EFFECTIVE:
        changed.append(_change(latest, State.EFFECTIVE))
    return changed


# --- how


def _held(version_id: UUID | str) -> GuidelineVersion:
    """The version, with the clock's decisions written down and its guideline locked until the transaction ends, so that
    two people's decisions about one guideline come one after the other. Raises GuidelineVersion.DoesNotExist."""
    guideline_id = GuidelineVersion.objects.values_list("guideline_id", flat=True).get(pk=version_id)
    Guideline.objects.select_for_update().get(pk=guideline_id)
    bring_up_to_date(guideline_id)
    return GuidelineVersion.objects.select_related("guideline").get(pk=version_id)


def _settled(version: GuidelineVersion) -> GuidelineVersion:
    """The version after the clock has looked at what was decided."""
    bring_up_to_date(version.guideline_id)
    version.refresh_from_db()
    return version


def _check(step: str, version: GuidelineVersion, actor: str, *, operator: bool = False) -> None:
    """Whether a step may be taken by this person from where the version is. Raises NotPossible."""
    if version.state not in _FROM[step] and not (operator and version.state == State.DRAFT):
        raise NotPossible("not_from_here", state=version.state, **_named(version))
    if step == "submit" and version.ingestion == Ingestion.FAILED:
        raise NotPossible("not_readable", **_named(version))
    if step == "approve" and not operator:
        if actor in {"", version.uploaded_by, version.submitted_by}:
            raise NotPossible("second_person", **_named(version))
        if version.ingestion != Ingestion.INDEXED:
            raise NotPossible("not_read_yet", **_named(version))
    if step == "approve":
        _check_later(version, [State.EFFECTIVE])
    if step == "restore" and version.approved_at is not None:
        _check_later(version, _DECIDED)


def _check_seen(version: GuidelineVersion, seen: str) -> None:
    if not seen or seen == (now := place(version)):
        return
    is_same_version = seen.rpartition("/")[0] == now.rpartition("/")[0]
    raise NotPossible("audience_meanwhile" if is_same_version else "moved_meanwhile", **_named(version))


def _check_other(version: GuidelineVersion, actor: str) -> None:
    if actor in {"", version.uploaded_by, version.submitted_by}:
        raise NotPossible("second_person_dates", **_named(version))


def _check_later(version: GuidelineVersion, states: list[State] | tuple[State, ...]) -> None:
    later = version.guideline.versions.filter(state__in=states, number__gt=version.number).order_by("number").first()
    if later:
        code = "later_in_force" if later.state == State.EFFECTIVE else "later_scheduled"
        raise NotPossible(code, later=later.number, **_named(version))


def _check_ending(version: GuidelineVersion) -> None:
    now = timezone.now()
    if version.expires_at and version.expires_at <= max(version.effective_from or now, now):
        raise NotPossible("ends_too_early", **_named(version))


def _check_review(version: GuidelineVersion) -> None:
    if version.review_due and version.review_due < timezone.localdate():
        raise NotPossible("review_in_the_past", **_named(version))


def _dates(version: GuidelineVersion) -> dict[str, str]:
    values = (version.effective_from, version.review_due, version.expires_at)
    shown = ("" if value is None else value.isoformat() for value in values)
    return dict(zip(("effective_from", "review_due", "expires_at"), shown, strict=True))


def _named(version: GuidelineVersion) -> dict[str, str | int]:
    return {"title": version.guideline.title, "number": version.number}


def _change(
    version: GuidelineVersion,
    state: GuidelineVersion.State,
    actor: str = "system",
    note: str = "",
    *,
    fields: list[str] | None = None,
    operator: bool = False,
) -> GuidelineVersion:
    before, version.state = version.state, state
    version.save(update_fields=["state", *(fields or [])])
    note = " ".join(note.split())[:_NOTE]
    version_changed.send(GuidelineVersion, version=version, before=before, actor=actor, note=note, operator=operator)
    return version
