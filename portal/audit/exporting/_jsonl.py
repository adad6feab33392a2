"""JSON Lines: for each event one object with the event in its canonical form, its hash, and the names."""

from collections.abc import Callable
from typing import IO

from portal.audit._canonical import canonical
from portal.audit.exporting._formats import About, Events

_LINES_AT_ONCE = 1000


def write(events: Events, out: IO[bytes], about: About, progress: Callable[[int], None]) -> int:
    """{"event": the bytes whose hash is "leaf", "leaf", "actor_name", "subject_name"}; an erased person's name, and
    that of a subject who is no person, is null. Where the row is not what was recorded, "event" holds its values as
    text ("row"), and a member "problem" says so; it also says where a name is not the one that was recorded."""
    names = {code: canonical(name) for code, name in about.names.items()}
    count = 0
    for count, event in enumerate(events, 1):
        actor, subject = names.get(event.actor_id, b"null"), names.get(event.subject, b"null")
        parts = (
            event.line,
            b',"leaf":"',
            event.leaf.hex().encode(),
            b'","actor_name":',
            actor,
            b',"subject_name":',
            subject,
        )
        said = about.problem_of(event)
        problem = b',"problem":' + canonical(said) if said else b""
        out.write(b'{"event":' + b"".join(parts) + problem + b"}\n")
        if not count % _LINES_AT_ONCE:
            progress(count)
    return count
