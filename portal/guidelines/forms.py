"""What administrators fill in: filters, descriptions, dates and notes of a step, departments."""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.forms.models import fields_for_model, model_to_dict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from knowledge.models import Department, Guideline, GuidelineVersion
from portal.accounts.models import TERMINAL, Role, User
from portal.guidelines.wording import FIELDS, language_name

CONDITIONS = [
    ("", _("Any")),
    ("answers", _("In force")),
    ("waiting", _("In review")),
    ("draft", _("Draft")),
    ("scheduled", _("Begins later")),
    ("silent", _("No version in force")),
    ("off", _("Switched off")),
    ("reading", _("Being read")),
    ("failed", _("Could not be read")),
]
_REVIEW_AFTER = timedelta(days=365)
_FARTHEST = timedelta(days=100 * 365)  # of a date; "never" is no date


class LibraryFilter(forms.Form):
    """Which guidelines to list. Every field may be empty; a value that is not offered filters nothing."""

    q = forms.CharField(label=_("Search"), max_length=200, required=False, widget=forms.TextInput({"type": "search"}))
    state = forms.ChoiceField(label=_("State"), choices=CONDITIONS, required=False)
    department = forms.ModelChoiceField(
        label=_("Department"), queryset=Department.objects.none(), required=False, empty_label=_("Any")
    )
    language = forms.ChoiceField(label=_("Language"), required=False)
    review = forms.ChoiceField(
        label=_("Review"),
        choices=[("", _("Any")), ("overdue", _("Overdue")), ("soon", _("Overdue or due within 30 days"))],
        required=False,
    )
    order = forms.ChoiceField(
        label=_("Sorted by"),
        choices=[("", _("Title")), ("changed", _("Last change")), ("review", _("Review due"))],
        required=False,
    )
    mine = forms.BooleanField(label=_("Needs my approval"), required=False)

    def __init__(self, data: Any, *, languages: Iterable[str]) -> None:
        super().__init__(data)
        self.fields["department"].queryset = Department.objects.all()  # type: ignore[attr-defined]
        choices = [("", _("Any")), *((one, language_name(one)) for one in sorted(filter(None, languages)))]
        self.fields["language"].choices = choices  # type: ignore[attr-defined]

    def chosen(self) -> dict[str, Any]:
        """The filters that are set and valid."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


class UploadForm(forms.Form):
    """What may be said of the files of an upload beforehand."""

    publisher = forms.CharField(label=FIELDS["publisher"], max_length=200, required=False)
    language = forms.ChoiceField(
        label=FIELDS["language"],
        choices=[("", _("found out from the text")), ("fr", _("French")), ("en", _("English"))],
        required=False,
    )
    departments = forms.ModelMultipleChoiceField(
        label=FIELDS["departments"],
        queryset=Department.objects.all(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )


_DESCRIBED = [
    "title", "publisher", "language", "population", "setting", "evidence_level", "licence", "source_url", "contact",
    "departments",
]  # fmt: skip
_HELP: dict[str, Any] = {
    "language": _("Two letters: fr, en."),
    "population": _("For example: adults, adolescents."),
    "setting": _("For example: ward, outpatients."),
    "evidence_level": _("As the document states it."),
    "source_url": _("Web address of the original."),
    "contact": _("Whom to ask about it."),
    "departments": _("Only people of these departments get answers from it. With none chosen, everybody does."),
}


class DescriptionForm(forms.Form):
    """What a guideline is and who may see it. Whether it may be so is for the library to say (`knowledge.describe`)."""

    def __init__(self, data: Any = None, *, guideline: Guideline) -> None:
        super().__init__(data, initial=model_to_dict(guideline, _DESCRIBED))
        widgets: dict[str, Any] = {"departments": forms.CheckboxSelectMultiple}
        fields = fields_for_model(Guideline, _DESCRIBED, widgets=widgets, labels=FIELDS, help_texts=_HELP)
        self.fields.update(fields)

    def clean_language(self) -> str:
        """The code in lower case."""
        code = str(self.cleaned_data["language"]).strip().lower()
        if code and not (len(code) == 2 and code.isascii() and code.isalpha()):
            raise forms.ValidationError(_("Write the language as two letters: fr, en."))
        return code


def _day(label: Any, help_text: Any = "") -> forms.DateField:
    return forms.DateField(
        label=label,
        help_text=help_text,
        required=False,
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": _("This is not a date: write it as 2026-11-22.")},
    )


class NoteForm(forms.Form):
    """Why a version is sent back, unapproved or archived."""

    note = forms.CharField(
        label=_("Why"), max_length=500, required=False, widget=forms.Textarea({"rows": 2, "maxlength": 500})
    )

    def __init__(self, data: Any = None, *, required: bool = False, **more: Any) -> None:
        super().__init__(data, **more)
        self.fields["note"].required = required

    def values(self) -> dict[str, Any]:
        """The arguments of the step."""
        return {"note": self.cleaned_data["note"]}


class DatesForm(forms.Form):
    """From when to when a version answers, and when somebody looks at it again. Days begin and end at midnight in the
    facility's time zone; the day on which it expires is the last on which it answers."""

    effective_from = _day(FIELDS["effective_from"], _("Today or empty: at once."))
    review_due = _day(FIELDS["review_due"], _("A reminder. The version goes on answering."))
    expires_on = _day(_("Last day in force"), _("Empty: until another version takes its place."))

    def __init__(self, data: Any = None, *, version: GuidelineVersion, is_new: bool = True) -> None:
        """The dates of a version. `is_new`: it is being approved; one without dates is then to be reviewed in a
        year."""
        super().__init__(data, initial=_dates_of(version, is_new))
        self._version, self._is_new = version, is_new
        if not is_new and version.state == GuidelineVersion.State.EFFECTIVE:
            del self.fields["effective_from"]  # its beginning is history

    def clean(self) -> dict[str, Any]:
        """Dates in their order."""
        chosen = super().clean() or {}
        today = timezone.localdate()
        for name in [name for name, day in chosen.items() if day and day > today + _FARTHEST]:
            self.add_error(name, _("This day is too far away. Leave the field empty where there is no such day."))
        begins = max(chosen.get("effective_from") or today, today)
        expires, review = chosen.get("expires_on"), chosen.get("review_due")
        if expires and expires < begins:
            self.add_error("expires_on", _("The last day is before the first one, or over."))
        if review and review < today and "review_due" in self.changed_data:
            self.add_error("review_due", _("This day is over."))
        return chosen

    def values(self) -> dict[str, Any]:
        """The arguments of the step: moments, not days. A day that was left as it was keeps its moment."""
        expires = self.cleaned_data["expires_on"]
        expires_at = _midnight(expires + timedelta(days=1)) if expires else None
        if expires and not self._is_new and "expires_on" not in self.changed_data:
            expires_at = self._version.expires_at
        return {
            "effective_from": self._beginning(),
            "review_due": self.cleaned_data["review_due"],
            "expires_at": expires_at,
        }

    def _beginning(self) -> datetime | None:
        """None: at once, or, of a version that is approved already, as it was."""
        begins = self.cleaned_data.get("effective_from")
        if not self._is_new and ("effective_from" not in self.fields or "effective_from" not in self.changed_data):
            return None
        if begins and begins > timezone.localdate():
            return _midnight(begins)
        return None if self._is_new else timezone.now()


def _dates_of(version: GuidelineVersion, is_new: bool) -> dict[str, Any]:
    today, local = timezone.localdate(), timezone.localtime
    begins, review, expires = version.effective_from, version.review_due, version.expires_at
    if is_new:  # dates of an approval that was taken back hold only as far as they lie ahead
        begins = begins if begins and local(begins).date() > today else None
        review = review if review and review > today else today + _REVIEW_AFTER
        expires = expires if expires and expires > timezone.now() else None
    return {
        "effective_from": local(begins).date() if begins else None,
        "review_due": review,
        "expires_on": local(expires - timedelta(microseconds=1)).date() if expires else None,
    }


def _midnight(day: Any) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


class DepartmentForm(forms.Form):
    """The name of a department."""

    name = forms.CharField(
        label=_("Name"), max_length=120, error_messages={"required": _("Write the name of the department.")}
    )


class MembersForm(forms.Form):
    """Who belongs to a department."""

    people = forms.ModelMultipleChoiceField(
        label=_("Who belongs to it"),
        queryset=User.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        # whoever asks from the terminal belongs nowhere
        people = User.objects.filter(is_active=True, role=Role.CLINICIAN).exclude(username=TERMINAL)
        self.fields["people"].queryset = people.order_by("username")  # type: ignore[attr-defined]
