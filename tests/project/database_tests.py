"""A pytest plugin that keeps only the tests that use Django's database: `pytest -p tests.project.database_tests`.

It reads the fixtures and marks themselves, so that no list of such tests has to be kept. Tests that drive a browser or
start a whole installation are left to the ordinary run: they bring servers of their own.
"""

import pytest

_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback", "live_server"}


def _uses_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("browser") or item.get_closest_marker("stack"):
        return False
    return bool(item.get_closest_marker("django_db") or _FIXTURES & set(getattr(item, "fixturenames", ())))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept = [item for item in items if _uses_database(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _uses_database(item)])
    items[:] = kept
