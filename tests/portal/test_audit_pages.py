"""The compliance officer's pages: find events, page by page and by every filter, in words."""

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from django.urls import reverse

from portal.audit import selectors, wording
from portal.audit.export_views import ExportForm
from portal.audit.exporting import Selection
from portal.audit.models import Actor, Event
from portal.audit.services import forget, record
from portal.audit.stored import Marks, rows
from portal.audit.telling import lines
from tests.conftest import Cast

TURN, OTHER, TALK = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
SHA256 = "ab" * 32
VERSION = str(uuid.UUID(int=9))


@pytest.fixture
def officer(client: Client, cast: Cast) -> Client:
    client.force_login(cast.emil)
    return client


def happen(kind: str, actor: str = "system", subject: str = "", role: str = "", **payload: Any) -> Event:
    with transaction.atomic():
        return record(kind, actor=actor, subject=subject, actor_role=role, payload=payload)


@pytest.fixture
def events(db: None) -> dict[str, Event]:
    """Two turns, one of anna's and one of bela's, and what happened beside them."""
    allow = {"action": "allow", "category": "none", "rules": []}
    crisis = {"action": "redirect", "category": "self_harm", "rules": ["suicide.intent.en"]}
    model = {"name": "gpt-oss-20b", "sha256": SHA256}
    asked = happen("turn.started", "anna", TURN, "clinician", conversation=TALK, verdict=allow)
    found = happen("turn.passages", subject=TURN, conversation=TALK, passages=[{"version_id": VERSION, "marker": 1}])
    done = happen("turn.completed", subject=TURN, conversation=TALK, model=model)
    other = happen("turn.started", "bela", OTHER, "clinician", conversation=OTHER, verdict=crisis)
    redirected = happen("turn.redirected", subject=OTHER, conversation=OTHER, rule="suicide.intent.en")
    uploaded = happen("guideline.uploaded", "dora", str(uuid.UUID(int=5)), "admin", title="<b>Plan</b>")
    names = ("asked", "found", "done", "other", "redirected", "uploaded")
    return dict(zip(names, (asked, found, done, other, redirected, uploaded), strict=True))


STORY = ["done", "found", "asked"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"kind": "turn.started"}, ["other", "asked"]),
        ({"kind": "turn"}, ["redirected", "other", *STORY]),
        ({"actor": "anna"}, ["asked"]),
        ({"role": "admin"}, ["uploaded"]),
        ({"conversation": TALK}, STORY),
        ({"document": VERSION}, STORY),
        ({"rule": "suicide.intent.en"}, ["redirected", "other"]),
        ({"verdict": "redirect"}, ["redirected", "other"]),
        ({"verdict": "allow", "actor": "anna"}, STORY),
        ({"verdict": "allow", "actor": "bela"}, []),
        ({"model": SHA256}, STORY),
        ({"model": "gpt-oss-20b", "kind": "turn.completed"}, ["done"]),
        ({"subject": OTHER}, ["redirected", "other"]),
        ({"first_day": "2020-01-01", "last_day": "2020-01-02"}, []),
    ],
    ids=str,
)
def test_the_filters(officer: Client, events: dict[str, Event], query: dict[str, str], expected: list[str]) -> None:
    page = officer.get(reverse("audit:index"), query)
    ours = {one.seq: name for name, one in events.items()}
    assert [ours.get(one.event.seq, one.event.kind) for one in page.context["lines"]] == expected
    assert page.context["found"].count == len(expected)
    if not expected:
        assert "No event matches" in page.content.decode()


def test_one_number_shows_one_event(officer: Client, events: dict[str, Event]) -> None:
    page = officer.get(reverse("audit:index"), {"number": events["found"].seq})
    assert [one.event.seq for one in page.context["lines"]] == [events["found"].seq]


@pytest.mark.parametrize(
    "query",
    [
        {"first_day": "yesterday"}, {"kind": "\x00"}, {"number": "0"}, {"number": "9" * 40}, {"conversation": "x"},
        {"verdict": "<b>"}, {"role": "owner"}, {"first_day": "2026-02-02", "last_day": "2026-01-01"},
        {"first_day": "0001-01-01"}, {"last_day": "9999-12-31"}, {"actor": "x" * 171},
    ],
    ids=str,
)  # fmt: skip
def test_a_filter_that_is_not_right_is_not_taken_for_none(
    officer: Client, events: dict[str, Event], query: dict[str, str]
) -> None:
    page = officer.get(reverse("audit:index"), query)
    text = page.content.decode()
    assert page.status_code == 200 and "field__error" in text and "a filter above is not right" in text
    assert page.context["lines"] == [] and "<b>" not in text


@pytest.mark.parametrize(
    "query",
    [
        {"before": "-3"}, {"after": "x"}, {"before": "9" * 40}, {"before": "²"}, {"page": "x"}, {"no_such": "x"},
        {"before": "1", "after": "1"}, {"after": "0"},
    ],
    ids=str,
)  # fmt: skip
def test_a_place_that_is_none_does_not_break_the_page(
    officer: Client, events: dict[str, Event], query: dict[str, str]
) -> None:
    page = officer.get(reverse("audit:index"), query)
    assert page.status_code == 200 and not page.context["is_filtered"] and "field__error" not in page.content.decode()


@pytest.mark.parametrize(
    "value", ["' OR 1=1 --", "%", "\ud800".encode("utf-8", "replace").decode(), "é" * 60, "*", "_"]
)
def test_whatever_is_typed_is_only_looked_for(officer: Client, events: dict[str, Event], value: str) -> None:
    for name in ("actor", "kind", "subject", "document", "rule", "model"):
        page = officer.get(reverse("audit:index"), {name: value})
        assert (page.status_code, page.context["lines"]) == (200, []), name
        assert "Take one of them away" in page.content.decode()


_JUNK = ("", "-1", "0", "\x00", "²", "9" * 40, "2026-13-40", "<b>", "[]", "..", "99999999-9999-4999-8999-99999999999")
_PARAMETERS = {
    "audit:activity": ("days",), "audit:integrity": ("x",), "audit:export": tuple(ExportForm.base_fields),
    "chat:erasures": ("what",), "audit:verify_progress": ("x",),
}  # fmt: skip


@pytest.mark.parametrize("name", _PARAMETERS)
def test_no_junk_breaks_a_page_beside_it(officer: Client, events: dict[str, Event], name: str) -> None:
    for value in _JUNK:
        page = officer.get(reverse(name), dict.fromkeys(_PARAMETERS[name], value))
        assert page.status_code in {200, 404}, (name, value)
        assert b"<b>" not in page.content


@pytest.mark.parametrize("value", _JUNK)
def test_no_junk_breaks_a_story(officer: Client, events: dict[str, Event], value: str) -> None:
    story = reverse("story", args=[TURN])
    page = officer.post(story, {"reason": f"A reason that is long enough {value}", "times": value})
    assert page.status_code == 200 and not Event.objects.filter(kind="conversation.read").exists()
    assert officer.get(f"/audit/turns/{value}/".replace("\x00", "%00")).status_code == 404


def test_a_period_is_a_click_and_keeps_the_other_filters(officer: Client, events: dict[str, Event]) -> None:
    page = officer.get(reverse("audit:index"), {"kind": "turn", "before": 99})
    today, week = page.context["periods"][:2]
    assert "kind=turn" in week["query"] and "before" not in week["query"] and not week["is_chosen"]
    page = officer.get(reverse("audit:index") + "?" + today["query"])
    assert page.context["found"].count == 5 and page.context["periods"][0]["is_chosen"]
    assert 'aria-current="true"' in page.content.decode()


def test_pages_follow_one_another_by_number_in_both_directions(officer: Client) -> None:
    with transaction.atomic():
        for number in range(120):
            record("x.happened" if number % 2 else "y.happened", actor="system")
    every = list(Event.objects.filter(kind="x.happened").order_by("-seq").values_list("seq", flat=True))
    seen: list[int] = []
    query: dict[str, Any] = {"kind": "x.happened"}
    page = officer.get(reverse("audit:index"), query)
    while True:
        found = page.context["found"]
        seen += [one.seq for one in found.events]
        happen("y.happened")  # what is recorded meanwhile moves nothing
        if found.older is None:
            break
        page = officer.get(reverse("audit:index"), query | {"before": found.older})
    assert seen == every
    back = officer.get(reverse("audit:index"), query | {"after": found.newer}).context["found"]
    assert [one.seq for one in back.events] == every[:50] and back.newer is None


def test_a_page_of_many_asks_the_database_few_times(
    officer: Client, events: dict[str, Event], django_assert_max_num_queries: Any
) -> None:
    for number in range(60):
        happen("session.signed_in", f"person{number}")
    with django_assert_max_num_queries(16):
        officer.get(reverse("audit:index"))


def test_people_are_named_and_erased_ones_are_not(officer: Client, events: dict[str, Event]) -> None:
    with transaction.atomic():
        code = Actor.objects.get(name="anna").code
        record("user.password_renewed", actor="dora", subject=code)
    page = officer.get(reverse("audit:index")).content.decode()
    assert f"?actor={code}" in page and ">anna<" in page
    with transaction.atomic():
        forget("anna", actor="system")
    page = officer.get(reverse("audit:index")).content.decode()
    assert ">anna<" not in page and f"Erased person ({code})" in page


def test_the_page_leads_to_the_story_the_model_the_document_and_the_export(
    officer: Client, events: dict[str, Event]
) -> None:
    page = officer.get(reverse("audit:index"), {"kind": "turn"}).content.decode()
    assert reverse("story", args=[TURN]) in page
    assert reverse("modelcards:card", args=[SHA256]) in page
    assert f"{reverse('audit:export')}?kind=turn" in page
    page = officer.get(reverse("audit:index")).content.decode()
    assert f"?subject={uuid.UUID(int=5)}" in page and "&lt;b&gt;Plan" in page


def test_many_are_not_counted_to_the_end(officer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors, "_MOST_COUNTED", 3)
    with transaction.atomic():
        for _ in range(5):
            record("x.happened", actor="system")
    found = selectors.search(Selection(kind="x"))
    assert (found.count, found.is_more, len(found.events)) == (3, True, 5)
    assert "more than 3" in officer.get(reverse("audit:index"), {"kind": "x"}).content.decode()


# --- words -------------------------------------------------------------------------------------------------------

_WIRE = {"turn.accepted", "turn.reasoning", "turn.delta", "turn.queued", "turn.start", "turn.cancel", "turn.resume"}
_WIRE |= {"turn.not_written_yet", "audit.checkpoint", "audit.key", "guidelines.html", "crisis.detected"}


def recorded_kinds() -> set[str]:
    """Every kind that stands in the code as a whole, and those that are put together of a room and a state."""
    found: set[str] = set()
    rooms = "|".join(wording.ROOMS)
    for room in ("portal", "knowledge"):
        for file in (Path(settings.BASE_DIR) / room).rglob("*.py"):
            text = file.read_text()
            if "migrations" in file.parts or file.name in {"wording.py", "_fhir_kinds.py"}:
                continue
            if re.search(r"\b(record|append|_record|record_end)\(", text):
                found |= set(re.findall(rf'"((?:{rooms})\.[a-z_]+)"', text))
                prefix = {"safeguards": "safeguards", "guidelines": "guideline"}.get(file.parent.name)
                if prefix:
                    found |= {f"{prefix}.{what}" for what in re.findall(r'\b_record\("([a-z_]+)"', text)}
    return found - _WIRE | {f"turn.{state}" for state in ("retrieving", "generating", "completed", "failed", "refused")}


def test_every_kind_that_is_recorded_has_a_sentence() -> None:
    kinds = recorded_kinds()
    assert len(kinds) > 60
    assert sorted(kinds - set(wording.SENTENCES)) == []


def test_a_kind_of_another_version_is_told_by_its_room_and_code() -> None:
    assert wording.sentence("turn.sent_to_mars", {}) == "Questions and answers: sent to mars"
    assert wording.sentence("mars.landed_on", {}) == "mars: landed on"


@pytest.mark.parametrize("payload", [{}, {"piece": 3}, {"piece": "<b>", "characters": None}])
def test_a_sentence_is_one_whatever_the_event_holds(payload: dict[str, Any]) -> None:
    for kind in wording.SENTENCES:
        said = wording.sentence(kind, payload)
        assert said and "%(" not in said


def test_details_name_people_and_flatten_what_is_nested(db: None) -> None:
    happen("x.happened", "anna")
    code = Actor.objects.get(name="anna").code
    happen("y.happened", payload_of={"who": code, "deep": {"n": [1, {"a": True}]}})
    seqs = list(Event.objects.filter(kind="y.happened").values_list("seq", flat=True))
    (line,) = lines(rows(seqs, Marks()))
    assert dict(line.details) == {"payload_of.who": f"anna ({code})", "payload_of.deep.n": "1; a True"}


@pytest.mark.parametrize("most", [10, 55, 70, 10_000])
def test_pages_follow_one_another_however_many_are_counted(
    db: None, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(selectors, "_MOST_COUNTED", most)
    with transaction.atomic():
        every = [record("x.happened", actor="system").seq for _ in range(130)][::-1]
    seen: list[int] = []
    before: int | None = None
    pages = []
    while True:
        found = selectors.search(Selection(kind="x"), before=before)
        seen += [one.seq for one in found.events]
        pages.append(found)
        if found.older is None:
            break
        before = found.older
    assert seen == every
    after, back = pages[-1].newer, []
    while after is not None:
        found = selectors.search(Selection(kind="x"), after=after)
        back = [one.seq for one in found.events] + back
        after = found.newer
    assert back == every[: len(back)] and len(back) == 100
