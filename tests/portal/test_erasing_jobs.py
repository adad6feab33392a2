"""Jobs and forms that somebody began before they were erased: what they write afterwards names nobody."""

import json
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from inference import ModelInfo, ModelStore, Smoke
from knowledge import describing
from knowledge.models import Guideline
from knowledge.models import Trial as BenchTrial
from portal.accounts import views
from portal.accounts.models import User
from portal.audit import exporting, integrity, verifying
from portal.audit._people import NoSuchPerson
from portal.audit.exporting import Asker, Selection, _run
from portal.audit.models import Actor, Event, Export
from portal.audit.services import code_of, is_code, record
from portal.chat import erasing
from portal.chat.erasing import By, erase
from portal.guidelines import trials
from portal.modelcards import services as modelcards
from portal.modelcards.models import Trial
from portal.safeguards import drafting
from portal.safeguards.models import LabelledCase
from tests.conftest import PASSWORD, TINY_MODEL, Cast
from tests.portal.remains import everything_stored, hits, unzipped

BY = By("terminal:root", reason="She asked for it.")
LEAVER = "leaver-9f3b2c"


@pytest.fixture
def leaver(cast: Cast) -> User:
    """Somebody with the name `LEAVER`, known to the audit trail, and not the last with the role."""
    person = User.objects.create_user(LEAVER, password=PASSWORD, role="compliance")
    with transaction.atomic():
        code_of(LEAVER)
    return person


def leave() -> str:
    """Erase them; returns the code that stays."""
    person = User.objects.get(username=LEAVER)
    erase(person, BY)
    return str(User.objects.get(pk=person.pk).username)


def nobody_has_the_name() -> None:
    assert not Actor.objects.filter(name=LEAVER).exists()
    assert not User.objects.filter(username=LEAVER).exists()
    assert verifying.verify().findings == ()


# --- jobs -----------------------------------------------------------------------------------------------------------


def ended(kind: str) -> Event:
    return Event.objects.get(kind=kind)


def during_an_export(leaves: Callable[[], str], patch: pytest.MonkeyPatch) -> tuple[str, Event]:
    """Half written when its asker goes, whose name it had read already."""
    export = exporting.ask("bundle", Selection(), Asker(LEAVER, "compliance"))
    writer, codes = _run.writer_of, []

    def leaves_first(form: str) -> Any:
        def write(*given: Any) -> int:
            count = writer(form)(*given)
            if not codes:
                codes.append(leaves())
            return int(count)

        return write

    patch.setattr(_run, "writer_of", leaves_first)
    exporting.work(export.pk)
    export.refresh_from_db()
    assert export.state == Export.State.READY
    assert hits(unzipped(exporting.file_of(export)), [LEAVER]) == [], "an export that ends afterwards knows no name"
    return codes[0], ended("audit.export_finished")


def before_an_export(leaves: Callable[[], str], patch: pytest.MonkeyPatch) -> tuple[str, Event]:
    export = exporting.ask("jsonl", Selection(), Asker(LEAVER, "compliance"))
    code = leaves()
    exporting.work(export.pk)
    assert Export.objects.get(pk=export.pk).state == Export.State.STOPPED
    return code, ended("audit.export_failed")


def during_a_verification(leaves: Callable[[], str], patch: pytest.MonkeyPatch) -> tuple[str, Event]:
    integrity.ask(LEAVER, "compliance")
    verify, codes = verifying.verify, []

    def then_leaves(**given: Any) -> Any:
        outcome = verify(**given)
        codes.append(leaves())
        return outcome

    with patch.context() as patched:
        patched.setattr(verifying, "verify", then_leaves)
        integrity.verify_asked(ended("audit.verification_asked").seq)
    return codes[0], ended(verifying.KIND)


def during_a_models_trial(leaves: Callable[[], str], patch: pytest.MonkeyPatch) -> tuple[str, Event]:
    one = ModelStore(patch_models(patch)).import_file(TINY_MODEL, "tiny", link=True)
    trial = Trial.objects.create(name="tiny", sha256=one.sha256, asked_by=LEAVER)
    codes: list[str] = []

    def smoke(*given: Any) -> Smoke:
        codes.append(leaves())
        return Smoke("2026-01-01T00:00:00+00:00", load_seconds=2.0, tokens_per_second=40.0)

    patch.setattr(modelcards.inference, "smoke", smoke)
    modelcards.run_trial(trial.pk)
    trial.refresh_from_db()
    assert (trial.state, trial.asked_by) == (Trial.State.PASSED, codes[0])
    return codes[0], ended("model.activated")


def patch_models(patch: pytest.MonkeyPatch) -> Path:
    from django.conf import settings

    folder = Path(settings.HAVRE_DATA_DIR) / f"models-{uuid.uuid4().hex}"
    patch.setattr(settings, "HAVRE_MODELS_DIR", folder)
    return folder


@pytest.mark.parametrize("job", [during_an_export, before_an_export, during_a_verification, during_a_models_trial])
def test_a_job_ends_under_the_code(
    job: Callable[[Callable[[], str], pytest.MonkeyPatch], tuple[str, Event]],
    leaver: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, event = job(leave, monkeypatch)
    assert is_code(code) and event.actor_id == code
    nobody_has_the_name()


# --- forms ----------------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[User], object]] = {
    "an export": lambda one: exporting.ask("jsonl", Selection(), Asker(one.username, one.role)),
    "a verification": lambda one: integrity.ask(one.username, one.role),
    "a question of the test bench": lambda one: trials.ask(one, "Who sees a safety plan?"),
    "a message for the safeguards": lambda one: drafting.add_case(one, "I am well.", "en", "benign"),
    "a model": lambda one: modelcards.record_change(
        "model.trial_asked",
        ModelInfo("m", Path("m"), "1" * 64, 1, "gpt-oss", "mxfp4", 2048, "", demonstration=False),
        actor=one.username,
    ),
    "a guideline": lambda one: describing.set_enabled(
        Guideline.objects.create(title="Plan").pk, enabled=False, actor=one.username
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_form_that_was_on_its_way_is_refused(form: Callable[[User], object], leaver: User) -> None:
    leave()
    with pytest.raises(PermissionDenied):
        form(leaver)
    assert not BenchTrial.objects.exists() and not LabelledCase.objects.exists() and not Export.objects.exists()
    nobody_has_the_name()


@pytest.mark.parametrize(
    ("view", "route", "data"),
    [
        (views.SignIn, "login", {"username": LEAVER, "password": PASSWORD}),
        (
            views.ChangePassword,
            "password_change",
            {"old_password": PASSWORD, "new_password1": "another-good-one-7", "new_password2": "another-good-one-7"},
        ),
    ],
)
def test_nobody_comes_back_by_a_form_about_themselves(
    view: Any, route: str, data: dict[str, str], leaver: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    valid = view.form_valid

    def leaves_first(self: Any, form: Any) -> Any:
        leave()
        return valid(self, form)

    monkeypatch.setattr(view, "form_valid", leaves_first)
    client = Client()
    if route != "login":
        client.force_login(leaver)
    assert client.post(reverse(route), data).status_code == (200 if route == "login" else 403), "the form once more"
    leaver.refresh_from_db()
    assert is_code(leaver.username) and not leaver.is_active and not leaver.has_usable_password()
    assert client.get(reverse("home")).status_code == 302
    nobody_has_the_name()


def test_who_was_never_erased_and_whoever_runs_commands_is_named(leaver: User) -> None:
    leave()
    with transaction.atomic():
        assert record("user.created", actor="terminal:joe").actor.name == "terminal:joe"
        assert record("user.created", actor="bela").actor.name == "bela"
        with pytest.raises(NoSuchPerson) as caught:
            code_of("nobody-of-this-name")
    assert "nobody-of-this-name" not in str(caught.value), "a traceback holds no name"


@pytest.mark.django_db(transaction=True)
def test_what_waits_for_the_erasure_to_end_is_swept_up(leaver: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A form writes its row, then waits for the audit trail, which the erasure holds; it knows the code already."""
    written, erased = threading.Event(), erasing._erase_person
    problems: list[BaseException] = []

    def form() -> None:
        try:
            with transaction.atomic():
                BenchTrial.objects.create(question="Who sees it?", asked_by="dora")
                LabelledCase.objects.create(text="x", language="en", label="benign", added_by=LEAVER)
                written.set()
                record("safeguards.case_added", actor=LEAVER)
        except PermissionDenied as error:
            problems.append(error)
        finally:
            written.set()
            connection.close()

    thread = threading.Thread(target=form)

    def erased_while_it_waits(*given: Any) -> None:
        erased(*given)
        thread.start()
        if connection.vendor == "postgresql":
            assert written.wait(10)
            while not _somebody_waits():
                pass

    monkeypatch.setattr(erasing, "_erase_person", erased_while_it_waits)
    code = leave()
    thread.join()
    if problems:
        assert not LabelledCase.objects.exists()
    else:
        assert LabelledCase.objects.get().added_by == code
    assert hits(everything_stored(), [LEAVER]) == []
    nobody_has_the_name()


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


# --- names without an account ---------------------------------------------------------------------------------------


def test_a_name_without_an_account_is_erased_at_the_terminal(cast: Cast) -> None:
    import io

    from django.core.management import call_command
    from django.core.management.base import CommandError

    with transaction.atomic():
        code = record("model.imported", actor="terminal:joe-the-admin").actor_id
    LabelledCase.objects.create(text="x", language="en", label="benign", added_by="terminal:joe-the-admin")
    out = io.StringIO()
    call_command("erase", "--user", "terminal:joe-the-admin", "--dry-run", stdout=out)
    assert Actor.objects.get(code=code).name and "joe" not in out.getvalue()
    call_command("erase", "--user", "terminal:joe-the-admin", "--yes", "--json", "--reason", "He left.", stdout=out)
    said = json.loads(out.getvalue().splitlines()[-1])
    assert said["erased"] and "joe" not in json.dumps(said)
    assert Actor.objects.get(code=code).name is None and LabelledCase.objects.get().added_by == code
    assert Event.objects.get(kind="person.erased").payload == {"reason": "He left."}
    for name in ("terminal:joe-the-admin", "system", "terminal"):
        with pytest.raises(CommandError):
            call_command("erase", "--user", name, "--yes", stdout=out)
    assert verifying.verify().findings == ()
