"""Finding the passages of the guidelines that answer a question."""

from collections.abc import Sequence

from knowledge._types import Retrieval


def retrieve(
    query: str, *, limit: int = 5, language: str | None = None, history: Sequence[str] = ()
) -> Retrieval:
    """The passages that answer `query`, best first."""
    raise NotImplementedError
