"""The errors of knowledge. Each says in one sentence what is wrong, fit to be shown to the admin who uploaded a file.

KnowledgeError
├── DocumentRejected          not taken into the library: empty, too large, of an unknown or a wrong type
│   └── DuplicateDocument     the library has this very file already (`version_id` says which)
├── DocumentUnreadable        taken in, but no text can be had from it: encrypted, damaged, scanned …
│   └── ParsingLimitExceeded  reading it took more memory, time or text than is allowed
├── IngestionRunning          another process or thread is ingesting this version
├── EmbedderUnavailable       the embedding model is missing or cannot be loaded
└── IndexUnavailable          the vector index cannot be used
    └── IndexLocked           another process has it open
"""

from uuid import UUID


class KnowledgeError(Exception):
    """Base of all errors of this package. `code` is a stable name for the kind of failure, for translation."""

    code = "knowledge"

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code or self.code


class DocumentRejected(KnowledgeError):
    """The file was not taken into the library."""

    code = "rejected"


class DuplicateDocument(DocumentRejected):
    """The library already has this very file."""

    code = "duplicate"

    def __init__(self, message: str, version_id: UUID) -> None:
        super().__init__(message)
        self.version_id = version_id


class DocumentUnreadable(KnowledgeError):
    """The file is in the library, but its text cannot be read."""

    code = "unreadable"


class ParsingLimitExceeded(DocumentUnreadable):
    """Reading the file needed more memory, time or text than a document may."""

    code = "limit"


class IngestionRunning(KnowledgeError):
    """Another process or thread is ingesting this version right now."""

    code = "running"


class EmbedderUnavailable(KnowledgeError):
    """The embedding model is missing or cannot be loaded."""

    code = "embedder"


class IndexUnavailable(KnowledgeError):
    """The vector index cannot be used."""

    code = "index"


class IndexLocked(IndexUnavailable):
    """Another process has the vector index open; two at once would lose vectors."""

    code = "index_locked"
