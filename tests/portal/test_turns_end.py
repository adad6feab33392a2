"""Every turn ends, whatever it was found in: workers that die, messages that are lost, parts that are down, a clock
that was set."""

import random
import uuid
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from django.utils import timezone

from portal import parts
from portal.audit.models import Event
from portal.chat import dispatch, rescue, selectors
from portal.chat import turn as life
from portal.chat.models import ACTIVE, Conversation, Quotation, State, Turn
from portal.parts import Parts
from tests.conftest import Cast

_STEP, _DEADLINE, _LEASE = 10, 60, 15
_LONGEST = 6 * _DEADLINE + 20 * _LEASE
_DAY = 86_400

_PRESENT = {
    "everything": Parts(valkey=True, inference=True, knowledge=True, slots=1),
    "no model": Parts(valkey=True, inference=False, knowledge=True, details={"inference": {}}),
    "no worker": Parts(valkey=True, inference=False, knowledge=False),
    "no Valkey": Parts(valkey=False, inference=False, knowledge=False),
}
_ROWS = list(
    product(
        ACTIVE,  # state
        (None, -1000, 5, _DAY),  # seconds until the lease ends; a day: the clock was set back
        (None, -1000, 0, _DAY),  # and since it waits
        (None, True, False),  # covered
        ("", Quotation.ASKED, Quotation.BUSY),
        (False, True),  # somebody wished to stop
        (0, 1),  # recoveries
        (0, _DAY),  # and it was asked
    )
)


def _at(now: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=seconds)


def _turns(cast: Cast, rows: list[Any], now: datetime) -> None:
    owned = [Conversation(owner=cast.anna) for _ in rows]
    Conversation.objects.bulk_create(owned)
    Turn.objects.bulk_create(
        Turn(
            conversation=conversation, client_ref=uuid.uuid4(), language="en", effort="low", state=state,
            lease_until=_at(now, lease), enqueued_at=_at(now, waits), covered=covered, quotation=quotation,
            cancel_requested=stop, recoveries=recoveries,
        )
        for conversation, (state, lease, waits, covered, quotation, stop, recoveries, _)
        in zip(owned, rows, strict=True)
    )  # fmt: skip
    for conversation, row in zip(owned, rows, strict=True):
        Turn.objects.filter(conversation=conversation).update(created_at=_at(now, row[-1]))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """What time it is; the test says."""
    now = [timezone.now()]
    monkeypatch.setattr(timezone, "now", lambda: now[0])
    return now


@pytest.mark.parametrize("present", _PRESENT)
@pytest.mark.parametrize("mortal", [False, True])
def test_every_turn_ends(
    present: str,
    mortal: bool,
    cast: Cast,
    clock: list[datetime],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.HAVRE_TURN_DEADLINE_SECONDS, settings.HAVRE_LEASE_SECONDS = _DEADLINE, _LEASE
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    monkeypatch.setattr(parts, "look", lambda: _PRESENT[present])
    monkeypatch.setattr(dispatch, "_send", lambda task, turn: None)  # no message ever arrives
    _turns(cast, chance.sample(_ROWS, 30), clock[0])
    began = clock[0]
    while (running := Turn.objects.filter(state__in=ACTIVE)) and clock[0] - began < timedelta(seconds=_LONGEST):
        clock[0] += timedelta(seconds=_STEP)
        if mortal and present != "no Valkey":  # a worker takes it, and is never heard of again
            for one in running:
                if chance.random() < 0.5:
                    life.claim(one.pk, State.RETRIEVING if one.covered is None or one.quotation else State.GENERATING)
        for one in selectors.abandoned_turns():
            rescue.rescue_turn(one)
    left = list(running.values("state", "lease_until", "enqueued_at", "covered", "quotation", "recoveries"))
    assert not left, (clock[0], left)
    kinds = Event.objects.filter(kind__in=["turn.failed", "turn.cancelled", "turn.completed"])
    assert kinds.values("subject").distinct().count() == kinds.count() == Turn.objects.count(), "each is recorded once"
    assert not Turn.objects.filter(state=State.FAILED, failure_message="").exists(), "and its person is told why"


def test_one_whose_words_are_spoilt_ends_as_well(cast: Cast, valkey_server: str) -> None:
    turn = Turn.objects.create(
        conversation=Conversation.objects.create(owner=cast.anna, title="Plan"), client_ref=uuid.uuid4(),
        question="What belongs into a safety plan?", language="en", effort="low", covered=True,
    )  # fmt: skip
    held = life.claim(turn.pk, State.GENERATING)
    assert held
    life.show(held, "The first words. ")
    Turn.objects.filter(pk=turn.pk).update(
        said=b"\x01" + bytes(60), cancel_requested=True, lease_until="2026-01-01T00:00Z"
    )
    rescue.rescue_turn(selectors.abandoned_turns().get())
    assert Turn.objects.get(pk=turn.pk).state == State.CANCELLED
    assert Event.objects.get(kind="turn.cancelled").payload["shown"]["pieces"] == 1


def test_a_lease_that_another_clock_gave_is_no_reason_to_take_a_turn_away(cast: Cast, settings: Any) -> None:
    """Several machines of one facility differ by seconds."""
    _turns(cast, [(State.GENERATING, settings.HAVRE_LEASE_SECONDS + 10, 10, True, "", False, 0, 0)], timezone.now())
    assert not selectors.abandoned_turns()
    rescue.rescue_turn(Turn.objects.get())
    assert Turn.objects.get().state == State.GENERATING
