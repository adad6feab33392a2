"""`manage.py models`, as an operator types it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.HAVRE_MODELS_DIR = tmp_path / "models"
    settings.HAVRE_OFFLINE = True
    return tmp_path / "models"


def models(*words: object) -> str:
    out = io.StringIO()
    call_command("models", *map(str, words), stdout=out)
    return out.getvalue()


def test_the_life_of_a_model(tiny_file: Path) -> None:
    assert "No model is here yet" in models("list")
    assert "tiny" in models("import", tiny_file, "--name", "tiny")
    assert "None is active" in models("list")
    assert "Active" in models("activate", "tiny")
    assert models("list").startswith("* tiny (gpt-oss, F16")
    assert "unchanged" in models("verify")
    listed = json.loads(models("list", "--json"))
    assert [(one["name"], one["active"]) for one in listed["models"]] == [("tiny", True)]
    assert "smollm2-135m-instruct" in listed["catalogue"]
    assert json.loads(models("verify", "tiny", "--json")) == [{"name": "tiny", "ok": True, "problem": ""}]
    assert "Removed" in models("remove", "tiny")


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
