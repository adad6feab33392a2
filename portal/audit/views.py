"""The compliance officer's pages: find events."""

from datetime import timedelta
from itertools import groupby
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from portal.access import for_role
from portal.audit import selectors, wording
from portal.audit.export_views import ExportForm
from portal.audit.exporting import Selection
from portal.audit.telling import lines

_FIRST = ("first_day", "last_day", "actor", "kind", "number")
_DAYS = ((_("Today"), 1), (_("7 days"), 7), (_("30 days"), 30), (_("365 days"), 365))
_MOST = 2**63 - 1  # what a database counts to


class FilterForm(ExportForm):
    """Which events to show: the filters of an export, and a number. Every field may be empty."""

    format = None  # type: ignore[assignment]
    number = forms.IntegerField(label=_("Event number"), required=False, min_value=1, max_value=_MOST)

    def chosen(self) -> Selection:
        """The filters that are set, of a valid form."""
        values = {name: value for name, value in self.cleaned_data.items() if value and name != "number"}
        if "conversation" in values:
            values["conversation"] = str(values["conversation"])
        return Selection(**values)

    @property
    def number_wanted(self) -> int | None:
        """The number of the one event that is asked for."""
        found: int | None = self.cleaned_data.get("number")
        return found

    def main_fields(self) -> list[forms.BoundField]:
        """The filters that are always there."""
        return [self[name] for name in _FIRST]

    def more_fields(self) -> list[forms.BoundField]:
        """The others."""
        return [field for field in self if field.name not in _FIRST]

    @property
    def has_more(self) -> bool:
        """Whether one of the others is set."""
        return any(field.value() for field in self.more_fields())


@require_GET
@for_role("compliance")
def index(request: HttpRequest) -> HttpResponse:
    """The events, newest first, filtered by the form in the query."""
    form = FilterForm(request.GET)
    if form.is_valid():
        before, after = _place(request.GET, "before"), _place(request.GET, "after")
        found = selectors.search(form.chosen(), number=form.number_wanted, before=before, after=after)
    else:
        found = selectors.NOTHING  # what somebody asked for is not shown as if it were everything
    query = request.GET.copy()
    for name in [name for name, value in request.GET.items() if not value or name not in form.fields]:
        query.pop(name, None)
    context = {
        "form": form,
        "periods": _periods(query),
        "found": found,
        "lines": lines(found.events),
        "kinds": list(_kinds(form["kind"].value() or "")),
        "query": query.urlencode(),
        "is_filtered": bool(query),
    }
    return render(request, "audit/index.html", context)


def _periods(query: QueryDict) -> list[dict[str, Any]]:
    """Periods that end today, each with the query that asks for it beside the other filters."""
    today = timezone.localdate()
    found = []
    for label, days in _DAYS:
        first = today - timedelta(days=days - 1)
        wanted = query.copy()
        wanted["first_day"], wanted["last_day"] = first.isoformat(), today.isoformat()
        wanted.pop("number", None)
        is_chosen = wanted == query
        found.append({"label": label, "query": wanted.urlencode(), "is_chosen": is_chosen})
    return found


def _place(query: QueryDict, name: str) -> int | None:
    given = query.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and int(given) <= _MOST else None


def _kinds(chosen: str) -> list[dict[str, Any]]:
    """The kinds that occur, by the rooms that they belong to; one that was asked for and does not occur by itself."""
    occur = selectors.kinds()
    rooms = [
        {
            "room": room,
            "label": wording.ROOMS.get(room, room),
            "kinds": [(kind, wording.plain(kind)) for kind in kinds],
        }
        for room, kinds in groupby(occur, key=lambda kind: kind.partition(".")[0])
    ]
    known = {*occur, *(one["room"] for one in rooms), ""}
    return rooms if chosen in known else [*rooms, {"room": chosen, "label": chosen, "kinds": []}]
