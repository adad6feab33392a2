"""What people say of guidelines: their description, whom they are for, which file is a version of which.

Each change is announced with what it was before (`signals.guideline_changed`, `signals.department_changed`), in its
transaction. `actor` is the sign-in name of whoever makes it.
"""

from collections.abc import Collection, Mapping
from itertools import chain, count
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db import transaction
from django.db.models import CharField, Max

from knowledge._errors import NotPossible
from knowledge.ingestion._intake import tidy, title_of
from knowledge.models import Department, Guideline, GuidelineVersion, Question
from knowledge.opening import close_or_ask, withdraw_those_for, would_open
from knowledge.signals import department_changed, guideline_changed

State = GuidelineVersion.State
_MOVABLE = (State.DRAFT, State.IN_REVIEW)
_LONGEST = {field.name: field.max_length for field in Guideline._meta.fields if isinstance(field, CharField)}
_ROOM = 280  # characters of a title that may get a number
_LONGEST_NAME = 120  # characters of a department's name


@transaction.atomic
def describe(
    guideline_id: UUID | str,
    *,
    actor: str,
    title: str,
    publisher: str,
    language: str,
    population: str,
    setting: str,
    evidence_level: str,
    licence: str,
    source_url: str,
    contact: str,
    departments: Collection[UUID | str | Department],
) -> dict[str, list[Any]]:
    """Write down what a guideline is and which departments it is for (none: everybody). Returns what changed, {field:
    [before, after]}; departments by their names. To more people than it was approved for it is not opened: that is
    asked of a second person (`knowledge.opening`).

    A new title or language is searched for as soon as its versions have been read again, which goes on in the
    background. Raises NotPossible without a title, for the title of another guideline of the same publisher, for
    addresses that no browser opens.
    """
    guideline = Guideline.objects.select_for_update().get(pk=guideline_id)
    given = {
        "title": title, "publisher": publisher, "language": language, "population": population, "setting": setting,
        "evidence_level": evidence_level, "licence": licence, "source_url": source_url, "contact": contact,
    }  # fmt: skip
    fields = {name: tidy(text)[: _LONGEST[name]] for name, text in given.items()}
    _check_fields(guideline, fields)
    changes = {name: [was, new] for name, new in fields.items() if (was := getattr(guideline, name)) != new}
    for name, (_, new) in changes.items():
        setattr(guideline, name, new)
    guideline.save(update_fields=list(fields))
    if "language" in changes and guideline.language:
        guideline.versions.update(language=guideline.language)
    if changes.keys() & {"title", "language"}:
        _read_again(guideline)
    changes |= close_or_ask(guideline, _departments(departments), actor=actor)
    if changes:
        _announce(guideline, "described", actor, changes)
    return changes


@transaction.atomic
def set_enabled(guideline_id: UUID | str, enabled: bool, *, actor: str = "system") -> Guideline:
    """Switch a guideline on or off. Off, none of its passages is found from the next question on; old citations still
    open."""
    guideline = Guideline.objects.select_for_update().get(pk=guideline_id)
    if guideline.enabled != enabled:
        guideline.enabled = enabled
        guideline.save(update_fields=["enabled"])
        _announce(guideline, "enabled" if enabled else "disabled", actor)
    return guideline


# --- which file is a version of which guideline


@transaction.atomic
def join(version_id: UUID | str, guideline_id: UUID | str, *, actor: str) -> GuidelineVersion:
    """Make a draft, or a version in review, the newest version of another guideline; what it came from goes when it has
    no other version.

    Raises NotPossible for versions that were approved, and where more people would see it than before.
    """
    version, old = _movable(version_id)
    target = Guideline.objects.select_for_update().get(pk=guideline_id)
    if target.pk == old.pk:
        raise NotPossible("same_guideline", title=old.title, number=version.number)
    if would_open(old.departments.all(), target.departments.all()):
        raise NotPossible("would_open", title=old.title, other=target.title)
    changes = {"guideline": [old.title, target.title], "version": [version.label, _moved(version, target)]}
    _announce(old, "joined", actor, changes, version)
    _announce(target, "joined", actor, changes, version)
    if not old.versions.exists():
        _move_questions(old, target)
        old.delete()
    return version


@transaction.atomic
def split_off(version_id: UUID | str, *, actor: str, title: str = "") -> GuidelineVersion:
    """Make a draft, or a version in review, a guideline of its own, for the same departments as before. It is called
    `title`, or by its file's name, with a number where that is taken. Raises NotPossible for the only version, for
    versions that were approved, and for a title that is taken."""
    version, old = _movable(version_id)
    if old.versions.count() == 1:
        raise NotPossible("only_version", title=old.title)
    name = tidy(title)[: _LONGEST["title"]] or _free_title(title_of(version.filename), old.publisher)
    if Guideline.objects.filter(title=name, publisher=old.publisher).exists():
        raise NotPossible("title_taken", title=name)
    new = Guideline.objects.create(
        title=name, publisher=old.publisher, language=version.language, licence=old.licence, source_url=old.source_url
    )
    new.departments.set(old.departments.all())
    changes = {"guideline": [old.title, new.title], "version": [version.label, _moved(version, new)]}
    _announce(old, "split_off", actor, changes, version)
    _announce(new, "split_off", actor, changes, version)
    return version


@transaction.atomic
def keep_apart(version_id: UUID | str, *, actor: str) -> GuidelineVersion:
    """Write down that a version is not a version of the guideline that it is like, so that nobody is asked again."""
    version = GuidelineVersion.objects.select_for_update(of=("self",)).select_related("guideline").get(pk=version_id)
    if version.similar_to_id:
        version.similar_to = version.similarity = None
        version.save(update_fields=["similar_to", "similarity"])
        _announce(version.guideline, "kept_apart", actor, version=version)
    return version


# --- departments


@transaction.atomic
def add_department(name: str, *, actor: str) -> Department:
    """A new department. Raises NotPossible without a name, or with one that is taken."""
    department = Department.objects.create(name=_free_name(name))
    department_changed.send(Department, department=department, kind="added", actor=actor, changes={})
    return department


@transaction.atomic
def rename_department(department_id: UUID | str, name: str, *, actor: str) -> Department:
    """Give a department another name. Raises NotPossible without one, or with one that is taken."""
    department = Department.objects.select_for_update().get(pk=department_id)
    before, department.name = department.name, _free_name(name, besides=department)
    if department.name != before:
        department.save(update_fields=["name"])
        changes = {"name": [before, department.name]}
        department_changed.send(Department, department=department, kind="renamed", actor=actor, changes=changes)
    return department


@transaction.atomic
def remove_department(department_id: UUID | str, *, actor: str) -> None:
    """Remove a department; people who belonged to it no longer do.

    Raises NotPossible while a guideline is for no other department: without its last one it would be everybody's.
    Where others remain, it stays theirs.
    """
    department = Department.objects.select_for_update().get(pk=department_id)
    # Locked, so that nobody takes the other department of one of them away meanwhile.
    guidelines = list(Guideline.objects.select_for_update().filter(departments=department))
    for guideline in guidelines:
        before = [one.name for one in guideline.departments.order_by("name")]
        if len(before) == 1:
            raise NotPossible("department_in_use", name=department.name, title=guideline.title)
        changes = {"departments": [before, [name for name in before if name != department.name]]}
        _announce(guideline, "described", actor, changes)
    withdraw_those_for(department, actor=actor)
    department_changed.send(Department, department=department, kind="removed", actor=actor, changes={})
    department.delete()


# --- how


def _check_fields(guideline: Guideline, fields: Mapping[str, str]) -> None:
    if not fields["title"]:
        raise NotPossible("title_missing")
    same = Guideline.objects.filter(title=fields["title"], publisher=fields["publisher"])
    if same.exclude(pk=guideline.pk).exists():
        raise NotPossible("title_taken", title=fields["title"])
    address = fields["source_url"]
    try:
        scheme, host = (parts := urlsplit(address)).scheme, parts.hostname
    except ValueError:
        scheme, host = "", None
    if address and not (scheme in {"http", "https"} and host):
        raise NotPossible("web_address", address=address)


def _departments(given: Collection[UUID | str | Department]) -> list[Department]:
    """Raises NotPossible where one of them is gone: leaving it out could open the guideline to everybody."""
    numbers = {one.pk if isinstance(one, Department) else UUID(str(one)) for one in given}
    found = list(Department.objects.select_for_update().filter(pk__in=numbers).order_by("name"))
    if len(found) != len(numbers):
        raise NotPossible("department_gone")
    return found


def _movable(version_id: UUID | str) -> tuple[GuidelineVersion, Guideline]:
    guideline_id = GuidelineVersion.objects.values_list("guideline_id", flat=True).get(pk=version_id)
    old = Guideline.objects.select_for_update().get(pk=guideline_id)
    version = GuidelineVersion.objects.select_related("guideline").get(pk=version_id)
    if version.state not in _MOVABLE:
        raise NotPossible("not_a_draft", title=old.title, number=version.number, state=version.state)
    return version, old


def _moved(version: GuidelineVersion, target: Guideline) -> str:
    """Make it the newest version of a guideline; its new label. It is read again, because the title is searched with
    its text."""
    version.number = (target.versions.aggregate(last=Max("number"))["last"] or 0) + 1
    version.guideline, version.similar_to, version.similarity, version.reader = target, None, None, 0
    version.save(update_fields=["number", "guideline", "similar_to", "similarity", "reader"])
    return version.label


def _move_questions(old: Guideline, target: Guideline) -> None:
    """The test questions of a guideline that goes; where the other one has the same question for the same page, its own
    stays."""
    there = set(Question.objects.filter(guideline=target, page__isnull=False).values_list("text", "page"))
    for question in Question.objects.filter(guideline=old):
        if (question.text, question.page) not in there:
            question.guideline = target
            question.save(update_fields=["guideline"])


def _free_title(wanted: str, publisher: str) -> str:
    """A title that no guideline of the publisher has: the wanted one, else with the least number that is free."""
    taken = set(Guideline.objects.filter(publisher=publisher, title__startswith=wanted[:_ROOM]).values_list("title"))
    numbered = (f"{wanted[:_ROOM]} ({number})" for number in count(2))
    return next(one for one in chain([wanted[: _LONGEST["title"]]], numbered) if (one,) not in taken)


def _read_again(guideline: Guideline) -> None:
    """Title and language go into what is searched: `reader` 0 has the versions read anew, while the old chunks
    answer."""
    guideline.versions.update(reader=0)


def _free_name(name: str, besides: Department | None = None) -> str:
    name = tidy(name)[:_LONGEST_NAME]
    if not name:
        raise NotPossible("department_unnamed")
    same = Department.objects.filter(name__iexact=name)
    if (same.exclude(pk=besides.pk) if besides else same).exists():
        raise NotPossible("department_taken", name=name)
    return name


def _announce(
    guideline: Guideline,
    kind: str,
    actor: str,
    changes: Mapping[str, list[Any]] | None = None,
    version: GuidelineVersion | None = None,
) -> None:
    guideline_changed.send(
        Guideline, guideline=guideline, kind=kind, actor=actor, version=version, changes=dict(changes or {})
    )
