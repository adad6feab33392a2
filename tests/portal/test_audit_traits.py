"""The index that turns are searched by: with it, without it and half-way a search finds the same; who changes it is
found, and it holds no word of anything."""

import json
import math
import random
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from portal import valkey
from portal.audit import integrity, traits
from portal.audit.exporting import Selection, events
from portal.audit.models import Event, Head, Trait, TraitIndex
from portal.audit.services import record
from portal.doctor._audit import look_at_audit_trail
from portal.doctor._findings import WARNING

CONVERSATIONS = [str(uuid.UUID(int=number)) for number in (1, 2, 3)]
VERSIONS = [str(uuid.UUID(int=number)) for number in (11, 12, 13)]
RULES = ["crisis.a", "dose", "Dose.B", "nir_1"]
VERDICTS = ["allow", "redirect", "alarm", "benign", "first_person_crisis"]
MODELS = ["m1", "Mödel", "9" * 64]


def happen(chance: random.Random, count: int) -> None:
    """Turns and other things, in no particular order and not all of them whole."""
    turns = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(count // 3)]
    with transaction.atomic():
        for _ in range(count):
            kind, payload = _one(chance)
            record(kind, actor=chance.choice(["anna", "system"]), subject=chance.choice(turns), payload=payload)


def _one(chance: random.Random) -> tuple[str, dict[str, Any]]:
    rules = chance.sample(RULES, chance.randrange(3))
    verdict = {"action": chance.choice(VERDICTS[:3]), "category": chance.choice(VERDICTS[3:]), "rules": rules}
    model = {"name": chance.choice(MODELS), "sha256": MODELS[2]}
    passages = [{"version_id": one, "page": 1} for one in chance.sample(VERSIONS, chance.randrange(4))]
    return chance.choice(
        [
            ("turn.started", {"conversation": chance.choice(CONVERSATIONS), "verdict": verdict}),
            ("crisis.shown", {"conversation": chance.choice(CONVERSATIONS), "verdict": verdict}),
            ("crisis.shown", {"shown_at": "2026-01-01T00:00:00+00:00"}),
            ("turn.passages", {"passages": passages}),
            ("turn.generating", {"model": model}),
            ("turn.completed", {"model": model, "notices": rules, "é": "conversation"}),
            ("turn.refused", {"rule": chance.choice(RULES), "code": chance.choice([*RULES, "busy"])}),
            ("turn.failed", {"code": None, "model": "m1", "notices": {"x": 1}, "rule": 5}),
            ("guideline.uploaded", {"rule": "dose", "conversation": CONVERSATIONS[0], "model": model}),
            ("model.activated", {"model": model, "name": "m1"}),
        ]
    )


def selections() -> list[Selection]:
    single = [Selection(conversation=one) for one in CONVERSATIONS]
    single += [Selection(document=one) for one in VERSIONS]
    single += [Selection(rule=one) for one in (*RULES, "DOSE", "dos", "busy", "%", 'a","b', "é", "")]
    single += [Selection(verdict=one) for one in VERDICTS]
    single += [Selection(model=one) for one in (*MODELS, "m")]
    return [
        *single,
        Selection(rule="dose", verdict="redirect", model="m1"),
        Selection(conversation=CONVERSATIONS[0], actor="anna"),
        Selection(document=VERSIONS[1], kind="turn.c"),
    ]


def numbers(up_to: int) -> dict[str, list[int]]:
    return {str(one): list(events(one, up_to).values_list("seq", flat=True)) for one in selections()}


def plainly(selection: Selection, up_to: int) -> list[int]:
    """The same, by going through everything, for one filter that stands alone."""
    ((name, value),) = selection.filters().items()
    turns = set()
    read = list(Event.objects.filter(seq__lte=up_to).order_by("seq"))
    for event in read:
        if traits.traits_of(event.kind, event.payload) & {traits.key({"document": "version"}.get(name, name), value)}:
            turns.add(event.subject)
    return [event.seq for event in read if event.subject in turns]


@pytest.mark.parametrize("seed", range(3))
def test_with_the_index_and_without_a_search_finds_the_same(
    db: None, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(traits, "BLOCK", 16)
    happen(chance, 90)
    last = Head.objects.get().last_seq
    up_tos = (last, chance.randrange(1, last))
    read = [numbers(up_to) for up_to in up_tos]
    monkeypatch.setattr(traits, "_MOST_READ", -1)
    without = [numbers(up_to) for up_to in up_tos]
    assert read == without
    monkeypatch.setattr(traits, "_MOST_READ", chance.choice([-1, 30]))
    assert sum(map(bool, without[0].values())) > 15
    assert without[0][str(Selection(verdict="redirect"))] == plainly(Selection(verdict="redirect"), last)
    assert without[0][str(Selection(model="Mödel"))] == plainly(Selection(model="Mödel"), last)
    for blocks in (1, 2, 99):
        left = iter(range(blocks))
        traits.fill(lambda left=left: next(left, None) is None)
        assert TraitIndex.objects.get().up_to in {16, 48, last - last % 16}
        assert [numbers(up_to) for up_to in up_tos] == without
    assert traits.compare() == traits.Difference()
    assert not Event.objects.filter(kind="audit.index_mended").exists()


def _filled(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    monkeypatch.setattr(traits, "BLOCK", 16)
    happen(random.Random(9), 60)
    traits.fill()
    return numbers(48)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM audit_trait WHERE seq = (SELECT MIN(seq) FROM audit_trait)", {"extra": 0}),
        ("DELETE FROM audit_trait", {"extra": 0}),
        ("UPDATE audit_trait SET trait = trait + 1 WHERE seq = (SELECT MIN(seq) FROM audit_trait)", {}),
        ("INSERT INTO audit_trait (seq, trait) VALUES (3, 5)", {"missing": 0, "extra": 1, "first": 3}),
        ("INSERT INTO audit_trait (seq, trait) VALUES (999, 5)", {"missing": 0, "extra": 1, "first": 999}),
        ("UPDATE audit_traitindex SET up_to = 9600", {"extra": 0}),
        ("UPDATE audit_traitindex SET up_to = 17", {"extra": 0}),
    ],
)
def test_who_changes_the_index_is_found_and_it_is_mended(
    db: None, monkeypatch: pytest.MonkeyPatch, statement: str, said: dict[str, int]
) -> None:
    before = _filled(monkeypatch)
    with connection.cursor() as cursor:
        cursor.execute(statement)
    difference = traits.compare()
    traits.fill()
    assert numbers(48) == before
    assert traits.compare() == traits.Difference()
    told = [event.payload for event in Event.objects.filter(kind="audit.index_mended")]
    assert len(told) == (difference.first is not None)
    assert "up_to" in statement or (told and said.items() <= told[0].items())


def test_that_it_was_mended_is_told_for_a_while(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever took entries away had turns in nobody's search until the night."""
    _filled(monkeypatch)
    monkeypatch.setattr(valkey, "_down_until", math.inf)  # nobody is asked there, and the next test finds it as it was

    def told() -> tuple[set[str], list[str]]:
        page = {one.level for one in integrity.look().signs if "searched by" in one.said}
        return page, [one.level for one in look_at_audit_trail(thorough=False) if "searched by" in one.message]

    assert told() == (set(), [])
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_trait WHERE seq IN (SELECT seq FROM audit_trait ORDER BY seq LIMIT 3)")
    traits.compare()
    traits.compare()
    assert told() == ({integrity.ATTENTION}, [WARNING])
    gone = Event.objects.get(kind="audit.index_mended").payload["missing"]
    assert gone and any(f"missing: {gone}" in one.said for one in integrity.look().signs)
    now = timezone.now() + timedelta(days=100)
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert told() == ({integrity.NOTE}, [])


def test_an_index_by_other_rules_is_made_anew(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _filled(monkeypatch)
    TraitIndex.objects.update(version=0)
    Trait.objects.filter(seq__lt=20).delete()
    assert numbers(48) == before  # it is not used meanwhile
    traits.fill()
    assert numbers(48) == before
    assert traits.compare() == traits.Difference()


def test_it_holds_no_word(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    _filled(monkeypatch)
    assert Trait.objects.count() > 50
    said = json.dumps(list(Trait.objects.values()))
    assert not [one for one in (*CONVERSATIONS, *VERSIONS, *RULES, *VERDICTS, *MODELS) if one in said]


def test_nothing_is_recorded_and_no_lock_is_held_while_it_reads(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traits, "BLOCK", 16)
    happen(random.Random(1), 40)
    depth = len(connection.savepoint_ids)
    seen: list[int] = []
    expected = traits.expected

    def watched(block: range) -> set[traits.Entry]:
        seen.append(len(connection.savepoint_ids))
        return expected(block)

    monkeypatch.setattr(traits, "expected", watched)
    last = Head.objects.get().last_seq
    traits.fill()
    assert seen == [depth] * (last // 16)
    assert Head.objects.get().last_seq == last
