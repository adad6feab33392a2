"""The compliance officer's exports: choose, see how far each is, stop it, take it away."""

import uuid
from collections.abc import AsyncIterator
from datetime import date
from typing import IO, Any

from asgiref.sync import sync_to_async
from django import forms
from django.contrib import messages
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from guardrails import Action, Category
from portal.access import for_role
from portal.audit import exporting, keys, naming
from portal.audit.exporting import FORMATS, PROBLEMS, Asker, ExportRefused, Selection
from portal.audit.models import Export

_BYTES_AT_ONCE = 256 * 1024
_FORMS = (
    ("bundle", gettext_lazy("Bundle with proofs (ZIP)")),
    ("pdf", gettext_lazy("Report (PDF)")),
    ("csv", gettext_lazy("Table (CSV)")),
    ("jsonl", gettext_lazy("JSON Lines (JSONL)")),
    ("fhir", gettext_lazy("FHIR R4 (NDJSON)")),
)
_DAYS = [MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(2999, 12, 31))]
_ROLES = (
    ("", "–"),
    ("clinician", gettext_lazy("Clinician")),
    ("admin", gettext_lazy("Administrator")),
    ("compliance", gettext_lazy("Compliance officer")),
)


class ExportForm(forms.Form):
    """What to export. Every filter may be empty."""

    format = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=_FORMS,
        initial="bundle",
        help_text=gettext_lazy(
            "The bundle proves itself; the report is for reading and signing, the table for spreadsheets."
        ),
    )
    first_day = forms.DateField(
        label=gettext_lazy("From"),
        required=False,
        validators=_DAYS,
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
    )
    last_day = forms.DateField(
        label=gettext_lazy("To"),
        required=False,
        validators=_DAYS,
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
    )
    actor = forms.CharField(label=gettext_lazy("Person"), max_length=170, required=False)
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=_ROLES, required=False)
    kind = forms.CharField(label=gettext_lazy("Kind of event"), max_length=64, required=False)
    subject = forms.CharField(label=gettext_lazy("Subject"), max_length=170, required=False)
    conversation = forms.UUIDField(label=gettext_lazy("Conversation"), required=False)
    document = forms.CharField(
        label=gettext_lazy("Document"),
        max_length=64,
        required=False,
        help_text=gettext_lazy("The id of a guideline or a version, or the SHA-256 of a file"),
    )
    rule = forms.CharField(label=gettext_lazy("Guardrail rule"), max_length=120, required=False)
    verdict = forms.ChoiceField(
        label=gettext_lazy("Verdict"),
        required=False,
        choices=[("", "–"), *((one.value, one.value) for one in (*Action, *Category))],
    )
    model = forms.CharField(
        label=gettext_lazy("Model"),
        max_length=170,
        required=False,
        help_text=gettext_lazy("Its name, or the SHA-256 of its file"),
    )

    def clean(self) -> dict[str, Any]:
        """The days are in order."""
        values: dict[str, Any] = super().clean() or {}
        first, last = values.get("first_day"), values.get("last_day")
        if first and last and last < first:
            self.add_error("last_day", _("This day is before the first one."))
        return values

    def selection(self) -> Selection:
        """The filters of a valid form."""
        values = {name: value for name, value in self.cleaned_data.items() if value and name != "format"}
        return Selection(
            **(values | ({"conversation": str(values["conversation"])} if "conversation" in values else {}))
        )

    def main_fields(self) -> list[forms.BoundField]:
        """The filters that most exports need."""
        return [self[name] for name in ("format", "first_day", "last_day")]

    def more_fields(self) -> list[forms.BoundField]:
        """The others."""
        return [field for field in self if field.name not in {"format", "first_day", "last_day"}]


@require_GET
@for_role("compliance")
def index(request: HttpRequest) -> HttpResponse:
    """The form, filled in from the query (the filters of the page before), and this person's exports."""
    known = {name: value for name, value in request.GET.items() if name in ExportForm.base_fields}
    return _page(request, ExportForm(initial=known))


@require_POST
@for_role("compliance")
def ask(request: HttpRequest) -> HttpResponse:
    """Have an export written."""
    form = ExportForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    try:
        exporting.ask(form.cleaned_data["format"], form.selection(), _asker(request))
    except ExportRefused as error:
        messages.error(request, str(error))
    except keys.NoAuditKey:
        messages.error(request, str(PROBLEMS["no_key"]))
    return redirect("audit:export")


@require_GET
@for_role("compliance")
def state(request: HttpRequest) -> JsonResponse:
    """How far this person's exports are."""
    found = exporting.exports_of(request.user.get_username())
    said = [
        {"id": str(one.pk), "state": one.state, "open": one.is_open, "done": one.done, "total": one.total}
        for one in found
    ]
    return JsonResponse({"exports": said})


@require_POST
@for_role("compliance")
def stop(request: HttpRequest, export_id: uuid.UUID) -> HttpResponse:
    """Stop an export."""
    exporting.stop(_export_of(request, export_id))
    return redirect("audit:export")


@require_GET
@for_role("compliance")
def download(request: HttpRequest, export_id: uuid.UUID) -> HttpResponseBase:
    """The file, for whoever asked for it alone; taking it away is an event."""
    export = _export_of(request, export_id)
    try:
        if export.state != Export.State.READY:
            messages.error(request, _("This export is not ready."))
            return redirect("audit:export")
        file = exporting.file_of(export).open("rb")
    except OSError:
        messages.error(request, _("The file is not there any more. Ask for the export again."))
        return redirect("audit:export")
    try:
        exporting.record_download(export)
    except BaseException:
        file.close()
        raise
    form = FORMATS[export.form]
    response = StreamingHttpResponse(_pieces(file), content_type=form.media_type)
    day = timezone.localdate(export.created_at).isoformat()
    response["Content-Disposition"] = f'attachment; filename="havre-audit-{day}-{export.number}.{form.suffix}"'
    response["Content-Length"] = str(export.size)
    return response


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    """A piece at a time: under ASGI Django would read a plain file as a whole first."""
    with file:
        while piece := await sync_to_async(file.read)(_BYTES_AT_ONCE):
            yield piece


def _page(request: HttpRequest, form: ExportForm, status: int = 200) -> HttpResponse:
    exports = [_shown(one) for one in exporting.exports_of(request.user.get_username())]
    context = {"form": form, "exports": exports, "has_open": any(one["export"].is_open for one in exports)}
    return render(request, "audit/export.html", context, status=status)


def _shown(export: Export) -> dict[str, Any]:
    labels = {name: field.label for name, field in ExportForm.base_fields.items()}
    filters = {name: export.filters[name] for name in labels if name in export.filters}
    names = naming.names([one for one in filters.values() if isinstance(one, str)]).names
    return {
        "export": export,
        "form": dict(_FORMS).get(export.form, export.form),
        "filters": [
            (label, names.get(value) or value) for name, label in labels.items() if (value := filters.get(name))
        ],
        "problem": PROBLEMS.get(export.problem, PROBLEMS["error"]) if export.state == Export.State.FAILED else "",
        "until": export.created_at + exporting.KEPT,
    }


def _export_of(request: HttpRequest, export_id: uuid.UUID) -> Export:
    """An export of whoever asks; somebody else's does not exist for him."""
    export = exporting.exports_of(request.user.get_username()).filter(pk=export_id).first()
    if export is None:
        raise Http404
    return export


def _asker(request: HttpRequest) -> Asker:
    role = str(getattr(request.user, "role", ""))
    return Asker(request.user.get_username(), role, (get_language() or "en")[:2])
