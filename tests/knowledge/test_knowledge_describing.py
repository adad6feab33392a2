"""What people say of guidelines: descriptions, departments, which file is a version of which."""

import uuid
from typing import Any

import pytest

import knowledge
from knowledge import selectors
from knowledge.models import Department, Guideline, Question

from .versions import State, make

pytestmark = pytest.mark.django_db


def describe(guideline: Guideline, **fields: Any) -> dict[str, list[Any]]:
    names = ("title", "publisher", "language", "population", "setting", "evidence_level", "licence", "source_url")
    known = {name: getattr(guideline, name) for name in (*names, "contact")}
    return knowledge.describe(
        guideline.pk, actor="dora", **{**known, "departments": list(guideline.departments.all()), **fields}
    )


def test_what_a_description_changed_is_told_before_and_after() -> None:
    one = make(reader=3)
    ward = knowledge.add_department("Ward 3", actor="dora")
    title = one.guideline.title
    changes = describe(one.guideline, title=" Seclusion \n and restraint", population="adults", departments=[ward.pk])
    assert changes == {
        "title": [title, "Seclusion and restraint"], "population": ["", "adults"], "departments": [[], ["Ward 3"]],
    }  # fmt: skip
    one.refresh_from_db()
    assert one.reader == 0  # a title is searched with the text: it is read again
    guideline = Guideline.objects.get(pk=one.guideline_id)
    assert describe(guideline) == {}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": " \n"}, "needs a title"),
        ({"title": "Taken"}, "another guideline with the title"),
        ({"source_url": "javascript:alert(1)"}, "is not a web address"),
        ({"source_url": "https://[broken"}, "is not a web address"),
        ({"departments": [uuid.uuid4()]}, "was removed meanwhile"),
    ],
)
def test_descriptions_that_are_refused_change_nothing(fields: dict[str, Any], words: str) -> None:
    make(Guideline.objects.create(title="Taken"))
    guideline = make().guideline
    with pytest.raises(knowledge.NotPossible, match=words):
        describe(guideline, population="adults", **fields)
    guideline.refresh_from_db()
    assert guideline.population == ""


def test_removing_a_department_never_opens_a_guideline() -> None:
    ward, emergency = (knowledge.add_department(name, actor="dora") for name in ("Ward 3", "Emergency"))
    alone, shared = make(state=State.EFFECTIVE).guideline, make(state=State.EFFECTIVE).guideline
    alone.departments.set([ward])
    shared.departments.set([ward, emergency])
    with pytest.raises(knowledge.NotPossible, match="do not become visible to everybody"):
        knowledge.remove_department(ward.pk, actor="dora")
    alone.departments.set([emergency])
    knowledge.remove_department(ward.pk, actor="dora")
    assert not selectors.answering_versions(departments=[]).exists()
    assert selectors.answering_versions(departments=[emergency.pk]).count() == 2


@pytest.mark.parametrize("name", ["", "  ", "ward 3", " Ward  3 "])
def test_departments_have_names_of_their_own(name: str) -> None:
    knowledge.add_department("Ward 3", actor="dora")
    other = knowledge.add_department("Emergency", actor="dora")
    with pytest.raises(knowledge.NotPossible):
        knowledge.add_department(name, actor="dora")
    with pytest.raises(knowledge.NotPossible):
        knowledge.rename_department(other.pk, name, actor="dora")
    assert knowledge.rename_department(other.pk, "emergency", actor="dora").name == "emergency"
    assert Department.objects.count() == 2


def test_a_draft_joins_another_guideline_and_splits_off_again() -> None:
    known, draft = make(state=State.EFFECTIVE).guideline, make(similarity=0.8)
    left = draft.guideline_id
    case = Question.objects.create(text="How long?", guideline=draft.guideline, quote="four hours", added_by="dora")
    joined = knowledge.join(draft.pk, known.pk, actor="dora")
    assert (joined.guideline_id, joined.number, joined.similarity, joined.reader) == (known.pk, 2, None, 0)
    assert not Guideline.objects.filter(pk=left).exists()
    case.refresh_from_db()
    assert case.guideline_id == known.pk
    ward = knowledge.add_department("Ward 3", actor="dora")
    known.departments.set([ward])
    alone = knowledge.split_off(draft.pk, actor="dora", title="Restraint")
    assert (alone.guideline.title, alone.number) == ("Restraint", 1)
    assert list(alone.guideline.departments.all()) == [ward]  # nobody sees more than before


def test_questions_of_two_guidelines_that_become_one() -> None:
    known, draft = make(state=State.EFFECTIVE).guideline, make()
    for guideline in (known, draft.guideline):
        for page in (3, None):
            said = {"text": "How long?", "page": page, "quote": "four hours", "added_by": "dora"}
            Question.objects.create(guideline=guideline, **said)
    Question.objects.create(guideline=draft.guideline, text="Who?", page=3, quote="a nurse", added_by="dora")
    knowledge.join(draft.pk, known.pk, actor="dora")
    found = Question.objects.filter(guideline=known).values_list("text", "page")
    assert sorted(found, key=str) == [("How long?", 3), ("How long?", None), ("How long?", None), ("Who?", 3)]


def test_what_is_split_off_gets_a_title_of_its_own() -> None:
    guideline = Guideline.objects.create(title="Seclusion", publisher="Ward 3")
    make(guideline, state=State.EFFECTIVE)
    titles = [knowledge.split_off(make(guideline).pk, actor="dora").guideline.title for _ in range(2)]
    assert titles == ["Seclusion (2)", "Seclusion (3)"]  # the file is seclusion.pdf
    with pytest.raises(knowledge.NotPossible, match="another guideline with the title"):
        knowledge.split_off(make(guideline).pk, actor="dora", title="Seclusion")


def test_joins_that_are_refused() -> None:
    known, decided, draft = make(state=State.EFFECTIVE).guideline, make(state=State.EFFECTIVE), make()
    with pytest.raises(knowledge.NotPossible, match="Only a draft or a version in review"):
        knowledge.join(decided.pk, known.pk, actor="dora")
    with pytest.raises(knowledge.NotPossible, match="belongs to this guideline already"):
        knowledge.join(draft.pk, draft.guideline_id, actor="dora")
    with pytest.raises(knowledge.NotPossible, match="no other version"):
        knowledge.split_off(draft.pk, actor="dora")
    ward, emergency = (knowledge.add_department(name, actor="dora") for name in ("Ward 3", "Emergency"))
    draft.guideline.departments.set([ward])
    for departments in ([], [emergency], [ward, emergency]):
        known.departments.set(departments)
        with pytest.raises(knowledge.NotPossible, match="would be open to more people"):
            knowledge.join(draft.pk, known.pk, actor="dora")
    known.departments.set([ward])
    assert knowledge.join(draft.pk, known.pk, actor="dora").guideline == known


def test_a_scan_is_put_back_to_be_read_by_ocr() -> None:
    scan = make(ingestion="failed", error_code="scan", error_parameters={"name": "scan.pdf"})
    assert selectors.wants_ocr(scan)
    with pytest.raises(knowledge.NotPossible, match="French and English only"):
        knowledge.read_by_ocr(scan.pk, "de", actor="dora")
    waiting = knowledge.read_by_ocr(scan.pk, "fr", actor="dora")
    assert (waiting.ingestion, waiting.ocr_language, waiting.error_code) == ("pending", "fr", "")
    with pytest.raises(knowledge.NotPossible, match="does not wait for OCR"):
        knowledge.read_by_ocr(scan.pk, "fr", actor="dora")
    locked = make(ingestion="failed", error_code="encrypted")
    with pytest.raises(knowledge.NotPossible, match="does not wait for OCR"):
        knowledge.read_by_ocr(locked.pk, "fr", actor="dora")
