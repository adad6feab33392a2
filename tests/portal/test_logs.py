"""A log says where and what kind, never what was in the data."""

import logging

import pytest
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


@pytest.mark.parametrize(
    ("said", "written"),
    [
        (
            "<WebRequest at 0x7f method=GET uri=/audit/?actor=Anna+Meyer&x=1 clientproto=HTTP/1.1>",
            "uri=/audit/?… client",
        ),
        ("connection ['/ws/chat/1/?token=Meyer'] took too long", "['/ws/chat/1/?…'] took"),
        ("Not Found: /x?y=Meyer", "/x?…"),
        ("Is it there? No: a/b", "Is it there? No: a/b"),
    ],
)
def test_an_address_is_written_without_its_query(said: str, written: str) -> None:
    formatter = settings.LOGGING["formatters"]["line"]
    made = import_string(formatter["()"])(formatter["format"])
    text = made.format(logging.LogRecord("x", logging.WARNING, __file__, 1, "%s", (said,), None))
    assert written in text
    assert "Meyer" not in text
