"""What this package has to say to people: one sentence a code, in the language that is active when it is shown."""

from collections.abc import Mapping

from django.utils.formats import number_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

MESSAGES = {
    # measuring
    "collection": _(
        "%(folder)s has no collection that can be read: corpus.jsonl, queries.jsonl and qrels/test.tsv with at least "
        "one document and one question (%(reason)s)."
    ),
    "collection_library": _("A measurement needs an empty library of its own."),
    # taking a file in
    "duplicate": _("“%(name)s” is in the library already: it is “%(title)s”, version %(number)s."),
    "empty": _("“%(name)s” is empty."),
    "too_large": _("“%(name)s” is larger than the %(megabytes)s MB that a document may have."),
    "folder": _("“%(name)s” is a folder, not a file."),
    "missing": _("There is no file %(path)s."),
    "not_opened": _("“%(name)s” cannot be opened: %(reason)s."),
    "disk_full": _("“%(name)s” could not be stored: the disk is full. Make room and try again."),
    "storage": _("“%(name)s” could not be stored in the data folder: %(reason)s."),
    # what it is
    "unknown_type": _(
        "“%(name)s” is of a type that cannot be read. "
        "Havre reads PDF, Word (.docx), OpenDocument (.odt), EPUB, HTML, Markdown and plain text."
    ),
    "foreign_type": _(
        "“%(name)s” is %(kind)s, not a document with text. "
        "Havre reads PDF, Word (.docx), OpenDocument (.odt), EPUB, HTML, Markdown and plain text."
    ),
    "mislabelled": _(
        "“%(name)s” is named like %(named)s, but its content is %(found)s. "
        "Please check the file and save it under the right name."
    ),
    "old_office": _(
        "“%(name)s” is an Office file of the old kind (.doc) or protected by a password. "
        "Please save it as .docx without a password, or as PDF."
    ),
    # reading it
    "damaged": _("“%(name)s” is damaged or incomplete: it cannot be read as %(kind)s."),
    "stopped": _("“%(name)s” is damaged: the program that reads it stopped half-way."),
    "encrypted": _("“%(name)s” is protected by a password. Please upload it without one."),
    "no_pages": _("“%(name)s” has no pages."),
    "no_text": _("“%(name)s” has no text in it."),
    "scan": _(
        "“%(name)s” has pages but no text: it looks like a scan. "
        "Its text can be read off the images (OCR); a version with text is read faster and without mistakes."
    ),
    "page_missing": _("“%(name)s” has no page %(number)s."),
    "bomb": _("“%(name)s” unpacks to far more data than a document has. It was not opened."),
    "too_many_pages": _("“%(name)s” has %(pages)s pages; at most %(most)s can be read. Please split it."),
    "too_much_text": _("“%(name)s” has more text than a document may have. Please split it."),
    "too_deep": _("“%(name)s” is nested too deeply to be read."),
    "memory": _(
        "“%(name)s” needs more memory to be read than a document may use. Please split it or save it again as PDF."
    ),
    "time": _("“%(name)s” takes longer to be read than a document may. Please split it or save it again."),
    "file_lost": _("The file of “%(name)s” is no longer in the data folder. Please upload it again."),
    # the life of a version
    "not_from_here": _(
        "This step is not possible: “%(title)s”, version %(number)s, is %(state)s now. "
        "Load the page again to see what is."
    ),
    "second_person_dates": _(
        "“%(title)s”, version %(number)s, would answer earlier or longer than was approved: "
        "that takes a person who neither uploaded nor submitted it."
    ),
    "second_person": _(
        "“%(title)s”, version %(number)s, needs a second person: "
        "neither who uploaded it nor who submitted it can approve it."
    ),
    "moved_meanwhile": _(
        "“%(title)s”, version %(number)s: this file became a version of another guideline meanwhile. "
        "Look at it again before you approve it."
    ),
    "audience_meanwhile": _(
        "“%(title)s”, version %(number)s: the departments that may see it were changed meanwhile. "
        "Look at it again before you approve it."
    ),
    "not_readable": _("“%(title)s”, version %(number)s, could not be read, so there is nothing to approve."),
    "not_read_yet": _("“%(title)s”, version %(number)s, is not completely read yet. It can be approved after that."),
    "later_in_force": _(
        "“%(title)s” has a later version in force, version %(later)s. "
        "Take back its approval or archive it first, then version %(number)s can answer."
    ),
    "later_scheduled": _(
        "“%(title)s” has a later version that is approved and will answer, version %(later)s. "
        "Take back its approval or archive it first, then version %(number)s can answer."
    ),
    "already_in_force": _("“%(title)s”, version %(number)s, is in force already: its beginning cannot be changed."),
    "ends_too_early": _(
        "“%(title)s”, version %(number)s, would end before it begins, or before now. Choose a later end."
    ),
    "review_in_the_past": _("The day on which “%(title)s”, version %(number)s, is due for review lies in the past."),
    # describing guidelines
    "title_missing": _("A guideline needs a title."),
    "title_taken": _("There is another guideline with the title “%(title)s” from the same publisher."),
    "web_address": _("“%(address)s” is not a web address: it should begin with https:// or http://."),
    "same_guideline": _("“%(title)s”, version %(number)s, belongs to this guideline already."),
    "only_version": _("“%(title)s” has no other version, so it cannot be split."),
    "not_a_draft": _(
        "“%(title)s”, version %(number)s, is %(state)s now. "
        "Only a draft or a version in review can change its guideline."
    ),
    "would_open": _(
        "“%(title)s” is for some departments only; as a version of “%(other)s” it would be open to more people. "
        "Choose the departments of “%(other)s” first."
    ),
    "second_person_opening": _(
        "“%(title)s” would be seen by more people than it was approved for: "
        "that takes a second person, not the one who asked for it."
    ),
    "opening_gone": _("This was decided or changed by somebody else meanwhile. Look again."),
    "no_scan": _("“%(name)s” does not wait for OCR: only a PDF without text can be read by it."),
    "ocr_language": _("OCR reads French and English only."),
    # departments
    "department_unnamed": _("A department needs a name."),
    "department_taken": _("There is a department with the name “%(name)s” already."),
    "department_gone": _("A department that you chose was removed meanwhile. Choose again."),
    "department_in_use": _(
        "“%(name)s” cannot be removed: guidelines are for this department only, among them “%(title)s”. "
        "Choose other departments for them first, so that they do not become visible to everybody."
    ),
    # the watched folder
    "folder_link": _("“%(name)s” is a link. Links in the watched folder are not followed; put the file itself there."),
    "folder_special": _("“%(name)s” is not an ordinary file."),
    "folder_gone": _("“%(name)s” is no longer in the watched folder. What was taken in stays in the library."),
    "folder_missing": _("The watched folder %(folder)s cannot be opened: %(reason)s."),
    "folder_overlaps": _(
        "The watched folder %(folder)s lies in the data folder or around it. "
        "Choose another folder (HAVRE_WATCH_FOLDER)."
    ),
    "folder_too_many": _(
        "The watched folder has more than %(most)s files and folders, or folders inside each other more than %(deep)s "
        "deep. The rest is not looked at."
    ),
    # showing its pages
    "no_such_page": _("There is no page %(page)s to be shown."),
    "rendering_busy": _("Too many pages are being drawn at this moment. Please try again in a few seconds."),
    # making it searchable
    "running": _("“%(name)s” is being ingested already."),
    "embedder_package": _("The package %(package)s, which brings the embedding model, is not installed."),
    "embedder_missing": _(
        "The embedding model %(folder)s is missing or is no sentence-transformers folder. Check HAVRE_EMBEDDER."
    ),
    "embedder_broken": _("The embedding model %(folder)s cannot be loaded: %(reason)s"),
    "index_folder": _("The folder %(folder)s cannot be made: %(reason)s."),
    "index_lock_file": _("The lock file %(path)s cannot be written: %(reason)s."),
    "index_locked": _(
        "The vector index in %(folder)s is open in another process (process %(process)s). "
        "Only one may have it: stop that process, or leave this work to it."
    ),
    "index_broken": _("The vector index in %(folder)s cannot be opened: %(reason)s"),
    "index_failed": _("The vector index failed: %(reason)s"),
    "embedder_changed": _("The embedding model %(folder)s is not the one any more that the index was made with."),
    "chroma_public": _(
        "HAVRE_CHROMA_URL leads to %(address)s, which is not a private address. The server has no password: it must "
        "be reachable from this machine or a private network only."
    ),
    "chroma_silent": _("The vector index server %(address)s does not answer: %(reason)s"),
    "index_building": _("A new index is being built already."),
    "index_given_up": _("The building of this index was interrupted, and the settings want another one now."),
    "index_memory": _("There is not enough memory to build this index."),
    "index_disk_full": _("The disk is full: this index could not be built. Make room and start `manage.py reindex`."),
    "index_check_dimension": _("The model made vectors that do not all have %(dimension)s numbers. They are not used."),
    "index_check_numbers": _("The model made vectors that are not numbers of length one. They are not used."),
    "index_check_contents": _(
        "The new index did not pass its check: %(missing)s passages are missing, %(stray)s do not belong in it."
    ),
    "index_check_lost": _("The new index did not pass its check: %(lost)s of its passages are not found in it."),
    "search_failed": _(
        "The library could not be searched because of an error in the program. "
        "The log of the guideline service says where it happened."
    ),
}

_KINDS = {
    "pdf": "PDF",
    "docx": "Word (.docx)",
    "odt": "OpenDocument (.odt)",
    "epub": "EPUB",
    "html": "HTML",
    "markdown": "Markdown",
    "text": _("plain text"),
    "png": _("a PNG image"),
    "jpeg": _("a JPEG image"),
    "gif": _("a GIF image"),
    "tiff": _("a TIFF image"),
    "program": _("a program"),
    "rtf": _("an RTF file"),
    "postscript": _("a PostScript file"),
    "archive": _("an archive"),
    "excel": _("an Excel workbook"),
    "powerpoint": _("a PowerPoint file"),
    "opendocument": _("an OpenDocument spreadsheet or presentation"),
    "mail": _("an e-mail or a web page saved as one file (.mht)"),
}

_STATES = {
    "draft": _("a draft"),
    "in_review": _("in review"),
    "approved": _("approved"),
    "effective": _("in force"),
    "superseded": _("superseded"),
    "expired": _("expired"),
    "archived": _("archived"),
}


def sentence(code: str, parameters: Mapping[str, str | int]) -> str:
    """The sentence of a code, with its parameters: numbers as the language writes them, kinds of file by name."""
    if code not in MESSAGES:
        return gettext("This document could not be read because of an error in the program.")
    return str(MESSAGES[code]) % {name: _shown(name, value) for name, value in parameters.items()}


def _shown(name: str, value: str | int) -> str:
    if isinstance(value, int):
        return number_format(value, force_grouping=True)
    if name == "state":
        return str(_STATES[value])
    return str(_KINDS[value]) if name in {"kind", "named", "found"} else value
