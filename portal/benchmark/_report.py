"""What was measured, as a table for a terminal, as Markdown, and as a picture."""

from collections.abc import Sequence
from typing import Any

_COLUMNS = (
    ("users", "users"),
    ("bare tok/s", "bare.tokens_s"),
    ("path tok/s", "path.tokens_s"),
    ("peer tok/s", "peer.tokens_s"),
    ("ratio", "ratio"),
    ("ratio writing", "ratio_writing"),
    ("bare first p50", "bare.first_ms_p50"),
    ("path first p50", "path.first_ms_p50"),
    ("bare first p99", "bare.first_ms_p99"),
    ("path first p99", "path.first_ms_p99"),
    ("between p99, screened", "bare.between_released_ms_p99"),
    ("between p99, path", "path.between_ms_p99"),
    ("µs CPU/token", "cpu_us_a_token.outside"),
)


def _value(row: dict[str, Any], path: str) -> str:
    found: Any = row
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return "" if found is None else f"{found:g}" if isinstance(found, float) else str(found)


def table(found: dict[str, Any]) -> str:
    """Lines of a terminal."""
    plan = found["plan"]
    lines = [
        f"{found['model']['name']} ({found['model']['quantization']}), "
        f"{plan['slots']} slots of {plan['context']} tokens, "
        f"{plan['threads']} threads of {found['cores']} cores, prompt of {found['prompt_tokens']} tokens, "
        f"medians of {found['rounds']} rounds, times in ms",
        "  ".join(name for name, _ in _COLUMNS),
    ]
    for row in found["rows"]:
        lines.append("  ".join(f"{_value(row, path):>{len(name)}}" for name, path in _COLUMNS))
    return "\n".join(lines)


def markdown(rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]] = _COLUMNS) -> str:
    """The rows as a table of Markdown; `columns` are headings, each with the way to its value."""
    lines = ["| " + " | ".join(name for name, _ in columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_value(row, path) for _, path in columns) + " |" for row in rows]
    return "\n".join(lines)
