"""Documents and steps of the tests of the test bench."""

from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from knowledge.models import GuidelineVersion, Question, Trial
from portal.guidelines import tasks

Library = dict[str, GuidelineVersion]
PLAN = """# Safety plan

## Steps

A safety plan is written together with the person. First write down the warning signs that a crisis may be developing,
then what the person can do alone, then the people who can help.

## Follow-up

Read the plan again at every contact and telephone the person within seven days of discharge.
"""
LITHIUM = """# Lithium

## Monitoring

Measure the lithium level twelve hours after the last dose, one week after each change of the dose.
"""
CLOZAPINE = """# Clozapine

Count the white blood cells every week for eighteen weeks, then every month as long as clozapine is taken. Stop it and
call the haematologist when the neutrophils fall below one thousand.
"""
TWIN = CLOZAPINE.replace("# Clozapine", "# Clozapine on the ward")
ASKED = "When is the lithium level measured?"
TEXTS = {"plan": PLAN, "lithium": LITHIUM, "clozapine": CLOZAPINE, "twin": TWIN}


def tried(admin: Client, question: str = ASKED, **more: Any) -> Trial:
    """A question asked on the page and worked out by the worker."""
    response = admin.post(reverse("guidelines:ask"), {"question": question, **more})
    assert response.status_code == 302, response.context["form"].errors
    trial = Trial.objects.latest("created_at")
    tasks.try_question(str(trial.pk))
    trial.refresh_from_db()
    return trial


def page_of(admin: Client, trial: Trial, **query: str) -> str:
    response = admin.get(reverse("guidelines:trial", args=[trial.pk]), query)
    assert response.status_code == 200
    return str(response.content.decode())


def case_of(version: GuidelineVersion, text: str = ASKED, **fields: Any) -> Question:
    chunk = version.chunks.first()
    assert chunk is not None
    values = {"page": chunk.page, "quote": chunk.text, "added_by": "dora", "wanted_at": timezone.now(), **fields}
    return Question.objects.create(text=text, guideline=version.guideline, **values)
