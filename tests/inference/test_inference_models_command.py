"""`manage.py models`, as an operator types it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from portal.audit.models import Event


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any, db: None) -> Path:
    settings.HAVRE_MODELS_DIR = tmp_path / "models"
    settings.HAVRE_OFFLINE = True
    return tmp_path / "models"


def models(*words: object) -> str:
    out = io.StringIO()
    call_command("models", *map(str, words), stdout=out)
    return out.getvalue()


def test_the_life_of_a_model(tiny_file: Path) -> None:
    assert "No model is here yet" in models("list")
    imported = models("import", tiny_file, "--name", "tiny")
    assert "tiny (gpt-oss, 1 M parameters, 1 M active, F16" in imported and "fits this machine's memory" in imported
    assert "None is active" in models("list")
    tried = models("activate", "tiny")
    assert "asking the smoke prompt" in tried and "Active; running workers take it up" in tried
    assert models("list").startswith("* tiny (gpt-oss, 1 M parameters") and "smoke prompt passed" in models("list")
    assert "unchanged" in models("verify")
    listed = json.loads(models("list", "--json"))
    assert [(one["name"], one["active"]) for one in listed["models"]] == [("tiny", True)]
    assert "smollm2-135m-instruct" in listed["catalogue"]
    assert json.loads(models("verify", "tiny", "--json")) == [{"name": "tiny", "ok": True, "problem": ""}]
    assert "Removed" in models("remove", "tiny")
    events = Event.objects.filter(kind__startswith="model.")
    kinds = list(events.order_by("seq").values_list("kind", "subject"))
    assert kinds == [("model.imported", "tiny"), ("model.activated", "tiny"), ("model.removed", "tiny")]
    assert all(one.actor.name.startswith("terminal") and len(one.payload["sha256"]) == 64 for one in events)


def test_a_model_that_fails_the_smoke_prompt_is_not_activated_and_the_one_before_stays(
    tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models("import", tiny_file, "--name", "good")
    models("activate", "good")
    models("import", tiny_file, "--name", "bad")
    monkeypatch.setenv("PYTHONHASHSEED", "no number")  # the process of the trial ends before it can say anything
    with pytest.raises(CommandError, match=r"did not pass the smoke prompt.*The engine ended while it was tried"):
        models("activate", "bad")
    listed = json.loads(models("list", "--json"))["models"]
    assert [(one["name"], one["active"]) for one in listed] == [("bad", False), ("good", True)]
    assert "smoke prompt failed" in models("list")
    assert Event.objects.filter(kind="model.trial_failed", subject="bad").exists()


def test_a_changed_file_fails_verification(tiny_file: Path, folder: Path) -> None:
    models("import", tiny_file, "--name", "tiny")
    with (folder / "tiny.gguf").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CommandError, match="Not as registered: tiny"):
        models("verify")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["import", "/nowhere/x.gguf"], "There is no file"),
        (["import", __file__], "is not a GGUF file"),
        (["pull", "smollm2-135m-instruct"], "no network"),
        (["pull", "nothing"], "catalogue has no model"),
        (["activate", "nothing"], "no model called nothing"),
        (["remove", "nothing"], "no model called nothing"),
        (["verify", "nothing"], "no model called nothing"),
        ([], "required"),
        (["dance"], "invalid choice"),
    ],
)
def test_bad_input_gets_a_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        models(*words)
