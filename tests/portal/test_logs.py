"""A log says where and what kind, never what was in the data."""

import logging

from django.conf import settings
from django.utils.module_loading import import_string

SECRET = "je vais mal"


def written(error: BaseException) -> str:
    formatter = settings.LOGGING["formatters"]["line"]
    made = import_string(formatter["()"])(formatter["format"])
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), (type(error), error, error.__traceback__))
    return str(made.format(record))


def test_a_traceback_names_places_and_types_but_no_content() -> None:
    def refuse(row: str) -> None:
        raise ValueError(f"DETAIL: Failing row contains ({row})")

    try:
        try:
            refuse(SECRET)
        except ValueError as inner:
            raise KeyError(SECRET) from inner
    except KeyError as error:
        text = written(error)
    assert SECRET not in text.replace(f'SECRET = "{SECRET}"', "")
    assert "builtins.KeyError" in text
    assert "builtins.ValueError" in text
    assert "test_logs.py" in text
    assert "in refuse" in text


def test_exceptions_that_caused_each_other_in_a_circle_end() -> None:
    one, other = ValueError("a"), ValueError("b")
    one.__cause__, other.__cause__ = other, one
    assert written(one).count("builtins.ValueError") == 2
