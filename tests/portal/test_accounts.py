"""Signing in: the form, the lock after failures, passwords, the command."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.accounts import services, tasks, views
from portal.accounts.models import User
from portal.accounts.services import random_password
from portal.audit.models import Event
from portal.audit.services import code_of
from portal.chat.erasing import By, erase
from portal.database import brief_transaction
from tests.conftest import PASSWORD, Cast


def sign_in(client: Client, name: str, password: str) -> int:
    return client.post(reverse("login"), {"username": name, "password": password}).status_code


@pytest.mark.parametrize(
    ("name", "home"), [("anna", "chat:index"), ("dora", "guidelines:index"), ("emil", "audit:index")]
)
def test_each_role_arrives_on_its_own_page(client: Client, cast: Cast, name: str, home: str) -> None:
    response = client.post(reverse("login"), {"username": name, "password": PASSWORD}, follow=True)
    assert response.redirect_chain[-1][0] == reverse(home)


def test_sign_in_sign_out_and_refusal_are_recorded(client: Client, cast: Cast) -> None:
    assert sign_in(client, "anna", "wrong") == 200
    assert sign_in(client, "anna", PASSWORD) == 302
    client.post(reverse("logout"))
    kinds = Event.objects.order_by("seq").values_list("kind", "subject")
    anna = code_of("anna")
    assert list(kinds) == [
        ("person.named", anna),
        ("session.refused", anna),
        ("session.signed_in", anna),
        ("session.signed_out", anna),
    ]


def test_a_password_typed_as_a_name_is_not_kept(client: Client, cast: Cast) -> None:
    sign_in(client, "my-secret-password", "x")
    assert not Event.objects.filter(subject__contains="secret").exists()
    assert Event.objects.get(kind="session.refused").subject.startswith("unknown:")


def test_repeated_failures_close_the_form_for_a_while(client: Client, cast: Cast, settings: object) -> None:
    for _ in range(settings.HAVRE_LOGIN_FAILURES):
        sign_in(client, "anna", "wrong")
    assert sign_in(client, "anna", PASSWORD) == 200
    assert Event.objects.filter(kind="session.locked", subject=code_of("anna")).exists()
    assert sign_in(client, "bela", PASSWORD) == 302
    settings.HAVRE_LOGIN_LOCK_SECONDS = 0  # it is over
    assert sign_in(Client(), "anna", PASSWORD) == 302


def test_the_lock_does_not_tell_who_exists(client: Client, cast: Cast, settings: object) -> None:
    pages = []
    for name in ("anna", "nobody-of-that-name"):
        for _ in range(settings.HAVRE_LOGIN_FAILURES):
            sign_in(client, name, "wrong")
        page = client.post(reverse("login"), {"username": name, "password": "wrong"}).content.decode()
        pages.append(page.replace(name, "NAME").partition("<form")[2].partition("csrf")[0])
        assert "Too many failed attempts" in page
    assert pages[0] == pages[1]


def test_changing_the_password_ends_other_sessions(client: Client, cast: Cast) -> None:
    other = Client()
    other.force_login(cast.anna)
    client.force_login(cast.anna)
    new = "another-long-passphrase"
    response = client.post(
        reverse("password_change"), {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    )
    assert response.status_code == 302
    assert client.get(reverse("chat:index")).status_code == 200
    assert other.get(reverse("chat:index")).status_code == 302
    assert Event.objects.filter(kind="user.password_changed", actor__name="anna").exists()


def test_create_user_command(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    call_command("create_user", "frida", "--role", "clinician", "--json", stdout=out)
    password = json.loads(out.getvalue())["password"]
    assert User.objects.get(username="frida").check_password(password)
    monkeypatch.setattr("sys.stdin", StringIO("a-long-enough-password\n"))
    call_command("create_user", "gina", "--role", "admin", "--password-stdin", stdout=StringIO())
    assert User.objects.get(username="gina").check_password("a-long-enough-password")
    with pytest.raises(CommandError, match="already exists"):
        call_command("create_user", "gina", "--role", "admin", stdout=StringIO())
    monkeypatch.setattr("sys.stdin", StringIO("short\n"))
    with pytest.raises(CommandError, match="too short"):
        call_command("create_user", "hugo", "--role", "admin", "--password-stdin")
    monkeypatch.setattr("sys.stdin", StringIO(""))
    with pytest.raises(CommandError, match="no password"):
        call_command("create_user", "hugo", "--role", "admin", "--password-stdin")
    assert not User.objects.filter(username="hugo").exists()


@pytest.mark.parametrize("name", ["system", "samples", "folder", "anonymous", "terminal", "System", "ｆｏｌｄｅｒ"])
def test_nobody_is_called_like_what_is_no_person(db: None, name: str) -> None:
    with pytest.raises(CommandError, match="a name that Havre uses itself"):
        call_command("create_user", name, "--role", "admin", stdout=StringIO())
    assert not User.objects.exists()
    assert not Event.objects.exists()


def test_random_passwords_differ_and_can_be_typed() -> None:
    passwords = {random_password() for _ in range(200)}
    assert len(passwords) == 200
    assert all(len(one) == 19 and not set(one) & set("lo01") for one in passwords)


def test_who_signs_out_is_out_also_where_that_cannot_be_recorded(
    client: Client, cast: Cast, settings: Any, tmp_path: Path
) -> None:
    sign_in(client, "anna", PASSWORD)
    kept, settings.HAVRE_AUDIT_KEY_FILE = settings.HAVRE_AUDIT_KEY_FILE, tmp_path / "none.key"
    assert client.post(reverse("logout")).status_code == 503
    settings.HAVRE_AUDIT_KEY_FILE = kept
    assert client.get(reverse("chat:index")).status_code == 302


# --- closing an account ---------------------------------------------------------------------------------------------


def test_a_closed_account_signs_nobody_in_and_can_be_opened_again(client: Client, cast: Cast) -> None:
    assert sign_in(client, "anna", PASSWORD) == 302
    call_command("close_account", "anna", stdout=StringIO())
    assert client.get(reverse("chat:index")).status_code == 302, "the session has ended"
    assert sign_in(client, "anna", PASSWORD) == 200
    assert sign_in(Client(), "bela", PASSWORD) == 302
    call_command("close_account", "anna", "--reopen", stdout=StringIO())
    assert sign_in(client, "anna", PASSWORD) == 302
    closed, reopened = Event.objects.filter(kind__in=["user.closed", "user.reopened"]).order_by("seq")
    assert (closed.kind, closed.subject, reopened.subject) == ("user.closed", code_of("anna"), code_of("anna"))
    assert str(closed.actor).startswith("terminal:")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody",), "no person"),
        (("dora",), "last person"),
        (("emil",), "last person"),
        (("terminal",), "nobody's account"),
        (("anna", "--reopen"), "is open"),
    ],
)
def test_an_account_that_cannot_be_closed_or_opened(arguments: tuple[str, ...], said: str, cast: Cast) -> None:
    User.objects.create(username="terminal", role="clinician")
    with pytest.raises(CommandError, match=said):
        call_command("close_account", *arguments, stdout=StringIO())
    assert not User.objects.filter(is_active=False).exists()


@pytest.mark.parametrize("road", ["closed", "erased"])
def test_who_signs_in_while_their_account_is_closed_has_no_session(
    road: str, client: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the password and the session."""
    form_valid = views.SignIn.form_valid

    def meanwhile(*given: Any) -> Any:
        person = User.objects.get(username="anna")
        if road == "closed":
            services.close(person, actor="terminal:root")
        else:
            erase(person, By("terminal:root"))
        return form_valid(*given)

    monkeypatch.setattr(views.SignIn, "form_valid", meanwhile)
    assert sign_in(client, "anna", PASSWORD) == 200
    assert not Session.objects.exists()
    kinds = list(Event.objects.filter(kind__startswith="session.").values_list("kind", flat=True))
    assert kinds == ["session.refused"]


@pytest.mark.parametrize(
    "arguments",
    [("close_account", "anna"), ("close_account", "anna", "--reopen"), ("create_user", "a", "--role", "admin")],
)
def test_a_command_says_that_the_database_took_nothing(
    arguments: tuple[str, ...], cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.filter(username="anna").update(is_active="--reopen" not in arguments)

    def held(*given: Any, **about: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(services, "record", held)
    with pytest.raises(CommandError, match=r"Nothing was changed: database is locked"):
        call_command(*arguments, stdout=StringIO())
    assert User.objects.filter(username="anna", is_active="--reopen" not in arguments).exists()
    assert not User.objects.filter(username="a").exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no locks of rows")
@pytest.mark.django_db(transaction=True)
def test_an_account_is_closed_while_a_colleague_is_asking(cast: Cast) -> None:
    """Whoever asks holds their own row: only where somebody must have a role, the others with it matter."""
    other = connection.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM accounts_user WHERE username = 'bela' FOR UPDATE")
        with brief_transaction(0.5):
            services.close(User.objects.get(username="anna"), actor="terminal:root")
    finally:
        other.rollback()
        other.close()
    assert not User.objects.get(username="anna").is_active


def test_sessions_go_the_night_after_they_expired(client: Client, cast: Cast) -> None:
    from portal.celery import app

    for name in ("anna", "bela"):
        assert sign_in(Client(), name, PASSWORD) == 302
    old = Session.objects.all()[:1].get()
    Session.objects.filter(pk=old.pk).update(expire_date=timezone.now() - timedelta(seconds=1))
    assert tasks.forget_expired_sessions.name in {one["task"] for one in settings.CELERY_BEAT_SCHEDULE.values()}
    assert tasks.forget_expired_sessions.name in app.tasks
    tasks.forget_expired_sessions()
    assert Session.objects.count() == 1 and not Session.objects.filter(pk=old.pk).exists()
