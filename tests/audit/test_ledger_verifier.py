"""What the one-file verifier of bundles says of rows that somebody rewrote together with their hashes, in the time of
an older key, where no mark tells."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from portal.audit import verifier
from portal.audit.exporting import Asker, Selection, begin, write_file
from portal.audit.models import Event
from portal.audit.services import leaf_of
from tests.audit import conftest

MULTIPLES = cache(verifier.multiples)  # of few keys, many times
SMALL = "00" * 32  # a point of small order: it signs anything
HANDOVER = {"old": "zz", "new": "zz", "last_checkpoint": 1, "signature": "", "accepted": ""}
REWRITTEN: dict[str, tuple[str, Any]] = {
    "a name without its commitment": ("person.named", {"commitment": 1}),
    "a name of nothing": ("person.named", {}),
    "a handover of nothing": ("audit.key_replaced", {}),
    "a handover of no keys": ("audit.key_replaced", HANDOVER),
    "a handover of keys that sign anything": ("audit.key_replaced", HANDOVER | {"old": SMALL, "new": SMALL}),
    "a handover signed with no bytes": ("audit.key_replaced", HANDOVER | {"signature": "x"}),
    "a lost key that covers nothing": ("audit.key_replaced", HANDOVER | {"lost": True, "unvouched": "x"}),
}


def rewrite(seq: int, kind: str, payload: Any) -> None:
    event = Event.objects.get(seq=seq)
    event.kind, event.payload = kind, payload
    event.leaf = leaf_of(event)
    event.save(force_update=True)


@pytest.fixture
def report_of(full_ledger: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., verifier.Report]:
    """Exports a bundle of everything and verifies it."""
    monkeypatch.setattr(verifier, "multiples", MULTIPLES)
    conftest.now(connection)

    def verified(**how: Any) -> verifier.Report:
        file = tmp_path / "bundle.zip"
        write_file(begin("bundle", Selection(), Asker("terminal:root")), file, lambda done, total: None)
        return verifier.verify(file, **how)

    return verified


@pytest.mark.parametrize("what", REWRITTEN)
def test_a_row_that_says_nothing_of_its_kind_is_named_and_hides_nothing(
    report_of: Callable[..., verifier.Report], what: str
) -> None:
    rewrite(10, *REWRITTEN[what])
    Event.objects.filter(seq=12).update(kind="another.change")
    report = report_of()
    where = [one.where for one in report.findings]
    assert "event 10" in where and "event 12" in where and "bundle" not in where
    others = [one.what for one in report.findings if "event" not in one.where]
    assert all("other kinds of events" in one for one in others), "keys, names and claims are as they were"
    words = ("carry the signature", "belong to their codes", "are those that the manifest names", "in a ledger of")
    assert all(any(word in one for one in report.checked) for word in words)


def test_a_number_that_is_not_there_to_be_proven_hides_nothing(report_of: Callable[..., verifier.Report]) -> None:
    Event.objects.filter(seq=12).update(kind="another.change")
    report = report_of(prove=9999)
    assert {"event 12", "bundle"} <= {one.where for one in report.findings}
    assert any("in a ledger of" in one for one in report.checked)


def test_more_kinds_and_keys_than_there_are_hide_nothing(
    report_of: Callable[..., verifier.Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "MOST_KINDS", 3)
    monkeypatch.setattr(verifier, "MOST_KEYS", 0)
    Event.objects.filter(seq=30).update(kind="another.change")
    report = report_of()
    assert any("more kinds of events" in one.what for one in report.findings)
    assert "event 30" in {one.where for one in report.findings}
    assert any("in a ledger of" in one for one in report.checked)
