"""What has been kept long enough goes by itself, what is held stays, and a run that was killed goes on."""

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction
from django.utils import timezone

from portal.accounts.models import User
from portal.audit import sealing, verifying
from portal.audit.models import Actor, Event
from portal.audit.services import code_of, is_code
from portal.chat import erasing, retaining
from portal.chat.keeping import Hold
from portal.chat.models import Conversation, State, Turn
from tests.conftest import Cast
from tests.portal.test_erasing import talk


def old(days: int, owner: Any, words: str = "word") -> Conversation:
    """A conversation that was used last so many days ago."""
    conversation = talk(owner, words)
    Conversation.objects.filter(pk=conversation.pk).update(updated_at=timezone.now() - timedelta(days=days))
    return conversation


def left(name: str, days: int, **about: Any) -> User:
    """Somebody whose account is closed, and of whom nothing was heard for so many days."""
    at = timezone.now() - timedelta(days=days)
    return User.objects.create(username=name, role="clinician", is_active=False, date_joined=at, **about)


def hold(**about: Any) -> Hold:
    with transaction.atomic():
        by = Actor.objects.get(code=code_of("emil"))
    return Hold.objects.create(reason="Case 12 of the court.", set_by=by, **about)


def due() -> dict[str, tuple[int, int]]:
    return {one.name: (one.due, one.held) for one in retaining.look()}


def run(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("retain", "--json", *arguments, stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def test_what_is_old_goes_and_the_rest_stays(cast: Cast) -> None:
    ancient, recent = old(366, cast.anna), old(364, cast.anna, "recent")
    report = run("--dry-run")
    assert report["erased"] is None
    assert {one["name"]: (one["there"], one["due"]) for one in report["classes"]}["conversations"] == (2, 1)
    assert Conversation.objects.get(pk=ancient.pk).erased_at is None, "a dry run erases nothing"
    assert run()["erased"] == {"conversations": 1, "turns": 1, "names": 0, "passed_by": 0}
    assert Conversation.objects.get(pk=ancient.pk).erased_at
    assert Turn.objects.get(conversation=recent).question == "question-recent-0"
    gone = Event.objects.get(kind="conversation.erased")
    assert (gone.actor_id, gone.subject, gone.payload["reason"]) == ("system", str(ancient.pk), "retention")
    ran = Event.objects.get(kind="retention.ran")
    assert ran.payload["conversations"] == 1 and ran.payload["kept_days"] == {"conversations": 365, "names": 365}
    assert run()["erased"] == {"conversations": 0, "turns": 0, "names": 0, "passed_by": 0}
    assert Event.objects.filter(kind="retention.ran").count() == 1, "a run without work leaves no event"
    sealing.seal("minute")
    assert verifying.verify().findings == ()


@pytest.mark.parametrize("days", [0, 1, 30])
def test_the_settings_say_how_long(days: int, cast: Cast, settings: Any) -> None:
    settings.HAVRE_KEEP_CONVERSATIONS_DAYS = settings.HAVRE_KEEP_NAMES_DAYS = days
    old(20, cast.anna)
    left("gone", 20)
    expected = int(days == 1)
    assert due() == {"conversations": (expected, 0), "names": (expected, 0), "events": (0, 0)}


@pytest.mark.parametrize("on", ["conversation", "person"])
def test_what_is_held_stays_and_is_said(on: str, cast: Cast) -> None:
    conversation = old(400, cast.anna)
    one = hold(**({"conversation": conversation} if on == "conversation" else {"person": cast.anna}))
    assert due()["conversations"] == (0, 1)
    assert run()["erased"]["conversations"] == 0
    assert Event.objects.get(kind="retention.ran").payload["held"] == 1
    one.lifted_at = timezone.now()
    one.save()
    assert run()["erased"]["conversations"] == 1


def test_names_of_those_who_left_go_with_all_of_theirs(cast: Cast) -> None:
    person = left("gone-long-ago", 400)
    talked = old(390, person)
    left("gone-lately", 300)
    left("joined-long-ago", 900, last_login=timezone.now() - timedelta(days=3))
    User.objects.create(username="closed-lately", role="clinician", date_joined=timezone.now() - timedelta(days=900))
    call_command("close_account", "closed-lately", stdout=io.StringIO())
    still_here = User.objects.create(
        username="here", role="clinician", date_joined=timezone.now() - timedelta(days=900)
    )
    assert due()["names"] == (1, 0)
    assert run()["erased"]["names"] == 1
    person.refresh_from_db()
    still_here.refresh_from_db()
    assert is_code(person.username) and still_here.username == "here"
    assert Conversation.objects.get(pk=talked.pk).erased_at
    assert set(User.objects.values_list("username", flat=True)) >= {"gone-lately", "joined-long-ago", "closed-lately"}
    assert due()["names"] == (0, 0), "and is not met again"


def test_what_is_being_answered_is_in_use(cast: Cast) -> None:
    conversation = old(400, cast.anna)
    Turn.objects.filter(conversation=conversation).update(state=State.QUEUED)
    assert due()["conversations"] == (0, 0)


def test_a_run_that_breaks_off_goes_on_where_it_was(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        old(400, cast.anna, f"w{number}")
    monkeypatch.setattr(retaining, "_AT_ONCE", 2)
    erase, done = erasing.erase, []

    def breaks_at_the_third(*given: Any, **named: Any) -> Any:
        if len(done) == 2:
            raise DatabaseError("the disk is full")
        done.append(erase(*given, **named))
        return done[-1]

    monkeypatch.setattr(erasing, "erase", breaks_at_the_third)
    with pytest.raises(CommandError, match="the next run goes on"):
        run()
    assert Conversation.objects.filter(erased_at=None).count() == 3
    monkeypatch.setattr(erasing, "erase", erase)
    assert run()["erased"]["conversations"] == 3
    assert Event.objects.filter(kind="conversation.erased").count() == 5


def test_it_happens_each_night(cast: Cast) -> None:
    from django.conf import settings

    from portal.celery import app
    from portal.chat import tasks

    names = {one["task"] for one in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {tasks.retain.name, tasks.forget_erased_streams.name} <= names & set(app.tasks)
    old(400, cast.anna)
    tasks.retain()
    tasks.forget_erased_streams()
    assert not Conversation.objects.filter(erased_at=None).exists()


def test_a_person_reads_what_would_go(cast: Cast) -> None:
    old(400, cast.anna)
    out = io.StringIO()
    call_command("retain", "--dry-run", stdout=out)
    assert "conversations: 1, the oldest of" in out.getvalue() and "1 to be erased" in out.getvalue()


def used(conversation: Conversation) -> None:
    Conversation.objects.filter(pk=conversation.pk).update(updated_at=timezone.now())


def answered(conversation: Conversation) -> None:
    Turn.objects.filter(conversation=conversation).update(state=State.GENERATING)


def held(conversation: Conversation) -> None:
    hold(conversation=conversation)


@pytest.mark.parametrize("happens", [used, answered, held])
@pytest.mark.parametrize("of_person", [False, True])
def test_what_is_used_held_or_answered_meanwhile_stays(
    happens: Callable[[Conversation], None], of_person: bool, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list of what is due and its turn in it."""
    conversation = old(400, left("gone", 400) if of_person else cast.anna)
    if of_person:
        monkeypatch.setattr(retaining, "_old_conversations", lambda now: Conversation.objects.none())
    write_down = erasing.late.write_down_theirs

    def meanwhile(**theirs: Any) -> bool:
        happens(conversation)
        return write_down(**theirs)

    monkeypatch.setattr(erasing.late, "write_down_theirs", meanwhile)
    assert run()["erased"] == {"conversations": 0, "turns": 0, "names": 0, "passed_by": 1}
    turn = Turn.objects.get(conversation=conversation)
    assert turn.question == "question-word-0"
    assert (turn.state, turn.cancel_requested) == (State.GENERATING if happens is answered else State.COMPLETED, False)
