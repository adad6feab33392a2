"""Whoever sits in front of a screen hears within five seconds that nothing can be written down, whatever he was at."""

import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, DataError, IntegrityError, OperationalError, ProgrammingError, connection
from django.db import connections as all_connections
from django.test import Client
from django.urls import reverse

from portal import connections
from portal.audit.models import Event
from portal.chat import consumers, events, late, rescue, spool
from portal.chat import turn as life
from portal.chat.models import State, Turn
from tests.conftest import PASSWORD, Cast
from tests.portal.obstacles import Obstacle
from tests.portal.test_fail_closed import CRISIS, begun
from tests.portal.test_socket import QUESTION, close_code, collect, socket, start

pytestmark = pytest.mark.django_db(transaction=True)

HELD = ("held",) if connection.vendor == "sqlite" else ("held", "events held")
SAID = "Nothing can be written down"
WORDS = (SAID, "not_recorded", "cannot be recorded at this moment")


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Iterator[None]:
    """This process waits as the web process does, only that its three seconds are shorter."""
    assert connections.ANSWER_SECONDS < 4
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.2)
    database = all_connections.settings["default"]
    before = dict(database["OPTIONS"])
    connections.answer_soon()
    connection.close()
    yield
    database["OPTIONS"].clear()
    database["OPTIONS"].update(before)
    connection.close()


@contextmanager
def waits() -> Iterator[list[int]]:
    """How often this thread waits in vain for what others hold, and for how many milliseconds it would."""
    found: list[int] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        plain = context["connection"].connection
        if connection.vendor == "sqlite":
            limit = plain.execute("PRAGMA busy_timeout").fetchone()[0]
        elif plain.info.transaction_status.name != "INERROR":
            limit = plain.execute("SELECT setting::int FROM pg_settings WHERE name = 'lock_timeout'").fetchone()[0]
        else:
            limit = 0
        try:
            return execute(sql, params, many, context)
        except OperationalError:
            found.append(limit)
            raise

    connection.ensure_connection()
    connection.execute_wrappers.insert(0, note)
    yield found
    connection.execute_wrappers.remove(note)


def _sign_in(client: Client, cast: Cast) -> Any:
    return client.post(reverse("login"), {"username": "anna", "password": PASSWORD})


def _sign_in_wrongly(client: Client, cast: Cast) -> Any:
    return client.post(reverse("login"), {"username": "anna", "password": "wrong"})


def _change_password(client: Client, cast: Cast) -> Any:
    new = "another-long-passphrase"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    return client.post(reverse("password_change"), form)


def _check(client: Client, cast: Cast) -> Any:
    return client.post(reverse("chat:checked", args=[Turn.objects.get().pk]), {"checked": "1"})


def _ask_for_erasure(client: Client, cast: Cast) -> Any:
    form = {"erase-what": "bela", "erase-reason": "has asked for it in writing"}
    return client.post(reverse("chat:ask_erasure"), form)


def _ask_for_an_export(client: Client, cast: Cast) -> Any:
    return client.post(reverse("audit:ask_export"), {"format": "jsonl"})


def _name_a_department(client: Client, cast: Cast) -> Any:
    return client.post(reverse("guidelines:departments"), {"name": "Ward 4"})


def _draft_rules(client: Client, cast: Cast) -> Any:
    return client.post(reverse("safeguards:start"))


def _read_a_story(client: Client, cast: Cast) -> Any:
    form = {"reason": "a complaint of the patient, number 12", "times": "0"}
    return client.post(reverse("story", args=[Turn.objects.get().pk]), form)


STEPS = {
    "sign in": ("", _sign_in),
    "sign in with a wrong password": ("", _sign_in_wrongly),
    "change the password": ("anna", _change_password),
    "check an answer": ("anna", _check),
    "ask for an erasure": ("emil", _ask_for_erasure),
    "ask for an export": ("emil", _ask_for_an_export),
    "name a department": ("dora", _name_a_department),
    "draft other rules": ("dora", _draft_rules),
    "read a story": ("emil", _read_a_story),
}


@pytest.mark.parametrize("name", HELD)
def test_every_step_says_soon_that_nothing_can_be_written_down(
    name: str, cast: Cast, brief: None, obstacle: Obstacle
) -> None:
    turn = begun(cast)
    life.finish(turn, State.COMPLETED, answer="The answer.")
    clients = {who: Client() for _, (who, _) in STEPS.items()}
    for who, client in clients.items():
        if who:
            client.force_login(getattr(cast, who))
    before = Event.objects.count()
    lift = obstacle(name)
    said = {}
    for step, (who, do) in STEPS.items():
        with waits() as waited:
            answer = do(clients[who], cast)
        said[step] = (answer.status_code, len(waited), max(waited, default=0))
        assert any(word in answer.content.decode() for word in WORDS), (step, answer.status_code, answer.content)
    lift()
    assert said.pop("read a story")[1:] == (1, 200), "a page that says it beside what needs no record"
    assert set(said.values()) == {(503, 1, 200)}
    assert Event.objects.count() == before


@pytest.mark.parametrize("name", HELD)
def test_who_signs_out_is_out_where_the_database_is_held(
    name: str, cast: Cast, brief: None, obstacle: Obstacle, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.accounts import views

    assert connections.ANSWER_SECONDS + views._LEAVE_SECONDS < 5
    monkeypatch.setattr(views, "_LEAVE_SECONDS", 0.1)
    client.force_login(cast.anna)
    lift = obstacle(name)
    with waits() as waited:
        answer = client.post(reverse("logout"))
    lift()
    assert answer.status_code == 503 and "You are signed out on this computer" in answer.content.decode()
    assert waited in ([200, 100], [200]), "once to record it, and shortly to end the session"
    assert client.get(reverse("chat:index")).status_code == 302


@pytest.mark.skipif(connection.vendor == "sqlite", reason="there is no server")
@pytest.mark.parametrize("hangs_again", [False, True])
def test_who_signs_out_is_out_where_the_server_hangs(
    hangs_again: bool, cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers to nobody, and no setting of its own ends that."""
    assert connections._SILENT_SECONDS + connections._LOOK_SECONDS + connections._ONCE_MORE_SECONDS < 5
    assert connections._SILENT_SECONDS > connections.ANSWER_SECONDS
    for name in ("_SILENT_SECONDS", "_ONCE_MORE_SECONDS"):
        monkeypatch.setattr(connections, name, 0.3)
    monkeypatch.setattr(connections, "_LOOK_SECONDS", 0.05)
    client.force_login(cast.anna)
    stopped: list[int] = []

    def stop(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        server = context["connection"].connection.info.backend_pid
        if server not in stopped and ("audit_head" in sql or (hangs_again and stopped)):
            stopped.append(server)
            os.kill(server, signal.SIGSTOP)
        return execute(sql, params, many, context)

    try:
        with connection.execute_wrapper(stop):
            answer = client.post(reverse("logout"))
    finally:
        for server in stopped:
            os.kill(server, signal.SIGCONT)
    connection.close()
    assert len(stopped) == 1 + hangs_again and answer.status_code == 503
    assert "You are signed out on this computer" in answer.content.decode()
    assert client.get(reverse("chat:index")).status_code == 302


@pytest.mark.skipif(connection.vendor == "sqlite", reason="there is no server")
def test_who_waits_too_long_for_a_commit_is_not_told_that_nothing_was_done(
    cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server completes it when it goes on, and nobody hears of it."""
    monkeypatch.setattr(connections, "_SILENT_SECONDS", 0.3)
    monkeypatch.setattr(connections, "_LOOK_SECONDS", 0.05)
    client.force_login(cast.emil)
    other = connection.copy()
    with connection.cursor() as cursor, other.cursor() as holder:
        cursor.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$"
        )
        cursor.execute(
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON chat_erasure DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION slow()"
        )
        holder.execute("SELECT pg_advisory_lock(4711)")
    try:
        said = _ask_for_erasure(client, cast)
        assert said.status_code == 503 and "look before you repeat it" in said.content.decode()
        assert "Nothing is done here" not in said.content.decode()
        with other.cursor() as holder:
            holder.execute("SELECT pg_advisory_unlock(4711)")
            holder.execute("SELECT pg_advisory_lock(4711)")  # after who has waited for it
        assert Event.objects.filter(kind="erasure.asked").count() == 1, "it was done"
    finally:
        other.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION slow CASCADE")


def test_a_source_is_shown_where_that_cannot_be_recorded(cast: Cast, brief: None, obstacle: Obstacle) -> None:
    from portal.chat import checking

    turn = begun(cast)
    lift = obstacle("held")
    with waits() as waited:
        checking.source_opened(cast.anna, turn, {"marker": 1}, None)  # type: ignore[arg-type]
    lift()
    assert waited == [200]


@pytest.mark.parametrize("error", [OperationalError, ProgrammingError, DatabaseError])
def test_a_database_that_is_away_is_said_so_also_before_a_page_begins(
    error: type[Exception], cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise error

    client = Client(raise_request_exception=False)
    client.force_login(cast.anna)
    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", away)
    answer = client.get(reverse("chat:index"))
    assert answer.status_code == 503 and SAID in answer.content.decode()


@pytest.mark.parametrize("error", [ValueError, IntegrityError, DataError])
def test_any_other_mistake_is_no_matter_of_records(
    error: type[Exception], cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: Any, **__: Any) -> Any:
        raise error

    client = Client(raise_request_exception=False)
    client.force_login(cast.anna)
    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", wrong)
    answer = client.get(reverse("chat:index"))
    assert answer.status_code == 500 and SAID not in answer.content.decode()


def test_the_web_process_waits_shortly(transactional_db: None) -> None:
    """It was loaded here, with `portal.asgi`."""
    connection.close()
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            assert cursor.execute("PRAGMA busy_timeout").fetchone() == (1000 * connections.ANSWER_SECONDS,)
        else:
            cursor.execute("SELECT setting::int FROM pg_settings WHERE name = 'lock_timeout'")
            assert cursor.fetchone() == (1000 * connections.ANSWER_SECONDS,)
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            assert cursor.fetchone() == ("1min",), "and nothing else is different"


# --- at the socket -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HELD)
async def test_who_stops_an_answer_hears_that_it_stops_and_is_not_written_down(
    name: str, cast: Cast, living_workers: None, brief: None, obstacle: Obstacle
) -> None:
    turn = await sync_to_async(begun)(cast)
    async with socket(cast.anna, turn.conversation_id) as browser:
        lift = await sync_to_async(obstacle)(name)
        await browser.send_json_to({"type": "turn.cancel", "turn": str(turn.pk)})
        answer = await browser.receive_json_from(timeout=20)
        await sync_to_async(lift)()
    assert answer["type"] == "error" and "is being stopped" in answer["message"]
    assert await sync_to_async(events.is_asked_to_stop)(turn.pk)


async def test_who_stops_what_nobody_hears_of_is_told(
    cast: Cast, dead_valkey: None, brief: None, obstacle: Obstacle
) -> None:
    turn = await sync_to_async(begun)(cast)
    lift = await sync_to_async(obstacle)("held")
    with pytest.raises(rescue.NotWritten) as caught:
        await sync_to_async(rescue.cancel_turn)(cast.anna, turn.pk)  # type: ignore[arg-type]
    await sync_to_async(lift)()
    assert not caught.value.stops


async def test_a_database_that_hangs_keeps_no_card_waiting(
    cast: Cast, living_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody hears whose session it is, and everybody who asks waits in a thread."""
    assert consumers._CHECK_SECONDS + consumers._CARD_SECONDS < 5
    released = threading.Event()
    async with socket(cast.anna) as browser, socket(cast.bela) as other:
        for one in (browser, other):  # its page is open, and was checked
            await one.send_json_to({"type": "ping"})
            await one.receive_json_from(timeout=30)
        with monkeypatch.context() as patch:
            patch.setattr(consumers, "user_of_session", lambda _: released.wait(30) and None)
            patch.setattr(consumers, "_CHECK_SECONDS", 0.1)
            for _ in range(9):
                await other.send_json_to({"type": "ping"})
            await browser.send_json_to(start(CRISIS))
            found = await collect(browser)
            assert await other.receive_nothing(timeout=0.2), "who asks for no help waits"
        released.set()
    assert [one["type"] for one in found] == ["turn.accepted", "crisis.detected", "turn.redirected"]


HANGS, FAILS = "hangs", "fails"


@pytest.mark.parametrize("how", [HANGS, FAILS])
async def test_a_page_that_is_opened_while_the_database_is_away_gets_a_card_or_a_sentence(
    how: str, cast: Cast, living_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    look = consumers.user_of_session

    def away(key: str | None) -> Any:
        if how == FAILS and not released.is_set():
            raise OperationalError("the database is away")
        released.wait(30)
        return look(key)

    monkeypatch.setattr(consumers, "user_of_session", away)
    monkeypatch.setattr(consumers, "_CHECK_SECONDS", 0.1)
    monkeypatch.setattr(consumers, "_ASK_AGAIN_SECONDS", 0.1)
    async with socket(cast.anna) as browser, socket(session="a" * 32) as nobody:
        await browser.send_json_to({"type": "ping"})
        assert (await browser.receive_json_from(timeout=30))["type"] == "pong"
        for one in (start(QUESTION), {"type": "turn.resume", "turn": str(uuid.uuid4()), "after": ""}):
            await browser.send_json_to(one)
            said = await browser.receive_json_from(timeout=30)
            assert (said["type"], said.get("client_ref")) == ("error", one.get("client_ref"))
            assert "session" in said["message"]
        await browser.send_json_to(start(CRISIS))
        found = await collect(browser)
        assert [one["type"] for one in found] == ["turn.accepted", "crisis.detected", "turn.redirected"]
        kept = [one.turn for one in spool.kept()]
        assert kept == [found[0]["turn"]]
        for _ in range(consumers._CARDS_UNKNOWN + 2):
            await nobody.send_json_to(start(CRISIS))
        answers = [(await collect(nobody))[-1]["type"] for _ in range(consumers._CARDS_UNKNOWN + 2)]
        assert answers.count("turn.redirected") == consumers._CARDS_UNKNOWN and answers[-1] == "error"
        released.set()
        assert await close_code(browser) == consumers.COME_BACK
        assert await close_code(nobody) == consumers.NOT_SIGNED_IN
    assert not consumers._sockets
    async with socket(cast.anna) as browser:
        await browser.send_json_to({"type": "ping"})
        assert (await browser.receive_json_from(timeout=30))["type"] == "pong"
    assert await sync_to_async(late.write_down)() == 1 + consumers._CARDS_UNKNOWN
    assert not await Turn.objects.aexists()
    assert {one.actor_id async for one in Event.objects.filter(kind="crisis.shown")} == {"system"}
