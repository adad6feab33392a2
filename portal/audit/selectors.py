"""Reads of the audit trail."""

from datetime import date, datetime, time, timedelta

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from portal.audit.models import Actor, Event


def events(
    *,
    kind: str = "",
    actor: str = "",
    subject: str = "",
    first_day: date | None = None,
    last_day: date | None = None,
) -> QuerySet[Event]:
    """Events, newest first, with their actors. `kind` may be a prefix ("turn" finds "turn.completed"); `actor` is a
    name, or a code; so is `subject` where it is a person (whose name is then in `subject_name`); days are local and
    inclusive."""
    person = Actor.objects.filter(code=OuterRef("subject")).values("name")
    found = Event.objects.select_related("actor").annotate(subject_name=Subquery(person[:1]))
    if kind:
        found = found.filter(kind__startswith=kind)
    if actor:
        found = found.filter(Q(actor__name=actor) | Q(actor__code=actor))
    if subject:
        found = found.filter(subject__in=[subject, *Actor.objects.filter(name=subject).values_list("code", flat=True)])
    if first_day:
        found = found.filter(at__gte=_midnight(first_day))
    if last_day:
        found = found.filter(at__lt=_midnight(last_day + timedelta(days=1)))
    return found


def count_since(kind: str, *, subject: str, since: datetime) -> int:
    """How many events of exactly this kind concern `subject` (a person's code) since then."""
    return Event.objects.filter(kind=kind, subject=subject, at__gte=since).count()


def kinds() -> list[str]:
    """The kinds of event that occur, in alphabetical order."""
    return sorted(Event.objects.order_by().values_list("kind", flat=True).distinct())


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
