"""Documents that are ZIP archives of XML (Word, OpenDocument, EPUB), opened within bounds whatever they claim to be."""

import io
import zipfile
import zlib
from typing import Any

from knowledge.parsing._limits import Limits, ParseFailed


class Archive:
    """The parts of a document by name. Nothing is ever unpacked to disk, so names can be no paths."""

    def __init__(self, data: bytes, kind: str, limits: Limits) -> None:
        """Open and check. Raises ParseFailed: damaged, encrypted, bomb."""
        self._kind, self._limits = kind, limits
        try:
            self._file = zipfile.ZipFile(io.BytesIO(data))
            self._check()
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError, zlib.error) as error:
            raise ParseFailed("damaged", kind=kind) from error
        self.names = frozenset(self._file.namelist())

    def _check(self) -> None:
        """Refuse what unpacks to far more than a document is. The sizes in an archive's directory may lie, so the parts
        are unpacked once, counting, without being kept."""
        limits, entries = self._limits, self._file.infolist()
        if len(entries) > limits.archive_entries or sum(e.file_size for e in entries) > limits.unpacked_bytes:
            raise ParseFailed("bomb")
        total = 0
        for entry in entries:
            if entry.flag_bits & 1:
                raise ParseFailed("encrypted")
            size = 0
            bound = limits.xml_bytes if entry.filename.endswith((".xml", ".rels", "html")) else limits.unpacked_bytes
            with self._file.open(entry) as part:
                while block := part.read(1 << 20):
                    size += len(block)
                    total += len(block)
                    if size > bound or total > limits.unpacked_bytes:
                        raise ParseFailed("bomb")

    def bytes_of(self, name: str) -> bytes:
        """One part; empty where there is none of this name. Raises ParseFailed."""
        if name not in self.names:
            return b""
        try:
            return self._file.read(name)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError, zlib.error) as error:
            raise ParseFailed("damaged", kind=self._kind) from error

    def xml(self, name: str) -> Any:
        """The root element of a part, or None where there is no such part.

        No entity is expanded, nothing is fetched, and a document type declaration, which these formats do not have, is
        refused. Raises ParseFailed, MemoryError.
        """
        data = self.bytes_of(name)
        return xml_root(data, self._kind) if data else None


def xml_root(data: bytes, kind: str) -> Any:
    """The root element of XML, read as in `Archive.xml`."""
    from lxml import etree  # type: ignore[import-untyped]

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.LxmlError as error:
        if "unknown error" in str(error) or "emory" in str(error):  # libxml2 got no more memory
            raise MemoryError from error
        if "depth" in str(error):
            raise ParseFailed("too_deep") from error
        raise ParseFailed("damaged", kind=kind) from error
    except ValueError as error:
        raise ParseFailed("damaged", kind=kind) from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise ParseFailed("damaged", kind=kind)
    return root
