"""What was measured, as tables of Markdown and as a picture."""

import math
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

_RATES = (
    ("users", "users"),
    ("bare engine, tokens/s", "bare.tokens_s"),
    ("whole path, tokens/s", "path.tokens_s"),
    ("llama-server, tokens/s", "peer.tokens_s"),
    ("path / bare", "ratio"),
    ("path / bare while it writes", "ratio_writing"),
    ("llama-server / bare", "ratio_peer"),
)
_TIMES = (
    ("users", "users"),
    ("first token, bare p50", "bare.first_ms_p50"),
    ("path p50", "path.first_ms_p50"),
    ("llama-server p50", "peer.first_ms_p50"),
    ("bare p99", "bare.first_ms_p99"),
    ("path p99", "path.first_ms_p99"),
    ("llama-server p99", "peer.first_ms_p99"),
    ("between, bare behind the screen p50", "bare.between_released_ms_p50"),
    ("path p50", "path.between_ms_p50"),
    ("bare behind the screen p99", "bare.between_released_ms_p99"),
    ("path p99", "path.between_ms_p99"),
    ("between tokens, bare p99", "bare.between_ms_p99"),
    ("llama-server p99", "peer.between_ms_p99"),
)
_STEPS = (
    ("users", "users"),
    ("question taken", "steps_ms.accepted"),
    ("passages found", "steps_ms.passages"),
    ("model begins", "steps_ms.model"),
    ("first words shown", "steps_ms.words"),
    ("last words to end", "steps_ms.end"),
)
_CPU = (
    ("users", "users"),
    ("engine alone", "cpu_us_a_token.engine"),
    ("worker beyond it", "cpu_us_a_token.worker"),
    ("web", "cpu_us_a_token.web"),
    ("knowledge", "cpu_us_a_token.knowledge"),
    ("Valkey", "cpu_us_a_token.valkey"),
    ("outside the engine in all", "cpu_us_a_token.outside"),
)
_TABLES = (
    ("Tokens a second, all users together (medians of rounds)", _RATES),
    ("Milliseconds", _TIMES),
    ("Steps of the whole path, each after the one before, median in milliseconds", _STEPS),
    ("Processor time a token, in microseconds", _CPU),
)


def tables(found: dict[str, Any]) -> str:
    """Everything that was measured, as Markdown."""
    model, plan = found["model"], found["plan"]
    ends: dict[str, int] = {}
    for row in found["rows"]:
        for state, count in row["states"].items():
            ends[state] = ends.get(state, 0) + count
    lines = [
        f"{model['name']} ({model['architecture']}, {model['quantization']}, {model['size'] / 1e6:.0f} MB): "
        f"{plan['slots']} slots of {plan['context']} tokens, {plan['threads']} threads on {found['cores']} cores, "
        f"cards: {', '.join(plan['gpus']) or 'none'}; a prompt of {found['prompt_tokens']} tokens, "
        f"answers of at most {found['max_tokens']}; {found['rounds']} rounds. "
        f"Turns ended: {', '.join(f'{count} {state}' for state, count in sorted(ends.items()))}."
    ]
    for title, columns in _TABLES:
        known = [one for one in columns if any(_value(row, one[1]) for row in found["rows"])]
        lines += ["", f"{title}:", "", "| " + " | ".join(name for name, _ in known) + " |", "|" + "--:|" * len(known)]
        lines += ["| " + " | ".join(_value(row, path) for _, path in known) + " |" for row in found["rows"]]
    return "\n".join(lines) + "\n"


def _number(row: dict[str, Any], path: str) -> Any:
    found: Any = row
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _value(row: dict[str, Any], path: str) -> str:
    found = _number(row, path)
    return "" if found is None else f"{found:,.0f}" if abs(found) >= 100 else f"{found:g}"


_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 380, 260, 62, 50, 90
_SERIES = (("bare", "bare engine", "#7a5195"), ("path", "whole path", "#006d77"), ("peer", "llama-server", "#c05621"))


def picture(found: dict[str, Any]) -> str:
    """Throughput and latency over the number of users, both axes in powers of ten or two, as SVG."""
    width = 2 * (_WIDTH + _LEFT) + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT + _TOP + 80}" role="img" '
        'font-family="sans-serif" font-size="13">',
        f"<title>{escape('Throughput and latency over users: ' + found['model']['name'])}</title>",
        f'<rect width="{width}" height="{_HEIGHT + _TOP + 80}" fill="#ffffff"/>',
    ]
    parts += _panel(found["rows"], "tokens a second, all users together", ("tokens_s",), _LEFT)
    both = ("first_ms_p50", "first_ms_p99")
    parts += _panel(found["rows"], "ms to the first token: median, dashed 99th percentile", both, _LEFT + _WIDTH + _GAP)
    at = _LEFT
    for name, label, colour in _SERIES:
        if any(row.get(name) for row in found["rows"]):
            y = _HEIGHT + _TOP + 62
            parts.append(f'<rect x="{at}" y="{y - 10}" width="22" height="4" fill="{colour}"/>')
            parts.append(f'<text x="{at + 28}" y="{y - 3}" fill="#222222">{label}</text>')
            at += 150
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(rows: Sequence[dict[str, Any]], title: str, keys: Sequence[str], left: int) -> list[str]:
    values = [
        value for row in rows for name, _, _ in _SERIES for key in keys if (value := _number(row, f"{name}.{key}"))
    ]
    if not values:
        return []
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    users = [row["users"] for row in rows]
    first, last = math.log2(min(users)), max(math.log2(max(users)), math.log2(min(users)) + 1)

    def x(count: int) -> float:
        return left + _WIDTH * (math.log2(count) - first) / (last - first)

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (1 - (math.log10(value) - low) / (high - low))

    parts = [f'<text x="{left}" y="{_TOP - 20}" fill="#222222" font-weight="bold">{escape(title)}</text>']
    for power in range(low, high + 1):
        line = y(10.0**power)
        parts.append(f'<path d="M{left} {line:.1f}h{_WIDTH}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{left - 8}" y="{line + 4:.1f}" text-anchor="end" fill="#555555">{10.0**power:,g}</text>'
        )
    for count in users:
        parts.append(
            f'<text x="{x(count):.1f}" y="{_TOP + _HEIGHT + 20}" text-anchor="middle" fill="#555555">{count}</text>'
        )
    middle = left + _WIDTH / 2
    parts.append(f'<text x="{middle}" y="{_TOP + _HEIGHT + 40}" text-anchor="middle" fill="#555555">users</text>')
    for name, _, colour in _SERIES:
        for number, key in enumerate(keys):
            points = [(x(row["users"]), y(value)) for row in rows if (value := _number(row, f"{name}.{key}"))]
            if points:
                way = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
                dashes = ' stroke-dasharray="5 4"' if number else ""
                parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
                parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"/>' for px, py in points]
    return parts
