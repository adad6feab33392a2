"""Finding the passages of the guidelines that answer a question: by meaning (Chroma) and by words (SQL), put together
by score."""

from knowledge.retrieval._search import explain, retrieve

__all__ = ["explain", "retrieve"]
