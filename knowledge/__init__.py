"""The facility's guidelines: documents, versions, ingestion, index and retrieval.

    version = knowledge.add_version(path, filename="protocol.pdf", uploaded_by="anna")
    knowledge.ingest(version.pk)
    knowledge.submit(version.pk, actor="anna")
    knowledge.approve(version.pk, actor="bela")
    knowledge.retrieve("What are the steps of a safety plan?").passages

Services write, selectors read (`knowledge.services`, `knowledge.selectors`); `knowledge.lifecycle` decides what
answers, `knowledge.describing` what guidelines are called and whom they are for. Everything that touches the vector
index (`ingest`, `retrieve`, `rebuild_index`, `verify_index`, `ingest_samples`, `warm`) belongs into one process: the
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
    IndexBuilding,
    IndexLocked,
    IndexUnavailable,
    IngestionRunning,
    KnowledgeError,
    NoSuchPage,
    NotPossible,
    ParsingLimitExceeded,
    RenderingBusy,
)
from knowledge._types import (
    Candidate,
    Explanation,
    IndexReport,
    OnProgress,
    Passage,
    Progress,
    Quote,
    Removed,
    Retrieval,
)

if TYPE_CHECKING:
    from knowledge.comparing import compare
    from knowledge.describing import (
        add_department,
        describe,
        join,
        keep_apart,
        remove_department,
        rename_department,
        set_enabled,
        split_off,
    )
    from knowledge.indexes import (
        close,
        look_after_index,
        rebuild_index,
        reread_all,
        reread_outdated,
        verify_index,
        waiting_to_be_read_anew,
        warm,
    )
    from knowledge.lifecycle import (
        approve,
        archive,
        bring_up_to_date,
        reschedule,
        restore,
        send_back,
        steps,
        submit,
        unapprove,
    )
    from knowledge.opening import agree_to_opening, withdraw_opening
    from knowledge.pages import page_image
    from knowledge.quoting import quote
    from knowledge.retrieval import explain, retrieve
    from knowledge.services import (
        add_version,
        ingest,
        ingest_samples,
        look_into_folder,
        read_by_ocr,
        receive,
        retry,
    )

__all__ = [
    "Candidate",
    "DocumentRejected",
    "DocumentUnreadable",
    "DuplicateDocument",
    "EmbedderUnavailable",
    "Explanation",
    "IndexBuilding",
    "IndexLocked",
    "IndexReport",
    "IndexUnavailable",
    "IngestionRunning",
    "KnowledgeError",
    "NoSuchPage",
    "NotPossible",
    "OnProgress",
    "ParsingLimitExceeded",
    "Passage",
    "Progress",
    "Quote",
    "Removed",
    "RenderingBusy",
    "Retrieval",
    "add_department",
    "add_version",
    "agree_to_opening",
    "approve",
    "archive",
    "bring_up_to_date",
    "close",
    "compare",
    "describe",
    "explain",
    "ingest",
    "ingest_samples",
    "join",
    "keep_apart",
    "look_after_index",
    "look_into_folder",
    "page_image",
    "quote",
    "read_by_ocr",
    "rebuild_index",
    "receive",
    "remove_department",
    "rename_department",
    "reread_all",
    "reread_outdated",
    "reschedule",
    "restore",
    "retrieve",
    "retry",
    "send_back",
    "set_enabled",
    "split_off",
    "steps",
    "submit",
    "unapprove",
    "verify_index",
    "waiting_to_be_read_anew",
    "warm",
    "withdraw_opening",
]

_PLACES = (
    "knowledge.services",
    "knowledge.lifecycle",
    "knowledge.describing",
    "knowledge.comparing",
    "knowledge.indexes",
    "knowledge.opening",
    "knowledge.pages",
    "knowledge.retrieval",
    "knowledge.quoting",
)
"""Where the names stand that are loaded on first use, those that load least first."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        for place in _PLACES:
            found = getattr(import_module(place), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
