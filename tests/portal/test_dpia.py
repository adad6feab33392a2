"""`manage.py doctor --dpia` says what is set here, in the facility's language, and what only the facility knows."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction

import inference
from portal import vault
from portal.accounts.models import User
from portal.audit import keys, sealing, verifying
from portal.audit.services import code_of
from portal.doctor import _dpia
from portal.doctor._findings import OK, WARNING, Finding
from tests.conftest import Cast

pytestmark = pytest.mark.django_db


def written() -> str:
    return _dpia.draft([])


def test_it_says_what_is_set_here(cast: Cast, settings: Any, tmp_path: Path) -> None:
    settings.HAVRE_FACILITY = "Clinic | North\nWing"
    settings.HAVRE_KEEP_CONVERSATIONS_DAYS, settings.HAVRE_KEEP_NAMES_DAYS = 90, 0
    settings.HAVRE_HTTPS, settings.HAVRE_OFFLINE = True, True
    settings.HAVRE_DATA_DIR = tmp_path / "data"
    settings.HAVRE_MASTER_KEY_FILE = tmp_path / "elsewhere" / "master.key"
    vault.make_master_key()
    text = written()
    assert "| Controller | Clinic \\| North Wing |" in text, "what somebody set breaks no table"
    assert "| 90 days | 0 | 0 |" in text
    assert "HAVRE_KEEP_NAMES_DAYS is 0" in text and "HAVRE_KEEP_CONVERSATIONS_DAYS is 0" not in text
    assert "| Master key | outside of the data folder |" in text
    assert "| TLS | on |" in text and "switched off here" in text
    assert "Clinician: 2; Administrator: 1; Compliance officer: 1" in text
    assert "anna" not in text and "emil" not in text, "nobody is named"


@pytest.mark.parametrize(
    ("syslog", "names", "said", "not_said"),
    [
        ("", False, "None outside", "Log server"),
        ("tcp+tls://siem.example:6514", False, "with codes in the place of names", "not encrypted"),
        ("udp://siem.example:514", True, "who erases names on that log server", "with codes"),
        ("udp://siem.example:514", False, "is not encrypted", "who erases names"),
    ],
)
def test_it_says_who_gets_something(
    syslog: str, names: bool, said: str, not_said: str, cast: Cast, settings: Any
) -> None:
    settings.HAVRE_AUDIT_SYSLOG, settings.HAVRE_AUDIT_SYSLOG_NAMES = syslog, names
    assert said in written() and not_said not in written().split("### Storage")[0]


def test_it_says_how_the_audit_trail_is(cast: Cast, settings: Any, tmp_path: Path) -> None:
    with transaction.atomic():
        code_of("anna")
    trail = next(line for line in written().splitlines() if "Audit trail | " in line and "codes" not in line)
    assert "sealed: never; verified: never" in trail, trail
    sealing.seal("minute")
    verifying.keep(verifying.verify(), actor="system")
    assert "nothing found" in written()
    settings.HAVRE_AUDIT_KEY_FILE = tmp_path / "another.key"
    keys.make()
    assert "its key is missing or another one" in written()


def test_it_names_the_model_by_its_hash(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    class Active:
        name, sha256, demonstration = "gpt-oss-20b", "a" * 64, True

    monkeypatch.setattr(inference.ModelStore, "active", lambda self: Active())
    assert f"Model: gpt-oss-20b, SHA-256 `{'a' * 64}`" in written()
    assert "not for clinical use" in written()
    monkeypatch.setattr(inference.ModelStore, "active", lambda self: None)
    assert "No model is active" in written()


def test_what_the_doctor_found_is_an_open_point(cast: Cast) -> None:
    text = _dpia.draft([Finding("clock", OK, "Right."), Finding("disk", WARNING, "Nearly full.", "Free some.")])
    assert "- [ ] disk: Nearly full. Free some." in text and "Right." not in text


def test_without_a_database_the_rest_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*given: Any, **named: Any) -> Any:
        raise DatabaseError("gone")

    monkeypatch.setattr(User.objects, "filter", away)
    text = written()
    assert "The database could not be read" in text and "## 3. Open points" in text


def test_the_command_writes_a_file_and_says_where_it_cannot(cast: Cast, tmp_path: Path) -> None:
    out = io.StringIO()
    call_command("doctor", "--dpia", str(tmp_path / "record.md"), stdout=out)
    text = (tmp_path / "record.md").read_text()
    assert text.startswith("# ") and "record.md" in out.getvalue() and "valkey" not in text.split("## 3.")[0]
    call_command("doctor", "--dpia", "-", stdout=out)
    assert "## 2." in out.getvalue()
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("doctor", "--dpia", str(tmp_path), stdout=out)
