"""The compliance officer's pages: find events, take them away."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from portal.access import for_role
from portal.audit import selectors
from portal.audit.services import record

_EVENTS_A_PAGE = 50


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
def export(request: HttpRequest) -> StreamingHttpResponse:
    """The filtered events as JSON Lines, oldest first. The export itself is an event, written before the first line."""
    chosen = FilterForm(request.GET).chosen()
    user = request.user
    with transaction.atomic():
        last = record(
            "audit.exported",
            actor=user.get_username(),
            actor_role=getattr(user, "role", ""),
            payload={
                "format": "jsonl",
                "filters": {
                    name: value.isoformat() if isinstance(value, date) else value for name, value in chosen.items()
                },
            },
        )
    found = selectors.events(**chosen).filter(seq__lte=last.seq)

    def lines() -> Iterator[str]:
        for one in selectors.as_records(found):
            yield json.dumps(one, ensure_ascii=False, sort_keys=True) + "\n"

    response = StreamingHttpResponse(lines(), content_type="application/x-ndjson; charset=utf-8")
    name = f"havre-audit-{timezone.localdate().isoformat()}.jsonl"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
