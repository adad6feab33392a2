"""The commands that operators and benchmarks rely on exist, under these names, and explain themselves."""

from io import StringIO

import pytest
from django.core.management import get_commands, load_command_class

_OPTIONS = {
    "serve": {"--host", "--port", "--data-dir", "--no-demo"},
    "create_user": {"--role", "--password-stdin"},
    "close_account": {"--reopen", "--json"},
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
