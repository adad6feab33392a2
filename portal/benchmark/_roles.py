"""The processes that a measurement starts of itself: each reads lines of JSON and answers each with one."""

import json
import sys
from collections.abc import Callable
from typing import Any

ROLES = ("bare", "browsers")


def answer_lines(role: str) -> None:
    """Play a role until the other side hangs up."""
    answer: Callable[[dict[str, Any]], dict[str, Any]]
    if role == "bare":
        from portal.benchmark import _bare

        answer = _bare.BareEngine()
    else:
        from portal.benchmark._browsers import Browsers

        answer = Browsers()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
