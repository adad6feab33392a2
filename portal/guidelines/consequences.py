"""What a step will do, in sentences, before somebody takes it."""

from collections.abc import Iterable, Sequence

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from knowledge import selectors
from knowledge.models import GuidelineVersion

State = GuidelineVersion.State


def of_approving_several(versions: Sequence[GuidelineVersion]) -> list[list[str]]:
    """The consequences of approving each of some versions, from one day on: the same as alone, and which of them
    another one of them takes the place of. They are approved in the order of their numbers."""
    said = []
    for version in versions:
        own = _of_approving(version)
        same = [one.number for one in versions if one.guideline_id == version.guideline_id]
        if (latest := max(same)) > version.number:
            own = [
                _("Version %(latest)s, which you approve at the same time, takes its place at once.")
                % {"latest": latest},
                *_audience(version),
            ]
        said.append(own)
    return said


def of(step: str, version: GuidelineVersion) -> list[str]:
    """The consequences of a step that may be taken from where the version is now."""
    return {
        "submit": _of_submitting,
        "send_back": _of_sending_back,
        "approve": _of_approving,
        "unapprove": _of_ending,
        "archive": _of_archiving,
        "restore": _of_restoring,
        "reschedule": _of_rescheduling,
    }[step](version)


def _of_submitting(version: GuidelineVersion) -> list[str]:
    return [_("A second person, who has neither uploaded nor submitted it, can then approve it.")]


def _of_sending_back(version: GuidelineVersion) -> list[str]:
    return [_("It becomes a draft again. Whoever looks after it sees your reason.")]


def _of_approving(version: GuidelineVersion) -> list[str]:
    said = []
    current = _answering(version)
    if current is not None:
        said.append(
            _("From that moment on version %(old)s no longer answers: version %(new)s takes its place.")
            % {"old": current.number, "new": version.number}
        )
        said.append(_("Answers that were given before keep pointing to the version that they used."))
    else:
        said.append(_("It will be the only version of this guideline that answers."))
    for waiting in _waiting(version):
        said.append(
            _("Version %(old)s, which was to begin on %(day)s, is superseded as soon as version %(new)s begins.")
            % {"old": waiting.number, "day": _day(waiting), "new": version.number}
        )
    return [*said, *_audience(version)]


def _audience(version: GuidelineVersion) -> list[str]:
    guideline = version.guideline
    names = ", ".join(guideline.departments.values_list("name", flat=True))
    said = [_("Only for: %(departments)s.") % {"departments": names} if names else _("For every department.")]
    if not guideline.enabled:
        said.append(_("The guideline is switched off: it answers only after it is switched on."))
    return said


def _of_ending(version: GuidelineVersion) -> list[str]:
    if version.state == State.APPROVED and not _is_answering(version):
        return [_("It will not come into force. It is a draft again.")]
    said = [_("From the next question on no answer uses version %(number)s.") % {"number": version.number}]
    earlier = selectors.restorable(version)
    if earlier is not None:
        said.append(
            _("Version %(number)s does not come back by itself; you can restore it afterwards.")
            % {"number": earlier.number}
        )
    else:
        said.append(_("No version of this guideline answers then."))
    said.append(_("Answers that were given before keep pointing to the version that they used."))
    return said


def _of_archiving(version: GuidelineVersion) -> list[str]:
    if _is_answering(version):
        return _of_ending(version)
    return [_("It is put away. Nothing is deleted: it can be restored, and what cited it still opens.")]


def _of_restoring(version: GuidelineVersion) -> list[str]:
    if version.approved_at is None:
        return [_("It is a draft again.")]
    if version.effective_from and version.effective_from > timezone.now():
        said = [_("It was approved before, and answers from %(day)s on.") % {"day": _day(version)}]
    else:
        said = [_("It was approved before, so it answers again from now on.")]
    if version.expires_at and version.expires_at <= timezone.now():
        said.append(_("Its last day is over: it then has no end until you set one."))
    if version.review_due and version.review_due < timezone.localdate():
        said.append(_("Its review is overdue: look at the dates afterwards."))
    return [*said, *_audience(version)]


def _of_rescheduling(version: GuidelineVersion) -> list[str]:
    if version.state == State.EFFECTIVE:
        return [_("It is in force already, so the day on which it began stays as it is.")]
    return []


def _answering(version: GuidelineVersion) -> GuidelineVersion | None:
    return selectors.answering_versions().filter(guideline=version.guideline_id).exclude(pk=version.pk).first()


def _waiting(version: GuidelineVersion) -> Iterable[GuidelineVersion]:
    """Earlier versions that are approved and have not begun."""
    earlier = version.guideline.versions.filter(state=State.APPROVED, number__lt=version.number)
    return earlier.filter(effective_from__gt=timezone.now()).order_by("number")


def _day(version: GuidelineVersion) -> str:
    return date_format(timezone.localtime(version.effective_from), "DATE_FORMAT")


def _is_answering(version: GuidelineVersion) -> bool:
    return selectors.answering_versions().filter(pk=version.pk).exists()
