"""The demonstration sign-ins: three roles and a second administrator, fresh passwords at each start, never beside
people of the facility's own."""

from django.test import Client
from django.urls import reverse

from portal.accounts.models import User
from portal.demonstration import ensure_people
from tests.conftest import Cast


def sign_in(name: str, password: str) -> bool:
    return Client().post(reverse("login"), {"username": name, "password": password}).status_code == 302


def test_four_sign_ins_that_work_and_are_renewed(db: None, valkey_server: str) -> None:
    first = ensure_people()
    assert [role for role, _, _ in first] == ["clinician", "admin", "admin", "compliance"]
    assert all(sign_in(name, password) for _, name, password in first)
    second = ensure_people()
    assert not any(sign_in(name, password) for _, name, password in first)
    assert all(sign_in(name, password) for _, name, password in second)


def test_a_password_that_its_owner_changed_is_left_alone(db: None, valkey_server: str) -> None:
    _, name, password = ensure_people()[0]
    client = Client()
    client.post(reverse("login"), {"username": name, "password": password})
    new = "a-password-of-my-own"
    client.post(reverse("password_change"), {"old_password": password, "new_password1": new, "new_password2": new})
    assert [one[0] for one in ensure_people()] == ["admin", "admin", "compliance"]
    assert sign_in(name, new)


def test_none_where_there_are_other_people(cast: Cast) -> None:
    assert ensure_people() == []
    assert not User.objects.filter(demonstration=True).exists()
