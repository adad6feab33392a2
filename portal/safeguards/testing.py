"""The test run of a draft: asked for in the web process, done by a worker, lost ones taken up again."""

import logging
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from guardrails import RuleError, releases
from guardrails.releases import AdditionError
from portal.accounts.models import User
from portal.audit.services import record
from portal.celery import app
from portal.safeguards import selectors
from portal.safeguards.comparing import NEVER_LOWER, Case, compare
from portal.safeguards.models import RuleRelease, State
from portal.safeguards.problems import SafeguardError

logger = logging.getLogger(__name__)

_LOST_AFTER = timedelta(seconds=60)
_STEP = 20  # cases between two notes of progress


def request_test(actor: User, note: str) -> bool:
    """Have the draft tested on every labelled message. False where no worker can be told now: one will find it.

    Raises SafeguardError."""
    with transaction.atomic():
        draft = RuleRelease.objects.select_for_update().filter(state=State.DRAFT).first()
        if draft is None:
            raise SafeguardError(_("There is no draft to test."))
        if selectors.additions_of(draft) == selectors.additions_of(selectors.active()):
            raise SafeguardError(_("The draft changes nothing. Add or remove something first."))
        draft.state, draft.note, draft.report, draft.claimed_at = State.TESTING, note[:200], None, None
        draft.progress_done, draft.progress_total, draft.test_failure = 0, 0, ""
        draft.save()
        record(
            "safeguards.test_requested", actor=actor.username, actor_role=actor.role, subject=str(draft.pk), payload={}
        )
    try:
        app.send_task("portal.safeguards.tasks.run_tests", retry=False)
    except (OperationalError, OSError):
        return False
    return True


def run_tests() -> None:
    """Test what waits, unless another worker is at it."""
    now = timezone.now()
    waiting = RuleRelease.objects.filter(state=State.TESTING)
    for draft in waiting:
        unclaimed = waiting.filter(pk=draft.pk, claimed_at=draft.claimed_at)
        if draft.claimed_at and draft.claimed_at > now - _LOST_AFTER:
            continue
        if unclaimed.update(claimed_at=now):
            _run(draft)


def _run(draft: RuleRelease) -> None:
    base = selectors.active()
    mine = RuleRelease.objects.filter(pk=draft.pk, state=State.TESTING)

    def progress(done: int, total: int) -> None:
        if done % _STEP == 0:
            mine.update(progress_done=done, progress_total=total, claimed_at=timezone.now())

    try:
        shipped = releases.shipped_rule_set_id()
        report = compare(selectors.additions_of(base), selectors.additions_of(draft), _cases(), progress)
        report["rule_set_before"] = base.rule_set if base else shipped
        report["withdrawn"] = _withdrawn_since(base)
    except (RuleError, AdditionError, OSError, ValueError) as error:
        logger.error("a draft of the safeguards could not be tested: %s", type(error).__name__)
        mine.update(state=State.DRAFT, test_failure=type(error).__name__, claimed_at=None)
        return
    with transaction.atomic():
        ended = mine.update(
            state=State.TESTED,
            report=report,
            base=base,
            shipped=shipped,
            sha256=releases.make_release(0, selectors.additions_of(draft)).sha256,
            tested_at=timezone.now(),
            claimed_at=None,
        )
        if ended:
            payload = {
                "rule_set_before": report["rule_set_before"],
                "rule_set_after": report["rule_set_after"],
                "cases": report["cases"],
                "newly": len(report["newly"]),
                "no_longer": len(report["no_longer"]),
                "blocked": bool(report["blocked"]),
                "withdrawn": len(report["withdrawn"]),
            }
            record("safeguards.tested", actor="system", subject=str(draft.pk), payload=payload)


def _withdrawn_since(base: RuleRelease | None) -> list[dict[str, str]]:
    """Own messages that the draft would have been tested on, had nobody withdrawn them since the last release: also
    shortly before the draft was begun."""
    withdrawn = selectors.cases_withdrawn_since(base)
    return [{"case": f"own:{one.pk}", "lang": one.language, "label": one.label} for one in withdrawn]


def _cases() -> list[Case]:
    """Raises ValueError where the shipped messages are not all there: a test on nothing would pass anything."""
    shipped = [
        Case(name, one["text"], one.get("lang", ""), one["label"], tuple(one.get("history") or ()))
        for name, one in selectors.shipped_cases().items()
    ]
    if not {(language, label) for language in ("fr", "en") for label in NEVER_LOWER} <= {
        (one.language, one.label) for one in shipped
    }:
        raise ValueError("the shipped messages are not complete")
    own = [Case(f"own:{one.pk}", one.text, one.language, one.label) for one in selectors.cases()]
    return [*own, *shipped]
