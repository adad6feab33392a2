"""Where the ledger goes on when its end was damaged: behind the last event that this installation recorded, and behind
whatever somebody left close to it. Rows with far numbers move nothing: who could set the number could use it up."""

import json

from portal.audit import _readable, _rows, keys
from portal.audit._canonical import entry_of
from portal.audit._merkle import leaf_hash
from portal.audit._triggers import MOST_LOST
from portal.audit.models import Checkpoint, Event, Head

_PAGE = 500
_MOST_LOOKED_AT = 20_000  # rows that somebody forged; under more of them the newest checkpoint says where it ends


def last_number(head: Head, key: keys.AuditKey | None, public: bytes) -> int:
    """The number that the next event comes behind. `head` is locked, and was not marked behind the newest event, or
    nobody can say so any more (`key` None). `public` is whose signatures the ledger went on with."""
    last = _newest_recorded(key) if key else None
    if last is None:
        last = _sealed(public)
    if last < head.last_seq <= last + MOST_LOST:
        last = head.last_seq
    while (there := _rows.newest(last).seq) > last:
        last = there
    return last


def _newest_recorded(key: keys.AuditKey) -> int | None:
    """The number of the newest event that bears this key's mark; None: none of those on top does."""
    rows = Event.objects.filter(seq__range=(1, _readable.MOST_SEQ)).order_by("-seq")
    for start in range(0, _MOST_LOOKED_AT, _PAGE):
        count = 0
        for row in _readable.each(rows, _PAGE, start):
            count += 1
            if (event := _readable.event(row)) and _is_recorded(event, key):
                return int(event.seq)
        if count < _PAGE:
            break
    return None


def _is_recorded(event: Event, key: keys.AuditKey) -> bool:
    try:
        return key.has_marked(leaf_hash(entry_of(event)), bytes(event.mac))
    except _readable.NO_VALUES:
        return False


def _sealed(public: bytes) -> int:
    """How many events the newest checkpoint is over, where it is signed by this key; 0 otherwise."""
    pages = Checkpoint.objects.filter(number__lte=_readable.MOST_SEQ).order_by("-number")
    found = _readable.checkpoint(next(_readable.each(pages, 1), None))
    if found is None or not keys.has_signed(public, found.body.encode(), bytes(found.signature)):
        return 0
    return int(json.loads(found.body)["tree_size"])
