"""The compliance officer's pages: find events."""

from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from portal.access import for_role
from portal.audit import selectors

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
