"""The files that a browser gets, and what makes them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "portal" / "static" / "portal"
TEMPLATES = ROOT / "templates"

SCRIPTS = sorted(STATIC.rglob("*.js"))
STYLES = sorted(STATIC.rglob("*.css"))
PAGES = sorted(TEMPLATES.rglob("*.html"))


def text(paths: list[Path]) -> str:
    """All of `paths`, one after the other."""
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def without_comments(source: str) -> str:
    """CSS or JavaScript without its comments."""
    return re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*", "", source, flags=re.DOTALL)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
