"""What administrators type. `guardrails.releases` judges it; here it only gets its fields."""

from collections.abc import Mapping
from typing import Any, Self

from django import forms
from django.utils.translation import gettext_lazy as _

from guardrails.releases import AdditionError
from portal.safeguards.problems import sentence

LANGUAGES = [
    ("fr", _("French")),
    ("en", _("English")),
    ("", _("Any language")),
    ("de", _("German")),
    ("es", _("Spanish")),
    ("it", _("Italian")),
    ("nl", _("Dutch")),
    ("pt", _("Portuguese")),
    ("ar", _("Arabic")),
    ("zh", _("Chinese")),
]
CATEGORIES = [
    ("first_person_crisis", _("The person who writes is in crisis: hotline card")),
    ("third_person_emergency", _("Somebody is in danger now: emergency card")),
    ("method_seeking", _("Asks for a way of hurting oneself: refused")),
    ("not_a_crisis", _("No crisis: the name of a ward, a project, a protocol")),
]
LABELS = [
    ("first_person_crisis", _("The person who writes is in crisis")),
    ("third_person_emergency", _("Somebody is in danger now")),
    ("method_seeking", _("Asks for a way of hurting oneself")),
    ("clinical_discussion", _("Clinical talk: to be answered")),
    ("benign", _("Anything else that is to be answered")),
]
AUDIENCES = [
    ("staff", _("Staff: on-call psychiatrist, occupational health")),
    ("emergency", _("Emergencies: security, crash team")),
    ("public", _("Everybody")),
]


class _AdditionForm(forms.Form):
    """A form that can show why an addition was not taken."""

    def show(self, error: AdditionError) -> None:
        """Put the reason under its field."""
        self.add_error(error.field if error.field in self.fields else None, sentence(error))


class PhraseForm(_AdditionForm):
    """A word or phrase and what it means."""

    phrase = forms.CharField(
        label=_("Word or phrase"),
        help_text=_("As people write it. Capitals and accents make no difference."),
        required=False,
        strip=False,
        widget=forms.TextInput({"autocomplete": "off", "maxlength": 200}),
    )
    category = forms.ChoiceField(label=_("What it means"), choices=CATEGORIES)
    language = forms.ChoiceField(label=_("Language"), choices=LANGUAGES, required=False)


class HotlineForm(_AdditionForm):
    """A line of help of the facility's own."""

    name = forms.CharField(label=_("Name"), required=False, widget=forms.TextInput({"maxlength": 120}))
    audience = forms.ChoiceField(label=_("For whom"), choices=AUDIENCES)
    phone = forms.CharField(label=_("Telephone"), required=False, widget=forms.TextInput({"inputmode": "tel"}))
    sms = forms.CharField(label=_("Text messages"), required=False, widget=forms.TextInput({"inputmode": "tel"}))
    url = forms.CharField(label=_("Web page"), required=False, widget=forms.TextInput({"inputmode": "url"}))
    hours = forms.CharField(label=_("Hours"), required=False, widget=forms.TextInput({"placeholder": "24/7"}))
    languages = forms.CharField(label=_("Languages"), required=False, widget=forms.TextInput({"placeholder": "fr, en"}))
    region = forms.CharField(label=_("Region"), required=False, widget=forms.TextInput({"placeholder": "FR"}))
    checked_on = forms.DateField(
        label=_("Last checked on"),
        required=False,
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": _("This is not a date: write it as 2026-11-22.")},
    )

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """The form with a line of a draft in it, to be changed."""
        return cls(initial={**line, "languages": ", ".join(line["languages"])})

    def values(self) -> dict[str, Any]:
        """What was typed, for `facility_hotline`."""
        typed = dict(self.cleaned_data)
        typed["languages"] = [one for one in (part.strip() for part in typed["languages"].split(",")) if one]
        return typed


class CaseForm(forms.Form):
    """A labelled message of the facility's own."""

    text = forms.CharField(
        label=_("Message"),
        help_text=_("Made up, never copied: no words of a patient or a colleague."),
        max_length=1000,
        widget=forms.Textarea({"rows": 2}),
        error_messages={"required": _("Write the message.")},
    )
    label = forms.ChoiceField(label=_("What it is"), choices=LABELS)
    language = forms.ChoiceField(label=_("Language"), choices=[one for one in LANGUAGES if one[0]])


_SHORT = {
    "first_person_crisis": _("Person in crisis"),
    "third_person_emergency": _("Emergency"),
    "method_seeking": _("Method"),
    "prompt_injection": _("Attack"),
    "patient_identifier": _("Patient identified"),
    "device_boundary": _("Beyond the tool"),
    "clinical_discussion": _("Clinical talk"),
    "benign": _("Everyday message"),
    "unscreened": _("Not screened"),
    "not_a_crisis": _("No crisis"),
}
_SHORT_AUDIENCES = {"staff": _("Staff"), "emergency": _("Emergencies"), "public": _("Everybody")}


def label_of(category: str) -> str:
    """A category in a word or two."""
    return str(_SHORT.get(category, category))


def audience_of(audience: str) -> str:
    """Whom a line is for, in a word or two."""
    return str(_SHORT_AUDIENCES.get(audience, audience))
