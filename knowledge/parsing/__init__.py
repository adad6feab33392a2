"""Reading documents: PDF, DOCX, HTML, Markdown and plain text become pages of clean text with their headings.

`sniff` names a file's type by its content. `parse` reads it in a child process with limits on memory, CPU and time,
so that no document can take the worker down. This package knows nothing of Django.
"""

from knowledge.parsing._document import Heading, ParsedDocument, ParsedPage
from knowledge.parsing._limits import Limits
from knowledge.parsing._run import parse
from knowledge.parsing._sniff import MEDIA_TYPES, MediaType, sniff

__all__ = ["MEDIA_TYPES", "Heading", "Limits", "MediaType", "ParsedDocument", "ParsedPage", "parse", "sniff"]
