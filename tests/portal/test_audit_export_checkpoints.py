"""Which checkpoints a bundle takes along: few, and every silence still shows."""

import json
import zipfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from portal.audit import _triggers, verifier
from portal.audit.exporting import Asker, Selection, _checkpoints, begin, write_file
from portal.audit.exporting._checkpoints import kept_checkpoints
from portal.audit.exporting._formats import About
from portal.audit.models import Checkpoint
from tests.portal.test_audit_export_bundle import happen

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def _about(selection: Selection = Selection()) -> About:  # noqa: B008
    newest = Checkpoint.objects.order_by("-number").first()
    empty = {"ledger": "", "facility": "", "asked_by": "", "language": "en", "problem": "", "names": {}}
    return About(number=1, at=BEGIN, selection=selection, up_to=1, count=1, checkpoint=newest, **empty)  # type: ignore[arg-type]


def _sealed(sizes: Sequence[int], minutes: int = 1) -> None:
    """Checkpoints of these sizes, one behind the other."""
    _triggers.remove(connection)
    blank = {"root": b"", "frontier": b"", "body": "", "signature": b""}
    times = (BEGIN + timedelta(minutes=minutes * number) for number in range(1, len(sizes) + 1))
    made = (
        Checkpoint(number=number, at=at, tree_size=size, **blank)
        for number, (at, size) in enumerate(zip(times, sizes, strict=True), 1)
    )
    Checkpoint.objects.bulk_create(made)


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([], []),
        ([0], [1]),
        ([3, 3, 3, 3], [1, 4]),
        ([1, 1, 1, 2, 3, 3, 3, 3, 4], [1, 3, 4, 5, 8, 9]),
        ([1, 2, 3, 4], [1, 2, 3, 4]),
    ],
)
def test_a_silence_stands_with_its_two_ends(db: None, sizes: list[int], kept: list[int]) -> None:
    _sealed(sizes)
    assert list(kept_checkpoints(_about())) == kept


def test_of_too_many_the_longest_silences_and_the_last_of_each_hour_are_kept(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_checkpoints, "MOST", 4)
    sizes = [*range(1, 51), *[51] * 30, *range(52, 90), *[90] * 20, *range(91, 150)]
    _sealed(sizes)
    kept = list(kept_checkpoints(_about()))
    assert {51, 80, 119, 138} <= set(kept)
    assert {1, 59, 119, 179, len(sizes)} <= set(kept)
    assert len(kept) <= 4 + 6


def test_a_long_time_has_the_last_of_each_day(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_checkpoints, "MOST", 2)
    monkeypatch.setattr(_checkpoints, "_A_DAY", 24)
    _sealed(range(1, 24 * 40), minutes=60)
    kept = list(kept_checkpoints(_about()))
    assert kept == [1, *range(23, 24 * 40, 24)]


@pytest.mark.parametrize(
    ("first", "last", "kept"),
    [(2, 2, [23, 47, 48, 71]), (None, 1, [1, 23, 24, 71]), (3, None, [47, 71]), (9, 9, [71]), (None, 0, [1, 71])],
)
def test_a_period_has_one_more_on_either_side(
    db: None, settings: Any, monkeypatch: pytest.MonkeyPatch, first: int, last: int, kept: list[int]
) -> None:
    """Days are those of the installation: here that of UTC."""
    settings.TIME_ZONE = "UTC"
    monkeypatch.setattr(_checkpoints, "_HOURS", 0)
    _sealed([1] * 71, minutes=60)
    days = [date(2026, 2, 28) + timedelta(days=one) if one is not None else None for one in (first, last)]
    assert list(kept_checkpoints(_about(Selection(first_day=days[0], last_day=days[1])))) == kept


def test_a_bundle_of_few_checkpoints_is_verified_and_says_how_long_nothing_happened(db: None, tmp_path: Path) -> None:
    happen()
    file = tmp_path / "x.zip"
    write_file(begin("bundle", Selection(), Asker("emil")), file, lambda done, total: None)
    assert verifier.verify(file).findings == []
    with zipfile.ZipFile(file) as archive:
        bodies = [json.loads(json.loads(line)["body"]) for line in archive.read("checkpoints.jsonl").splitlines()]
    silent = [(one, two) for one, two in pairwise(bodies) if one["tree_size"] == two["tree_size"]]
    assert len(silent) == 6
