"""Several processes write at once: no gaps, no forks, no deadlocks. At full size: `python -m tests.stack.ledger`."""

import pytest

from tests.stack.ledger import append_at_once, is_right


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("audit_key")
@pytest.mark.parametrize(
    ("writers", "appends"), [(4, 50), pytest.param(16, 1000, marks=pytest.mark.soak)], ids=["few", "many"]
)
def test_many_processes_append_at_once(writers: int, appends: int) -> None:
    counted = append_at_once(writers, appends) | {"appends": writers * appends}
    assert is_right(counted), counted
