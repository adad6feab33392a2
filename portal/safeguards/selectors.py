"""Reads: what holds, what is open, what was released when, which lines want checking."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from guardrails import Hotline, RuleError, releases
from guardrails.releases import FacilityAdditions, facility_additions
from portal.safeguards.models import OPEN, RELEASED, LabelledCase, RuleRelease, State


@dataclass(frozen=True, slots=True)
class InForce:
    """What the screen of this process works with: the rule set and the release, or the `problem` that makes it treat
    every message as a crisis. `mismatch`: the files hold another release than the database says."""

    rule_set: str
    release: RuleRelease | None
    problem: str
    mismatch: bool

    @property
    def is_broken(self) -> bool:
        """Something has to be put right."""
        return bool(self.problem) or self.mismatch


def active() -> RuleRelease | None:
    """The release that holds, as the database says."""
    return RuleRelease.objects.filter(state=State.ACTIVE).first()


def open_draft() -> RuleRelease | None:
    """The change that is under way."""
    return RuleRelease.objects.filter(state__in=OPEN).first()


def get(release_id: UUID) -> RuleRelease:
    """One change or release. Raises RuleRelease.DoesNotExist."""
    return RuleRelease.objects.select_related("base", "restores").get(pk=release_id)


def history() -> QuerySet[RuleRelease]:
    """Everything that was ever released, newest first."""
    return RuleRelease.objects.filter(state__in=RELEASED).select_related("restores").order_by("-number")


def cases() -> QuerySet[LabelledCase]:
    """The facility's own labelled messages, newest first."""
    return LabelledCase.objects.filter(withdrawn_at=None)


def cases_withdrawn_since(release: RuleRelease | None) -> QuerySet[LabelledCase]:
    """The facility's own labelled messages that were taken out of the tests since a release, and not put back; since
    ever where there was none."""
    withdrawn = LabelledCase.objects.exclude(withdrawn_at=None).order_by("pk")
    return withdrawn.filter(withdrawn_at__gte=release.released_at) if release and release.released_at else withdrawn


def line_of(draft: RuleRelease, key: str) -> dict[str, Any] | None:
    """A draft's line of help as it is stored; None when it is gone."""
    return next((line for line in draft.content["hotline"] if line["key"] == key), None)


def additions_of(release: RuleRelease | None) -> FacilityAdditions:
    """The additions of a change or release; none of None. Raises AdditionError."""
    return FacilityAdditions() if release is None else facility_additions(plain(release.content))


def plain(content: dict[str, Any]) -> dict[str, Any]:
    """Stored content as `facility_additions` reads it: without keys, with dates."""
    lines = [{name: value for name, value in line.items() if name != "key"} for line in content["hotline"]]
    for line in lines:
        line["checked_on"] = date.fromisoformat(line["checked_on"]) if line.get("checked_on") else None
    phrases = [{name: value for name, value in one.items() if name != "key"} for one in content["phrase"]]
    return {"phrase": phrases, "hotline": lines, "regions": content["regions"]}


def in_force() -> InForce:
    """What holds in this process, and whether it is what the database says."""
    recorded = active()
    try:
        found = releases.current()
        rule_set = releases.rule_set_id()
    except RuleError as error:
        return InForce("", recorded, str(error), mismatch=False)
    expected = recorded.sha256 if recorded else ""
    return InForce(rule_set, recorded, "", mismatch=(found.sha256 if found else "") != expected)


def lines_to_check() -> tuple[Hotline, ...]:
    """Lines of help that people are shown and nobody has checked for half a year."""
    return releases.lines_to_check(settings.HAVRE_REGION, timezone.localdate())


def case_texts(names: set[str]) -> dict[str, str]:
    """The words of labelled cases by the names that reports give them ("shipped:12", "own:3")."""
    own = {int(name.partition(":")[2]) for name in names if name.startswith("own:")}
    texts = {f"own:{case.pk}": case.text for case in LabelledCase.objects.filter(pk__in=own)}
    if len(texts) < len(names):
        texts |= {name: case["text"] for name, case in shipped_cases().items() if name in names}
    return texts


def shipped_cases() -> dict[str, dict[str, Any]]:
    """The shipped labelled messages by the names that reports give them."""
    return {f"shipped:{case.get('id', line)}": case for line, case in enumerate(releases.labelled_cases(), start=1)}
