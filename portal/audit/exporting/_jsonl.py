"""JSON Lines: for each event one object with the event in its canonical form, its hash, and the names."""

from collections.abc import Callable
from typing import IO

from portal.audit._canonical import canonical
from portal.audit.exporting._formats import About, Events, line_of

_LINES_AT_ONCE = 1000


def write(events: Events, out: IO[bytes], about: About, progress: Callable[[int], None]) -> int:
    """{"event": the bytes whose hash is "leaf", "leaf", "actor_name", "subject_name"}; an erased person's name, and
    that of a subject who is no person, is null."""
    names = {code: canonical(name) for code, name in about.names.items()}
    count = 0
    for count, event in enumerate(events, 1):
        actor, subject = names.get(event.actor_id, b"null"), names.get(event.subject, b"null")
        leaf = bytes(event.leaf).hex().encode()
        parts = (line_of(event), b',"leaf":"', leaf, b'","actor_name":', actor, b',"subject_name":', subject)
        out.write(b'{"event":' + b"".join(parts) + b"}\n")
        if not count % _LINES_AT_ONCE:
            progress(count)
    return count
