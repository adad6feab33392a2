"""The facility's guidelines: documents, versions, ingestion, index and retrieval.

    version = knowledge.add_version(path, filename="protocol.pdf", uploaded_by="anna")
    knowledge.ingest(version.pk)
    knowledge.retrieve("What are the steps of a safety plan?").passages

Services write, selectors read (`knowledge.services`, `knowledge.selectors`). Everything that touches the vector index
(`ingest`, `retrieve`, `rebuild_index`, `verify_index`, `ingest_samples`, `warm`) belongs into one process: the
knowledge worker. Names are loaded on first use, so that importing this package loads neither models nor heavy
libraries.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from knowledge._errors import (
    DocumentRejected,
    DocumentUnreadable,
    DuplicateDocument,
    EmbedderUnavailable,
    IndexLocked,
    IndexUnavailable,
    IngestionRunning,
    KnowledgeError,
    ParsingLimitExceeded,
)
from knowledge._types import IndexReport, OnProgress, Passage, Progress, Retrieval

if TYPE_CHECKING:
    from knowledge.retrieval import retrieve
    from knowledge.services import (
        add_version,
        approve,
        close,
        ingest,
        ingest_samples,
        rebuild_index,
        receive,
        retry,
        set_enabled,
        verify_index,
        warm,
    )

__all__ = [
    "DocumentRejected",
    "DocumentUnreadable",
    "DuplicateDocument",
    "EmbedderUnavailable",
    "IndexLocked",
    "IndexReport",
    "IndexUnavailable",
    "IngestionRunning",
    "KnowledgeError",
    "OnProgress",
    "ParsingLimitExceeded",
    "Passage",
    "Progress",
    "Retrieval",
    "add_version",
    "approve",
    "close",
    "ingest",
    "ingest_samples",
    "rebuild_index",
    "receive",
    "retrieve",
    "retry",
    "set_enabled",
    "verify_index",
    "warm",
]

_LATER = {"retrieve": "knowledge.retrieval"} | dict.fromkeys(
    (
        "add_version",
        "approve",
        "close",
        "ingest",
        "ingest_samples",
        "rebuild_index",
        "receive",
        "retry",
        "set_enabled",
        "verify_index",
        "warm",
    ),
    "knowledge.services",
)


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
