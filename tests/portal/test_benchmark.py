"""What the benchmark makes of what it measured, and the measurement itself, once, small."""

import json
import math
import xml.etree.ElementTree as ElementTree
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

import inference
from inference import EngineSettings, GenerationRequest, Message
from portal import benchmark
from portal.benchmark._answers import Answer, Round, gaps, median, percentile
from portal.benchmark._measuring import row
from tests.conftest import TINY_MODEL
from tests.installation import Installation


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([float(n) for n in range(1, 101)], 0.5, 50.0),
        ([7.0], 0.99, 7.0),
        ([math.nan, 4.0], 0.5, 4.0),
    ],
)
def test_percentile_is_a_value_that_was_measured(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_nothing_measured_is_no_number() -> None:
    assert math.isnan(percentile([], 0.5))
    assert math.isnan(median([math.nan]))
    assert median([1.0, 2.0, math.nan]) == 1.5
    assert gaps([1.0]) == []


def _answer(tokens: int, first: float, done: float, **more: float) -> Answer:
    return Answer(tokens=tokens, first=first, words=first, done=done, pieces=[first, done], released=[first], **more)


def _rounds(seconds: list[float], cpu: dict[str, float]) -> list[Round]:
    return [Round([_answer(101, 0.1, 0.1 + one, accepted=0.01, passages=0.04)], one, cpu) for one in seconds]


def test_ratios_are_medians_over_rounds_that_ran_side_by_side() -> None:
    """The machine was four times slower in the third round, for both: the ratio does not see it."""
    bare = _rounds([1.0, 1.0, 4.0], {"engine": 0.0101})
    path = _rounds([1.25, 1.25, 5.0], {"inference": 0.0303, "web": 0.0101, "valkey": 0.0, "knowledge": 0.0})
    found = row(1, bare, path)
    assert found["ratio"] == found["ratio_writing"] == 0.8
    assert found["ratio_peer"] is None
    assert found["bare"]["tokens_s"] == 101.0
    assert found["steps_ms"]["passages"] == 30.0
    assert found["steps_ms"]["model"] == 60.0
    spent = found["cpu_us_a_token"]
    assert (spent["engine"], spent["worker"], spent["web"], spent["outside"]) == (100.0, 200.0, 100.0, 300.0)
    json.dumps(found, allow_nan=False)


def test_an_answer_that_never_began_survives_the_way_between_processes() -> None:
    never = Answer(tokens=0, first=math.nan, words=math.nan, done=2.0, state="failed:engine_failed")
    back = Answer.from_json(json.loads(json.dumps(never.as_json(), allow_nan=False)))
    assert math.isnan(back.first)
    assert (back.done, back.state) == (2.0, "failed:engine_failed")
    found = row(4, _rounds([1.0], {"engine": 0.1}), [Round([back], 2.0, {})])
    assert found["states"] == {"failed:engine_failed": 1}
    assert found["path"]["first_ms_p50"] is None


def _found() -> dict[str, object]:
    rows = [row(users, _rounds([1.0], {"engine": 0.1}), _rounds([1.25], {"inference": 0.2})) for users in (1, 4, 16)]
    model = {"name": "a <model>", "architecture": "gpt-oss", "quantization": "F16", "size": 2_400_000}
    plan = {"slots": 2, "context": 4096, "threads": 1, "batch": 64, "gpus": []}
    return {"model": model, "plan": plan, "prompt_tokens": 9, "max_tokens": 256, "rounds": 1, "cores": 2, "rows": rows}


def test_tables_have_a_row_for_each_number_of_users_and_leave_out_who_was_not_there() -> None:
    text = benchmark.tables(_found())
    assert "a <model> (gpt-oss, F16, 2 MB): 2 slots of 4096 tokens" in text
    assert text.count("\n| 16 |") == 4
    assert "llama-server" not in text
    assert "| 1 | 101 | 80.8 | 0.8 | 0.8 |" in text


def test_picture_is_a_drawing_with_a_line_for_each_way() -> None:
    drawing = ElementTree.fromstring(benchmark.picture(_found()))
    lines = drawing.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2 + 4  # rates; medians and 99th percentiles
    assert all(len(line.attrib["points"].split()) == 3 for line in lines)


@pytest.fixture
def tiny() -> object:
    inference.unload()
    yield inference.load(EngineSettings(model=TINY_MODEL, slots=2, context=4096, threads=1))
    inference.unload()


def test_the_bare_engine_reads_the_same_prompt_and_writes_as_many_tokens(tiny: object) -> None:
    asked = Message("user", "Never stop please: what are the steps of a safety plan?")
    request = GenerationRequest((asked,), max_tokens=96, temperature=0.0)
    prompt = inference.prompt_tokens(request)
    bare = inference.complete_bare(request, prompt)
    *deltas, last = inference.generate(request)
    assert last.usage
    assert len(prompt) == last.usage.prompt_tokens
    assert bare.tokens == last.usage.completion_tokens == 96
    assert list(bare.times) == sorted(bare.times)
    assert bare.times[-1] <= bare.seconds
    assert "".join(text for _, text in bare.shown) == "".join(one.text for one in deltas) + last.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"users": [0]}, "at least 1"),
        ({"tokens": 3}, "at least 256"),
        ({"rounds": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("bench", stdout=StringIO(), **options)


@pytest.mark.soak
@pytest.mark.stack
def test_everything_is_measured_and_the_installation_is_not_touched(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    for name in ("HAVRE_LEASE_SECONDS", "HAVRE_CONTEXT"):  # for workers that are killed, and endless answers
        del installation.environment[name]
    installation.prepare({})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    picture = tmp_path.parent / f"{tmp_path.name}.svg"
    said = installation.manage(
        "bench",
        "--users",
        "2",
        "--rounds",
        "1",
        "--answers",
        "1",
        "--tokens",
        "256",
        "--json",
        "--picture",
        str(picture),
    )
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    found = json.loads(said.stdout)
    (measured,) = found["rows"]
    assert measured["states"] == {"completed": 2}, measured["states"]
    assert measured["bare"]["tokens"] == measured["path"]["tokens"] == 512
    assert measured["path"]["first_ms_p50"] > 0
    assert all(measured["steps_ms"][name] > 0 for name in ("accepted", "passages", "model"))
    assert measured["cpu_us_a_token"]["web"] > 0
    assert picture.read_text(encoding="utf-8").startswith("<svg")
