"""The parts of the report that tell what happened."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _
from reportlab.platypus import CondPageBreak, Spacer

from portal.audit import stored, wording
from portal.audit.exporting import _pdf_chart
from portal.audit.exporting._formats import About
from portal.audit.exporting._pdf_counts import Counts, Listed, Redirection
from portal.audit.exporting._pdf_page import LINE, SHADE, Figure, Text, grid, layout
from portal.audit.stored import Row

_FILTERS: dict[str, Promise] = {
    "actor": gettext_lazy("Person"),
    "role": gettext_lazy("Role"),
    "conversation": gettext_lazy("Conversation"),
    "document": gettext_lazy("Document"),
    "rule": gettext_lazy("Rule"),
    "verdict": gettext_lazy("Verdict"),
    "model": gettext_lazy("Model"),
    "kind": gettext_lazy("Kind of event"),
    "subject": gettext_lazy("Subject"),
}
_LEVELS: dict[str, Promise] = {
    "first_person_crisis": gettext_lazy("A crisis of the person who writes"),
    "third_person_emergency": gettext_lazy("An emergency of somebody else"),
    "method_seeking": gettext_lazy("A question for a method"),
    "prompt_injection": gettext_lazy("An attempt to turn the model"),
    "patient_identifier": gettext_lazy("What identifies a patient"),
    "device_boundary": gettext_lazy("What the product must not decide"),
    "unscreened": gettext_lazy("The screen failed: treated as a crisis"),
}
_ACTIONS: dict[str, Promise] = {
    "redirect": gettext_lazy("Hotlines shown, no answer"),
    "alarm": gettext_lazy("Emergency numbers shown, then answered"),
    "refuse": gettext_lazy("Refused"),
    "warn": gettext_lazy("Notice shown, then answered"),
    "notice": gettext_lazy("Notice beside the answer"),
}
_PROBLEMS: dict[str, Promise] = {
    stored.CHANGED: gettext_lazy("It was changed after it was recorded."),
    stored.FORGED: gettext_lazy("It was not recorded by this installation."),
    stored.UNREADABLE: gettext_lazy("Its row cannot be read."),
}
_QUOTED: dict[str, Promise] = {
    "asked": gettext_lazy("chosen by the person"),
    "no_model": gettext_lazy("no model was installed or could be loaded"),
    "model_down": gettext_lazy("the answering service did not run"),
    "busy": gettext_lazy("too many questions waited for the model"),
    "not_grounded": gettext_lazy("what the model wrote did not stand in the guidelines"),
}


def front(counts: Counts, about: About) -> list[Any]:
    """What this is: title, facility, period, filters, who asked."""
    zone = timezone.get_current_timezone_name()
    facts = [
        (_("Facility"), about.facility),
        (_("Period"), _period(counts, about)),
        (_("Selection"), _filters(about)),
        (
            _("Events"),
            _("%(count)s of the %(all)s in the audit trail") % _numbers(count=counts.events, all=about.up_to),
        ),
        (_("Asked for by"), about.asked_by),
        (_("Written on"), _("%(at)s; all times are those of %(zone)s") % {"at": moment(about.at), "zone": zone}),
        (
            _("Export"),
            _("number %(number)s of audit trail %(ledger)s") % {"number": about.number, "ledger": about.ledger},
        ),
    ]
    rows = [[Text(name, "under"), Text(value, "cell")] for name, value in facts]
    style = [("LINEBELOW", (0, 0), (-1, -1), 0.35, LINE)]
    parts: list[Any] = [Text(_("Audit report"), "title"), Text(about.facility, "lead"), layout(rows, (24, 76), style)]
    if about.problem:
        warning = _("The audit trail is not intact: %(problem)s. What follows is what its rows say today.")
        parts += [Spacer(1, 12), Text(warning % {"problem": about.problem}, "alert")]
    return parts


def damaged(counts: Counts) -> list[Any]:
    """The rows that are not what was recorded, by their numbers."""
    if not counts.damaged.count:
        return []
    said = ngettext(
        "%(count)s row of the audit trail is not what was recorded.",
        "%(count)s rows of the audit trail are not what was recorded.",
        counts.damaged.count,
    )
    note = _(
        "They are counted under the kind and the day that they claim, and nothing else that they say is believed: no "
        "other number of this report rests on them. The bundle of the same selection holds what stands there today."
    )
    rows = [(number(one.seq), moment(one.at), one.kind[:64], _problem(one)) for one in counts.damaged.first]
    return [
        Text(_("Rows that were changed"), "heading"),
        Text(said % _numbers(count=counts.damaged.count), "alert"),
        Text(note),
        grid([(_("No."), _("Time"), _("Kind"), _("What is wrong")), *rows], (10, 20, 26, 44), right=(0,)),
        *_rest(counts.damaged),
    ]


def _problem(row: Row) -> str:
    return str(_PROBLEMS.get(row.problem, row.problem))


def summary(counts: Counts) -> list[Any]:
    """The numbers at a glance, then in sentences."""
    if not counts.events:
        return [Text(_("Summary"), "heading"), Text(_("No event fits this selection."))]
    hotlines = sum(counts.levels.values())
    tiles = [
        (number(counts.turns), _("questions asked")),
        (number(hotlines), _("showed the hotlines")),
        (number(counts.kinds["turn.refused"]), _("questions refused")),
        (number(counts.kinds["turn.failed"]), _("questions without an answer, by a failure")),
        (_share(len(counts.verified), counts.answers) if _is_verified(counts) else "–", _("of the answers verified")),
    ]
    cells = [[Text(value, "big") for value, _under in tiles], [Text(under, "under") for _value, under in tiles]]
    style = [("BACKGROUND", (0, 0), (-1, -1), SHADE), ("LEFTPADDING", (0, 0), (-1, -1), 7)]
    return [
        Text(_("Summary"), "heading"),
        layout(cells, (1, 1, 1, 1, 1), style),
        Spacer(1, 9),
        *(Text(one) for one in _sentences(counts, hotlines)),
    ]


def _sentences(counts: Counts, hotlines: int) -> Iterable[str]:
    kinds = counts.kinds
    if not counts.turns:
        yield _("No question was asked in this selection.")
    else:
        asked = ngettext("**%(count)s question** was asked.", "**%(count)s questions** were asked.", counts.turns)
        ended = _("Answered: %(answered)s; stopped by the person: %(cancelled)s.")
        said = _numbers(count=counts.turns, answered=counts.answers, cancelled=kinds["turn.cancelled"])
        yield f"{asked} {ended}" % said
        shown = ngettext("The hotlines were shown **once**", "The hotlines were shown **%(count)s times**", hotlines)
        share = _("(%(share)s of the questions); messages that got no answer of a model: %(redirected)s.")
        said = _numbers(count=hotlines, redirected=counts.redirected)
        yield f"{shown} {share}" % {**said, "share": _share(hotlines, counts.turns)}
        yield _("Refused: **%(refused)s**%(why)s. Ended in a failure: **%(failed)s**%(code)s.") % {
            **_numbers(refused=kinds["turn.refused"], failed=kinds["turn.failed"]),
            "why": _because(counts.refusals),
            "code": _because(counts.failures),
        }
    if counts.answers:
        yield _quoted(counts)
        if counts.mean_groundedness is None:
            yield _("How far answers are supported by the guidelines is not recorded in this selection.")
        else:
            yield _("On average **%(share)s** of the checked sentences of an answer are supported by the passages that it cites (answers: %(count)s).") % {"share": _percent(counts.mean_groundedness), **_numbers(count=counts.grounded)}  # fmt: skip  # noqa: E501
        yield _verified(counts)
    opened, refused = kinds["session.signed_in"], kinds["session.refused"] + kinds["session.locked"]
    yield _("Sign-ins: **%(count)s**; refused: **%(refused)s**.") % _numbers(count=opened, refused=refused)


def _quoted(counts: Counts) -> str:
    count = sum(counts.quotations.values())
    if not count:
        return _("No answer was put together from quotations alone.")
    why = "; ".join(
        f"{_QUOTED.get(reason, reason)}: {number(times)}" for reason, times in counts.quotations.most_common()
    )
    said = {**_numbers(count=count), "share": _share(count, counts.answers), "why": why}
    return (
        _("Answers that are quotations from the guidelines, without a model: **%(count)s** (%(share)s): %(why)s.")
        % said
    )


def _verified(counts: Counts) -> str:
    if not _is_verified(counts):
        return _("That somebody checked an answer against the guidelines is not recorded in this selection.")
    said = {**_numbers(count=len(counts.verified)), "share": _share(len(counts.verified), counts.answers)}
    return _("Answers that somebody marked as checked against the guidelines: **%(count)s** (%(share)s).") % said


def activity(counts: Counts, about: About) -> list[Any]:
    """Questions over time."""
    first, last = _days(counts, about)
    if not counts.turns or not first or not last:
        return []
    unit, found = _pdf_chart.bars(counts, first, last)
    heads = {"day": _("Questions a day"), "week": _("Questions a week"), "month": _("Questions a month")}
    return [
        CondPageBreak(230),
        Text(heads[unit], "heading"),
        Figure(_pdf_chart.draw(unit, found), _pdf_chart.words(unit, found)),
    ]


def guardrails(counts: Counts) -> list[Any]:
    """What the guardrails did, by rule."""
    parts: list[Any] = [Text(_("Guardrails"), "heading")]
    if not counts.rules:
        return [*parts, Text(_("No guardrail intervened in this selection."))]
    ordered = sorted(counts.rules.items(), key=lambda one: (-one[1], one[0]))
    rows = [
        (rule or _("(no rule named)"), str(_ACTIONS.get(action, action)), number(times))
        for (rule, action), times in ordered
    ]
    note = _("A message in which several rules fired counts with each of them.")
    return [
        *parts,
        grid([(_("Rule"), _("What followed"), _("Times")), *rows], (46, 42, 12), right=(2,)),
        Text(note, "note"),
    ]


def redirections(counts: Counts) -> list[Any]:
    """When the hotlines were shown, and why. No words of anybody."""
    parts: list[Any] = [Text(_("Redirections to the hotlines"), "heading")]
    found: Sequence[Redirection] = counts.redirections.first
    if not found:
        return [*parts, Text(_("The hotlines were not shown in this selection."))]
    levels = ", ".join(f"{_LEVELS.get(level, level)}: {number(times)}" for level, times in counts.levels.most_common())
    rows = [_redirection(one) for one in found]
    top = (_("No."), _("Time"), _("Level"), _("Rules"), _("Answered too"))
    return [*parts, Text(levels), grid([top, *rows], (10, 19, 31, 27, 13), right=(0,)), *_rest(counts.redirections)]


def _redirection(one: Redirection) -> tuple[str, ...]:
    level = str(_LEVELS.get(one.level, one.level))
    return number(one.seq), moment(one.at), level, ", ".join(one.rules), _("yes") if one.answered else _("no")


def sign_ins(counts: Counts, about: About) -> list[Any]:
    """Who was refused at the door."""
    refused, locked = counts.kinds["session.refused"], counts.kinds["session.locked"]
    parts: list[Any] = [Text(_("Sign-ins refused"), "heading")]
    if not refused and not locked:
        return [*parts, Text(_("No sign-in was refused in this selection."))]
    said = _("With a wrong name or password: %(refused)s. Locked after too many of them: %(locked)s.")
    rows = [(_person(about, code), number(times)) for code, times in counts.refused_people.most_common(15)]
    note = _("The names with most of them. A name that nobody here has is kept as a code.")
    table = grid([(_("Name"), _("Refused")), *rows], (80, 20), right=(1,))
    return [*parts, Text(said % _numbers(refused=refused, locked=locked)), table, Text(note, "note")]


def changes(counts: Counts, about: About) -> list[Any]:
    """The life of guidelines, models and rules."""
    parts: list[Any] = [Text(_("Guidelines, models and rules"), "heading")]
    if not counts.changes.count:
        return [*parts, Text(_("Nothing changed in this selection."))]
    rows = [
        (
            number(one.seq),
            moment(one.at),
            wording.sentence(one.kind, one.payload),
            _what(one),
            _person(about, one.actor_id),
        )
        for one in counts.changes.first
    ]
    top = (_("No."), _("Time"), _("What happened"), _("To what"), _("By"))
    return [*parts, grid([top, *rows], (10, 19, 27, 28, 16), right=(0,)), *_rest(counts.changes)]


def readings(counts: Counts, about: About) -> list[Any]:
    """Who read what somebody else had asked, and with which reason."""
    parts: list[Any] = [Text(_("Readings of other people's conversations"), "heading")]
    if not counts.readings.count:
        return [*parts, Text(_("Nobody read a conversation of somebody else in this selection."))]
    rows = [
        (number(one.seq), moment(one.at), _person(about, one.actor_id), str(one.payload.get("reason") or "–"))
        for one in counts.readings.first
    ]
    top = (_("No."), _("Time"), _("Who"), _("Reason given"))
    return [*parts, grid([top, *rows], (10, 20, 25, 45), right=(0,)), *_rest(counts.readings)]


def going(counts: Counts, about: About) -> list[Any]:
    """What was erased, and what was kept from it."""
    parts: list[Any] = [Text(_("Erasures, legal holds and retention"), "heading")]
    if not counts.going.count:
        return [*parts, Text(_("No erasure, legal hold or end of a retention period is recorded in this selection."))]
    rows = [
        (
            number(one.seq),
            moment(one.at),
            wording.sentence(one.kind, one.payload),
            _person(about, one.subject),
            _person(about, one.actor_id),
        )
        for one in counts.going.first
    ]
    top = (_("No."), _("Time"), _("What happened"), _("To what"), _("By"))
    return [*parts, grid([top, *rows], (9, 18, 29, 28, 16), right=(0,)), *_rest(counts.going)]


def number(count: int) -> str:
    """A whole number as the language writes it."""
    return number_format(count, use_l10n=True, force_grouping=True)


def moment(at: datetime | None) -> str:
    """A time in the installation's time zone."""
    if at is None:
        return "–"
    local = timezone.localtime(at)
    return f"{day(local)} {local:%H:%M:%S}"


def day(at: date) -> str:
    """A day in figures that nobody misreads: the year first, but in French as it is used there."""
    return date_format(at, "SHORT_DATE_FORMAT" if get_language() == "fr" else "Y-m-d")


def _rest(listed: Listed) -> list[Any]:
    left = listed.count - len(listed.first)
    if not left:
        return []
    words = _("%(count)s more are not listed here; the bundle of the same selection has all of them.")
    return [Text(words % _numbers(count=left), "note")]


def _what(event: Row) -> str:
    """What a change happened to: its title or name, its version."""
    payload = event.payload
    name = payload.get("title") or payload.get("name") or event.subject
    version = payload.get("version") or payload.get("number")
    return _("%(name)s, version %(version)s") % {"name": name, "version": version} if version else str(name)


def _person(about: About, code: str) -> str:
    return about.who(code) if code.startswith("p-") else wording.who(code, code or "–")


def _filters(about: About) -> str:
    said = [(name, value) for name, value in about.selection.filters().items() if name in _FILTERS]
    if not said:
        return _("every event of the period") if about.selection.filters() else _("every event, without a filter")
    roles = {name: str(words) for name, words in wording.ROLES.items()}
    return "; ".join(f"{_FILTERS[name]}: {roles.get(value, about.name_of(value))[:200]}" for name, value in said)


def _period(counts: Counts, about: About) -> str:
    first, last = _days(counts, about)
    if not first or not last:
        return _("no event")
    return _("%(first)s to %(last)s") % {"first": date_format(first), "last": date_format(last)}


def _days(counts: Counts, about: About) -> tuple[date | None, date | None]:
    """The days that were asked for, or those of the first and the last event."""
    first = about.selection.first_day or (timezone.localtime(counts.first).date() if counts.first else None)
    last = about.selection.last_day or (timezone.localtime(counts.last).date() if counts.last else None)
    return first, last


def _is_verified(counts: Counts) -> bool:
    """Whether verification is recorded at all."""
    return bool(counts.answers and (counts.kinds["turn.verified"] or counts.kinds["turn.verification_withdrawn"]))


def _because(reasons: Counter[str]) -> str:
    known = ", ".join(f"{reason} {number(times)}" for reason, times in reasons.most_common(4) if reason)
    return f" ({known})" if known else ""


def _numbers(**counts: int) -> dict[str, str]:
    return {name: number(count) for name, count in counts.items()}


def _share(part: int, whole: int) -> str:
    return _percent(part / whole) if whole else "–"


def _percent(share: float) -> str:
    return _("%(number)s%%") % {"number": number_format(round(100 * share, 1), 1)}
