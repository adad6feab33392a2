"""The compliance officer's pages: find events, take them away."""

import json
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django import forms
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from portal.access import for_role
from portal.audit import selectors
from portal.audit.models import Event
from portal.audit.services import record

_EVENTS_A_PAGE = 50
_EVENTS_AT_ONCE = 1000  # in memory, of an export


class FilterForm(forms.Form):
    """Which events to show. Every field may be empty."""

    kind = forms.CharField(label=_("Kind"), max_length=64, required=False)
    actor = forms.CharField(label=_("Person"), max_length=170, required=False)
    subject = forms.CharField(label=_("Subject"), max_length=170, required=False)
    first_day = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )
    last_day = forms.DateField(
        label=_("To"), required=False, widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )

    def chosen(self) -> dict[str, Any]:
        """The filters that are set and valid."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


@require_GET
@for_role("compliance")
def index(request: HttpRequest) -> HttpResponse:
    """The events, newest first, filtered by the form in the query."""
    form = FilterForm(request.GET)
    found = selectors.events(**form.chosen())
    page = Paginator(found, _EVENTS_A_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context = {"form": form, "events": page, "kinds": selectors.kinds(), "query": query.urlencode()}
    return render(request, "audit/index.html", context)


@require_GET
@for_role("compliance")
def export(request: HttpRequest) -> HttpResponseBase:
    """The filtered events as JSON Lines, oldest first. The export itself is an event, written before the first line."""
    form = FilterForm(request.GET)
    if not form.is_valid():
        return HttpResponseBadRequest(_("A filter is not valid; nothing was exported."), content_type="text/plain")
    chosen = form.chosen()
    with transaction.atomic():
        last = record(
            "audit.exported",
            actor=request.user.get_username(),
            actor_role=getattr(request.user, "role", ""),
            payload={"format": "jsonl", "filters": {name: str(value) for name, value in chosen.items()}},
        )
    found = selectors.events(**chosen).filter(seq__lte=last.seq)
    response = StreamingHttpResponse(_lines(found), content_type="application/x-ndjson; charset=utf-8")
    name = f"havre-audit-{timezone.localdate().isoformat()}.jsonl"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def _lines(found: QuerySet[Event]) -> AsyncIterator[str]:
    """One line an event, a page of them in memory at a time: under ASGI Django would collect a plain iterator first."""
    last = 0
    while page := await sync_to_async(_page)(found, last):
        for one in page:
            yield json.dumps(one, ensure_ascii=False, sort_keys=True) + "\n"
        last = page[-1]["seq"]


def _page(found: QuerySet[Event], after: int) -> list[dict[str, Any]]:
    return list(selectors.as_records(found.filter(seq__gt=after).order_by("seq")[:_EVENTS_AT_ONCE]))
