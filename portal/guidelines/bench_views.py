"""The test bench: what retrieval does with a question, and why; and the facility's own set of questions."""

import uuid
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from knowledge import selectors
from knowledge.models import Chunk, Question, Trial
from portal import parts
from portal.access import for_role
from portal.guidelines import questions, trials
from portal.guidelines.bench_forms import SetForm, TrialForm, WordsForm
from portal.guidelines.bench_rows import shown
from portal.guidelines.views import actor

_RECENT = 20
_PLACES = 20  # of the library, offered for the words that somebody looks for
_CASES_A_PAGE = 50
_MOST_PROBLEMS = 20


@require_GET
@for_role("admin")
def bench(request: HttpRequest) -> HttpResponse:
    """The form, and what was tried lately."""
    return _bench_page(request, TrialForm())


def _bench_page(request: HttpRequest, form: TrialForm) -> HttpResponse:
    context = {
        "form": form,
        "trials": Trial.objects.defer("result").order_by("-created_at")[:_RECENT],
        "case_count": questions.questions().count(),
        "days": trials.KEPT.days,
        "service": _service(),
    }
    return render(request, "guidelines/bench.html", context)


@require_POST
@for_role("admin")
def ask(request: HttpRequest) -> HttpResponse:
    """Try a question."""
    form = TrialForm(request.POST)
    if not form.is_valid():
        return _bench_page(request, form)
    return redirect("guidelines:trial", trials.ask(actor(request), **form.values()).pk)


@require_GET
@for_role("admin")
def trial(request: HttpRequest, trial_id: uuid.UUID) -> HttpResponse:
    """What came out of a trial; and the search for what should have come out."""
    one = get_object_or_404(Trial, pk=trial_id)
    search = WordsForm(request.GET)
    words = search.cleaned_data["words"].strip() if search.is_valid() else ""
    context: dict[str, Any] = {
        "trial": one,
        "departments": one.departments.all(),
        "form": TrialForm.of(one),
        "search": WordsForm(initial={"words": words}),
        "words": words,
        "places": selectors.chunks_with_words(words, _PLACES) if words else [],
        "most_places": _PLACES,
        "cases": questions.questions().filter(text=_case_text(one)),
        "service": _service(),
    }
    if one.state == Trial.State.DONE:
        context["shown"] = shown(one.result)
    return render(request, "guidelines/bench_trial.html", context)


@require_GET
@for_role("admin")
def trial_state(request: HttpRequest, trial_id: uuid.UUID) -> JsonResponse:
    """Whether a trial has ended, and whether anybody is there to work it out."""
    state = Trial.objects.filter(pk=trial_id).values_list("state", flat=True).first()
    if state is None:
        raise Http404
    return JsonResponse({"waiting": int(state == Trial.State.WAITING), "problem": _service()})


@require_POST
@for_role("admin")
def add_case(request: HttpRequest, trial_id: uuid.UUID) -> HttpResponse:
    """This should be found for this question: a case of the question set."""
    one, number = get_object_or_404(Trial, pk=trial_id), request.POST.get("chunk", "")
    chunk = selectors.get_chunk(int(number)) if number.isdecimal() and _is_chunk(int(number)) else None
    if chunk is None:
        messages.error(request, _("This passage is no longer in the library; it may have been read anew. Try again."))
        return redirect("guidelines:trial", one.pk)
    is_new = questions.add(actor(request), _case_text(one), chunk)[1]
    if is_new:
        messages.success(request, _("This is a case of the question set now, and will be asked."))
    else:
        messages.info(request, _("This is a case of the question set already."))
    return redirect(f"{reverse('guidelines:trial', args=[one.pk])}#cases")


def _is_chunk(number: int) -> bool:
    return number < 2**63 and Chunk.objects.filter(pk=number).exists()


def _case_text(one: Trial) -> str:
    """The question of a case: where it was asked in a conversation, as it was completed from that."""
    completed = str(one.result.get("query", "")) if one.history else ""
    return completed if 0 < len(completed) <= questions.LONGEST_QUESTION else one.question


# --- the question set ------------------------------------------------------------------------------------------------


@require_GET
@for_role("admin")
def question_set(request: HttpRequest) -> HttpResponse:
    """All cases with what came out last."""
    return _set_page(request, SetForm(), [])


def _set_page(request: HttpRequest, form: SetForm, problems: list[str]) -> HttpResponse:
    cases = questions.questions()
    outcomes = list(cases.values_list("outcome", flat=True))
    context = {
        "cases": Paginator(cases, _CASES_A_PAGE).get_page(request.GET.get("page")),
        "total": len(outcomes),
        "asked": sum(bool(one) for one in outcomes),
        "found": sum(one == Question.Outcome.FOUND for one in outcomes),
        "waiting": questions.waiting().count(),
        "removed": _removed(request),
        "withdrawn": questions.withdrawn()[:_CASES_A_PAGE],
        "form": form,
        "problems": problems[:_MOST_PROBLEMS],
        "more_problems": max(0, len(problems) - _MOST_PROBLEMS),
        "days": questions.KEPT.days,
        "service": _service(),
    }
    return render(request, "guidelines/bench_questions.html", context)


def _removed(request: HttpRequest) -> Question | None:
    """The case that was removed a moment ago."""
    try:
        number = uuid.UUID(request.GET.get("removed", ""))
    except ValueError:
        return None
    return Question.objects.filter(pk=number, withdrawn_at__isnull=False).first()


@require_GET
@for_role("admin")
def set_state(request: HttpRequest) -> JsonResponse:
    """How many cases are still to be asked."""
    return JsonResponse({"waiting": questions.waiting().count(), "problem": _service()})


@require_POST
@for_role("admin")
def ask_all(request: HttpRequest) -> HttpResponse:
    """Ask every case again."""
    count = questions.want_all(actor(request))
    text = ngettext("%(n)d question is asked again.", "%(n)d questions are asked again.", count)
    messages.info(request, text % {"n": count})
    return redirect("guidelines:question_set")


@require_POST
@for_role("admin")
def remove_case(request: HttpRequest, case_id: uuid.UUID) -> HttpResponse:
    """Take a case out; the page offers to undo it."""
    questions.withdraw(actor(request), case := get_object_or_404(Question, pk=case_id))
    return redirect(f"{reverse('guidelines:question_set')}?removed={case.pk}")


@require_POST
@for_role("admin")
def keep_case(request: HttpRequest, case_id: uuid.UUID) -> HttpResponse:
    """Bring a case back."""
    questions.bring_back(actor(request), get_object_or_404(Question, pk=case_id))
    messages.success(request, _("The question is back."))
    return redirect("guidelines:question_set")


@require_POST
@for_role("admin")
def import_set(request: HttpRequest) -> HttpResponse:
    """Add the cases of a file; what could not be taken is said line by line."""
    form = SetForm(request.POST, request.FILES)
    if not form.is_valid():
        return _set_page(request, form, [])
    taken = questions.take_in(actor(request), form.cleaned_data["file"].read())
    text = ngettext("%(n)d question was added.", "%(n)d questions were added.", taken.added) % {"n": taken.added}
    if taken.known:
        known = ngettext("%(n)d was there already.", "%(n)d were there already.", taken.known) % {"n": taken.known}
        text = f"{text} {known}"
    messages.success(request, text)
    return _set_page(request, SetForm(), taken.problems) if taken.problems else redirect("guidelines:question_set")


@require_POST
@for_role("admin")
def export_set(request: HttpRequest) -> HttpResponse:
    """The set as a file of JSON lines."""
    response = HttpResponse(questions.export(actor(request)), content_type="application/x-ndjson; charset=utf-8")
    name = f"havre-questions-{timezone.localdate():%Y-%m-%d}.jsonl"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _service() -> str:
    """Why nothing is worked out at this moment, in a sentence; empty where the knowledge worker is there."""
    present = parts.look()
    if present.knowledge:
        return ""
    if "knowledge" in present.details:
        return _("The guideline service runs but cannot work: its log says why. Questions wait until it can.")
    return _("The guideline service is not running: questions wait until it is back.")
