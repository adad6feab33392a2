"""Reading documents: PDF, Word, OpenDocument, EPUB, HTML, Markdown and plain text become pages of text with headings.

`sniff` names a file's type by its content. `parse` reads it, and `read_title` finds what it is called, in a child
process with limits on memory, CPU and time, so that no document can take anything else down. This package knows nothing
of Django: what goes wrong is a code, and the sentence is made by whoever shows it.
"""

from knowledge.parsing._boxes import Box, Rect, boxes_of, pack_boxes, unpack_boxes
from knowledge.parsing._document import Block, Heading, ParsedDocument, ParsedPage
from knowledge.parsing._limits import Limits
from knowledge.parsing._run import page_image, parse, read_title
from knowledge.parsing._sniff import MEDIA_TYPES, MediaType, sniff
from knowledge.parsing._title import Title

__all__ = [
    "MEDIA_TYPES",
    "Block",
    "Box",
    "Heading",
    "Limits",
    "MediaType",
    "ParsedDocument",
    "ParsedPage",
    "Rect",
    "Title",
    "boxes_of",
    "pack_boxes",
    "page_image",
    "parse",
    "read_title",
    "sniff",
    "unpack_boxes",
]
