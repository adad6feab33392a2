"""Writing a draft: every change of it is recorded, without the words."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from guardrails import releases
from guardrails.releases import AdditionError, FacilityHotline, facility_hotline, facility_phrase, facility_region
from portal.accounts.models import User
from portal.audit.services import record
from portal.safeguards import selectors
from portal.safeguards.models import OPEN, RELEASED, LabelledCase, RuleRelease, State
from portal.safeguards.problems import SafeguardError

_UNDO_STEPS = 20
KINDS = ("phrase", "hotline")


def start(actor: User, *, restore: RuleRelease | None = None) -> RuleRelease:
    """Begin a draft with what holds, or with the content of an old release. Raises SafeguardError when one is open."""
    if restore is not None and restore.state not in RELEASED:
        raise SafeguardError(_("Only what was once released can be restored."))
    source = restore or selectors.active()
    fields: dict[str, Any] = {"content": source.content} if source else {}
    try:
        with transaction.atomic():
            draft = RuleRelease.objects.create(authors=[actor.username], restores=restore, **fields)
            _record("draft_started", actor, draft, restores=restore.number if restore else None)
    except IntegrityError as error:
        raise SafeguardError(_("A draft is open already. Release or discard it first.")) from error
    return draft


def add_phrase(actor: User, phrase: str, language: str, category: str) -> list[str]:
    """Add a phrase to the draft; returns warnings about it. Raises AdditionError, SafeguardError."""
    added = facility_phrase(phrase, language, category)
    releases.check_phrase(added)
    with _open_draft(actor) as draft:
        if any(one["phrase"].casefold() == added.phrase.casefold() for one in draft.content["phrase"]):
            raise AdditionError("duplicate", "phrase")
        draft.content["phrase"].append({"key": _key(), **asdict(added)})
        selectors.additions_of(draft)
        _record("draft_changed", actor, draft, change="phrase_added", rule=added.rule_id)
    return phrase_warnings(added.phrase, added.language, added.category)


def phrase_warnings(phrase: str, language: str, category: str) -> list[str]:
    """What whoever releases a phrase ought to know of it, in sentences."""
    checked = facility_phrase(phrase, language, category)
    warnings: list[str] = []
    share = releases.share_of_ordinary_messages(checked)
    if share > releases.BROAD_SHARE:
        text = _("Too broad: “%(phrase)s” is in %(share)s %% of ordinary messages of clinicians.")
        warnings.append(text % {"phrase": checked.phrase, "share": round(share * 100)})
    if releases.silences_a_crisis(checked):
        text = _("By itself, “%(phrase)s” shows the card today; as an exception it is no longer heard.")
        warnings.append(text % {"phrase": checked.phrase})
    return warnings


def add_hotline(actor: User, values: Mapping[str, Any]) -> None:
    """Add a line of help to the draft. Raises AdditionError, SafeguardError."""
    added = facility_hotline(values, today=timezone.localdate())
    with _open_draft(actor) as draft:
        draft.content["hotline"].append({"key": _key(), **_stored(added)})
        selectors.additions_of(draft)
        _record("draft_changed", actor, draft, change="hotline_added", key=draft.content["hotline"][-1]["key"])


def change_hotline(actor: User, key: str, values: Mapping[str, Any]) -> None:
    """Write a line of the draft anew; it keeps its key and its place.

    Raises AdditionError; SafeguardError, also when the line is gone."""
    changed = facility_hotline(values, today=timezone.localdate())
    with _open_draft(actor) as draft:
        _line(draft, key).update(_stored(changed))
        _record("draft_changed", actor, draft, change="hotline_changed", key=key)


def check_hotline(actor: User, key: str) -> None:
    """Note that a line of the draft was checked today. Raises SafeguardError, also when the line is gone."""
    with _open_draft(actor) as draft:
        _line(draft, key)["checked_on"] = timezone.localdate().isoformat()
        _record("draft_changed", actor, draft, change="hotline_changed", key=key)


def _line(draft: RuleRelease, key: str) -> dict[str, Any]:
    line = selectors.line_of(draft, key)
    if line is None:
        raise SafeguardError(_("This was removed already."))
    return line


def _stored(line: FacilityHotline) -> dict[str, Any]:
    checked_on = line.checked_on.isoformat() if line.checked_on else None
    return {**asdict(line), "languages": list(line.languages), "checked_on": checked_on}


def set_regions(actor: User, regions: list[str]) -> None:
    """Choose the regions whose lines are shown; none: the installation's setting. Raises AdditionError."""
    known = releases.known_regions()
    home = [one.strip() for one in settings.HAVRE_REGION.split(",")]  # whose numbers come first
    checked = sorted(dict.fromkeys(facility_region(one) for one in regions), key=lambda one: one not in home)
    if unknown := [one for one in checked if one not in known]:
        raise AdditionError("unknown_region", "regions", unknown[0])
    with _open_draft(actor) as draft:
        draft.content["regions"] = checked
        _record("draft_changed", actor, draft, change="regions_set", regions=checked)


def remove(actor: User, kind: str, key: str) -> None:
    """Take a phrase or a line out of the draft; `undo` brings it back."""
    with _open_draft(actor) as draft:
        for place, one in enumerate(draft.content[kind] if kind in KINDS else ()):
            if one["key"] == key:
                del draft.content[kind][place]
                draft.removed = [*draft.removed, {"kind": kind, "place": place, "item": one}][-_UNDO_STEPS:]
                _record("draft_changed", actor, draft, change=f"{kind}_removed", key=key)
                return
        raise SafeguardError(_("This was removed already."))


def undo(actor: User) -> None:
    """Bring back what was removed last."""
    with _open_draft(actor) as draft:
        if not draft.removed:
            raise SafeguardError(_("There is nothing to undo."))
        last = draft.removed.pop()
        words = {one["phrase"].casefold() for one in draft.content["phrase"]}
        if last["kind"] == "phrase" and last["item"]["phrase"].casefold() in words:
            return
        draft.content[last["kind"]].insert(last["place"], last["item"])
        selectors.additions_of(draft)
        _record("draft_changed", actor, draft, change=f"{last['kind']}_brought_back", key=last["item"]["key"])


def discard(actor: User) -> None:
    """Close the change that is under way without releasing it."""

    def close(draft: RuleRelease) -> None:
        draft.state, draft.open_slot = State.DISCARDED, None
        _record("draft_discarded", actor, draft)

    _change(close)


def send_back(actor: User) -> None:
    """Make a draft again of what is being tested, was tested or waits for release, so that it can be changed."""

    def reopen(draft: RuleRelease) -> None:
        draft.state, draft.report, draft.claimed_at, draft.tested_at = State.DRAFT, None, None, None
        draft.requested_by, draft.requested_at = "", None
        _record("draft_sent_back", actor, draft)

    _change(reopen)


def _change(change: Callable[[RuleRelease], None]) -> None:
    with transaction.atomic():
        draft = RuleRelease.objects.select_for_update().filter(state__in=OPEN).first()
        if draft is None:
            raise SafeguardError(_("There is no open draft."))
        change(draft)
        draft.save()


def add_case(actor: User, text: str, language: str, label: str) -> LabelledCase:
    """Keep a message that every later change is tested on."""
    with transaction.atomic():
        case = LabelledCase.objects.create(text=text, language=language, label=label, added_by=actor.username)
        _record("case_added", actor, None, case=case.pk, label=label, language=language)
    return case


def withdraw_case(actor: User, case: LabelledCase) -> None:
    """Test nothing on this message from now on; `keep_case` undoes it."""
    _set_withdrawn(actor, case, withdrawn=True)


def keep_case(actor: User, case: LabelledCase) -> None:
    """Undo `withdraw_case`."""
    _set_withdrawn(actor, case, withdrawn=False)


def _set_withdrawn(actor: User, case: LabelledCase, *, withdrawn: bool) -> None:
    with transaction.atomic():
        case.withdrawn_at = timezone.now() if withdrawn else None
        case.save(update_fields=["withdrawn_at"])
        _record("case_withdrawn" if withdrawn else "case_kept", actor, None, case=case.pk)


@contextmanager
def _open_draft(actor: User) -> Iterator[RuleRelease]:
    """The draft, locked, to be changed by a person, who becomes one of its authors."""
    with transaction.atomic():
        draft = RuleRelease.objects.select_for_update().filter(state__in=OPEN).first()
        if draft is None:
            raise SafeguardError(_("There is no open draft."))
        if draft.state != State.DRAFT:
            raise SafeguardError(_("This is being tested or waits for release. Take it back to change it."))
        yield draft
        if actor.username not in draft.authors:
            draft.authors = [*draft.authors, actor.username]
        draft.report, draft.test_failure = None, ""
        draft.save()


def _key() -> str:
    return uuid.uuid4().hex[:8]


def _record(what: str, actor: User, draft: RuleRelease | None, **payload: Any) -> None:
    record(
        f"safeguards.{what}",
        actor=actor.username,
        actor_role=actor.role,
        subject=str(draft.pk) if draft else "",
        payload={name: value for name, value in payload.items() if value is not None},
    )
