"""Which events an export has: one story of one turn is whole or not there."""

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from unittest.mock import patch

import pytest
from django.db import transaction
from django.utils import timezone

from knowledge.models import Guideline, GuidelineVersion
from portal.audit.exporting import Selection, events
from portal.audit.models import Event
from portal.audit.services import code_of, record

SHA256 = "ab" * 32


@dataclass(frozen=True)
class Story:
    """Three turns, a sign-in and a guideline's life; names of turns are their subjects."""

    turns: tuple[str, str, str]
    conversation: str
    guideline: str
    version: str


@pytest.fixture
def story(db: None) -> Story:
    turns = tuple(str(uuid.uuid4()) for _ in range(3))
    conversation, guideline = str(uuid.uuid4()), Guideline.objects.create(title="Plan")
    values = {"filename": "a", "media_type": "b", "size": 1, "guideline": guideline, "number": 1}
    version = GuidelineVersion.objects.create(sha256=SHA256, uploaded_by="dora", **values)
    days = (datetime(2026, 3, 1, 22, 30, tzinfo=UTC), datetime(2026, 3, 1, 23, 30, tzinfo=UTC))

    def happens(day: datetime, kind: str, actor: str, subject: str, role: str = "", **payload: object) -> None:
        with patch.object(timezone, "now", return_value=day), transaction.atomic():
            record(kind, actor=actor, actor_role=role, subject=subject, payload=payload)

    happens(days[0], "guideline.uploaded", "dora", str(guideline.pk), "admin", sha256=SHA256)
    happens(days[0], "session.signed_in", "anna", "x", "clinician")
    for place, turn in enumerate(turns):
        action = ("allow", "allow", "redirect")[place]
        verdict = {"category": "benign", "action": action, "rules": ["crisis.a"] if place == 2 else []}
        of = conversation if place < 2 else str(uuid.uuid4())
        who = ("anna", "anna", "bela")[place]
        happens(days[0], "turn.started", who, turn, "clinician", conversation=of, verdict=verdict)
        if place == 2:
            happens(days[0], "turn.redirected", "system", turn, rule="crisis.a")
            continue
        passages = [{"version_id": str(version.pk)}] if place == 0 else [{"version_id": str(uuid.uuid4())}]
        happens(days[1], "turn.passages", "system", turn, passages=passages)
        notices = ["dose"] if place == 1 else []
        model = {"name": "m", "sha256": "9" * 64}
        happens(days[1], "turn.completed", "system", turn, model=model, notices=notices)
    happens(days[1], "conversation.read", "emil", conversation, "compliance")
    return Story((turns[0], turns[1], turns[2]), conversation, str(guideline.pk), str(version.pk))


def kinds(selection: Selection) -> list[str]:
    last = Event.objects.count()
    found = events(selection, last)
    assert list(found) == sorted(found, key=lambda event: event.seq)
    return [event.kind for event in found if not event.kind.startswith(("person.", "clock."))]


ONE = ["turn.started", "turn.passages", "turn.completed"]


def test_turns_are_chosen_whole(story: Story) -> None:
    life = ["guideline.uploaded"]
    assert kinds(Selection(document=story.version)) == life + ONE
    assert kinds(Selection(document=story.guideline)) == life + ONE
    assert kinds(Selection(document=SHA256.upper())) == life + ONE
    assert kinds(Selection(conversation=story.conversation)) == [*ONE, *ONE, "conversation.read"]
    assert kinds(Selection(conversation=story.conversation.upper().replace("-", ""))) == [
        *ONE,
        *ONE,
        "conversation.read",
    ]
    assert kinds(Selection(rule="crisis.a")) == ["turn.started", "turn.redirected"]
    assert kinds(Selection(rule="dose")) == ONE
    assert kinds(Selection(rule="crisis")) == []
    assert kinds(Selection(rule="%")) == []
    assert kinds(Selection(verdict="redirect")) == ["turn.started", "turn.redirected"]
    assert kinds(Selection(model="m")) == kinds(Selection(model="9" * 64)) == ONE + ONE


def test_all_filters_hold_at_once(story: Story) -> None:
    assert kinds(Selection(model="m", document=story.version)) == ONE
    assert kinds(Selection(model="m", rule="crisis.a")) == []
    assert kinds(Selection(conversation=story.conversation, actor="bela")) == []
    assert kinds(Selection(conversation=story.conversation, role="clinician", kind="turn.c")) == ["turn.completed"] * 2
    assert kinds(Selection(model="m", subject=story.turns[1])) == ONE


def test_days_are_local_and_do_not_cut_a_turn_in_two(story: Story) -> None:
    first, second = date(2026, 3, 1), date(2026, 3, 2)  # in Paris the second half came after midnight
    assert "turn.completed" not in kinds(Selection(last_day=first))
    assert kinds(Selection(first_day=second)) == ["turn.passages", "turn.completed"] * 2 + ["conversation.read"]
    assert kinds(Selection(model="m", last_day=first)) == ONE + ONE
    assert kinds(Selection(model="m", first_day=second)) == []
    assert len(kinds(Selection(first_day=first, last_day=second))) == 11


def test_people_are_found_by_name_and_by_code(story: Story) -> None:
    with transaction.atomic():
        code = code_of("anna")
        record("user.created", actor="dora", actor_role="admin", subject=code)
    assert kinds(Selection(actor="anna")) == kinds(Selection(actor=code))
    assert kinds(Selection(actor="anna")) == ["session.signed_in", "turn.started", "turn.started"]
    assert kinds(Selection(subject="anna")) == kinds(Selection(subject=code)) == ["user.created"]
    assert kinds(Selection(actor="Anna")) == []


@pytest.mark.parametrize("name", ["document", "conversation", "rule", "verdict", "model", "kind", "subject", "actor"])
@pytest.mark.parametrize("value", ["'", '"', "%", "\\", "x" * 500, "0" * 64, "é", "{}"])
def test_nothing_that_somebody_types_breaks_a_filter(story: Story, name: str, value: str) -> None:
    assert kinds(Selection(**{name: value})) == []
