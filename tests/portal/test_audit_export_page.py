"""Exports on the page: asked for, written behind the scenes, taken away by whoever asked alone."""

import errno
import hashlib
import io
import json
import uuid
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import OperationalError, transaction
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import User
from portal.audit import exporting, verifier
from portal.audit.exporting import _jobs, _run
from portal.audit.models import Event, Export
from portal.audit.services import forget, record
from tests.conftest import PASSWORD, Cast

URL = "audit:export"


async def _whole(response: StreamingHttpResponse) -> bytes:
    return b"".join([part async for part in response.streaming_content])


def whole(response: Any) -> bytes:
    return async_to_sync(_whole)(response)


@pytest.fixture
def officer(client: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Client:
    """The compliance officer's browser; the worker is played by the test."""
    monkeypatch.setattr(_jobs, "_send", lambda export: None)
    monkeypatch.setattr(settings, "HAVRE_DATA_DIR", tmp_path)
    with transaction.atomic():
        for kind, actor in (("turn.started", "anna"), ("turn.completed", "system"), ("guideline.uploaded", "dora")):
            record(kind, actor=actor, actor_role="x", subject="s-1", payload={"é": "<b>"})
    client.force_login(cast.emil)
    return client


def asked(officer: Client, **fields: str) -> Export:
    response = officer.post(reverse("audit:ask_export"), {"format": "jsonl", **fields})
    assert response.status_code == 302, response.context["form"].errors
    return Export.objects.latest("number")


def ended() -> list[tuple[str, str]]:
    found = Event.objects.filter(kind__startswith="audit.export_").order_by("seq")
    return [(one.kind.partition("_")[2], one.payload.get("code", "")) for one in found]


def test_an_export_is_asked_for_written_and_taken_away(officer: Client) -> None:
    export = asked(officer, kind="turn", actor="anna")
    assert "anna" not in json.dumps(export.filters)
    page = officer.get(reverse(URL))
    assert [value for _, value in page.context["exports"][0]["filters"]] == ["anna", "turn"]
    exporting.work(export.pk)
    export.refresh_from_db()
    assert (export.state, export.done, export.total) == ("ready", 1, 1)
    file = exporting.file_of(export)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    response = officer.get(reverse("audit:download_export", args=[export.pk]))
    content = whole(response)
    assert response["Content-Disposition"].startswith("attachment; filename=")
    assert hashlib.sha256(content).hexdigest() == export.sha256
    assert [json.loads(line)["event"]["kind"] for line in content.splitlines()] == ["turn.started"]
    assert ended() == [("finished", ""), ("downloaded", "")]
    assert Event.objects.get(kind="audit.exported").actor.name == "emil"


@pytest.mark.parametrize(
    ("name", "typed", "kept"),
    [
        ("actor", "Anna Meyer", "(unknown)"),
        ("actor", "system", "system"),
        ("subject", "Anna Meyer", "(unknown)"),
        ("subject", "s-1", "s-1"),
        ("role", "Anna Meyer", "(unknown)"),
        ("role", "clinician", "clinician"),
        ("kind", "Anna Meyer", "(unknown)"),
        ("kind", "turn.s", "turn.s"),
        ("kind", "erasure", "erasure"),
        ("conversation", "Anna Meyer", "(unknown)"),
        ("conversation", str(uuid.UUID(int=5)), str(uuid.UUID(int=5))),
        ("document", "Anna Meyer", "(unknown)"),
        ("document", "ab" * 32, "ab" * 32),
        ("rule", "Anna Meyer", "(unknown)"),
        ("rule", "r.one", "r.one"),
        ("verdict", "Anna Meyer", "(unknown)"),
        ("verdict", "redirect", "redirect"),
        ("model", "Anna Meyer", "(unknown)"),
        ("model", "m1", "m1"),
    ],
)
def test_of_what_was_typed_only_what_is_known_is_kept(db: None, name: str, typed: str, kept: str) -> None:
    with transaction.atomic():
        payload = {"verdict": {"rules": ["r.one"]}, "model": {"name": "m1"}}
        record("turn.started", actor="system", subject="s-1", payload=payload)
    order = exporting.begin("jsonl", exporting.Selection(**{name: typed}), exporting.Asker("emil"))  # type: ignore[arg-type]
    assert Event.objects.get(kind="audit.exported").payload["filters"] == {name: kept}
    assert getattr(order.selection, name) == kept


def test_the_bundle_of_the_page_is_verified(officer: Client) -> None:
    export = asked(officer, format="bundle")
    exporting.work(export.pk)
    export.refresh_from_db()
    assert verifier.verify(exporting.file_of(export)).findings == []


def test_somebody_else_does_not_see_it(officer: Client) -> None:
    export = asked(officer)
    exporting.work(export.pk)
    other = Client()
    other.force_login(User.objects.create_user("ella", password=PASSWORD, role="compliance"))
    assert other.get(reverse(URL)).context["exports"] == []
    assert other.get(reverse("audit:export_state")).json() == {"exports": []}
    assert other.get(reverse("audit:download_export", args=[export.pk])).status_code == 404
    assert other.post(reverse("audit:stop_export", args=[export.pk])).status_code == 404
    assert ended() == [("finished", "")]


@pytest.mark.parametrize(
    "fields",
    [
        {"format": "exe"},
        {"first_day": "yesterday"},
        {"first_day": "2026-02-02", "last_day": "2026-02-01"},
        {"conversation": "x"},
        {"actor": "x" * 200},
        {"verdict": "<script>"},
        {"kind": "\x00"},
    ],
)
def test_a_filter_that_is_wrong_exports_nothing(officer: Client, fields: dict[str, str]) -> None:
    response = officer.post(reverse("audit:ask_export"), {"format": "jsonl", **fields})
    assert response.status_code == 422
    assert response.context["form"].errors
    assert not Event.objects.filter(kind="audit.exported").exists()


def test_a_format_that_is_not_installed_is_a_sentence(officer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = exporting.Format("portal.audit.exporting._nothing", "x", "x/x")
    monkeypatch.setitem(exporting.FORMATS, "pdf", gone)
    page = officer.post(reverse("audit:ask_export"), {"format": "pdf"}, follow=True)
    assert "not installed" in page.content.decode()
    assert not Event.objects.filter(kind="audit.exported").exists()


def test_one_that_waits_is_stopped(officer: Client) -> None:
    export = asked(officer)
    officer.post(reverse("audit:stop_export", args=[export.pk]))
    exporting.work(export.pk)
    export.refresh_from_db()
    assert export.state == "stopped"
    assert ended() == [("failed", "stopped")]
    assert officer.get(reverse("audit:download_export", args=[export.pk])).status_code == 302


def test_one_that_is_written_is_stopped(officer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    export = asked(officer)

    def stop_it(*_: Any) -> Any:
        exporting.stop(export)
        return range(1, 3)

    monkeypatch.setattr(_run, "numbers", stop_it)
    exporting.work(export.pk)
    export.refresh_from_db()
    assert export.state == "stopped"
    assert ended() == [("failed", "stopped")]
    assert list(exporting.file_of(export).parent.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EACCES, "not_written")])
def test_a_disk_that_does_not_take_it(officer: Client, monkeypatch: pytest.MonkeyPatch, number: int, code: str) -> None:
    def write(*_: Any) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(_run, "writer_of", lambda form: write)
    export = asked(officer)
    exporting.work(export.pk)
    export.refresh_from_db()
    assert (export.state, export.problem) == ("failed", code)
    assert ended() == [("failed", code)]
    assert list(exporting.file_of(export).parent.iterdir()) == []
    assert str(exporting.PROBLEMS[code])[:20] in officer.get(reverse(URL)).content.decode()


def test_a_disk_that_takes_no_record_either_is_told_of_even_so(
    officer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "no")

    def refuse(*_: Any) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(_run, "writer_of", lambda form: write)
    export = asked(officer)
    monkeypatch.setattr(_run, "record_end", refuse)
    exporting.work(export.pk)
    export.refresh_from_db()
    assert (export.state, export.problem) == ("failed", "disk_full")


def test_a_lost_worker_is_followed_by_another_and_does_not_write_over_it(officer: Client) -> None:
    export = asked(officer)
    long_ago = timezone.now() - timedelta(minutes=6)
    Export.objects.update(state="running", attempt=1, seen_at=long_ago)
    lost = Export.objects.select_related("asked_by").get()
    exporting.look_after()
    export.refresh_from_db()
    assert export.state == "waiting"
    exporting.work(export.pk)
    assert not _jobs._end(lost, Export.State.FAILED, problem="error")
    with pytest.raises(exporting.Stopped):
        _jobs._progress(lost)(1, 2)
    export.refresh_from_db()
    assert (export.state, export.attempt) == ("ready", 2)


def _overtaken(monkeypatch: pytest.MonkeyPatch, export: Export, fails: bool = False) -> None:
    """The worker that has written the file sleeps, is taken for lost, and wakes when another one has done its work."""
    write, sleeps = _run._write, iter([True])

    def sleepy(*given: Any) -> Any:
        outcome = write(*given)
        if next(sleeps, False):
            Export.objects.update(seen_at=timezone.now() - timedelta(minutes=6))
            exporting.look_after()
            exporting.work(export.pk)
            if fails:
                raise OSError(errno.ENOSPC, "no")
        return outcome

    monkeypatch.setattr(_run, "_write", sleepy)


@pytest.mark.parametrize("fails", [False, True])
def test_a_lost_worker_that_wakes_up_changes_nothing(
    officer: Client, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    export = asked(officer)
    _overtaken(monkeypatch, export, fails)
    exporting.work(export.pk)
    export.refresh_from_db()
    assert (export.state, export.attempt, export.problem) == ("ready", 2, "")
    assert ended() == [("finished", "")]
    assert [one.name for one in exporting.file_of(export).parent.iterdir()] == [f"{export.pk}-2.jsonl"]
    sha256 = hashlib.sha256(exporting.file_of(export).read_bytes()).hexdigest()
    assert sha256 == export.sha256 == Event.objects.get(kind="audit.export_finished").payload["sha256"]


def test_one_that_is_stopped_when_it_was_written_is_not_there(officer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    export, write = asked(officer), _run._write

    def written(*given: Any) -> Any:
        outcome = write(*given)
        officer.post(reverse("audit:stop_export", args=[export.pk]))
        return outcome

    monkeypatch.setattr(_run, "_write", written)
    exporting.work(export.pk)
    export.refresh_from_db()
    assert export.state == "stopped"
    assert ended() == [("failed", "stopped")]
    assert list(exporting.file_of(export).parent.iterdir()) == []


@pytest.mark.parametrize("step", ["stop", "finish"])
def test_what_cannot_be_recorded_does_not_happen(officer: Client, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    export = asked(officer)

    def refuse(*_: Any) -> None:
        raise OperationalError("the audit trail is locked")

    monkeypatch.setattr(_jobs if step == "stop" else _run, "record_end", refuse)
    if step == "stop":
        assert officer.post(reverse("audit:stop_export", args=[export.pk])).status_code == 503
        export.refresh_from_db()
        assert export.state == "waiting"
    else:
        exporting.work(export.pk)
        export.refresh_from_db()
        assert (export.state, export.problem) == ("failed", "error")
        assert list(exporting.file_of(export).parent.iterdir()) == []
    assert ended() == []


@pytest.mark.parametrize("form", ["bundle", "jsonl", "csv", "fhir"])
def test_whoever_is_erased_before_the_end_is_recorded_is_in_no_file(
    officer: Client, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """The erasure is done between the last event that is written and the lock that the end is recorded under."""
    real, times = _run._keep, []

    def keep(*given: Any) -> None:
        times.append(1)
        if len(times) == 1:
            with transaction.atomic():
                forget("anna", actor="system")
        real(*given)

    monkeypatch.setattr(_run, "_keep", keep)
    export = asked(officer, format=form)
    exporting.work(export.pk)
    export.refresh_from_db()
    content = _jobs.file_of(export).read_bytes()
    if form == "bundle":
        content = zipfile.ZipFile(io.BytesIO(content)).read("names.jsonl")
    assert b"anna" not in content and (b"dora" in content or form == "fhir")
    assert (export.state, len(times)) == (Export.State.READY, 2)
    assert export.sha256 == hashlib.sha256(_jobs.file_of(export).read_bytes()).hexdigest()
    assert ended() == [("finished", "")]
    assert [one.name for one in _jobs.folder().iterdir()] == [_jobs.file_of(export).name]


def test_a_file_that_is_gone_is_a_sentence(officer: Client) -> None:
    export = asked(officer)
    url = reverse("audit:download_export", args=[export.pk])
    assert "not ready" in officer.get(url, follow=True).content.decode()
    exporting.work(export.pk)
    export.refresh_from_db()
    exporting.file_of(export).unlink()
    assert "not there any more" in officer.get(url, follow=True).content.decode()
    assert ended() == [("finished", "")]


def test_one_that_is_lost_again_and_again_is_given_up(officer: Client) -> None:
    asked(officer)
    Export.objects.update(state="running", attempt=3, seen_at=timezone.now() - timedelta(minutes=6))
    exporting.look_after()
    assert Export.objects.get().problem == "lost"
    assert ended() == [("failed", "lost")]


def test_after_a_day_nothing_is_left(officer: Client) -> None:
    export = asked(officer)
    exporting.work(export.pk)
    (exporting.file_of(export).parent / f"{uuid.uuid4()}.zip").write_bytes(b"left over")
    exporting.look_after()
    assert [one.name for one in exporting.file_of(export).parent.iterdir()] == [f"{export.pk}-1.jsonl"]
    Export.objects.update(created_at=timezone.now() - timedelta(days=1, minutes=1))
    exporting.look_after()
    assert list(exporting.file_of(export).parent.iterdir()) == []
    assert officer.get(reverse("audit:download_export", args=[export.pk])).status_code == 404


def test_nobody_asks_for_any_number_at_once(officer: Client) -> None:
    for _ in range(3):
        asked(officer)
    officer.post(reverse("audit:ask_export"), {"format": "jsonl"})
    assert Export.objects.count() == 3


def test_without_the_audit_key_nothing_is_exported(officer: Client, tmp_path: Path) -> None:
    with_key = settings.HAVRE_AUDIT_KEY_FILE
    try:
        settings.HAVRE_AUDIT_KEY_FILE = tmp_path / "nothing"
        page = officer.post(reverse("audit:ask_export"), {"format": "jsonl"}, follow=True)
    finally:
        settings.HAVRE_AUDIT_KEY_FILE = with_key
    assert "audit key is missing" in page.content.decode()
    assert not Export.objects.exists()


def test_the_filters_of_the_search_come_along(officer: Client) -> None:
    page = officer.get(reverse(URL), {"kind": "turn", "page": "2", "nonsense": "x"})
    assert page.context["form"].initial == {"kind": "turn"}
