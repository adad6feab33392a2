"""manage.py doctor: what an operator reads when something is wrong, whatever it is."""

import io
import json
import os
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from guardrails import _hotlines, releases
from guardrails import _rules as rules_module
from portal import doctor
from portal.accounts.models import User
from portal.audit.services import record
from portal.chat import erasures, spool
from portal.chat.keeping import Erasure
from tests.conftest import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path) -> Iterator[Path]:
    before = releases.releases_folder()
    releases.use_releases(tmp_path / "guardrails")
    yield tmp_path / "guardrails"
    releases.use_releases(before)


def run(*options: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("doctor", *options, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def of(part: str) -> list[doctor.Finding]:
    return [one for one in doctor.examine() if one.part == part]


def worst(part: str) -> doctor.Finding:
    order = [doctor.OK, doctor.WARNING, doctor.ERROR]
    return max(of(part), key=lambda one: order.index(one.level))


def test_every_part_is_looked_at_and_every_trouble_has_a_remedy(cast: Cast) -> None:
    code, text = run("--json")
    report = json.loads(text)
    assert {one["part"] for one in report["findings"]} >= {
        *("settings", "data folder", "secret key", "clock", "database", "valkey", "workers", "beat"),
        *("rules", "hotlines", "model", "guidelines", "people"),
    }
    assert all(one["remedy"] for one in report["findings"] if one["level"] != "ok")
    assert report["errors"] == sum(one["level"] == "error" for one in report["findings"])
    assert code == (1 if report["errors"] else 0)


def test_the_text_names_the_trouble_and_the_remedy(cast: Cast) -> None:
    code, text = run()
    assert code == 1
    assert "warning model: No model is active" in text
    assert "→ manage.py models import FILE" in text


def test_only_warnings_end_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda **_: [doctor.Finding("x", doctor.WARNING, "y", "z")])
    assert run() == (0, "warning x: y\n        → z\n0 errors, 1 warnings.\n")


def test_nothing_is_up(cast: Cast, dead_valkey: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise DatabaseError("could not connect to server: Connection refused")

    monkeypatch.setattr(connection, "ensure_connection", gone)
    monkeypatch.setattr(connection, "cursor", gone)
    code, text = run()
    assert code == 1
    assert "The database cannot be reached: could not connect to server" in text
    assert "Valkey does not answer" in text
    assert "ok      rules: Rule set" in text
    assert "Traceback" not in text


def test_a_migration_that_waits_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db.migrations.executor import MigrationExecutor

    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_: [("one", False)])
    assert worst("database").remedy == "Make a backup, then run manage.py migrate."


def test_open_folders_and_keys_are_named(settings: Any, tmp_path: Path) -> None:
    settings.HAVRE_DATA_DIR = tmp_path
    tmp_path.chmod(0o755)
    key = tmp_path / "secret_key"
    key.write_text("x" * 50)
    key.chmod(0o644)
    assert "mode 755" in worst("data folder").message
    assert worst("secret key").remedy == f"chmod 600 {key}"
    key.chmod(0o600)
    assert worst("secret key").level == doctor.OK
    settings.HAVRE_DATA_DIR = tmp_path / "nowhere"
    assert worst("data folder").level == doctor.ERROR


def test_a_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000_000})())
    assert worst("data folder").level == doctor.ERROR


def test_a_clock_that_went_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as two_days_later, transaction.atomic():
        now = timezone.now() + timedelta(days=2)
        two_days_later.setattr("portal.audit.services.timezone.now", lambda: now)
        record("x.happened", actor="system")
    assert worst("clock").level == doctor.ERROR
    assert "timedatectl" in worst("clock").remedy


def test_rules_that_are_not_what_was_released_are_an_error(own_folder: Path) -> None:
    assert worst("rules").level == doctor.OK
    additions = releases.facility_additions({"phrase": [{"phrase": "code violet", "category": "not_a_crisis"}]})
    releases.point_at(releases.write_release(1, additions))
    assert "another release than the database" in worst("rules").message
    (own_folder / "current.toml").unlink()
    assert "Every message is treated as a crisis" in worst("rules").message


def test_shipped_rules_that_are_broken_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: Any) -> None:
        raise rules_module.RuleError("words.toml is missing: the rules of the crisis screen are not complete.")

    monkeypatch.setattr(releases, "shipped_rules", broken)
    assert worst("rules").level == doctor.ERROR
    assert "words.toml" in worst("rules").message


def test_each_line_that_nobody_has_checked_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worst("hotlines").level == doctor.OK
    monkeypatch.setattr(_hotlines, "_age", lambda line, today: 200 if line.phone == "3114" else 10)
    stale = [one for one in of("hotlines") if one.level == doctor.WARNING]
    assert len(stale) == 1
    assert "3114" in stale[0].message


def test_an_own_line_without_a_day_is_named(own_folder: Path) -> None:
    line = {"name": "Psychiatre de garde", "phone": "4521", "audience": "staff"}
    releases.point_at(releases.write_release(1, releases.facility_additions({"hotline": [line]})))
    assert any("Psychiatre de garde (4521) has no day" in one.message for one in of("hotlines"))


def test_an_unknown_region_is_an_error(settings: Any) -> None:
    settings.HAVRE_REGION = "FR,ZZ"
    assert worst("hotlines").level == doctor.ERROR
    assert "ZZ" in worst("hotlines").message


def test_a_model_that_changed_is_an_error(active_model: str, settings: Any) -> None:
    assert worst("model").level == doctor.OK
    file = Path(settings.HAVRE_MODELS_DIR) / f"{active_model}.gguf"
    content = file.read_bytes()
    aside = file.rename(file.with_suffix(".aside"))  # in use: who opens it to write waits as long as Linux lets him
    try:
        file.write_bytes(content[:-1] + b"x")
        assert worst("model").level == doctor.OK  # its size is the same
        assert any("SHA-256" in one.message and one.level == "error" for one in doctor.examine(thorough=True))
        file.write_bytes(content[:-1])
        assert "its size is another" in worst("model").message
    finally:
        aside.replace(file)


def test_debug_in_a_facility_is_an_error_and_on_a_workstation_a_warning(settings: Any) -> None:
    settings.DEBUG = True
    if connection.vendor == "sqlite":  # any other database makes it a facility
        assert any(one.level == doctor.WARNING and "HAVRE_DEBUG" in one.message for one in of("settings"))
    settings.ALLOWED_HOSTS = ["havre.example.org"]
    assert any(one.level == doctor.ERROR and "HAVRE_DEBUG" in one.message for one in of("settings"))


def test_a_look_that_breaks_is_a_finding_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(thorough: bool) -> None:
        raise OSError("disk I/O error")

    monkeypatch.setattr(doctor, "_LOOKS", (("model", broken), *doctor._LOOKS[-1:]))
    found = doctor.examine()
    assert found[0].message == "This could not be examined: disk I/O error"
    assert len(found) > 1


def test_two_people_are_needed(cast: Cast) -> None:
    type(cast.emil).objects.filter(username="emil").delete()
    assert any("Nothing can be released" in one.message for one in of("people"))


def test_cards_and_erasures_that_wait_too_long_are_told(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    assert worst("what waits").level == doctor.OK
    card = spool._folder() / f"{uuid.uuid4()}.bare"
    card.parent.mkdir(parents=True, exist_ok=True)
    card.touch()
    erasure = erasures.ask(User.objects.get(username="emil"), User.objects.get(username="anna"), "Asked for by letter.")
    with monkeypatch.context() as broken_off:
        broken_off.setattr(erasures, "carry_out", lambda erasure_id: None)
        erasures.confirm(cast.dora, erasure.pk, "0-0-0")  # type: ignore[arg-type]
    assert worst("what waits").level == doctor.OK, "both may be under way"
    os.utime(card, (0, 0))
    Erasure.objects.update(decided_at=timezone.now() - timedelta(hours=2))
    try:
        cards, waits = of("what waits")
    finally:
        card.unlink()
    assert "yet: 1" in cards.message and str(erasure.pk) in waits.message and "anna" not in waits.message
