"""One export, from its record in the ledger to the file: the same for the command and the page."""

import errno
import hashlib
import logging
import os
import re
import secrets
import uuid
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from guardrails import Action, Category
from portal.audit import keys, naming, sealing, stored, wording
from portal.audit._readable import NO_VALUES, is_of_a_row
from portal.audit.exporting._fhir_kinds import KINDS
from portal.audit.exporting._formats import About, Events, writer_of
from portal.audit.exporting._selection import Selection, events, kinds, numbers
from portal.audit.models import Actor, Checkpoint, Head
from portal.audit.services import record

logger = logging.getLogger(__name__)


class ExportFailed(Exception):
    """The export was not written; the text says why and what to do. `code` is a word for the record."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Stopped(Exception):
    """Whoever asked for the export stopped it."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for an export: a name, the role, the language of what is read, and, once it is recorded, the code, which
    stays when the name is erased."""

    name: str
    role: str = ""
    language: str = "en"
    code: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was written: how many events, of a ledger of how many, bytes, the SHA-256 of the file, and the codes of all
    who may be named in it."""

    count: int
    up_to: int
    size: int
    sha256: str
    named: Set[str]


@dataclass(frozen=True, slots=True)
class Order:
    """An export that is recorded and may be written: the number of its event, by which it is known, the format, what
    was chosen (people by their codes), who asked."""

    number: int
    form: str
    selection: Selection
    asker: Asker


Settle = Callable[[str, "Outcome | None"], bool]


def begin(form: str, selection: Selection, asker: Asker) -> Order:
    """Record that somebody exports, before anything is read. Raises Unavailable for a format that is not installed;
    keys.NoAuditKey."""
    writer_of(form)
    coded = _coded(selection)
    with transaction.atomic():
        payload = {"format": form, "filters": coded.filters()}
        event = record("audit.exported", actor=asker.name, actor_role=asker.role, payload=payload)
    return Order(event.seq, form, coded, replace(asker, code=event.actor_id))


def write_file(
    order: Order, file: Path, progress: Callable[[int, int], None], settle: Settle = lambda code, outcome: True
) -> Outcome:
    """Write an export to a file, which nobody sees before it is whole, and record its end.

    The ledger is sealed first, so that the export's own record is proven with the rest. `progress` is called with how
    many events are done, of how many, and may raise Stopped. `settle` is asked in the transaction of the record whether
    this end is the one that counts, with a code where it is a failure and the outcome where it is none; what does not
    count is not recorded, and raises Stopped. Raises ExportFailed, Stopped; whatever it raises, nothing of the file is
    left, and the record says so.
    """
    draft = file.with_name(f".{file.name}.{secrets.token_hex(6)}.part")
    try:
        try:
            outcome = _written(order, draft, file, progress, settle)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)  # before anything is recorded: a full disk has room again
    except (Stopped, KeyboardInterrupt):
        _record_failure(order, "stopped", settle)
        raise
    except OSError as error:
        failed = _as_failure(error)
        _record_failure(order, failed.code, settle)
        raise failed from error
    except Exception as error:
        _record_failure(order, type(error).__name__, settle)
        raise
    return outcome


class _Erased(Exception):
    """The name of somebody whom the file may name was erased while it was written."""


def _written(order: Order, draft: Path, file: Path, progress: Callable[[int, int], None], settle: Settle) -> Outcome:
    """The file, written as often as somebody is erased meanwhile: nothing that is there after that holds their name."""
    while True:
        outcome = _write(order, draft, progress)
        try:
            _keep(order, draft, file, outcome, settle)
        except _Erased:
            draft.unlink()
        else:
            return outcome


def _keep(order: Order, draft: Path, file: Path, outcome: Outcome, settle: Settle) -> None:
    """The file appears with the record of it, or neither does. Raises _Erased where one of those that are named in it,
    by their codes, has no name any more: whoever records waits for an erasure, and an erasure for whoever records."""
    ended: dict[str, str | int] = {"events": outcome.count, "up_to": outcome.up_to, "bytes": outcome.size}
    ended["sha256"] = outcome.sha256
    is_there = False
    try:
        with transaction.atomic():
            if not settle("", outcome):
                raise Stopped
            record_end("audit.export_finished", order, ended)
            if outcome.named - _names().keys():
                raise _Erased
            draft.replace(file)
            is_there = True
    except BaseException:
        if is_there:  # the database refused the last step of all
            file.unlink(missing_ok=True)
        raise


def _write(order: Order, draft: Path, progress: Callable[[int, int], None]) -> Outcome:
    about = _about(order)
    events = Events(numbers(order.selection, about.up_to))
    about = replace(about, count=len(events))
    progress(0, len(events))
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w+b") as out:
        count = writer_of(order.form)(events, out, about, lambda done: progress(done, len(events)))
        out.flush()
        os.fsync(out.fileno())
        size = out.seek(0, os.SEEK_END)
        out.seek(0)
        digest = hashlib.file_digest(out, "sha256").hexdigest()
    progress(count, len(events))
    return Outcome(count, about.up_to, size, digest, about.names.keys() | about.wrong)


def _about(order: Order) -> About:
    """What the export tells of itself. A ledger that somebody changed cannot be sealed; it is exported even so, as
    evidence, and says so."""
    checkpoint: Checkpoint | None
    checkpoint, problem, up_to = None, "", order.number
    try:
        checkpoint = sealing.seal("export")
        up_to = checkpoint.tree_size
    except sealing.Tampered as error:
        problem = f"the audit trail could not be sealed: {error}"
    except NO_VALUES as error:
        if not is_of_a_row(error):
            raise
        problem = "the audit trail could not be sealed: a row cannot be read"
    known = naming.names()
    return About(
        number=order.number,
        ledger=str(Head.objects.get().ledger),
        facility=settings.HAVRE_FACILITY,
        asked_by=known.names.get(order.asker.code, order.asker.code),
        at=timezone.now(),
        language=order.asker.language,
        selection=order.selection,
        up_to=up_to,
        count=0,
        checkpoint=checkpoint,
        problem=problem,
        names=known.names,
        wrong=known.wrong,
    )


def _names() -> dict[str, str]:
    return {code: name for code, name, _salt in stored.people()}


def record_end(kind: str, order: Order, payload: Mapping[str, str | int]) -> None:
    """Record how an export ended."""
    with transaction.atomic():
        asker = order.asker
        record(kind, actor=asker.code, actor_role=asker.role, payload={"export": order.number, **payload})


def _record_failure(order: Order, code: str, settle: Settle) -> None:
    """What ended the export is what whoever asked is told, also where it can not be recorded any more."""
    try:
        with transaction.atomic():
            if settle(code, None):
                record_end("audit.export_failed", order, {"code": code})
    except (DatabaseError, keys.NoAuditKey) as error:
        logger.error("the end of export %s (%s) is not recorded: %s", order.number, code, type(error).__name__)


def _coded(selection: Selection) -> Selection:
    """The selection as it may be kept for ever: codes in the place of names, and of what was typed only what the audit
    trail holds already, or what is an id. Whatever else somebody typed may be anybody's name; it finds nothing."""
    kept: dict[str, Any] = {}
    for name, value in selection.filters().items():
        if name in {"actor", "subject"}:
            code = Actor.objects.filter(name=value).values_list("code", flat=True).first()
            kept[name] = code or (value if _occurs(name, value) else _NOBODY)
        elif not name.endswith("_day"):
            kept[name] = value if _is_id(name, value) or _occurs(name, value) else _NOBODY
    return replace(selection, **kept)


def _is_id(name: str, value: str) -> bool:
    """Whether a value has the form of an id where one is asked for, or is one of the words of the program."""
    if name in {"conversation", "document"}:
        with suppress(ValueError):
            return bool(uuid.UUID(value))
    if name in {"document", "model"}:
        return re.fullmatch("[0-9a-fA-F]{64}", value) is not None
    words = {"role": wording.ROLES, "verdict": [*Action, *Category], "kind": [*KINDS, *wording.ROOMS]}
    return value in words.get(name, ())


def _occurs(name: str, value: str) -> bool:
    """Whether the audit trail holds this value where it would be looked for."""
    if name == "kind":
        return any(kind.startswith(value) for kind in kinds())
    last = Head.objects.values_list("last_seq", flat=True).first() or 0
    alone: dict[str, Any] = {name: value}
    return events(Selection(**alone), last).exists()


_NOBODY = "(unknown)"


def _as_failure(error: OSError) -> ExportFailed:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return ExportFailed("disk_full", _("The disk is full: the export was not written. Free some space, ask again."))
    said = error.strerror or type(error).__name__
    return ExportFailed("not_written", _("The export could not be written (%(why)s).") % {"why": said})
