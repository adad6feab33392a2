"""A model is tried in a process of its own: what it does there never touches this one."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import inference
from inference import Delta, EngineSettings, FinishReason, ModelInfo, ModelRejected, ModelStore, Usage
from inference._smoke import _judged


@pytest.fixture
def tiny(tmp_path: Path, tiny_file: Path) -> ModelInfo:
    return ModelStore(tmp_path / "models").import_file(tiny_file, "tiny")


def settings(one: ModelInfo) -> EngineSettings:
    return EngineSettings(one.path, slots=1, context=2048, threads=1)


def test_a_good_model_passes_and_says_how_fast_it_is(tiny: ModelInfo) -> None:
    said: list[inference.Sentence] = []
    found = inference.smoke(tiny, settings(tiny), said.append)
    assert found.passed and found.tokens > 1 and found.tokens_per_second > 0 and found.load_seconds > 0
    assert found.memory > 10_000_000
    assert [str(line).split()[0] for line in said] == ["Checking", "Loaded"]
    assert inference.loaded() is None, "nothing was loaded in this process"


def test_a_changed_file_is_not_parsed_there_either(tiny: ModelInfo) -> None:
    assert "not the file that was approved" in str(
        inference.smoke(replace(tiny, sha256="0" * 64), settings(tiny)).problem
    )


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [({"seconds": 0.01}, "did not answer within"), ({"memory": 1_000_000}, "more than 1 MB of memory")],
)
def test_time_and_memory_are_limited(tiny: ModelInfo, limits: dict[str, float], sentence: str) -> None:
    begun = time.monotonic()
    assert sentence in str(inference.smoke(tiny, settings(tiny), **limits).problem)  # type: ignore[arg-type]
    assert time.monotonic() - begun < 20


def test_a_process_that_dies_is_a_problem_and_nothing_more(tiny: ModelInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "no number")
    assert "The engine ended" in str(inference.smoke(tiny, settings(tiny)).problem)
    assert os.getpid() > 0


def test_the_one_before_stays_until_the_new_one_has_passed(tmp_path: Path, tiny_file: Path) -> None:
    store = ModelStore(tmp_path / "models")
    old = store.import_file(tiny_file, "old", link=True)
    store.activate("old", lambda _: inference.Smoke("2026-01-01T00:00:00+00:00"))
    store.import_file(tiny_file, "new", link=True)

    def trial(one: ModelInfo) -> inference.Smoke:
        active = store.active()
        assert active is not None and active.name == "old", "while the new one is tried the old one is active"
        return inference.Smoke("2026-01-01T00:00:00+00:00", problem=inference.Sentence("no_answer"))

    with pytest.raises(ModelRejected, match=r"new did not pass the smoke prompt.*It gave no answer"):
        store.activate("new", trial)
    active = store.active()
    assert active is not None and active.sha256 == old.sha256 and active.name == "old"
    smoke = store.get("new").smoke
    assert smoke is not None and not smoke.passed, "and the register says why"


@pytest.mark.parametrize(
    ("text", "finish", "opened", "problem"),
    [
        ("I am ready.", FinishReason.STOP, "", ""),
        ("I am ready and go on and on", FinishReason.LENGTH, "", ""),
        ("Thought too long, answered then.", FinishReason.STOP, "budget", ""),
        ("", FinishReason.LENGTH, "", "gave no answer"),
        ("...", FinishReason.STOP, "", "gave no answer"),
        ("I am <|channel|> ready", FinishReason.STOP, "", "shows markers"),
        ("</think> ready", FinishReason.STOP, "", "shows markers"),
        ("I am ready.", FinishReason.STOP, "malformed", "not well formed"),
        ("I am", FinishReason.DEADLINE, "", "not come to an end"),
    ],
)
def test_what_counts_as_an_answer(text: str, finish: FinishReason, opened: str, problem: str) -> None:
    usage = Usage(10, 5, 1.0, 0.5, opened=opened)  # type: ignore[arg-type]
    found = _judged([Delta(text), Delta(finish=finish, usage=usage)])
    assert problem in str(found) and bool(problem) == bool(found)


def test_the_trial_ends_with_whoever_asked_for_it(tiny: ModelInfo, tmp_path: Path) -> None:
    script = tmp_path / "ask.py"
    script.write_text(
        "import os, signal, sys\nfrom pathlib import Path\nimport inference\n"
        "one = inference.ModelStore(Path(sys.argv[1])).get('tiny')\n"
        "def say(_):\n"
        "    children = Path(f'/proc/self/task/{os.getpid()}/children').read_text().split()\n"
        "    print(*children, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "inference.smoke(one, inference.EngineSettings(one.path, slots=1, context=2048), say)\n"
    )
    root = str(Path(inference.__file__).parents[1])
    command = [sys.executable, str(script), str(tiny.path.parent)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=False)
    (child,) = done.stdout.split()
    ends = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < ends:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()
