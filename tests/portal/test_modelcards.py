"""The pages of models: what administrators see and do, and the card that everybody may read."""

import uuid
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

import inference
from inference import Gpu, Hardware, ModelStore, Smoke
from portal.audit.models import Event
from portal.chat import stored
from portal.chat.models import Conversation, State, Turn
from portal.modelcards import services, tasks, wording
from portal.modelcards.models import Trial
from portal.parts import Heartbeat
from tests.conftest import TINY_MODEL, Cast

MACHINE = Hardware(8, 32 << 30, 32 << 30, (Gpu("card", 16 << 30, 16 << 30),))


@pytest.fixture(autouse=True)
def store(tmp_path: Path, settings: Any) -> ModelStore:
    """Two models, "old" active."""
    settings.HAVRE_MODELS_DIR = tmp_path / "models"
    settings.HAVRE_CONTEXT, settings.HAVRE_MAX_TOKENS = 2048, 512
    other = tmp_path / "other.gguf"
    other.write_bytes(TINY_MODEL.read_bytes() + b"\0")
    models = ModelStore(settings.HAVRE_MODELS_DIR)
    models.import_file(TINY_MODEL, "old", link=True)
    models.import_file(other, "new", link=True)
    models.activate("old", lambda _: Smoke("2026-01-01T00:00:00+00:00", load_seconds=2.0, tokens_per_second=40.0))
    return models


@pytest.fixture
def answering(cast: Cast) -> Iterator[None]:
    """An inference worker that says what its machine has."""
    beat = Heartbeat("inference", lambda: {"state": "ready", "machine": asdict(MACHINE)})
    beat.beat()
    yield
    beat.stop()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trials that were handed to the workers."""
    found: list[str] = []
    monkeypatch.setattr(services.app, "send_task", lambda name, args, **_: found.append(args[0]))
    return found


def page(user: object, name: str, *args: str) -> str:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    response = client.get(reverse(name, args=args))
    assert response.status_code == 200
    return response.content.decode()


def turn(cast: Cast, one: inference.ModelInfo, **values: Any) -> Turn:
    known = {"name": one.name, "sha256": one.sha256, "architecture": "gpt-oss", "quantization": "F16"}
    return Turn.objects.create(
        **{
            "conversation": Conversation.objects.create(owner=cast.anna, title="t"),
            "client_ref": uuid.uuid4(),
            "question": "What are the steps?",
            "language": "en",
            "effort": "low",
            "state": State.COMPLETED,
            "finished_at": timezone.now(),
            "model": known,
        }
        | values
    )


def test_the_list_says_what_is_here_what_answers_and_what_fits(cast: Cast, answering: None) -> None:
    shown = page(cast.dora, "modelcards:index")
    assert "old" in shown and "new" in shown and "Answers" in shown
    assert "Fits the graphics cards" in shown and "manage.py models pull" in shown
    assert "deepseek-r1-distill-qwen-7b" in shown, "the catalogue is shown"
    assert shown.count("Try and activate") == 1, "the one that answers is not offered again"


def test_without_a_worker_nobody_knows_what_fits(cast: Cast) -> None:
    assert "Unknown: the answering service is not running" in page(cast.dora, "modelcards:index")


def test_a_damaged_register_does_not_break_the_pages(cast: Cast, store: ModelStore) -> None:
    (store.folder / "register.json").write_text("{")
    assert "is damaged" in page(cast.dora, "modelcards:index")


def test_a_card_tells_what_the_model_is_and_how_it_does(cast: Cast, store: ModelStore) -> None:
    one = store.get("old")
    for values in (
        {"groundedness": 0.9, "usage": {"tries": 1}},
        {"groundedness": 0.5, "usage": {"tries": 2, "opened": "malformed"}},
        {"state": State.FAILED, "failure_code": "malformed_output"},
        {"state": State.CANCELLED},
    ):
        turn(cast, one, **values)
    turn(cast, store.get("new"), groundedness=0.0)
    for person in (cast.anna, cast.dora, cast.emil):
        shown = page(person, "modelcards:card", one.sha256)
        assert one.sha256 in shown and "apache-2.0" in shown and "F16" in shown
        assert "closed: its maker does not say what it was trained on" in shown, "gpt-oss: open weights, closed data"
        assert "last 4 questions" in shown and "70.0 %" in shown and shown.count("25.0 %") == 4
        assert "40 tokens a second" in shown and "What are the steps" not in shown


def test_a_model_that_was_removed_keeps_its_card(cast: Cast, store: ModelStore) -> None:
    one = store.get("new")
    store.remove("new")
    assert "Removed on" in page(cast.anna, "modelcards:card", one.sha256)
    gone = "e" * 64
    turn(cast, one, model={"name": "elsewhere", "sha256": gone, "architecture": "gpt-oss", "quantization": "X"})
    assert "Not installed" in page(cast.anna, "modelcards:card", gone)


def test_every_answer_names_the_card_of_its_model(cast: Cast, store: ModelStore) -> None:
    one = store.get("old")
    event = stored.final(turn(cast, one))
    assert (event["model"], event["model_url"]) == ("old", reverse("modelcards:card", args=[one.sha256]))
    assert stored.final(turn(cast, one, model={}))["model_url"] == ""
    assert stored.final(turn(cast, one, quotation="asked"))["model"] == "", "no model wrote a quotation"


@pytest.mark.django_db(transaction=True)
def test_a_trial_from_the_page_activates_the_model(cast: Cast, store: ModelStore, sent: list[str]) -> None:
    client = Client()
    client.force_login(cast.dora)  # type: ignore[arg-type]
    new = store.get("new")
    client.post(reverse("modelcards:activate", args=[new.sha256]))
    trial = Trial.objects.get()
    assert sent == [str(trial.id)] and trial.state == "waiting"
    assert "Wait until it is done" in str(
        client.post(reverse("modelcards:activate", args=[new.sha256]), follow=True).content
    ), "one at a time"
    tasks.try_model(sent[0])
    trial.refresh_from_db()
    assert (trial.state, trial.problem, len(trial.lines)) == ("passed", "", 2)
    active = store.active()
    assert active is not None and active.name == "new" and active.smoke is not None and active.smoke.passed
    assert client.get(reverse("modelcards:trial")).json()["open"] is False
    kinds = list(Event.objects.filter(kind__startswith="model.").values_list("kind", "actor__name", "actor_role"))
    assert sorted(kinds) == [("model.activated", "dora", "admin"), ("model.trial_asked", "dora", "admin")]
    tasks.try_model(sent[0])
    assert Trial.objects.get().finished_at == trial.finished_at, "a message that comes twice does nothing"


@pytest.mark.django_db(transaction=True)
def test_a_trial_that_fails_says_why_and_changes_nothing(cast: Cast, store: ModelStore, sent: list[str]) -> None:
    new = store.get("new")
    services.ask_for_trial(cast.dora, new.sha256)  # type: ignore[arg-type]
    (store.folder / "new.gguf").resolve().write_bytes(b"something else")
    tasks.try_model(sent[0])
    trial = Trial.objects.get()
    assert trial.state == "failed" and "not the file that was approved" in str(trial.failure)
    active = store.active()
    assert active is not None and active.name == "old"
    assert Event.objects.filter(kind="model.trial_failed", subject="new").exists()


def test_a_trial_whose_worker_was_lost_makes_room(cast: Cast, store: ModelStore, sent: list[str]) -> None:
    new = store.get("new")
    services.ask_for_trial(cast.dora, new.sha256)  # type: ignore[arg-type]
    Trial.objects.update(state="running", seen_at=timezone.now() - timedelta(minutes=5))
    services.ask_for_trial(cast.dora, new.sha256)  # type: ignore[arg-type]
    assert sorted(Trial.objects.values_list("state", flat=True)) == ["failed", "waiting"]


@pytest.mark.django_db(transaction=True)
def test_a_trial_that_was_given_up_activates_nothing(
    cast: Cast, store: ModelStore, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    services.ask_for_trial(cast.dora, store.get("new").sha256)  # type: ignore[arg-type]
    trial = Trial.objects.get()
    smoke = inference.smoke

    def slow(*args: Any) -> Any:
        Trial.objects.filter(pk=trial.pk).update(seen_at=timezone.now() - timedelta(minutes=5))
        services.ask_for_trial(cast.dora, store.get("new").sha256)  # type: ignore[arg-type]
        return smoke(*args)

    monkeypatch.setattr(inference, "smoke", slow)
    tasks.try_model(sent[0])
    active = store.active()
    assert active is not None and active.name == "old" and store.get("new").smoke is None
    assert not Event.objects.filter(kind="model.activated").exists()
    assert dict(Trial.objects.values_list("pk", "state")) == {trial.pk: "failed", uuid.UUID(sent[1]): "waiting"}


def test_a_folder_that_cannot_be_written_is_said(
    cast: Cast, store: ModelStore, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "can_write", lambda: False)
    with pytest.raises(services.TrialRefused, match="at the terminal"):
        services.ask_for_trial(cast.dora, store.get("new").sha256)  # type: ignore[arg-type]
    assert "Try and activate" not in page(cast.dora, "modelcards:index") and sent == []


def test_a_worker_notices_that_another_model_is_active(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from portal import workers

    ended: list[int] = []
    monkeypatch.setattr(workers, "_FOLLOW_SECONDS", 0.0)
    monkeypatch.setattr(workers, "_chosen", store.get("new").sha256)
    monkeypatch.setattr(workers.os, "kill", lambda _, number: ended.append(number))
    workers._follow_active_model()
    assert ended == [workers.signal.SIGTERM]
    (store.folder / "register.json").write_text("{")
    assert workers._active_sha256("as before") == "as before", "a register that cannot be read ends nobody"


def test_what_inference_says_is_said_in_the_readers_language(
    cast: Cast, store: ModelStore, answering: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Problems, notes, steps and refusals are kept as codes: each reader is told in his own words."""
    said = {
        "It did not answer within %(seconds)s seconds.": "Pas de réponse en %(seconds)s secondes.",
        "Loaded in %(seconds)s s; asking the smoke prompt …": "Chargé en %(seconds)s s …",
        "imported from %(file)s": "importé de %(file)s",
        "%(number)s MB": "%(number)s Mo",
    }
    monkeypatch.setattr(wording, "_", lambda text: said.get(text, text))
    problem = inference.Sentence("too_slow", {"seconds": 7})
    with pytest.raises(inference.ModelRejected):
        store.activate("new", lambda _: Smoke("2026-01-01T00:00:00+00:00", problem=problem))
    step = inference.Sentence("step_asking", {"seconds": "1.0"})
    Trial.objects.create(
        name="new", sha256="0" * 64, asked_by="dora", state="failed", lines=[step.row(), "as it was kept before"]
    )
    services._end(Trial.objects.get().pk, problem)
    shown = page(cast.dora, "modelcards:index")
    assert shown.count("Pas de réponse en 7 secondes.") == 2 and "Chargé en 1.0 s …" in shown
    assert "as it was kept before" in shown and "too_slow" not in shown
    card = page(cast.anna, "modelcards:card", store.get("new").sha256)
    assert "Pas de réponse en 7 secondes." in card and "importé de other.gguf" in card
    assert wording.sentence(inference.Sentence("too_much_memory", {"most": inference.Size(5_000_000)})).endswith(
        "5 Mo of memory."
    )


def test_a_worker_whose_models_file_is_written_to_gives_it_back(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal import workers

    happened: list[str] = []
    monkeypatch.setattr(workers, "_FOLLOW_SECONDS", 0.0)
    monkeypatch.setattr(workers, "_chosen", store.get("old").sha256)
    monkeypatch.setattr(workers.inference, "untouched", lambda: False)
    monkeypatch.setattr(workers.inference, "unload", lambda: happened.append("unloaded"))
    monkeypatch.setattr(workers.os, "kill", lambda *_: happened.append("ended"))
    workers._follow_active_model()
    assert happened == ["unloaded", "ended"], "first of all nobody is answered by it any more"
