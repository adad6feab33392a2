"""A native object that many threads use and one takes away: it is freed when nobody is inside it any more."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from inference._errors import EngineFailed

T = TypeVar("T")


class Shared(Generic[T]):
    """Holds one object; every method may be called from several threads at once."""

    def __init__(self, value: T) -> None:
        self._value: T | None = value
        self._users = 0
        self._idle = threading.Condition()

    @contextmanager
    def use(self) -> Iterator[T]:
        """The object, which is not taken away meanwhile. Raises EngineFailed once somebody has begun to."""
        with self._idle:
            if (value := self._value) is None:
                raise EngineFailed("The model was unloaded.")
            self._users += 1
        try:
            yield value
        finally:
            with self._idle:
                self._users -= 1
                self._idle.notify_all()

    @property
    def is_leaving(self) -> bool:
        """Whether somebody waits to take it away: who is inside should come to an end."""
        return self._value is None

    def take_away(self) -> T | None:
        """The object, once nobody uses it any more; None where it was taken away before."""
        with self._idle:
            value, self._value = self._value, None
            self._idle.wait_for(lambda: not self._users)
        return value
