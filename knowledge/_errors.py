"""The errors of knowledge. Each is a stable code with parameters; shown, it is one sentence for the admin who uploaded
a file, in the language that is active at that moment (`knowledge._messages` has the sentences).

KnowledgeError
├── DocumentRejected          not taken into the library: empty, too large, of an unknown or a wrong type
│   └── DuplicateDocument     the library has this very file already (`version_id` says which)
├── DocumentUnreadable        taken in, but no text can be had from it: encrypted, damaged, scanned …
│   └── ParsingLimitExceeded  reading it took more memory, time or text than is allowed
├── NotPossible               a step that may not be taken now, or not by this person
├── NoSuchPage                there is no such page that could be shown as a picture
├── RenderingBusy             too many pages are being drawn at this moment
├── IngestionRunning          another process or thread is ingesting this version
├── EmbedderUnavailable       the embedding model is missing or cannot be loaded
└── IndexUnavailable          the vector index cannot be used
    ├── IndexBuilding         a new one is being built already
    └── IndexLocked           another process has it open
"""

from uuid import UUID


class KnowledgeError(Exception):
    """Base of all errors of this package: `code` names the sentence, `parameters` what is put into it."""

    def __init__(self, code: str, **parameters: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.parameters = parameters

    def __str__(self) -> str:
        # Only whoever shows an error needs Django: the child process that reads documents has none.
        from knowledge._messages import sentence

        return sentence(self.code, self.parameters)


class DocumentRejected(KnowledgeError):
    """The file was not taken into the library."""


class DuplicateDocument(DocumentRejected):
    """The library already has this very file."""

    def __init__(self, version_id: UUID, **parameters: str | int) -> None:
        super().__init__("duplicate", **parameters)
        self.version_id = version_id


class DocumentUnreadable(KnowledgeError):
    """The file is in the library, but its text cannot be read."""


class ParsingLimitExceeded(DocumentUnreadable):
    """Reading the file needed more memory, time or text than a document may."""


class NotPossible(KnowledgeError):
    """A step in the life of a guideline that may not be taken from where it is now, or not by this person."""


class NoSuchPage(KnowledgeError):
    """The version has no such page, or its format has no pages that could be shown as pictures."""


class RenderingBusy(KnowledgeError):
    """Too many pages are being drawn at this moment; trying again soon will do."""


class IngestionRunning(KnowledgeError):
    """Another process or thread is ingesting this version right now."""


class EmbedderUnavailable(KnowledgeError):
    """The embedding model is missing or cannot be loaded."""


class IndexUnavailable(KnowledgeError):
    """The vector index cannot be used."""


class IndexBuilding(IndexUnavailable):
    """A new index is being built already."""


class IndexLocked(IndexUnavailable):
    """Another process has the vector index open; two at once would lose vectors."""
