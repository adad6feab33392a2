"""The report: its numbers are those of the ledger, people and screen readers can read it, and nothing breaks it."""

import ctypes
import io
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
import pytest
from django.core.management import call_command
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.audit._canonical import plain
from portal.audit.exporting import About, Selection, _pdf, _pdf_counts
from portal.audit.exporting._pdf_chart import bars
from portal.audit.exporting._pdf_counts import Counts
from portal.audit.exporting._pdf_page import writable
from portal.audit.models import Event
from portal.audit.services import leaf_of, record
from portal.audit.stored import Row, row_of

ANNA, EMIL = "p-0123456789abcdef01234567", "p-1123456789abcdef01234567"
ABOUT = About(
    number=9,
    ledger="0f6c3c62-3f0e-4a52-9d55-0a6a2b6f1d11",
    facility="Hôpital de l’Essai",
    asked_by="emil",
    at=datetime(2026, 4, 1, tzinfo=UTC),
    language="en",
    selection=Selection(),
    up_to=9,
    count=9,
    checkpoint=None,
    problem="",
    names={ANNA: "anna", EMIL: "Łukasz Wiśniewski"},
)


class Given:
    """Events that stand in no database."""

    def __init__(self, events: Iterable[Row]) -> None:
        self._events = list(events)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)


def events(*kinds: tuple[str, dict[str, Any]] | str) -> Given:
    made = []
    for seq, one in enumerate(kinds, 1):
        kind, payload = (one, {}) if isinstance(one, str) else one
        at = datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(hours=seq)
        payload = dict(payload)
        subject = payload.pop("subject", f"00000000-0000-0000-0000-{seq:012d}")
        event = Event(seq=seq, at=at, kind=kind, actor_id=ANNA, subject=subject, payload=plain(payload))
        event.leaf = leaf_of(event)
        row = row_of(event)
        assert row and not row.problem
        made.append(row)
    return Given(made)


def asked(action: str, category: str = "benign", *rules: str) -> tuple[str, dict[str, Any]]:
    return "turn.started", {"verdict": {"action": action, "category": category, "rules": list(rules)}}


def report(given: Given, **about: Any) -> pypdfium2.PdfDocument:
    out = io.BytesIO()
    assert _pdf.write(given, out, replace(ABOUT, **about), lambda _done: None) == len(given)  # type: ignore[arg-type]
    return pypdfium2.PdfDocument(out.getvalue())


def words(document: pypdfium2.PdfDocument) -> str:
    """Everything that it says, in one line."""
    return " ".join(re.sub(r"\s+", " ", page.get_textpage().get_text_range()) for page in document)


WEEK = (
    *(asked("allow"), asked("allow"), asked("warn", "patient_identifier", "nir.1")),
    asked("redirect", "first_person_crisis", "crisis.1", "crisis.2"),
    asked("alarm", "third_person_emergency", "crisis.1"),
    asked("refuse", "prompt_injection", "injection.1"),
    ("turn.completed", {"groundedness": 1.0, "subject": "t1"}),
    ("turn.completed", {"groundedness": 0.5, "notices": ["dosing.1"], "subject": "t2"}),
    ("turn.completed", {"quotation": "busy", "subject": "t3"}),
    *(("turn.verified", {"subject": one}) for one in ("t1", "t2", "t1")),
    ("turn.verification_withdrawn", {"subject": "t2"}),
    *("turn.redirected", ("turn.refused", {"rule": "injection.1"}), ("turn.failed", {"code": "worker_lost"})),
    ("session.refused", {"subject": ANNA}),
    ("session.locked", {"subject": ANNA}),
    ("guideline.approved", {"title": "<b>Plan & sûreté</b>", "version": "2.0"}),
    ("conversation.read", {"reason": "Complaint **14**"}),
    ("person.erased", {"subject": "p-2123456789abcdef01234567"}),
)


def test_the_numbers_of_the_summary() -> None:
    counts = Counts()
    for event in events(*WEEK):
        counts.add(event)
    assert (counts.events, counts.turns, counts.answers) == (len(WEEK), 6, 3)
    assert counts.levels == {"first_person_crisis": 1, "third_person_emergency": 1}
    assert counts.mean_groundedness == 0.75
    assert counts.verified == {"t1"}
    assert counts.quotations == {"busy": 1}
    assert (counts.refusals, counts.failures) == ({"injection.1": 1}, {"worker_lost": 1})
    assert counts.rules == {
        ("nir.1", "warn"): 1,
        ("crisis.1", "redirect"): 1,
        ("crisis.2", "redirect"): 1,
        ("crisis.1", "alarm"): 1,
        ("injection.1", "refuse"): 1,
        ("dosing.1", "notice"): 1,
    }
    assert [(one.seq, one.answered) for one in counts.redirections.first] == [(4, False), (5, True)]
    assert counts.refused_people == {ANNA: 2}


def test_the_report_says_them() -> None:
    said = words(report(events(*WEEK)))
    for sentence in (
        "6 questions were asked. Answered: 3; stopped by the person: 0.",
        "The hotlines were shown 2 times (33.3% of the questions)",
        "Refused: 1 (injection.1 1). Ended in a failure: 1 (worker_lost 1).",
        "without a model: 1 (33.3%): too many questions waited for the model: 1.",
        "On average 75.0% of the checked sentences",
        "checked against the guidelines: 1 (33.3%).",
        "With a wrong name or password: 1. Locked after too many of them: 1.",
        "<b>Plan & sûreté</b>, version 2.0",
        "Complaint **14**",
        "Erased a person's name: the code stays Erased person (p-2123456789abcdef01234567) anna",
        "Hôpital de l’Essai · audit report · export 9",
    ):
        assert sentence in said, said


def test_what_is_not_recorded_is_said_to_be_not_recorded() -> None:
    said = words(report(events(asked("allow"), "turn.completed")))
    assert "How far answers are supported by the guidelines is not recorded in this selection." in said
    assert "That somebody checked an answer against the guidelines is not recorded" in said
    assert "No guardrail intervened" in said
    empty = words(report(events()))
    assert "No event fits this selection." in empty


def test_a_ledger_that_was_changed_is_told_on_the_first_page() -> None:
    problem = "the audit trail could not be sealed: event 7: it was changed"
    first = report(events("turn.started"), problem=problem)[0].get_textpage().get_text_range()
    assert "The audit trail is not intact" in re.sub(r"\s+", " ", first)


def test_many_events_are_counted_by_day_and_none_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pdf, "MOST_EVENTS", 30)
    said = words(report(events(*["turn.passages"] * 31, "turn.completed", "turn.completed")))
    assert "This selection has more than 30 events" in said
    assert "Every event" not in said
    days = re.findall(r"2026-03-\d\d (\d+) ((?:[a-z_.]+ \d+(?:, )?)+)", said)
    assert sum(int(count) for count, _kinds in days) == 33
    assert sum(int(one) for _count, kinds in days for one in re.findall(r"turn\.\w+ (\d+)", kinds)) == 33
    monkeypatch.setattr(_pdf, "MOST_EVENTS", 33)
    assert "Every event" in words(report(events(*["turn.passages"] * 33)))


def test_hotlines_whose_record_followed_are_redirections() -> None:
    late = {"shown_at": "2026-03-01T09:00:00+00:00", "verdict": {"action": "redirect", "category": "method_seeking"}}
    alarm = {"verdict": {"action": "alarm", "category": "third_person_emergency", "rules": ["crisis.1"]}}
    given = events(asked("allow"), ("crisis.shown", late), ("crisis.shown", alarm), "crisis.shown", "turn.redirected")
    counts = Counts()
    for event in given:
        counts.add(event)
    assert (counts.turns, counts.redirected) == (4, 3)
    assert counts.levels == {"method_seeking": 1, "third_person_emergency": 1, "": 1}
    assert [one.answered for one in counts.redirections.first] == [False, True, False]
    assert counts.redirections.first[0].at == datetime(2026, 3, 1, 9, tzinfo=UTC)
    first = date(2026, 3, 1)
    assert sum(one.turns for one in bars(counts, first, first)[1]) == 4
    said = words(report(given))
    assert "4 questions were asked" in said
    assert "The hotlines were shown 3 times" in said
    assert "no answer of a model: 3" in said


def test_long_lists_are_cut_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pdf_counts, "MOST_LISTED", 40)
    count = 47
    said = words(report(events(*[asked("redirect", "method_seeking", "crisis.1")] * count)))
    assert "7 more are not listed here" in said
    assert f"The hotlines were shown {count} times" in said


@pytest.mark.parametrize(("days", "unit"), [(1, "day"), (92, "day"), (93, "week"), (840, "week"), (841, "month")])
def test_bars_cover_the_whole_period(days: int, unit: str) -> None:
    counts = Counts()
    for event in events(*[asked("redirect", "method_seeking")] * 50):
        counts.add(event)
    first = date(2026, 3, 1)
    found_unit, found = bars(counts, first, first + timedelta(days=days - 1))
    assert found_unit == unit
    shown = sum(one.turns for one in found)
    assert shown == sum(one.hotlines for one in found)
    assert shown == (sum(kinds["turn.started"] for day, kinds in counts.days.items() if (day - first).days < days))
    assert len(found) <= 122


def test_the_document_can_be_followed_without_seeing_it() -> None:
    document = report(events(*WEEK), language="fr")
    assert [one.get_title() for one in document.get_toc()][:2] != []
    assert document.get_metadata_dict()["Title"].endswith("Hôpital de l’Essai")
    tags = [tag for number in range(len(document)) for tag in tags_of(document[number])]
    assert {"Document", "H1", "H2", "P", "Table", "TR", "TH", "TD", "Figure"} <= set(tags)
    assert tags.count("H1") == 1
    out = io.BytesIO()
    _pdf.write(events(*WEEK), out, replace(ABOUT, language="fr"), lambda _done: None)  # type: ignore[arg-type]
    raw = out.getvalue()
    assert b"/Lang (fr)" in raw
    assert b"/Marked true" in raw
    assert b"/DisplayDocTitle true" in raw
    fonts = set(re.findall(rb"/BaseFont /(\S+)", raw))
    assert fonts
    assert all(b"+DejaVuSans" in one for one in fonts), "a font that is not embedded"


def tags_of(page: pypdfium2.PdfPage) -> Iterator[str]:
    tree = pdfium.FPDF_StructTree_GetForPage(page)
    todo = [pdfium.FPDF_StructTree_GetChildAtIndex(tree, n) for n in range(pdfium.FPDF_StructTree_CountChildren(tree))]
    while todo:
        element = todo.pop()
        buffer = ctypes.create_string_buffer(64)
        size = pdfium.FPDF_StructElement_GetType(element, buffer, 64)
        yield buffer.raw[: size - 2].decode("utf-16-le")
        children = range(pdfium.FPDF_StructElement_CountChildren(element))
        found = (pdfium.FPDF_StructElement_GetChildAtIndex(element, number) for number in children)
        todo += [one for one in found if one]
    pdfium.FPDF_StructTree_Close(tree)


@given(st.text(max_size=170), st.text(max_size=6000), st.text(max_size=40))
@settings(max_examples=12, deadline=None)
def test_no_text_breaks_the_report(subject: str, long: str, rule: str) -> None:
    given_ = events(
        ("guideline.approved", {"title": long, "version": rule}),
        ("conversation.read", {"reason": long, "subject": subject}),
        asked("redirect", rule, rule, long),
        ("turn.refused", {"rule": long}),
    )
    assert len(report(given_, facility=subject)) >= 3


@pytest.mark.parametrize("long", ["W" * 9000, "\u4e00" * 9000, "\n" * 9000, "a b " * 3000])
def test_texts_longer_than_a_page_are_cut(long: str) -> None:
    assert len(report(events(("conversation.read", {"reason": long, "subject": long[:170]})))) >= 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("œuvre — « été » n°\u202f4", "œuvre — « été » n°\u00a04"),
        ("Łukasz Ωμέγα Жук ấ", "Łukasz Ωμέγα Жук ấ"),
        ("中", "\ufffd"),
        ("a\u0000b\u200bc", "abc"),
        ("ﬁ", "fi"),
    ],
)
def test_letters_that_the_fonts_lack(text: str, shown: str) -> None:
    assert writable(text) == shown


def test_the_report_of_a_ledger(db: None, tmp_path: Path) -> None:
    with transaction.atomic():
        for _turn in range(3):
            verdict = {"action": "allow", "category": "benign", "rules": []}
            subject = str(uuid.uuid4())
            record("turn.started", actor="anna", actor_role="clinician", subject=subject, payload={"verdict": verdict})
    file = tmp_path / "report.pdf"
    call_command("export_audit", "--format", "pdf", "-o", str(file), stdout=io.StringIO())
    said = words(pypdfium2.PdfDocument(file))
    finished = Event.objects.get(kind="audit.export_finished").payload
    assert f"{finished['events']} of the {finished['up_to']} in the audit trail" in said
    assert f"All {finished['events']}" in said
    assert "3 questions were asked" in said
    for event in Event.objects.filter(seq__lte=finished["up_to"]):
        assert bytes(event.leaf).hex()[:12] in said.replace(" ", "")
