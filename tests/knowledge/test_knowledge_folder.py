"""The watched folder: what is taken in, what is left and why; nothing in it is ever touched."""

import os
from pathlib import Path
from typing import Any

import pytest

import knowledge
from knowledge.ingestion import _folder
from knowledge.models import FolderFile, GuidelineVersion

from .documents import HTML, MARKDOWN, TEXT

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(data_folder: Path, settings: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The watched folder of the test."""
    path = tmp_path_factory.mktemp("watched")
    settings.HAVRE_WATCH_FOLDER = str(path)
    return path


def look(times: int = 1) -> Any:
    return [knowledge.look_into_folder() for _ in range(times)][-1]


def put(path: Path, text: str, seconds: int = 0) -> None:
    """Write a file whose time of change is `seconds` after the epoch's first day."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (86_400 + seconds, 86_400 + seconds))


def listed() -> dict[str, str]:
    return dict(FolderFile.objects.values_list("path", "error_code"))


def test_off_where_no_folder_is_named(data_folder: Path, settings: Any) -> None:
    settings.HAVRE_WATCH_FOLDER = ""
    assert look().taken == 0


def test_settled_files_become_drafts_once_from_sub_folders_too(folder: Path) -> None:
    put(folder / "round.txt", TEXT)
    put(folder / "ward 3" / "leave.md", MARKDOWN)
    put(folder / ".hidden.md", MARKDOWN)
    put(folder / "~$leave.md", MARKDOWN)
    assert (look().taken, GuidelineVersion.objects.count()) == (0, 0)
    assert look().taken == 2
    assert look(2).taken == 0
    versions = GuidelineVersion.objects.all()
    assert {(one.filename, one.state, one.origin, one.uploaded_by) for one in versions} == {
        ("round.txt", "draft", "folder", "folder"),
        ("leave.md", "draft", "folder", "folder"),
    }
    assert listed() == {"round.txt": "", "ward 3/leave.md": ""}
    assert sorted(path.name for path in folder.rglob("*.*")) == [".hidden.md", "leave.md", "round.txt", "~$leave.md"]


def test_a_file_that_is_still_growing_is_waited_for(folder: Path) -> None:
    for seconds in range(3):
        put(folder / "round.txt", TEXT + "More. " * seconds, seconds)
        assert look().taken == 0
    assert look().taken == 1


def test_a_changed_file_is_the_next_version_of_the_same_guideline(folder: Path) -> None:
    put(folder / "round.txt", TEXT)
    look(2)
    first = GuidelineVersion.objects.get()
    knowledge.describe(
        first.guideline_id, actor="dora", title="The round", publisher="Ward 3", language="en", population="",
        setting="", evidence_level="", licence="", source_url="", contact="", departments=[],
    )  # fmt: skip
    put(folder / "round.txt", TEXT.replace("eight", "nine"), 60)
    assert look().taken == 0
    assert look().taken == 1
    second = GuidelineVersion.objects.get(number=2)
    assert (second.guideline_id, second.state) == (first.guideline_id, "draft")
    assert FolderFile.objects.get().version == second


def test_a_file_that_was_only_touched_is_no_news(folder: Path) -> None:
    put(folder / "round.txt", TEXT)
    look(2)
    put(folder / "round.txt", TEXT, 60)
    assert look(3).left == 0
    assert (GuidelineVersion.objects.count(), listed()) == (1, {"round.txt": ""})


def test_what_is_left_says_why(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere.md"
    put(secret, MARKDOWN)
    put(folder / "leave.md", MARKDOWN)
    put(folder / "leave again.md", MARKDOWN)
    put(folder / "empty.txt", "")
    put(folder / "photo.png", "x")
    put(folder / "page.pdf", HTML)
    (folder / "link.md").symlink_to(secret)
    (folder / "inside.md").symlink_to(folder / "leave.md")
    (folder / "elsewhere").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(folder / "pipe.md")
    look(2)
    assert listed() == {
        "leave.md": "duplicate", "leave again.md": "", "empty.txt": "empty", "photo.png": "unknown_type",
        "page.pdf": "mislabelled", "link.md": "folder_link", "inside.md": "folder_link", "elsewhere": "folder_link",
        "pipe.md": "folder_special",
    }  # fmt: skip
    assert GuidelineVersion.objects.count() == 1
    assert all(row.error for row in FolderFile.objects.exclude(error_code=""))
    before = listed()
    look(2)
    assert listed() == before


def test_a_file_swapped_for_a_link_after_it_settled_is_not_followed(folder: Path, tmp_path: Path) -> None:
    put(folder / "round.txt", TEXT)
    look()
    put(tmp_path / "secret.txt", "x" * len(TEXT.encode()))
    (folder / "round.txt").unlink()
    (folder / "round.txt").symlink_to(tmp_path / "secret.txt")
    look(3)
    assert (GuidelineVersion.objects.count(), listed()) == (0, {"round.txt": "folder_link"})


def test_a_file_that_vanished_is_noted_and_comes_back(folder: Path) -> None:
    put(folder / "round.txt", TEXT)
    look(2)
    (folder / "round.txt").unlink()
    look()
    assert listed() == {"round.txt": "folder_gone"}
    assert GuidelineVersion.objects.get().state == "draft"
    put(folder / "round.txt", TEXT)
    look(2)
    assert (listed(), GuidelineVersion.objects.count()) == ({"round.txt": ""}, 1)


def test_a_full_disk_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder / "round.txt", TEXT)
    look()
    with monkeypatch.context() as patched:

        def full(*_: Any, **__: Any) -> None:
            raise knowledge.DocumentRejected("disk_full", name="round.txt")

        patched.setattr("knowledge.services.receive", full)
        look()
        assert listed() == {"round.txt": "disk_full"}
    assert look().taken == 1
    assert listed() == {"round.txt": ""}


def test_a_folder_that_cannot_be_used_says_so_until_it_can(folder: Path, settings: Any, data_folder: Path) -> None:
    put(folder / "round.txt", TEXT)
    look(2)
    for bad, code in ((folder / "nothing", "folder_missing"), (data_folder / "guidelines", "folder_overlaps")):
        settings.HAVRE_WATCH_FOLDER = str(bad)
        look()
        assert listed() == {"round.txt": "", "": code}
    settings.HAVRE_WATCH_FOLDER = str(folder)
    look()
    assert listed() == {"round.txt": ""}


def test_a_look_is_bounded_and_the_next_one_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_folder, "MOST_TAKEN", 2)
    for number in range(5):
        put(folder / f"{number}.txt", f"{TEXT} Number {number}.")
    assert [look().taken for _ in range(5)] == [0, 2, 2, 1, 0]
    monkeypatch.setattr(_folder, "MOST_ENTRIES", 3)
    look()
    assert listed().pop("") == "folder_too_many"
    assert "folder_gone" not in listed().values()  # who was not seen may still be there
    deep = folder.joinpath(*["in"] * 30)
    monkeypatch.setattr(_folder, "MOST_ENTRIES", 1000)
    put(deep / "deep.txt", TEXT)
    look(2)
    assert listed()[""] == "folder_too_many"
    assert not any("deep" in path for path in listed())


def test_names_that_are_no_text_or_too_long(folder: Path) -> None:
    with open(os.fsencode(folder) + b"/r\xe9sum\xe9.txt", "w") as file:  # noqa: PTH123 - a name in Latin-1
        file.write(TEXT)
    long = folder.joinpath(*["a" * 240] * 5)
    long.mkdir(parents=True)
    put(long / "leave.md", MARKDOWN)
    look()
    assert look().taken == 2
    assert look().taken == 0
    assert FolderFile.objects.count() == 2
