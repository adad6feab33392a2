"""Who acts: a name, or the code that stands for it, over an erasure too."""

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from portal.audit import verifying
from portal.audit.models import Actor, Event
from portal.audit.services import code_of, forget, record

NOBODYS = f"p-{'0' * 24}"

pytestmark = pytest.mark.usefixtures("db", "audit_key")


@pytest.fixture
def anna() -> str:
    """Her code."""
    with transaction.atomic():
        return code_of("anna")


@pytest.mark.parametrize("erased", [False, True])
def test_whoever_has_the_code_needs_no_name(erased: bool, anna: str) -> None:
    with transaction.atomic():
        if erased:
            forget("anna", actor="system")
        event = record("turn.completed", actor=anna, subject=code_of(anna))
    assert (event.actor_id, event.subject) == (anna, anna)
    assert Event.objects.filter(kind="person.named").count() == 1 and Actor.objects.count() == 2
    assert verifying.verify().findings == ()


@pytest.mark.parametrize("ask", [lambda: record("turn.completed", actor=NOBODYS), lambda: code_of(NOBODYS)])
def test_a_code_that_nobody_was_given_stands_for_nobody(ask: Any, anna: str) -> None:
    with pytest.raises(ValueError, match="nobody was given"), transaction.atomic():
        ask()
    assert not Actor.objects.filter(name=NOBODYS).exists() and Event.objects.count() == 1


@pytest.mark.parametrize("by_code", [False, True])
def test_a_record_takes_three_statements_at_most(by_code: bool, anna: str) -> None:
    """Everybody who records waits behind them."""
    with transaction.atomic(), CaptureQueriesContext(connection) as asked:
        record("turn.completed", actor=anna if by_code else "anna")
    assert asked[0]["sql"].startswith("SELECT") and len(asked) <= 3 and "INSERT INTO audit_event" in asked[-1]["sql"]
