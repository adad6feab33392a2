"""`manage.py doctor --dpia`: a draft of the record of processing (GDPR art. 30) and the skeleton of an impact
assessment (art. 35), in Markdown, from what is set and found on this installation at this moment.

What the software can know stands as a fact; what only the facility knows is an open point, a line with an empty box.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

import inference
from portal import vault
from portal.accounts.models import TERMINAL, Role, User
from portal.audit import keys, services, verifying
from portal.audit._readable import head as head_of_the_trail
from portal.audit._readable import newest_checkpoint
from portal.chat import retaining
from portal.chat.keeping import Erasure, Hold
from portal.doctor._findings import OK, Finding
from portal.safeguards import selectors as safeguards

Lines = Iterator[str]


def draft(findings: list[Finding]) -> str:
    """The document, in the language of the installation. `findings` are the doctor's: those that are not all right
    become open points. Never raises for a database that is away: then it says what could not be read."""
    with translation.override(settings.LANGUAGE_CODE):
        parts = (_head, _purposes, _data, _recipients, _periods, _measures, _model, _assessment, _facility_points)
        lines = [line for part in parts for line in _readable(part)]
        lines += _found(findings)
    return "\n".join(lines).rstrip() + "\n"


def _readable(part: Callable[[], Lines]) -> list[str]:
    try:
        return list(part())
    except DatabaseError:
        return [_todo(_("The database could not be read: run this again when it answers.")), ""]


def _todo(text: str) -> str:
    return f"- [ ] **{_('To be completed')}:** {text}"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _row(name: str, value: object) -> str:
    return f"| {_cell(name)} | {_cell(value)} |"


def _head() -> Lines:
    title = _("Record of processing and impact assessment: questions to clinical guidelines")
    yield f"# {title}"
    yield ""
    yield _("**Draft**, written from the live settings of this installation on %(day)s. It is no legal advice.") % {
        "day": timezone.localtime().strftime("%Y-%m-%d %H:%M")
    }
    yield ""
    yield f"## 1. {_('Record of processing (GDPR art. 30)')}"
    yield ""
    yield f"| {_('Point')} | {_('On this installation')} |"
    yield "| --- | --- |"
    yield _row(_("Controller"), settings.HAVRE_FACILITY)
    yield _row(_("Software"), _("Havre, run by the facility itself; nobody else has access through it"))
    yield _row(_("Addresses"), ", ".join(settings.ALLOWED_HOSTS))
    yield ""
    yield _todo(_("name and contact of the controller, its representative and the data protection officer"))
    yield ""


def _purposes() -> Lines:
    yield f"### {_('Purposes and legal basis')}"
    yield ""
    yield "- " + _("Clinical staff ask questions, and are answered from the facility's own approved guidelines.")
    yield "- " + _("Signs of a crisis in a question are found, and hotlines are shown at once.")
    yield "- " + _("Every step is recorded, so that it can be proven later what was asked, shown and decided.")
    yield _todo(_("legal basis: art. 6(1)(c), (e) or (f); for data on health art. 9(2)(h) with (3), and national law"))
    yield _todo(_("how staff are informed, and told not to write names or other data of patients into questions"))
    yield ""


def _data() -> Lines:
    people = User.objects.filter(is_active=True).exclude(username=TERMINAL).order_by()
    by_role = dict(people.values_list("role").annotate(number=Count("pk")))
    yield f"### {_('People and data')}"
    yield ""
    yield f"| {_('Point')} | {_('On this installation')} |"
    yield "| --- | --- |"
    roles = (f"{label}: {by_role.get(role, 0)}" for role, label in Role.choices)
    yield _row(_("People who sign in"), "; ".join(roles))
    yield _row(
        _("Of them"), _("sign-in name, role, departments, hash of the password, times of sign-ins and questions")
    )
    yield _row(_("Patients"), _("not asked for; a question may speak of them, and then holds data on health (art. 9)"))
    words = _("question, passages found, answer, citations, the model's reasoning, title")
    yield _row(_("Content, encrypted"), words)
    trail = _("codes of people, times, verdicts of the guardrails, hashes and commitments; no words and no names")
    yield _row(_("Audit trail"), trail)
    yield _row(_("Not processed"), _("no tracking, no advertising, no training of models with what is asked"))
    yield ""


def _recipients() -> Lines:
    yield f"### {_('Recipients and transfers')}"
    yield ""
    yield "- " + _("None outside the facility: the model runs on its own machines, and nothing is sent at run time.")
    if settings.HAVRE_AUDIT_SYSLOG:
        what = _("all events") if settings.HAVRE_AUDIT_SYSLOG_EVENTS else _("signed checkpoints alone")
        names = _("with names") if settings.HAVRE_AUDIT_SYSLOG_NAMES else _("with codes in the place of names")
        said = _("Log server %(address)s gets %(what)s, %(names)s.")
        yield "- " + said % {"address": settings.HAVRE_AUDIT_SYSLOG, "what": what, "names": names}
        if settings.HAVRE_AUDIT_SYSLOG_NAMES:
            yield _todo(_("who erases names on that log server: an erasure here does not reach it"))
        if not settings.HAVRE_AUDIT_SYSLOG.startswith("tcp+tls://"):
            yield _todo(_("the way to the log server is not encrypted: tcp+tls://"))
    if settings.HAVRE_AUDIT_PUSH_FOLDER:
        said = _("Signed checkpoints are written to the folder %(folder)s; they hold no personal data.")
        yield "- " + said % {"folder": settings.HAVRE_AUDIT_PUSH_FOLDER}
    yield "- " + _("No transfer to a third country. Models are downloaded beforehand, by hand: %(offline)s.") % {
        "offline": _("switched off here") if settings.HAVRE_OFFLINE else _("possible here, with `models pull`")
    }
    yield _todo(_("processors, if any: who hosts or maintains the machines, with their contracts (art. 28)"))
    yield ""


def _periods() -> Lines:
    yield f"### {_('Storage')}"
    yield ""
    yield f"| {_('Class')} | {_('Kept')} | {_('There now')} | {_('Due now')} |"
    yield "| --- | --- | --- | --- |"
    for one in retaining.look():
        kept = ngettext("%(days)d day", "%(days)d days", one.days) % {"days": one.days}
        shown = kept if one.days else _("without limit")
        yield f"| {_cell(retaining.CLASSES[one.name])} | {shown} | {one.there} | {one.due} |"
    yield ""
    holds = Hold.objects.filter(lifted_at=None).count()
    waiting = Erasure.objects.filter(state=Erasure.State.OPEN).count()
    said = _("Legal holds: %(holds)d. Erasures that wait for a second person: %(waiting)d.")
    yield said % {"holds": holds, "waiting": waiting}
    yield ""
    for name, days in (
        ("HAVRE_KEEP_CONVERSATIONS_DAYS", settings.HAVRE_KEEP_CONVERSATIONS_DAYS),
        ("HAVRE_KEEP_NAMES_DAYS", settings.HAVRE_KEEP_NAMES_DAYS),
    ):
        if not days:
            yield _todo(_("%(name)s is 0: why is it kept without limit? (art. 5(1)(e))") % {"name": name})
    yield _todo(_("how long backups are kept: what is erased is readable in them, with the master key, until they go"))
    yield ""


def _measures() -> Lines:
    yield f"### {_('Security of processing (art. 32)')}"
    yield ""
    yield f"| {_('Measure')} | {_('On this installation')} |"
    yield "| --- | --- |"
    sealed = _("AES-256-GCM, a key for each conversation, each sealed with the master key")
    yield _row(_("Encryption of content"), sealed)
    yield _row(_("Master key"), _key(Path(settings.HAVRE_MASTER_KEY_FILE), "master key"))
    yield _row(_("Audit key"), _key(Path(settings.HAVRE_AUDIT_KEY_FILE), "audit key"))
    yield _row(_("Database"), str(settings.DATABASES["default"]["ENGINE"]).rpartition(".")[2])
    on, off = _("on"), _("**off**: passwords and questions travel unencrypted")
    yield _row(_("TLS"), on if settings.HAVRE_HTTPS else off)
    signing = _("locked for %(seconds)d s after %(number)d failures; a session lasts %(hours)d h") % {
        "seconds": settings.HAVRE_LOGIN_LOCK_SECONDS,
        "number": settings.HAVRE_LOGIN_FAILURES,
        "hours": settings.SESSION_COOKIE_AGE // 3600,
    }
    yield _row(_("Sign-in"), signing)
    two = _("released rules, approval of guidelines, opening them to more people, erasures asked for on the page")
    yield _row(_("Two people for"), two)
    roles = _("administrators read no conversation; compliance officers only with a reason, which is recorded")
    yield _row(_("Separation of roles"), roles)
    yield _row(_("Audit trail"), _trail())
    yield _row(_("Debugging"), _("**on**: never in a facility") if settings.DEBUG else _("off"))
    yield ""
    yield _todo(_("encryption of disks and backups, access to the machines, updates, drills: outside of this software"))
    yield ""


def _key(path: Path, name: str) -> str:
    try:
        vault.read_key(path, name)
    except vault.NoKey:
        return _("**missing or unreadable**")
    if path.resolve().is_relative_to(Path(settings.HAVRE_DATA_DIR).resolve()):
        return _("**in the data folder, beside the database**: whoever copies the folder has both")
    return _("outside of the data folder")


def _trail() -> str:
    head, (_number, newest) = head_of_the_trail(), newest_checkpoint()
    if head is None:
        return _("nothing recorded yet")
    try:
        services.key_of(head)
    except keys.NoAuditKey:
        return _("**its key is missing or another one**: nothing can be recorded, and so nothing is answered")
    last = verifying.last()
    sealed = newest.at.strftime("%Y-%m-%d %H:%M UTC") if newest else _("never")
    if last is None:
        verified = _("never")
    elif last.problem:
        verified = _("**its record is not what was recorded**")
    elif last.findings:
        verified = _("%(day)s, **%(number)d findings**") % {"day": f"{last.at:%Y-%m-%d}", "number": last.findings}
    else:
        verified = _("%(day)s, nothing found") % {"day": f"{last.at:%Y-%m-%d}"}
    said = _(
        "append-only, Merkle tree, signed with Ed25519; %(events)d events; sealed: %(sealed)s; verified: %(verified)s"
    )
    return said % {"events": head.last_seq, "sealed": sealed, "verified": verified}


def _model() -> Lines:
    yield f"### {_('Model and rules')}"
    yield ""
    try:
        active = inference.ModelStore(settings.HAVRE_MODELS_DIR).active()
    except inference.InferenceError as error:
        active = None
        yield _todo(_("the register of models cannot be read: %(error)s") % {"error": error})
    if active is None:
        yield "- " + _("No model is active: answers are quoted from the guidelines.")
    else:
        yield "- " + _("Model: %(name)s, SHA-256 `%(sha256)s`.") % {"name": active.name, "sha256": active.sha256}
        if active.demonstration:
            yield _todo(_("this is a demonstration model, not for clinical use"))
    released = safeguards.active()
    number = released.number if released else None
    rules = _("release %(number)d, by two people") % {"number": number} if number else _("as shipped")
    yield "- " + _("Rules that find a crisis: %(rules)s. Hotlines of: %(regions)s.") % {
        "rules": rules,
        "regions": settings.HAVRE_REGION,
    }
    yield ""


def _assessment() -> Lines:
    yield f"## 2. {_('Impact assessment (GDPR art. 35): skeleton')}"
    yield ""
    yield f"### {_('Necessity and proportionality')}"
    yield ""
    yield "- " + _("Only staff ask, only from approved guidelines; no decision about a patient is automated (art. 22).")
    yield "- " + _("An answer is marked as made by a machine, with its sources; a person decides (AI Act art. 14, 50).")
    yield _todo(_("why a less intrusive way would not do; whether staff representatives and users were heard"))
    yield ""
    yield f"### {_('Risks')}"
    yield ""
    columns = (_("Risk"), _("Measures in the software"), _("Severity"), _("Likelihood"), _("What remains"))
    yield f"| {' | '.join(columns)} |"
    yield "| --- | --- | --- | --- | --- |"
    for risk, measures in (
        (_("Somebody reads what staff asked"), _("encryption, roles, a reason for each reading, which is recorded")),
        (
            _("A copy of the database is stolen"),
            _("content is sealed; its master key can lie elsewhere"),
        ),
        (_("An answer is wrong and followed"), _("passages beside it, groundedness checked, quotations instead")),
        (_("A crisis is not seen"), _("rules before every queue, tested before each release, hotlines on every page")),
        (_("Records are changed or cut off"), _("append-only, signed checkpoints, verification each night")),
        (_("Staff are watched at work"), _("codes in the place of names, exports and readings recorded, retention")),
        (_("Data is lost, or there is no answer"), _("fails closed with a sentence; hotlines need no model")),
    ):
        yield f"| {_cell(risk)} | {_cell(measures)} | ☐ | ☐ | ☐ |"
    yield ""
    yield _todo(_("severity, likelihood and what remains, by the facility; the advice of the data protection officer"))
    yield ""


def _facility_points() -> Lines:
    yield f"## 3. {_('Open points')}"
    yield ""
    yield _todo(_("rights of people (art. 12 to 22): who answers requests, within what time; see docs/compliance.md"))
    yield _todo(_("breaches (art. 33, 34): who decides and notifies within 72 hours"))
    yield _todo(_("consultation of the authority (art. 36), if a high risk remains; day of the next review"))


def _found(findings: list[Finding]) -> list[str]:
    """What the doctor found, in its own words."""
    return [f"- [ ] {one.part}: {one.message} {one.remedy}".rstrip() for one in findings if one.level != OK]
