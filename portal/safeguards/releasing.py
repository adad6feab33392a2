"""Release: asked for by an author, done by somebody else, never where recall falls. Then the files and the record."""

import logging

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from guardrails import RuleError, releases
from guardrails.releases import Release
from portal.accounts.models import Role, User
from portal.audit.services import code_of, record
from portal.safeguards import selectors
from portal.safeguards.models import OPEN, RuleRelease, State
from portal.safeguards.problems import SafeguardError

logger = logging.getLogger(__name__)


def ask_for_release(actor: User) -> None:
    """Ask a second person to release what was tested. Raises SafeguardError."""
    with transaction.atomic():
        draft = _locked()
        if draft.state != State.TESTED:
            raise SafeguardError(_("Only a tested draft can be released."))
        _refuse_blocked(draft)
        _refuse_outdated(draft)
        draft.state, draft.requested_by, draft.requested_at = State.REQUESTED, actor.username, timezone.now()
        draft.save()
        _record("release_requested", actor, draft)


def release(actor: User) -> RuleRelease:
    """Put into force what an author asked to release; every process works with it from its next message on.

    Raises SafeguardError: for the same person, where recall falls, where the test is out of date, and where the files
    cannot be written (nothing is changed then)."""
    before = _held_now()
    try:
        with transaction.atomic():
            draft = _locked()
            _refuse_person(actor, draft)
            _refuse_blocked(draft)
            _refuse_outdated(draft)
            _put_into_force(actor, draft)
    except RuleError as error:
        _point_back(before)
        raise SafeguardError(str(error)) from error
    except Exception:  # the record was not committed: what nobody recorded must not hold
        _point_back(before)
        raise
    return draft


def refusal(actor: User, draft: RuleRelease) -> str:
    """Why this person may not release this draft now, in a sentence; empty when they may."""
    try:
        _refuse_person(actor, draft)
        _refuse_blocked(draft)
        _refuse_outdated(draft)
    except SafeguardError as error:
        return str(error)
    return ""


def write_again(actor_name: str, actor_role: str = "") -> None:
    """Write the files of the release that holds once more, from the database, where they were lost or changed. They
    are what two people released; no third is needed. Raises SafeguardError."""
    with transaction.atomic():
        held = RuleRelease.objects.select_for_update().filter(state=State.ACTIVE).first()
        if held is None or held.number is None:
            raise SafeguardError(_("Nothing was released yet, so there is nothing to write."))
        content = selectors.additions_of(held)
        if releases.make_release(held.number, content).sha256 != held.sha256:
            raise SafeguardError(
                _("The database does not hold what was released either. Restore a backup, or release again.")
            )
        record(
            "safeguards.files_written_again",
            actor=actor_name,
            actor_role=actor_role,
            subject=str(held.pk),
            payload={"release": held.number, "sha256": held.sha256},
        )
        try:
            releases.point_at(releases.write_release(held.number, content))
        except RuleError as error:
            raise SafeguardError(str(error)) from error


def look_after_files() -> None:
    """Bring back released files of which nothing is left, as after a data folder was restored without them. Files that
    are there and wrong are left to a person: the screen fails closed meanwhile."""
    recorded = selectors.active()
    if recorded is None:
        return
    try:
        found = releases.current()
    except RuleError:
        return
    if found is None:
        try:
            write_again("system")
        except SafeguardError as error:
            logger.error("released rules could not be written again: %s", error)


def _put_into_force(actor: User, draft: RuleRelease) -> None:
    number = (RuleRelease.objects.aggregate(last=Max("number"))["last"] or 0) + 1
    written = releases.write_release(number, selectors.additions_of(draft))
    now = timezone.now()
    RuleRelease.objects.filter(state=State.ACTIVE).update(state=State.SUPERSEDED, active_slot=None)
    draft.state, draft.number, draft.open_slot, draft.active_slot = State.ACTIVE, number, None, 1
    draft.released_by, draft.released_at, draft.sha256, draft.removed = actor.username, now, written.sha256, []
    with releases.trying(written.additions, number=number):
        draft.rule_set = releases.rule_set_id()
    draft.save()
    _record(
        "released",
        actor,
        draft,
        release=number,
        release_sha256=written.sha256,
        rule_set=draft.rule_set,
        requested_by=code_of(draft.requested_by),
        authors=[code_of(one) for one in draft.authors],
        replaces=draft.base.number if draft.base else None,
        restores=draft.restores.number if draft.restores else None,
    )
    releases.point_at(written)


def _held_now() -> Release | None:
    """The release that holds: what the files say, or, where they are broken, what the record says."""
    try:
        return releases.current()
    except RuleError:
        recorded = selectors.active()
        if recorded is None or recorded.number is None:
            return None
        return releases.make_release(recorded.number, selectors.additions_of(recorded))


def _point_back(before: Release | None) -> None:
    """Let what held go on holding, after a release that failed; where its files were broken, they are so still."""
    try:
        if not _holds(before):
            releases.point_at(before)
    except RuleError as error:
        logger.error("the release before could not be put into force again: %s", error)


def _holds(release: Release | None) -> bool:
    try:
        return releases.current() == release
    except RuleError:
        return False


def _locked() -> RuleRelease:
    draft = RuleRelease.objects.select_for_update().filter(state__in=OPEN).first()
    if draft is None:
        raise SafeguardError(_("There is no open draft."))
    return draft


def _refuse_person(actor: User, draft: RuleRelease) -> None:
    if draft.state != State.REQUESTED:
        raise SafeguardError(_("Nobody has asked to release this yet."))
    if actor.role not in {Role.ADMIN, Role.COMPLIANCE}:
        raise SafeguardError(_("Administrators and compliance officers release rules."))
    if actor.username == draft.requested_by or actor.username in draft.authors:
        raise SafeguardError(_("You worked on this change yourself: a second person has to release it."))


def _refuse_blocked(draft: RuleRelease) -> None:
    report = draft.report or {}
    if report.get("unscreened"):
        raise SafeguardError(_("The screen failed on some messages with this draft, so it cannot be released."))
    if report.get("blocked"):
        raise SafeguardError(_("This draft misses crises that are found today, so it cannot be released."))
    if report.get("flooded"):
        raise SafeguardError(
            _("With this draft too many ordinary messages would get the hotline card, so it cannot be released.")
        )


def _refuse_outdated(draft: RuleRelease) -> None:
    current = selectors.active()
    digest = releases.make_release(0, selectors.additions_of(draft)).sha256
    if (draft.report is None or draft.base_id != (current.pk if current else None)) or digest != draft.sha256:
        raise SafeguardError(_("The test no longer fits what would be released. Test the draft again."))
    if (draft.report or {}).get("own") != sorted(f"own:{case.pk}" for case in selectors.cases()):
        raise SafeguardError(_("Your own test messages have changed since the test. Test the draft again."))
    try:
        shipped = releases.shipped_rule_set_id()
    except RuleError as error:
        raise SafeguardError(_("The shipped rules cannot be read. Run manage.py doctor.")) from error
    if shipped != draft.shipped:
        raise SafeguardError(_("The software was updated since the test. Test the draft again."))


def _record(what: str, actor: User, draft: RuleRelease, **payload: object) -> None:
    record(
        f"safeguards.{what}",
        actor=actor.username,
        actor_role=actor.role,
        subject=str(draft.pk),
        payload={"sha256": draft.sha256, **{name: value for name, value in payload.items() if value is not None}},
    )
