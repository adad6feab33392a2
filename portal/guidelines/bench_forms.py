"""What administrators fill in on the test bench."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from knowledge.models import Department, Trial
from portal.guidelines.questions import LONGEST_QUESTION

MOST_EARLIER = 6
MOST_BYTES = 5 * 1024 * 1024


class TrialForm(forms.Form):
    """A question to be tried, and as whom."""

    question = forms.CharField(
        label=_("Question"),
        max_length=LONGEST_QUESTION,
        widget=forms.Textarea({"rows": 2}),
        error_messages={"required": _("Write a question.")},
    )
    history = forms.CharField(
        label=_("Earlier questions of the conversation"),
        help_text=_("One a line, the oldest first. May be empty."),
        required=False,
        widget=forms.Textarea({"rows": 2}),
    )
    who = forms.ChoiceField(
        label=_("Asked by"),
        choices=[
            ("anybody", _("Without regard to departments")),
            ("somebody", _("Somebody who belongs to these departments, or to none")),
        ],
        initial="anybody",
        required=False,
        widget=forms.RadioSelect,
    )
    departments = forms.ModelMultipleChoiceField(
        label=_("Departments"),
        queryset=Department.objects.all(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def clean_question(self) -> str:
        """The question on one line."""
        return " ".join(str(self.cleaned_data["question"]).split())

    def clean_history(self) -> list[str]:
        """The earlier questions, a line each."""
        asked = [" ".join(line.split()) for line in str(self.cleaned_data["history"]).splitlines()]
        asked = [line for line in asked if line]
        if len(asked) > MOST_EARLIER:
            raise forms.ValidationError(
                _("At most %(most)s earlier questions are looked at."), params={"most": MOST_EARLIER}
            )
        if any(len(line) > LONGEST_QUESTION for line in asked):
            raise forms.ValidationError(
                _("A question may have at most %(most)s characters."), params={"most": LONGEST_QUESTION}
            )
        return asked

    def clean(self) -> dict[str, Any]:
        """Departments are named only where they count."""
        given = super().clean() or {}
        if given.get("departments") and given.get("who") != "somebody":
            self.add_error("who", _("Departments are chosen: ask as somebody who belongs to them, or choose none."))
        return given

    def values(self) -> dict[str, Any]:
        """The arguments of `trials.ask`."""
        given = self.cleaned_data
        departments: Iterable[Department] | None = list(given["departments"]) if given["who"] == "somebody" else None
        return {"question": given["question"], "history": given["history"], "departments": departments}

    @classmethod
    def of(cls, trial: Trial) -> "TrialForm":
        """The form as it was filled in for a trial."""
        return cls(
            initial={
                "question": trial.question,
                "history": "\n".join(trial.history),
                "who": "anybody" if trial.everything else "somebody",
                "departments": list(trial.departments.all()),
            }
        )


class WordsForm(forms.Form):
    """Words of a passage that should have been found."""

    words = forms.CharField(
        label=_("Words of the passage"),
        max_length=200,
        required=False,
        widget=forms.TextInput({"type": "search", "autocomplete": "off"}),
    )


class SetForm(forms.Form):
    """A file with cases of the question set."""

    file = forms.FileField(label=_("File (JSON lines)"), error_messages={"required": _("No file was chosen.")})

    def clean_file(self) -> Any:
        """A file of a size that a set of questions has."""
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise forms.ValidationError(
                _("The file is larger than %(most)s MB."), params={"most": MOST_BYTES // (1024 * 1024)}
            )
        return file
