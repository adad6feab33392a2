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
    "warm",
    "withdraw_opening",
]

_LATER = dict.fromkeys(("explain", "retrieve"), "knowledge.retrieval") | dict.fromkeys(
    (
        "add_version",
        "ingest",
        "ingest_samples",
        "look_into_folder",
        "read_by_ocr",
        "receive",
        "retry",
    ),
    "knowledge.services",
)
_LATER |= dict.fromkeys(
    (
        "close",
        "look_after_index",
        "rebuild_index",
        "reread_all",
        "reread_outdated",
        "verify_index",
        "warm",
    ),
    "knowledge.indexes",
)
_LATER |= dict.fromkeys(
    (
        "approve",
        "archive",
        "bring_up_to_date",
        "reschedule",
        "restore",
        "send_back",
        "steps",
        "submit",
        "unapprove",
    ),
    "knowledge.lifecycle",
)
_LATER |= dict.fromkeys(
    (
        "add_department",
        "describe",
        "join",
        "keep_apart",
        "remove_department",
        "rename_department",
        "set_enabled",
        "split_off",
    ),
    "knowledge.describing",
)
_LATER |= dict.fromkeys(("agree_to_opening", "withdraw_opening"), "knowledge.opening")
_LATER["compare"] = "knowledge.comparing"
_LATER["page_image"] = "knowledge.pages"


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
