"""What a log line says of a failure: where it happened and of what kind, never what the data was.

The message of an exception may hold the row that PostgreSQL refused, or what a person typed; a log is read by people
who may read neither. What was typed into a search stands in the address of its page, behind the question mark.
"""

import logging
import re
import traceback
from types import TracebackType

_QUERY = re.compile(r"(/[^\s?\"'<>]*\?)[^\s\"'<>]+")


class WithoutContent(logging.Formatter):
    """Writes a traceback with files, lines, code and the types of the exceptions, without their messages, and an
    address without its query."""

    def format(self, record: logging.LogRecord) -> str:
        return _QUERY.sub(r"\1…", super().format(record))

    def formatException(  # noqa: N802
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        lines: list[str] = []
        error = ei[1]
        seen: set[int] = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            frames = "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
            kind = type(error)
            lines.append(f"{frames}\n{kind.__module__}.{kind.__qualname__}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nbecause of\n".join(lines)
