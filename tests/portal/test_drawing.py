"""Who waits for whom while pages are drawn."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from knowledge import pages
from knowledge.ingestion._reading import stored_file
from tests.conftest import Cast
from tests.knowledge.versions import State, make


def test_one_page_at_a_time_is_drawn_for_one_person(
    cast: Cast, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one is drawn for anna, another is drawn for bela, and none for anna."""
    settings.HAVRE_DATA_DIR = tmp_path
    monkeypatch.setattr(pages, "_PATIENCE_SECONDS", 0.1)
    version = make(state=State.EFFECTIVE, page_count=3)
    stored_file(version).parent.mkdir(parents=True)
    stored_file(version).write_bytes(b"%PDF-")
    drawn: list[int] = []

    def ask(person: Any, page: int) -> int:
        browser = Client()
        browser.force_login(person)
        return browser.get(reverse("guidelines:page_image", args=[version.pk, page])).status_code

    def draw(path: Path, page: int, *_: Any, **__: Any) -> bytes:
        drawn.append(page)
        if page == 1:
            assert (ask(cast.anna, 2), ask(cast.bela, 3)) == (503, 200)
        return b"\x89PNG"

    monkeypatch.setattr("knowledge.parsing.page_image", draw)
    assert ask(cast.anna, 1) == 200
    assert drawn == [1, 3]
    assert ask(cast.anna, 2) == 200  # her place is free again
