"""The parts of the report that prove and sign: integrity, every event, signatures."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from reportlab.platypus import CondPageBreak, PageBreak, Spacer

from portal.audit import sealing, wording
from portal.audit.exporting._formats import About, Events
from portal.audit.exporting._pdf_counts import Counts
from portal.audit.exporting._pdf_page import INK, LINE, Text, grid, layout
from portal.audit.exporting._pdf_sections import day, moment, number
from portal.audit.stored import Row

_MOST_DAYS = 400  # in the table of counts; of a longer period it is months
_LEAF_SHOWN = 12  # hexadecimal digits: enough to find an event again


def integrity(counts: Counts, about: About) -> list[Any]:
    """What the report stands on, and how to check it."""
    parts: list[Any] = [CondPageBreak(250), Text(_("Integrity"), "heading")]
    if about.checkpoint is None:
        sealed = _("The audit trail could not be sealed for this export: %(problem)s.") % {"problem": about.problem}
        return [*parts, Text(sealed, "alert"), *_how(about)]
    claims = sealing.claims(about.checkpoint)
    said = _(
        "Every event has a number without gaps and a hash. The events form a Merkle tree (RFC 6962), whose root is "
        "signed each minute with the key of this installation (Ed25519). Whoever changes, adds, reorders or removes an "
        "event changes the root, and cannot sign it. For this report the audit trail was sealed as follows."
    )
    facts = [
        (_("Checkpoint"), number(about.checkpoint.number)),
        (_("Sealed on"), moment(about.checkpoint.at)),
        (_("Events under it"), number(about.checkpoint.tree_size)),
        (_("Root"), bytes(about.checkpoint.root).hex()),
        (_("Key"), str(claims["key"])),
        (_("Audit trail"), about.ledger),
        (_("Signature"), bytes(about.checkpoint.signature).hex()),
    ]
    plain = {_("Checkpoint"), _("Sealed on"), _("Events under it")}
    rows = [[Text(name, "under"), Text(value, "cell" if name in plain else "mono")] for name, value in facts]
    style = [("LINEBELOW", (0, 0), (-1, -1), 0.35, LINE)]
    return [*parts, Text(said), layout(rows, (20, 80), style), *_how(about), *_gaps(counts)]


def _how(about: About) -> list[Any]:
    words = _(
        "This report is a summary for reading; the proof is the bundle. To check it, export the same selection as a "
        "bundle and run the program in it (python3 verify.py BUNDLE.zip): it needs no Havre and no network. It "
        "computes every root anew and checks every signature. The key must be the one that stands here; what was "
        "recorded after this report may come on top. The record of this report is event %(number)s of the audit "
        "trail, and its end is recorded with the SHA-256 of this file."
    )
    return [Text(_("How to verify"), "smaller"), Text(words % {"number": number(about.number)})]


def _gaps(counts: Counts) -> list[Any]:
    """What went against the audit trail itself, as far as it is recorded."""
    kinds = ("audit.sealing_refused", "audit.key_replaced", "clock.went_back", "clock.jumped")
    found = [(kind, counts.kinds[kind]) for kind in kinds if counts.kinds[kind]]
    verified = counts.kinds["audit.verified"]
    checks = _("No verification of the whole audit trail is recorded in this selection.")
    if verified:
        words = _("Verifications of the whole audit trail that are recorded in this selection: %(count)s.")
        checks = words % {"count": number(verified)}
    if not found:
        return [
            Text(checks),
            Text(_("No refused sealing, replaced key or jump of the clock is recorded in this selection.")),
        ]
    rows = [(_plainly(kind), kind, number(times)) for kind, times in found]
    return [Text(checks), grid([(_("What happened"), _("Kind"), _("Times")), *rows], (56, 30, 14), right=(2,))]


def every_event(events: Events | None, counts: Counts, about: About, most: int) -> list[Any]:
    """All events in a table, or where they are too many (None) their numbers by day and kind."""
    kinds = sorted(counts.kinds.items(), key=lambda one: (-one[1], one[0]))
    parts: list[Any] = [
        Text(_("Events by kind"), "heading"),
        grid(
            [
                (_("Kind"), _("What happened"), _("Events")),
                *((kind, _plainly(kind), number(times)) for kind, times in kinds),
                (_("All"), "", number(counts.events)),
            ],
            (34, 52, 14),
            right=(2,),
        ),
    ]
    if events is None:
        words = _(
            "This selection has more than %(most)s events, so that they are counted here by day and kind. The bundle "
            "of the same selection has every one of them. The numbers are those of the whole selection."
        )
        top = (_("Day"), _("Events"), _("By kind"))
        table = grid([top, *_by_day(counts)], (16, 10, 74), right=(1,), cell="small")
        return [*parts, Text(_("Events by day"), "heading"), Text(words % {"most": number(most)}), table]
    if not counts.events:
        return []
    head = (_("No."), _("Time"), _("Who"), _("What happened"), _("About"), _("Hash"))
    note = _("The first %(digits)s digits of each event's hash; the bundle has all 64.") % {"digits": _LEAF_SHOWN}
    table = grid([head, *_rows(events, about)], (6.5, 15.5, 15.5, 20, 30, 12.5), cell="small")
    return [*parts, Text(_("Every event"), "heading"), Text(note, "note"), table]


def _rows(events: Events, about: About) -> Iterator[tuple[str, ...]]:
    for event in events:
        who = about.who(event.actor_id)
        if role := wording.ROLES.get(event.actor_role):
            who = f"{who} ({role})"
        words = wording.sentence(event.kind, event.payload)
        if event.problem:
            words = str(wording.CHANGED)
        leaf = event.leaf.hex()[:_LEAF_SHOWN]
        yield str(event.seq), moment(event.at), who, words, _subject(event, about), leaf


def _plainly(kind: str) -> str:
    """What a kind of event means, without the values of one of them."""
    words = wording.SENTENCES.get(kind)
    return re.sub(r"(%\(\w+\)s)+", "…", str(words)) if words else wording.sentence(kind, {})


def _subject(event: Row, about: About) -> str:
    if event.subject.startswith("p-"):
        return about.who(event.subject)
    return event.subject


def _by_day(counts: Counts) -> Iterator[tuple[str, str, str]]:
    by_month = len(counts.days) > _MOST_DAYS
    found: dict[date, Counter[str]] = {}
    for one, kinds in counts.days.items():
        found.setdefault(one.replace(day=1) if by_month else one, Counter()).update(kinds)
    for first in sorted(found):
        said = ", ".join(f"{kind} {number(times)}" for kind, times in sorted(found[first].items()))
        name = date_format(first, "YEAR_MONTH_FORMAT") if by_month else day(first)
        yield name, number(found[first].total()), said
    if rest := counts.events - sum(kinds.total() for kinds in found.values()):
        yield _("no day"), number(rest), ""


def signatures(about: About) -> list[Any]:
    """A page on which people sign that they have read it."""
    words = _(
        "By signing, each person confirms to have read this report of %(facility)s (export %(number)s, written on "
        "%(at)s for %(asked_by)s), and to have noted below what has to follow from it."
    )
    said = {"facility": about.facility, "number": about.number, "at": moment(about.at), "asked_by": about.asked_by}
    line = [("LINEBELOW", (0, 0), (-1, 0), 0.6, INK)]
    parts: list[Any] = [PageBreak(), Text(_("Remarks and signatures"), "heading"), Text(words % said)]
    parts.append(Text(_("Remarks"), "smaller"))
    for _row in range(5):
        parts += [Spacer(1, 20), layout([[Text("", "under")]], (1,), line)]
    for role in (_("For the facility"), _("Compliance officer"), _("Data protection officer")):
        under = [Text(_("Name"), "under"), "", Text(_("Date and place"), "under"), "", Text(_("Signature"), "under")]
        lines = [("LINEABOVE", (place, 0), (place, 0), 0.6, INK) for place in (0, 2, 4)]
        parts += [Spacer(1, 16), Text(role, "smaller"), Spacer(1, 30), layout([under], (30, 3, 24, 3, 40), lines)]
    return parts
