"""Names beside codes: one that is not what was recorded is shown as nobody's, on pages and in every export."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from portal.audit import _triggers, naming, selectors, telling
from portal.audit.exporting import Asker, Selection, begin, write_file
from portal.audit.models import Actor, Event
from portal.audit.services import code_of, forget, record
from tests.conftest import Cast


@pytest.fixture
def codes(cast: Cast) -> dict[str, str]:
    with transaction.atomic():
        found = {name: code_of(name) for name in ("anna", "bela", "dora")}
        record("session.started", actor="anna")
        record("x.happened", actor="system", subject=found["bela"])
        record("session.started", actor="dora")
    return found


def swap(codes: dict[str, str]) -> None:
    Actor.objects.filter(code=codes["anna"]).update(name="x")
    Actor.objects.filter(code=codes["bela"]).update(name="anna")
    Actor.objects.filter(code=codes["anna"]).update(name="bela")


def bring_back(codes: dict[str, str]) -> None:
    for name in ("anna", "bela"):
        kept = Actor.objects.filter(code=codes[name])
        was = kept.values("name", "salt").get()
        with transaction.atomic():
            forget(name, actor="system")
        kept.update(**was)


def give_anew(codes: dict[str, str]) -> None:
    for name in ("anna", "bela"):
        Event.objects.filter(kind="person.named", subject=codes[name]).update(subject=f"p-{'0' * 24}")


def without_salt(codes: dict[str, str]) -> None:
    Actor.objects.filter(code__in=[codes["anna"], codes["bela"]]).update(salt=None)


def lines() -> dict[str, telling.Line]:
    found = telling.lines(selectors.search(Selection()).events)
    return {one.event.actor_id if one.event.kind == "session.started" else one.event.kind: one for one in found}


def export(form: str, folder: Path) -> str:
    file = folder / f"x.{form}"
    write_file(begin(form, Selection(), Asker("terminal:root")), file, lambda done, total: None)
    return file.read_text("utf-8-sig")


@pytest.mark.parametrize("attack", [swap, bring_back, give_anew, without_salt])
def test_a_name_that_was_not_recorded_is_nobodys(
    codes: dict[str, str], tmp_path: Path, client: Client, cast: Cast, attack: Any
) -> None:
    _triggers.remove(connection)
    attack(codes)
    _triggers.install(connection)
    anna = codes["anna"]
    told = lines()
    assert told[anna].who == f"Not the recorded name ({anna})"
    assert told["x.happened"].subject == f"Not the recorded name ({codes['bela']})"
    assert told[codes["dora"]].who == "dora"
    rows = [one for one in csv.DictReader(io.StringIO(export("csv", tmp_path))) if one["kind"] == "session.started"]
    problems = {one["actor"]: (one["actor_name"], one["problem"]) for one in rows}
    assert problems == {anna: ("", naming.OTHER_NAME), codes["dora"]: ("dora", "")}
    found = [json.loads(one) for one in export("jsonl", tmp_path).splitlines()]
    said = {one["event"]["actor"]: one for one in found if one["event"].get("kind") == "session.started"}
    assert (said[anna]["actor_name"], said[anna]["problem"]) == (None, naming.OTHER_NAME)
    assert said[codes["dora"]]["actor_name"] == "dora" and "problem" not in said[codes["dora"]]
    resources = [one for one in export("fhir", tmp_path).splitlines() if anna in one and "session.started" in one]
    assert resources and all(naming.OTHER_NAME in one and '"name":"bela"' not in one for one in resources)
    client.force_login(cast.emil)
    assert f"Not the recorded name ({anna})" in client.get(reverse("audit:index")).content.decode()


def test_names_are_asked_for_as_seldom_for_many_as_for_one(
    codes: dict[str, str], django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(12):
        assert naming.names(codes.values()).names == {code: name for name, code in codes.items()}
    assert naming.names([]).names == {} and naming.names(["p-x", "' OR 1=1"]).names == {}
