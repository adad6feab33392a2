"""Rules, hotlines, model, guidelines, people."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone, translation

import inference
from guardrails import Action, Category, RuleError, releases, screen_input
from knowledge import selectors as library
from knowledge.models import GuidelineVersion, Index
from portal.accounts.models import TERMINAL, Role, User
from portal.doctor._findings import ERROR, OK, WARNING, Finding, is_facility
from portal.safeguards import selectors as safeguards

_OLD_RELEASE = timedelta(days=365)
_CRISIS, _QUESTION = "I want to kill myself tonight", "What are the steps of a safety plan?"


def look_at_rules(thorough: bool) -> Iterator[Finding]:
    """They load, they are what was released, and they do what they are for."""
    try:
        shipped = releases.shipped_rule_set_id()
    except RuleError as error:
        remedy = "Install this version of Havre again: its rule files are not complete. Every message gets the card."
        yield Finding("rules", ERROR, str(error), remedy)
        return
    held = _released_rules(shipped)
    yield held
    if held.level == ERROR:
        return
    crisis, question = screen_input(_CRISIS), screen_input(_QUESTION)
    if crisis.category != Category.FIRST_PERSON_CRISIS or question.action != Action.ALLOW:
        message = f"The screen misjudges plain sentences ({crisis.category.value}, {question.category.value})."
        remedy = "Read the log of the web process for the reason, and restore the release before this one."
        yield Finding("rules", ERROR, message, remedy)


def _released_rules(shipped: str) -> Finding:
    try:
        found = releases.current()
        held = releases.rule_set_id()
    except RuleError as error:
        remedy = "Page Safeguards, as an administrator: write the released files again, or restore an older release."
        return Finding("rules", ERROR, f"{error} Every message is treated as a crisis.", remedy)
    try:
        recorded = safeguards.active()
    except DatabaseError:
        return Finding("rules", OK, f"Rule set {held}; the database cannot say whether it is what was released.")
    if (found.sha256 if found else "") != (recorded.sha256 if recorded else ""):
        message = "The files hold another release than the database records."
        return Finding("rules", ERROR, message, "Page Safeguards, as an administrator: write the released files again.")
    if recorded is None or recorded.released_at is None:
        return Finding("rules", OK, f"Rule set {held}, as shipped; nothing was released here.")
    age = timezone.now() - recorded.released_at
    said = f"Rule set {held} (shipped {shipped}), release {recorded.number}, {age.days} days old."
    if age > _OLD_RELEASE:
        return Finding("rules", WARNING, said, "Read your own words and lines again, and release them anew.")
    return Finding("rules", OK, said)


def look_at_hotlines(thorough: bool) -> Iterator[Finding]:
    """Each line that people are shown was checked within half a year."""
    known = set(releases.known_regions())
    for region in filter(None, (one.strip() for one in settings.HAVRE_REGION.split(","))):
        if region not in known and region.partition("-")[0] not in known:
            message = f"There are no help lines for the region {region}: people see 112 and an international directory."
            remedy = f"Set HAVRE_REGION to one of: {', '.join(sorted(known))}; or release lines of your own."
            yield Finding("hotlines", ERROR, message, remedy)
    stale = safeguards.lines_to_check()
    for line in stale:
        since = f"was last checked on {line.checked_on}" if line.checked_on else "has no day of a last check"
        reach = line.phone or line.sms or line.url
        remedy = "Call it. Then release it with today's date, or report what is wrong with the directory."
        yield Finding("hotlines", WARNING, f"{line.name} ({reach}) {since}.", remedy)
    if not stale:
        yield Finding("hotlines", OK, "Every line that is shown was checked within half a year.")


def look_at_model(thorough: bool) -> Iterator[Finding]:
    """One is active, its file is the one that was registered, and it is fit for clinical use."""
    store = inference.ModelStore(settings.HAVRE_MODELS_DIR)
    try:
        active = store.active()
    except inference.InferenceError as error:
        yield Finding("model", ERROR, str(error), "manage.py models list says what is registered.")
        return
    if active is None:
        remedy = "manage.py models import FILE, then manage.py models activate NAME."
        yield Finding("model", WARNING, "No model is active: answers are quoted from the guidelines.", remedy)
        return
    again = f"manage.py models remove {active.name}, then import the file again."
    if not active.path.exists():
        yield Finding("model", ERROR, f"The file of {active.name} is gone: {active.path}.", again)
        return
    if active.path.stat().st_size != active.size or not active.sha256:
        message = f"The file of {active.name} is not the one that was registered: its size is another."
        yield Finding("model", ERROR, message, again)
        return
    if exposed := store.exposed():
        message = f"Everybody on this machine may write to {exposed[0]}, and so approve a model or spoil one."
        yield Finding("model", WARNING, message, f"chmod o-w {exposed[0]}")
    if thorough and (problems := [one.problem for one in store.verify(active.name) if not one.ok]):
        yield Finding("model", ERROR, problems[0], again)
        return
    if active.demonstration:
        level = ERROR if is_facility() else WARNING
        message = f"{active.name} is a demonstration model, not for clinical use."
        yield Finding("model", level, message, "Import a clinical model: docs/operations.md, A model.")
        return
    hashed = "hashed just now" if thorough else "size as registered; --thorough also hashes it"
    yield Finding("model", OK, f"{active.name}, SHA-256 {active.sha256[:12]}… ({hashed}).")


def look_at_guidelines(thorough: bool) -> Iterator[Finding]:
    """Something can answer, nothing failed, files and index are there."""
    answering = library.answering_versions().count()
    failed = GuidelineVersion.objects.filter(ingestion=GuidelineVersion.Ingestion.FAILED).exclude(
        state=GuidelineVersion.State.ARCHIVED
    )
    with translation.override("en"):
        for version in failed.select_related("guideline"):
            message = f"{version.filename} could not be read: {version.error}"
            yield Finding("guidelines", WARNING, message, "Page Guidelines: mend the file, or try again.")
    if not answering:
        remedy = "Upload a guideline, or switch one on: page Guidelines, or manage.py ingest FILE --approve."
        yield Finding("guidelines", ERROR, "No guideline answers: every question is refused.", remedy)
        return
    folder = Path(settings.HAVRE_DATA_DIR)
    there = {file.name.partition(".")[0] for file in (folder / "guidelines").glob("*")}
    lost = [one.filename for one in library.answering_versions() if one.sha256 not in there]
    for name in lost:
        yield Finding("guidelines", WARNING, f"The file of {name} is gone; its text answers still.", "Upload it again.")
    yield from _look_at_index()
    if not settings.HAVRE_CHROMA_URL and not (folder / "index").is_dir():
        message = "The index of the guidelines is not there."
        yield Finding("guidelines", ERROR, message, "Restart the knowledge worker: it makes the index again.")
        return
    yield Finding("guidelines", OK, f"{answering} guidelines answer.")


def _look_at_index() -> Iterator[Finding]:
    """The index that the settings want answers."""
    last = Index.objects.filter(state__in=[Index.State.ACTIVE, Index.State.FAILED]).order_by("-finished_at").first()
    if last and last.state == Index.State.FAILED:
        with translation.override("en"):
            message = f"The index that HAVRE_EMBEDDER={last.source} wants was not made: {last.error}"
        yield Finding("guidelines", WARNING, message, "Mend that, then manage.py reindex; the old index answers.")


def look_at_people(thorough: bool) -> Iterator[Finding]:
    """Somebody can administer, and two people can release."""
    people = User.objects.filter(is_active=True).exclude(username=TERMINAL)
    found = 0
    if not people.filter(role=Role.ADMIN).exists():
        found += 1
        yield Finding("people", ERROR, "There is no administrator.", "manage.py create_user NAME --role admin")
    if people.filter(role__in=(Role.ADMIN, Role.COMPLIANCE)).count() < 2:
        found += 1
        message = "Nothing can be released: that takes two people, administrators or compliance officers."
        yield Finding("people", WARNING, message, "manage.py create_user NAME --role compliance")
    if people.filter(role=Role.ADMIN).count() == 1:
        found += 1
        message = "No guideline can be approved here: one administrator submits it, another approves it."
        yield Finding("people", WARNING, message, "manage.py create_user NAME --role admin")
    if is_facility() and people.filter(demonstration=True).exists():
        found += 1
        remedy = "Give people accounts of their own and deactivate clinician, admin, reviewer and compliance."
        yield Finding("people", ERROR, "The demonstration sign-ins are active.", remedy)
    if not found:
        yield Finding("people", OK, f"{people.count()} people can sign in.")
