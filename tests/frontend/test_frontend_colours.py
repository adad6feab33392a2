"""WCAG 2.2 contrast of the colour tokens, computed from base.css for the light and the dark theme."""

import re

import pytest

from .repository_files import STATIC, STYLES, text, without_comments

TOKENS = dict(
    re.findall(r"--([\w-]+):\s*light-dark\((#\w{6}, #\w{6})\)", (STATIC / "base.css").read_text(encoding="utf-8"))
)
TEXT = [
    ("ink", "paper"), ("ink", "surface"), ("ink", "sunken"),
    ("ink-soft", "paper"), ("ink-soft", "surface"), ("ink-soft", "sunken"),
    ("accent", "paper"), ("accent", "surface"), ("accent-hover", "surface"), ("accent-hover", "paper"),
    ("on-accent", "accent"), ("on-accent", "accent-hover"), ("on-accent-soft", "accent-soft"),
    ("ink", "accent-soft"), ("ink-soft", "accent-soft"),
    ("on-care-soft", "care-soft"), ("on-care", "care"), ("care", "surface"),
    ("on-caution-soft", "caution-soft"),
    ("danger", "paper"), ("danger", "surface"), ("on-danger", "danger"),
    ("on-danger-soft", "danger-soft"),
    ("on-success-soft", "success-soft"),
    ("on-mark", "mark"),
]  # fmt: skip
EDGES = [
    ("line-strong", "surface"), ("line-strong", "paper"),
    ("care-line", "surface"), ("care-line", "care-soft"), ("caution-line", "caution-soft"),
    ("danger-line", "danger-soft"), ("danger-line", "surface"), ("success-line", "success-soft"),
    ("accent", "sunken"),
    ("focus", "paper"), ("focus", "surface"),
    ("focus", "accent-soft"), ("focus", "care-soft"), ("focus", "danger-soft"),
]  # fmt: skip
THEMES = ("light", "dark")


def _colour(token: str, theme: str) -> str:
    return TOKENS[token].split(", ")[THEMES.index(theme)]


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """The ratio of WCAG 2.2: 1 for the same colour, 21 for black on white."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("foreground", "background"), TEXT)
def test_text_can_be_read(foreground: str, background: str, theme: str) -> None:
    assert contrast(_colour(foreground, theme), _colour(background, theme)) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("line", "background"), EDGES)
def test_edges_and_focus_can_be_seen(line: str, background: str, theme: str) -> None:
    assert contrast(_colour(line, theme), _colour(background, theme)) >= 3


def test_every_colour_token_is_checked() -> None:
    checked = {token for pair in TEXT + EDGES for token in pair}
    assert set(TOKENS) - checked == {"line"}  # "line" only decorates


def test_the_formula() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_colours_are_written_in_tokens_only() -> None:
    for path in STYLES:
        outside = re.sub(r":root\s*\{.*?\n\}", "", without_comments(path.read_text(encoding="utf-8")), flags=re.DOTALL)
        assert not re.search(r"#[0-9a-f]{3,8}\b", outside), path.name


def test_every_token_that_is_used_is_there() -> None:
    styles = without_comments(text(STYLES))
    defined = set(re.findall(r"^\s*--([\w-]+):", styles, flags=re.MULTILINE))
    used = set(re.findall(r"var\(--([\w-]+)", styles))
    assert used <= defined
    assert defined <= used, "tokens that nothing uses"
