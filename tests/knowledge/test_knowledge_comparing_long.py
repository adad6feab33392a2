"""Comparing long versions: what is always told, what is left out, and how much work is done at most."""

import difflib
import random
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

import knowledge
from knowledge import _differences, comparing
from knowledge.comparing import SectionChange
from knowledge.models import GuidelineVersion

from .test_knowledge_comparing import NEW, OLD, store

pytestmark = pytest.mark.django_db
PARTS = [" ".join(f"Sentence {part}-{n} says it." for n in range(120)) for part in range(9)]
LONG = "\n".join(f"# Part {part}\n{text}" for part, text in enumerate(PARTS))


def told(changes: tuple[SectionChange, ...]) -> list[tuple[Any, ...]]:
    """What is told of sections whatever is left out of them."""
    return [(one.kind, one.heading, one.moved, one.old_heading, one.old_page, one.new_page) for one in changes]


def changed(text: str, *parts: int) -> str:
    for part in parts:
        text = text.replace(f"Sentence {part}-60 says it.", f"Sentence {part}-60 says something else.")
    return text


@pytest.mark.parametrize("bound", ["_LONG", "_SECONDS", "_MOST_SHOWN"])
def test_which_sections_changed_is_told_whatever_the_bounds(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    old, new = store(OLD, 2), store(NEW, 3)
    everything = knowledge.compare(old, new)
    monkeypatch.setattr(comparing, "_LONG", 0)
    if bound == "_SECONDS":
        monkeypatch.setattr(_differences, "_SECONDS", 0.0)
    if bound == "_MOST_SHOWN":
        monkeypatch.setattr(
            _differences.Left.__init__, "__defaults__", (0, *_differences.Left.__init__.__defaults__[1:])
        )
    short = knowledge.compare(old, new)
    assert told(short) == told(everything)
    assert all(one.is_compared for one in everything)
    named = [one.kind for one in short if not one.is_compared]
    assert "unchanged" in named
    assert ("changed" in named) == (bound != "_LONG")
    assert all(not one.runs for one in short if not one.is_compared)


def test_unchanged_words_of_a_long_document_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = store(LONG), store(changed(LONG, 3))
    monkeypatch.setattr(comparing, "_LONG", 0)
    changes = knowledge.compare(old, new)
    assert [one.heading[0] for one in changes if one.kind == "changed"] == ["Part 3"]
    runs = next(one.runs for one in changes if one.kind == "changed")
    assert [run.kind for run in runs] == ["same", "skipped", "same", "deleted", "inserted", "same", "skipped", "same"]
    before = "".join(run.text or " " for run in runs if run.kind != "inserted")
    assert len(before.split()) + sum(run.words for run in runs) == 120 * 4
    assert sum(len(run.text) for run in runs) < 2000


def test_a_section_that_is_too_much_is_shown_as_far_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"Sentence {n} says it." for n in range(900))
    old, new = store(text), store(text.replace("0 says", "0 never says"))
    monkeypatch.setattr(comparing, "_LONG", 0)
    monkeypatch.setattr(_differences, "_MOST_SHOWN", 500)
    (change,) = knowledge.compare(old, new)
    assert (change.kind, change.is_compared) == ("changed", False)
    assert 0 < sum(len(run.text) for run in change.runs) <= 500


def test_difflib_gets_only_what_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its work grows with the square and more: every second of thousands of sentences changed took it minutes."""
    rng = random.Random(7)
    text = [" ".join(f"word{rng.randrange(3000)}" for _ in range(6)) + "." for _ in range(2000)]
    other = [f"New {line}" if number % 2 else line for number, line in enumerate(text)]
    sizes: list[int] = []

    class Matcher(difflib.SequenceMatcher[str]):
        def __init__(self, junk: None, old: list[str], new: list[str], autojunk: bool) -> None:
            sizes.append(len(old) * len(new))
            super().__init__(junk, old, new, autojunk)

    monkeypatch.setattr(_differences, "SequenceMatcher", Matcher)
    (change,) = knowledge.compare(store("\n".join(text)), store("\n".join(other)))
    assert max(sizes) <= _differences._SMALL
    assert [run.text.strip() for run in change.runs if run.kind == "inserted"] == ["New"] * 1000


def read(text: str) -> GuidelineVersion:
    version = store(text)
    version.ingestion, version.indexed_at = "indexed", timezone.now()
    version.save()
    return version


def test_what_came_out_is_kept_until_a_version_is_read_anew(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Any
) -> None:
    settings.HAVRE_DATA_DIR = tmp_path
    old, new = read(OLD), read(NEW)
    first = knowledge.compare(old, new)
    assert (tmp_path / "comparisons").stat().st_mode & 0o077 == 0
    with monkeypatch.context() as patch:
        patch.setattr(comparing, "_compared", lambda *_: pytest.fail("worked out again"))
        assert knowledge.compare(old, new) == first
    worked: list[int] = []
    real = comparing._compared
    monkeypatch.setattr(comparing, "_compared", lambda *both: worked.append(1) or real(*both))
    assert told(knowledge.compare(new, old)) != told(first)
    new.indexed_at += timedelta(seconds=1)
    new.save()
    new.pages.update(text="Something else.", headings=[])
    assert told(knowledge.compare(old, new)) != told(first)
    assert len(worked) == 2


def test_what_was_kept_and_is_damaged_is_worked_out_again(settings: Any, tmp_path: Any) -> None:
    settings.HAVRE_DATA_DIR = tmp_path
    old, new = read(OLD), read(NEW)
    first = knowledge.compare(old, new)
    (kept,) = (tmp_path / "comparisons").glob("*.gz")
    kept.write_bytes(b"half")
    assert knowledge.compare(old, new) == first
