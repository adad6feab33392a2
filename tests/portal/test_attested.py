"""Whoever reaches the database without a key can change rows; nothing goes that the audit trail does not say goes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal import doctor
from portal.accounts.models import User
from portal.audit import _triggers
from portal.audit.models import Actor, Event
from portal.audit.services import code_of
from portal.chat import erasing, erasures, tasks
from portal.chat.erasing import By
from portal.chat.keeping import Erasure, Hold
from portal.chat.models import Conversation, Turn
from tests.conftest import Cast
from tests.portal.test_erasing import talk
from tests.portal.whole_turns import answered

WHY = "Request 2026-12 of the person, checked."


@pytest.fixture
def two(cast: Cast) -> tuple[Conversation, Conversation]:
    User.objects.create_user("frida", role="compliance")
    return talk(cast.anna), talk(cast.bela, "other")  # type: ignore[arg-type]


def actor(name: str) -> Actor:
    with transaction.atomic():
        return Actor.objects.get(code=code_of(name))


def person(name: str) -> User:
    return User.objects.get(username=name)


def asked(conversation: Conversation) -> Erasure:
    return erasures.ask(person("emil"), conversation, WHY)


def confirmed(conversation: Conversation) -> Erasure:
    """Confirmed, and broken off before anything was erased."""
    request = asked(conversation)
    with pytest.MonkeyPatch.context() as broken_off:
        broken_off.setattr(erasures, "carry_out", lambda erasure_id: None)
        erasures.confirm(person("dora"), request.pk, erasures.counts(erasing.extent_of(conversation)))
    return request


def change(request: Erasure, **values: Any) -> None:
    Erasure.objects.filter(pk=request.pk).update(**values)


def insert_a_confirmed_one(one: Conversation, other: Conversation) -> None:
    actors = {"asked_by": actor("emil"), "decided_by": actor("dora"), "decided_at": timezone.now()}
    Erasure.objects.bulk_create([Erasure(conversation=one, reason=WHY, state="confirmed", **actors)])


def confirm_in_the_row_alone(one: Conversation, other: Conversation) -> None:
    change(asked(one), state="confirmed", decided_by=actor("dora"), decided_at=timezone.now())


def mean_another_conversation(one: Conversation, other: Conversation) -> None:
    change(confirmed(other), conversation=one)


def mean_a_person(one: Conversation, other: Conversation) -> None:
    change(confirmed(other), conversation=None, person=one.owner)


def confirm_what_was_declined(one: Conversation, other: Conversation) -> None:
    request = asked(one)
    erasures.decline(person("dora"), request.pk)
    change(request, state="confirmed")


def say_that_another_confirmed(one: Conversation, other: Conversation) -> None:
    change(confirmed(one), decided_by=actor("frida"))


def say_that_another_asked(one: Conversation, other: Conversation) -> None:
    change(confirmed(one), asked_by=actor("frida"))


def change_the_event(one: Conversation, other: Conversation) -> None:
    request = confirmed(one)
    _triggers.remove(connection)
    Event.objects.filter(kind="erasure.confirmed").update(payload={"request": str(request.pk), "conversation": "x"})
    _triggers.install(connection)


@pytest.mark.parametrize(
    "attack",
    [
        insert_a_confirmed_one,
        confirm_in_the_row_alone,
        mean_another_conversation,
        mean_a_person,
        confirm_what_was_declined,
        say_that_another_confirmed,
        say_that_another_asked,
        change_the_event,
    ],
)
def test_a_row_alone_erases_nothing_and_is_told(
    attack: Callable[[Conversation, Conversation], None], two: tuple[Conversation, Conversation]
) -> None:
    attack(*two)
    Erasure.objects.filter(state="confirmed").update(decided_at=timezone.now() - timedelta(minutes=5))
    tasks.carry_out_erasures()
    request = Erasure.objects.get()
    assert not Conversation.objects.exclude(erased_at=None).exists() and request.state == "confirmed"
    found = [one for one in doctor.examine() if one.part == "what waits"]
    assert {one.level for one in found} == {doctor.ERROR} and all(str(request.pk) in one.message for one in found)
    officer = Client()
    officer.force_login(person("frida"))
    page = officer.get(reverse("chat:erasure", args=[request.pk])).content.decode()
    assert "somebody changed the database" in page and "Go on now" not in page and "Two people decided" not in page
    for answer in ("go_on", "decline"):
        officer.post(reverse("chat:decide_erasure", args=[request.pk]), {"answer": answer})
    assert Erasure.objects.get().state == "declined", "so that it can be asked for again"
    assert not Conversation.objects.exclude(erased_at=None).exists()


@pytest.mark.parametrize("values", [{"asked_by": "frida"}, {"conversation": "other"}])
def test_what_was_asked_for_by_somebody_else_is_not_confirmed(
    values: dict[str, str], two: tuple[Conversation, Conversation]
) -> None:
    """Whoever asked would confirm it alone, or something else would go than was asked for."""
    request = asked(two[0])
    change(request, **({"asked_by": actor("frida")} if "asked_by" in values else {"conversation": two[1]}))
    for name in ("emil", "dora"):
        seen = erasures.counts(erasing.extent_of(Erasure.objects.get().target))
        with pytest.raises(erasures.NotDecided, match="changed the database"):
            erasures.confirm(person(name), request.pk, seen)
    assert not Conversation.objects.exclude(erased_at=None).exists()


def test_the_reason_is_the_one_that_was_given(two: tuple[Conversation, Conversation]) -> None:
    request = confirmed(two[0])
    change(request, reason="Anna left us for the clinic next door.")
    erasures.go_on(person("frida"), request.pk)
    assert Event.objects.get(kind="conversation.erased").payload["reason"] == WHY


def delete_the_request(request: Erasure) -> None:
    Erasure.objects.all().delete()


def say_that_it_is_done(request: Erasure) -> None:
    change(request, state="done", done_at=timezone.now())


def say_that_it_was_declined(request: Erasure) -> None:
    change(request, state="declined")


@pytest.mark.parametrize("attack", [delete_the_request, say_that_it_is_done, say_that_it_was_declined])
def test_what_two_people_decided_does_not_get_lost_unseen(
    attack: Callable[[Erasure], None], two: tuple[Conversation, Conversation]
) -> None:
    request = confirmed(two[0])
    assert waiting() == [doctor.OK]
    attack(request)
    assert waiting() == [doctor.ERROR]
    erasures.ask(person("frida"), two[0], WHY)
    again = Erasure.objects.get(state="open")
    erasures.confirm(person("dora"), again.pk, erasures.counts(erasing.extent_of(two[0])))
    assert waiting() == [doctor.OK] and Conversation.objects.get(pk=two[0].pk).erased_at


def test_what_an_earlier_version_erased_before_it_recorded_the_decision_was_carried_out(
    two: tuple[Conversation, Conversation],
) -> None:
    request = asked(two[0])
    erasing.erase(two[0], By("dora"))
    with transaction.atomic():
        erasures._record("erasure.confirmed", person("dora"), request, asked_by=request.asked_by_id)
    say_that_it_is_done(request)
    assert waiting() == [doctor.OK]


def waiting() -> list[str]:
    return [one.level for one in doctor.examine() if one.part == "what waits"]


# --- what is kept ---------------------------------------------------------------------------------------------------


def lift_in_the_row(hold: Hold) -> None:
    Hold.objects.update(lifted_at=timezone.now())


def delete_the_row(hold: Hold) -> None:
    hold.delete()


def move_to_another(hold: Hold) -> None:
    Hold.objects.update(conversation=None, person=person("frida"))


def change_the_holds_event(hold: Hold) -> None:
    hold.delete()
    _triggers.remove(connection)
    Event.objects.filter(kind="hold.set").update(payload={"request": "another"})
    _triggers.install(connection)


@pytest.mark.parametrize("attack", [lift_in_the_row, delete_the_row, move_to_another, change_the_holds_event])
@pytest.mark.parametrize("on", ["conversation", "person"])
def test_a_hold_that_was_never_lifted_holds(
    on: str, attack: Callable[[Hold], None], two: tuple[Conversation, Conversation]
) -> None:
    held = two[0] if on == "conversation" else person("anna")
    attack(erasures.set_hold(person("emil"), held, WHY))
    for target in (two[0], person("anna")):
        with pytest.raises(erasing.NotErased, match="legal hold"):
            erasing.erase(target, By("terminal:root"))
    Conversation.objects.update(updated_at=timezone.now() - timedelta(days=4000))
    tasks.retain()
    assert Conversation.objects.get(pk=two[0].pk).erased_at is None
    assert Conversation.objects.get(pk=two[1].pk).erased_at, "nobody held this one"
    found = [one for one in doctor.examine() if one.part == "what waits"]
    assert [one.level for one in found] == [doctor.ERROR] and "legal hold" in found[0].message
    for moved in Hold.objects.filter(lifted_at=None):
        erasures.lift_hold(person("emil"), moved.pk, "The case was closed in March.")
    with pytest.raises(erasing.NotErased, match="legal hold"):
        erasing.erase(two[0], By("terminal:root"))
    again = erasures.set_hold(person("emil"), held, WHY)
    erasures.lift_hold(person("emil"), again.pk, "The case was closed in March.")
    erasing.erase(person("anna"), By("terminal:root"))
    assert [one.level for one in doctor.examine() if one.part == "what waits"] == [doctor.OK]


def rename(name: str) -> None:
    User.objects.filter(username=name).update(username="somebody")


def give_away(name: str) -> None:
    Conversation.objects.filter(owner__username=name).update(owner=person("bela"))


@pytest.mark.parametrize("attack", [rename, give_away])
def test_a_hold_follows_a_person_whom_rows_call_otherwise(
    attack: Callable[[str], None], cast: Cast, living_workers: None
) -> None:
    turn = answered(cast.anna)
    erasures.set_hold(person("emil"), person("anna"), WHY)
    Hold.objects.all().delete()
    attack("anna")
    conversation = Conversation.objects.get(pk=turn.conversation_id)
    for target in (conversation, conversation.owner):
        with pytest.raises(erasing.NotErased, match="legal hold"):
            erasing.erase(target, By("terminal:root"))


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_row_that_says_it_is_old_is_not_old(is_moved: bool, cast: Cast, living_workers: None) -> None:
    turn = answered(cast.anna)
    if is_moved:  # its words would go with the key of the conversation that it was asked in
        Turn.objects.update(conversation=talk(cast.bela))  # type: ignore[arg-type]
    Conversation.objects.update(updated_at=timezone.now() - timedelta(days=4000))
    tasks.retain()
    assert Conversation.objects.get(pk=turn.conversation_id).erased_at is None
    ran = Event.objects.get(kind="retention.ran").payload
    assert (ran["conversations"], ran["passed_by"]) == (0, 1 + is_moved)


def test_somebody_who_was_here_lately_is_not_erased_for_a_row_that_says_they_left(
    cast: Cast, living_workers: None
) -> None:
    answered(cast.anna)
    ago = timezone.now() - timedelta(days=4000)
    Conversation.objects.update(updated_at=ago)
    User.objects.filter(username="anna").update(is_active=False, date_joined=ago, last_login=None)
    tasks.retain()
    assert User.objects.filter(username="anna").exists()
