"""A hundred people with everything that anybody can leave behind are erased, and looked for everywhere."""

import io
import logging
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from knowledge.models import Guideline, GuidelineVersion, Opening
from knowledge.models import Trial as BenchTrial
from portal import logs, valkey
from portal.accounts.models import User
from portal.audit import exporting, sealing, verifier, verifying
from portal.audit.exporting import Asker, Selection
from portal.audit.models import Event, Export
from portal.chat import dispatch, erasing, erasures, spool
from portal.chat.erasing import By, erase
from portal.chat.keeping import Hold
from portal.chat.models import Turn
from portal.chat.protocol import TurnStart, parse
from portal.chat.services import unwritten
from portal.modelcards.models import Trial as ModelTrial
from portal.safeguards.models import LabelledCase, RuleRelease
from tests.conftest import Cast
from tests.portal.remains import everything_stored, files, hits, in_valkey, unzipped
from tests.portal.test_erasing import talk

BY = By("terminal:root", reason="They asked for it.")
SOME = 8  # who left more than a conversation


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """A log as the processes write it."""
    file = tmp_path / "havre.log"
    handler = logging.FileHandler(file)
    handler.setFormatter(logs.WithoutContent("%(message)s"))
    logging.getLogger().addHandler(handler)
    yield file
    logging.getLogger().removeHandler(handler)
    handler.close()


def live(token: str) -> list[str]:
    """Somebody who asked, with a name; returns the words that must be gone."""
    person = User.objects.create_user(f"name-{token}", role="clinician", first_name=f"first-{token}")
    talk(person, token)
    kinds = ("name", "first", "title", "question", "matched", "piece", "answer", "thoughts")
    return [f"{kind}-{token}" for kind in kinds]


def live_more(token: str) -> list[str]:
    """The same person in every other place that knows a name or a word: a session, a hotline card that waits, a message
    to a worker, the test bench, guidelines, rules, models, holds that were lifted, requests to erase."""
    name = f"name-{token}"
    person = User.objects.get(username=name)
    Client().force_login(person)
    text = f"I want to kill myself. card-{token}"
    start = parse({"type": "turn.start", "client_ref": str(uuid.uuid4()), "effort": "low", "text": text})
    assert isinstance(start, TurnStart)
    assert unwritten(person.pk, uuid.uuid4(), start, uuid.uuid4()).card
    dispatch.retrieve(Turn.objects.filter(conversation__owner=person)[0].pk)
    BenchTrial.objects.create(question=f"tried-{token}", asked_by=name)
    LabelledCase.objects.create(text="I am well.", language="en", label="benign", added_by=name)
    ModelTrial.objects.create(name="m", sha256="2" * 64, asked_by=name, open_slot=None)
    RuleRelease.objects.create(authors=[name], requested_by=name, released_by=name, open_slot=None)
    guideline = Guideline.objects.create(title=f"Plan {token[:8]}")
    Opening.objects.create(guideline=guideline, asked_by=name)
    GuidelineVersion.objects.create(
        guideline=guideline, number=1, filename="a.pdf", media_type="x", sha256=token * 2, size=1,
        uploaded_by=name, submitted_by=name, approved_by=name,
    )  # fmt: skip
    emil = User.objects.get(username="emil")
    hold = erasures.set_hold(emil, person, "Case 12 of the court.")
    erasures.lift_hold(emil, hold.pk, "The case was closed.")
    erasures.decline(emil, erasures.ask(emil, person, "Asked for by letter.").pk)
    return [f"card-{token}", f"tried-{token}"]


def erase_somehow(number: int, name: str) -> None:
    """By the command, by two people, or by a call."""
    if number % 10 == 0:
        call_command("erase", "--user", name, "--yes", stdout=io.StringIO())
    elif number % 10 == 1:
        person = User.objects.get(username=name)
        asked = erasures.ask(User.objects.get(username="emil"), person, "Asked for by letter.")
        erasures.confirm(User.objects.get(username="dora"), asked.pk, erasures.counts(erasing.extent_of(person)))
    else:
        erase(User.objects.get(username=name), BY)


def exported(folder: Path) -> bytes:
    """All that can be taken away."""
    for form in ("jsonl", "csv", "fhir", "bundle"):
        call_command("export_audit", "--format", form, "-o", str(folder / form), stdout=io.StringIO())
    return unzipped(folder / "bundle") + b"".join((folder / one).read_bytes() for one in ("jsonl", "csv", "fhir"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("many", [20, pytest.param(100, marks=pytest.mark.soak)])
def test_of_a_hundred_people_nothing_is_left_and_every_proof_holds(
    many: int, cast: Cast, log: Path, tmp_path: Path
) -> None:
    tokens = [uuid.uuid4().hex for _ in range(many)]
    secrets = [word for token in tokens for word in live(token)]
    more = [word for token in tokens[:SOME] for word in live_more(token)]
    sealing.seal("minute")
    before = exporting.ask("bundle", Selection(), Asker("emil", "compliance"))
    exporting.work(before.pk)
    before.refresh_from_db()
    names = [f"name-{token}" for token in tokens]
    found = hits(everything_stored(), names + more)
    assert len(found) == many + SOME and set(found) > set(names), "where it is looked for, it can be found"
    assert len(hits(in_valkey(), secrets)) >= 3 * many and list(spool.kept())
    assert hits(unzipped(exporting.file_of(before)), names) == names
    for number, name in enumerate(names):
        erase_somehow(number, name)
    sealing.seal("minute")
    taken_away = exported(tmp_path)
    exporting.file_of(before).unlink()  # an export from before goes after a day: the next test
    for what, haystack in (
        ("database", everything_stored()),
        ("data folder", files()),
        ("Valkey", in_valkey()),
        ("log", log.read_bytes()),
        ("exports", taken_away),
    ):
        assert hits(haystack, secrets + more) == [], what
    valkey.client().delete("knowledge")  # the messages
    assert not Session.objects.exists() and not Hold.objects.filter(lifted_at=None).exists()
    assert Event.objects.filter(kind="crisis.shown").count() == SOME
    assert Event.objects.filter(kind="conversation.erased").count() == many + SOME
    assert Event.objects.filter(kind="person.erased").count() == many
    assert verifier.verify(tmp_path / "bundle").findings == []
    assert verifying.verify().findings == ()


def test_an_export_from_before_an_erasure_goes_with_its_day(cast: Cast) -> None:
    talk(cast.anna)  # type: ignore[arg-type]
    before = exporting.ask("bundle", Selection(), Asker("emil", "compliance"))
    exporting.work(before.pk)
    before.refresh_from_db()
    erase(User.objects.get(username="anna"), BY)
    file = exporting.file_of(Export.objects.get(pk=before.pk))
    assert hits(unzipped(file), ["anna"]) and not hits(unzipped(file), ["question-word", "answer-word"])
    Export.objects.filter(pk=before.pk).update(created_at=timezone.now() - exporting.KEPT - timedelta(minutes=1))
    exporting.look_after()
    assert not file.exists()
