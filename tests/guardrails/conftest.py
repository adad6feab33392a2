"""Cases and helpers of the guardrail tests."""

import json
from typing import Any

import pytest

from guardrails._rules import DATA

CASES = DATA / "cases" / "cases.jsonl"


def load_cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def cases() -> list[dict[str, Any]]:
    return load_cases()
