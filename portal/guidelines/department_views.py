"""Departments: their names, who belongs to them, and which guidelines are for them alone."""

import uuid

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

import knowledge
from knowledge.models import Department
from portal.access import for_role
from portal.accounts.services import set_departments
from portal.guidelines.forms import DepartmentForm, MembersForm
from portal.guidelines.views import actor


@require_http_methods(["GET", "POST"])
@for_role("admin")
def departments(request: HttpRequest) -> HttpResponse:
    """All departments, and the form that adds one."""
    form = DepartmentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            added = knowledge.add_department(form.cleaned_data["name"], actor=actor(request).username)
        except knowledge.KnowledgeError as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, _("“%(name)s” was added. Say who belongs to it.") % {"name": added.name})
            return redirect("guidelines:department", added.pk)
    people = Count("people", filter=Q(people__is_active=True), distinct=True)
    listed = Department.objects.annotate(people_count=people, guideline_count=Count("guidelines", distinct=True))
    return render(request, "guidelines/departments.html", {"departments": listed, "form": form})


@require_http_methods(["GET", "POST"])
@for_role("admin")
def department(request: HttpRequest, department_id: uuid.UUID) -> HttpResponse:
    """One department: who belongs to it, and which guidelines are for it."""
    one = get_object_or_404(Department, pk=department_id)
    form = MembersForm(request.POST if request.method == "POST" else None, initial={"people": one.people.all()})
    if request.method == "POST" and form.is_valid():
        _set_members(one, form, actor(request).username)
        messages.success(request, _("It was written down who belongs to “%(name)s”.") % {"name": one.name})
        return redirect("guidelines:department", one.pk)
    context = {
        "department": one,
        "form": form,
        "rename": DepartmentForm(initial={"name": one.name}, auto_id="rename_%s"),
        "guidelines": one.guidelines.order_by("title"),
    }
    return render(request, "guidelines/department.html", context)


@transaction.atomic
def _set_members(one: Department, form: MembersForm, who: str) -> None:
    chosen = set(form.cleaned_data["people"])
    people = form.fields["people"].queryset.select_for_update()  # type: ignore[attr-defined]
    for person in people.prefetch_related("departments"):
        theirs = set(person.departments.all())
        wanted = theirs | {one} if person in chosen else theirs - {one}
        if wanted != theirs:
            set_departments(person, wanted, actor=who)


@require_POST
@for_role("admin")
def rename(request: HttpRequest, department_id: uuid.UUID) -> HttpResponse:
    """Give a department another name."""
    one, form = get_object_or_404(Department, pk=department_id), DepartmentForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Write the name of the department."))
        return redirect("guidelines:department", one.pk)
    try:
        renamed = knowledge.rename_department(one.pk, form.cleaned_data["name"], actor=actor(request).username)
    except knowledge.KnowledgeError as error:
        messages.error(request, str(error))
    else:
        text = _("“%(old)s” is called “%(new)s” now.")
        messages.success(request, text % {"old": one.name, "new": renamed.name})
    return redirect("guidelines:department", one.pk)


@require_http_methods(["GET", "POST"])
@for_role("admin")
def remove(request: HttpRequest, department_id: uuid.UUID) -> HttpResponse:
    """What removing a department means; a POST does it."""
    one = get_object_or_404(Department, pk=department_id)
    if request.method == "GET":
        only = [guideline for guideline in one.guidelines.order_by("title") if guideline.departments.count() == 1]
        context = {"department": one, "only": only, "people": one.people.filter(is_active=True).count()}
        return render(request, "guidelines/remove_department.html", context)
    try:
        knowledge.remove_department(one.pk, actor=actor(request).username)
    except knowledge.KnowledgeError as error:
        messages.error(request, str(error))
        return redirect("guidelines:department", one.pk)
    messages.success(request, _("“%(name)s” was removed.") % {"name": one.name})
    return redirect("guidelines:departments")
