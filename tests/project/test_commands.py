"""The commands that operators and benchmarks rely on exist, under these names, and explain themselves; what the
documents tell people to type exists too."""

import argparse
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from .repository import PACKAGES, ROOT, tracked_files

_OPTIONS = {
    "serve": {"--host", "--port", "--data-dir", "--no-demo"},
    "create_user": {"--role", "--password-stdin"},
    "models": set(),
    "ingest": {"--language", "--title", "--approve"},
    "ask": {"--effort", "--json"},
    "export_audit": {"--format", "--from", "--to", "-o"},
    "verify_audit": {"--checkpoints", "--public-key", "--json"},
    "audit_key": {"--new", "--lost", "--reason", "--json"},
    "screen": {"--json"},
    "eval_guardrails": {"--json"},
    "bench": {"--json"},
    "doctor": {"--json", "--thorough", "--dpia"},
    "erase": {"--conversation", "--user", "--reason", "--dry-run", "--json", "--yes"},
    "retain": {"--dry-run", "--json"},
    "eval_retrieval": {"--json", "--compare", "--own", "--limit"},
    "reindex": {"--json", "--reread"},
}
_NOT_YET = {
    *("eval_scenarios", "backup", "restore"),
}


@pytest.mark.parametrize("name", sorted(_OPTIONS))
def test_command_explains_itself(name: str) -> None:
    assert name in get_commands(), f"manage.py {name} is missing"
    command = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    shown = StringIO()
    parser.print_help(shown)
    options = {option for action in parser._actions for option in action.option_strings}
    assert "--help" in options
    assert command.help, f"manage.py {name} --help does not say what it is for"
    assert _OPTIONS[name] <= options
    assert shown.getvalue()


def test_commands_still_to_come_are_known() -> None:
    arrived = _NOT_YET & set(get_commands())
    assert arrived == set(), "these exist now: move them to _OPTIONS with their options"


def _documents() -> list[Path]:
    return [
        path for path in tracked_files() if path.suffix == ".md" and (path.parts[0] == "docs" or len(path.parts) == 1)
    ]


def _told(pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Every place of every document where a person is told to type something: where it is, and what."""
    for path in _documents():
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), start=1):
            for found in re.finditer(pattern, line):
                yield f"{path}:{number}", found


def _options(parser: argparse.ArgumentParser) -> set[str]:
    found = set()
    for action in parser._actions:
        found |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                found |= _options(below)
    return found


def test_commands_of_the_documents_exist_with_their_options() -> None:
    known: dict[str, set[str]] = {}
    wrong = []
    places = list(_told(r"manage\.py ([a-z][a-z_]+)((?:(?!manage\.py|[`·#]| && ).)*)"))
    for place, found in places:
        name, rest = found.groups()
        if name in _NOT_YET:
            continue
        if name not in get_commands():
            wrong.append(f"{place}: {name}")
            continue
        if name not in known:
            known[name] = _options(load_command_class(get_commands()[name], name).create_parser("manage.py", name))
        wrong += [
            f"{place}: {name} {one}" for one in re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest) if one not in known[name]
        ]
    assert wrong == []
    assert len(places) > 50, "the commands are looked for in another way than they are written"


def test_targets_of_make_that_documents_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    places = list(_told(r"(?:^    |`)make ([a-z][a-z-]*)"))
    assert [f"{place}: make {found[1]}" for place, found in places if found[1] not in targets] == []
    assert len(places) > 15


def test_modules_that_documents_run_exist() -> None:
    ours = "|".join(("tests", *PACKAGES))
    places = list(_told(rf"python3? -m ((?:{ours})(?:\.\w+)+)"))
    wrong = [f"{place}: {found[1]}" for place, found in places if not _is_module(found[1])]
    assert wrong == []
    assert len(places) > 10


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
