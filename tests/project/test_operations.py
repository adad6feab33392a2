"""docs/operations.md names every setting there is, with its true default, and no other."""

import ast
import re

import pytest

from .repository import ROOT

_READERS = {"_env", "_env_choice", "_env_flag", "_env_int", "_env_list", "_env_shares"}


def _read_by_settings() -> dict[str, str | None]:
    """Setting → its default where that is a plain value, None where it is worked out."""
    tree = ast.parse((ROOT / "portal" / "settings.py").read_text(encoding="utf-8"))
    found: dict[str, str | None] = {}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _READERS):
            continue
        name, *rest = node.args
        if not isinstance(name, ast.Constant):
            continue  # one reader calling another
        default: str | None = "0" if node.func.id == "_env_flag" else ""
        if rest:
            try:
                value = ast.literal_eval(rest[0])
                default = str(int(value)) if isinstance(value, bool) else str(value)
            except ValueError:
                default = None
        found[f"HAVRE_{name.value}"] = default
    return found


def _tables() -> tuple[dict[str, str], dict[str, str]]:
    """The rows of both tables: of Havre's own settings and of those that compose alone reads."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.split("\n## Settings\n")[1].split("\n## ")[0]
    own, compose = section.split("Compose alone reads")
    row = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \|", re.MULTILINE)
    return dict(row.findall(own)), dict(row.findall(compose))


def test_the_table_names_every_setting_and_no_other() -> None:
    documented, _ = _tables()
    assert set(documented) == set(_read_by_settings())


@pytest.mark.parametrize(("name", "default"), sorted(_read_by_settings().items()))
def test_the_table_tells_the_true_default(name: str, default: str | None) -> None:
    documented, _ = _tables()
    if default:
        assert documented[name] == f"`{default}`"
    else:  # worked out, or empty: said in words
        assert not documented[name].startswith("`") or default is None


def test_the_table_of_compose_is_complete() -> None:
    _, documented = _tables()
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    used = dict(re.findall(r"(?<!\$)\$\{(\w+):?-([^}]*)\}", text))
    assert set(documented) == set(used) - set(_read_by_settings())
    for name, default in documented.items():
        assert default.strip("`–") == used[name], name
    for name in set(used) & set(_read_by_settings()):
        assert used[name] == _read_by_settings()[name], f"{name}: compose and settings disagree"


def test_every_variable_that_docs_mention_exists() -> None:
    own, compose = _tables()
    known = set(own) | set(compose) | {f"{name}_FILE" for name in own} | {"HAVRE_REQUIRE_BROWSER"}
    mentioned = set()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        mentioned |= set(re.findall(r"\bHAVRE_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
    assert mentioned - known == set()
