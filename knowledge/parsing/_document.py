"""What parsing gives: pages of text, with the headings that stand in them."""

from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass
from typing import Any, Literal

BlockKind = Literal["table", "box"]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading that stands at `text[start:end]` of its page. Level 1 is the highest."""

    start: int
    end: int
    level: int


@dataclass(frozen=True, slots=True)
class Block:
    """What must stay in one piece at `text[start:end]` of its page: a table, or a box of recommendations."""

    start: int
    end: int
    kind: BlockKind


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """The text of one page, a paragraph, list item or table row a line. `number` is None in formats without pages.

    `boxes` says where each word stands on the page (`unpack_boxes` gives them); it is empty, and `width` and `height`
    (in points) are 0, where a format has no pages to look at. `ocr` is true where the text was read off an image.
    """

    number: int | None
    label: str
    text: str
    headings: tuple[Heading, ...] = ()
    blocks: tuple[Block, ...] = ()
    boxes: bytes = b""
    width: float = 0.0
    height: float = 0.0
    ocr: bool = False


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document as text. `title` is what the file itself says, or empty."""

    title: str
    pages: tuple[ParsedPage, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values for the way from the child process to its parent."""
        value = asdict(self)
        for page in value["pages"]:
            page["boxes"] = b64encode(page["boxes"]).decode("ascii")
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ParsedDocument":
        """The inverse of `as_json`."""
        return cls(
            title=value["title"],
            pages=tuple(
                ParsedPage(
                    number=page["number"],
                    label=page["label"],
                    text=page["text"],
                    headings=tuple(Heading(**heading) for heading in page["headings"]),
                    blocks=tuple(Block(**block) for block in page["blocks"]),
                    boxes=b64decode(page["boxes"]),
                    width=page["width"],
                    height=page["height"],
                    ocr=page["ocr"],
                )
                for page in value["pages"]
            ),
        )


class PageWriter:
    """Builds the text of one page line by line and remembers where its headings stand."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[Heading] = []
        self._blocks: list[Block] = []

    @property
    def place(self) -> int:
        """Where the next line will begin."""
        return self._length

    def line(self, text: str) -> None:
        """Add a paragraph, list item or table row; white space inside is made single."""
        text = " ".join(text.split())
        if text:
            self._parts.append(text)
            self._length += len(text) + 1

    def heading(self, text: str, level: int) -> None:
        """Add a heading on a line of its own."""
        start, before = self._length, len(self._parts)
        self.line(text)
        if len(self._parts) > before:
            self._headings.append(Heading(start, self._length - 1, level))

    def block(self, start: int, kind: BlockKind) -> None:
        """What was added since `start` (an earlier `place`) must stay in one piece."""
        if self._length > start:
            self._blocks.append(Block(start, self._length - 1, kind))

    def page(self, number: int | None = None, label: str = "") -> ParsedPage:
        """The page as it is now."""
        blocks = tuple(sorted(self._blocks, key=lambda block: (block.start, -block.end)))
        return ParsedPage(number, label, "\n".join(self._parts), tuple(self._headings), blocks)
