"""The shape of the house: what lies at the top, how long a module may be, what must never be in the repository."""

import ast
import re
from pathlib import Path

import pytest

from .repository import ROOT, python_files, tracked_files

_TOP_LEVEL = {
    *("manage.py", "pyproject.toml", "compose.yaml", "portal", "inference", "guardrails", "knowledge"),
    *("templates", "tests", "docs", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"),
    *("Makefile", "Dockerfile", "constraints.txt"),
    *(".ci", ".dockerignore", ".gitignore", ".pre-commit-config.yaml"),
}
_MODULE_LINES = 400
_LONG = {"portal/audit/verifier.py"}  # one file on purpose: it goes into bundles and runs there alone
_FUNCTION_LINES = 60
_FILE_BYTES = 12 * 1024 * 1024
_LARGE = {"guardrails/data/encoder/weights.npz"}  # the screen must work from a bare clone, without any download


def test_top_level_holds_what_the_design_names_and_nothing_else() -> None:
    assert {path.parts[0] for path in tracked_files()} - _TOP_LEVEL == set()


def test_no_module_is_too_long() -> None:
    lengths = {str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert {name for name, lines in lengths.items() if lines > _MODULE_LINES} == _LONG


def test_no_function_is_too_long() -> None:
    long = {}
    for path in python_files():
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                lines = node.end_lineno - node.lineno + 1
                if lines > _FUNCTION_LINES:
                    long[f"{path}:{node.lineno} {node.name}"] = lines
    assert long == {}


def test_modules_are_named_after_what_they_hold() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common", "manager"}
    assert [str(path) for path in python_files() if path.stem.strip("_").lower() in vague] == []


def test_no_test_module_shares_its_name() -> None:
    names = [path.name for path in python_files() if path.name.startswith("test_")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


@pytest.mark.parametrize("package", ["inference", "guardrails", "knowledge", "portal"])
def test_packages_explain_themselves(package: str) -> None:
    source = (ROOT / package / "__init__.py").read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), f"{package}/__init__.py says nothing of what the package is for"


_NEVER = {
    "a path of one machine": re.compile(r"/(?:work|farm|root)/|(?<![\w.])/(?:home|Users)/[a-z]+/"),
    "a private key": re.compile(r"-{5}BEGIN [A-Z ]*PRIVATE KEY"),
    "a cloud key": re.compile(r"\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bxox[abprs]-[0-9A-Za-z-]{10,}"),
    "a secret in a setting": re.compile(r"""SECRET_KEY\s*=\s*["'][^"'{}$ ]{20,}["']"""),
    "an address with a password": re.compile(r"\b(?:postgres|postgresql|redis)://\w*:(?!\w*PASSWORD)\w{8,}@"),
}


def _text(path: Path) -> str:
    content = (ROOT / path).read_bytes()
    return "" if b"\0" in content[:8192] else content.decode("utf-8", errors="replace")


def test_nothing_secret_or_local_is_in_the_repository() -> None:
    found = []
    for path in tracked_files():
        text = _text(path)
        found += [f"{path}: {what}: {hit.group()}" for what, rule in _NEVER.items() if (hit := rule.search(text))]
    assert found == []


def test_no_file_is_too_large_to_clone_with_pleasure() -> None:
    sizes = {str(path): (ROOT / path).stat().st_size for path in tracked_files() if str(path) not in _LARGE}
    assert {name: size for name, size in sizes.items() if size > _FILE_BYTES} == {}


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in tracked_files():
        if path.suffix != ".md" or not (path.parts[0] == "docs" or len(path.parts) == 1):
            continue
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / path).read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:") and not (ROOT / path.parent / target).exists():
                broken.append(f"{path}: {target}")
    assert broken == []
