"""Settings, folder, key and clock."""

import os
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection
from django.utils import timezone

from portal.audit.models import Event
from portal.doctor._findings import ERROR, OK, WARNING, Finding, grave_in_a_facility, is_facility

_LEAST_FREE = 300 * 1024 * 1024
_LITTLE_FREE = 2 * 1024 * 1024 * 1024
_LEAST_KEY = 32
_TOLERANCE = timedelta(minutes=2)
# what Django asks of a site that ends TLS itself: the proxy does it, and havre.E001 says it where nobody does
_THE_PROXYS = {f"security.{number}" for number in ("W004", "W005", "W008", "W012", "W016", "W021")}


def look_at_settings(thorough: bool) -> Iterator[Finding]:
    """Django's system checks, those for production included where this is a facility."""
    found = 0
    for message in checks.run_checks(include_deployment_checks=True):
        own = (message.id or "").startswith("havre.")
        if (
            message.is_silenced()
            or message.id in _THE_PROXYS
            or not (own or is_facility() or message.level >= checks.ERROR)
        ):
            continue  # Django's advice for public web sites is none for a workstation
        found += 1
        level = WARNING
        if message.level >= checks.ERROR:
            level = grave_in_a_facility() if own else ERROR
        yield Finding("settings", level, f"{message.msg} ({message.id})", message.hint or "See docs/operations.md.")
    if settings.DEBUG:
        found += 1
        remedy = "Set HAVRE_DEBUG=0: error pages show details of the installation."
        yield Finding("settings", grave_in_a_facility(), "HAVRE_DEBUG is on.", remedy)
    if not found:
        yield Finding("settings", OK, "The settings are in order.")


def look_at_data_folder(thorough: bool) -> Iterator[Finding]:
    """There, writable, closed to others, with room."""
    folder = Path(settings.HAVRE_DATA_DIR)
    if not folder.is_dir():
        yield Finding(
            "data folder", ERROR, f"{folder} is not there.", "Mount it, or set HAVRE_DATA_DIR to where it is."
        )
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data folder", ERROR, f"{folder} cannot be written by this user.", f"chown it: {_me(folder)}")
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        remedy = f"chmod 700 {folder}"
        message = f"{folder} can be entered by other users (mode {mode:o}); it holds what people wrote."
        yield Finding("data folder", grave_in_a_facility(), message, remedy)
    free = shutil.disk_usage(folder).free
    said = f"{free / 1e9:.1f} GB are free in {folder}."
    if free < _LEAST_FREE:
        yield Finding("data folder", ERROR, said, "Make room: turns and records can soon no longer be written.")
    elif free < _LITTLE_FREE:
        yield Finding("data folder", WARNING, said, "Make room before guidelines or models are added.")
    else:
        yield Finding("data folder", OK, said)


def _me(folder: Path) -> str:
    return f"chown -R {os.getuid()}:{os.getgid()} {folder}"


def look_at_secret(thorough: bool) -> Iterator[Finding]:
    """The key that signs sessions: long enough, and in a file that others cannot read."""
    if len(settings.SECRET_KEY) < _LEAST_KEY:
        remedy = "Make one of 48 random bytes: docs/operations.md, Installation."
        yield Finding("secret key", ERROR, f"The secret key has fewer than {_LEAST_KEY} characters.", remedy)
    given = os.environ.get("HAVRE_SECRET_KEY_FILE")
    file = Path(given) if given else Path(settings.HAVRE_DATA_DIR) / "secret_key"
    if os.environ.get("HAVRE_SECRET_KEY") and not given:
        yield Finding("secret key", OK, "The secret key comes from the environment.")
        return
    if not file.exists():
        remedy = "Restore it from a backup; without it every session ends at the next start."
        yield Finding("secret key", WARNING, f"{file} is not there.", remedy)
        return
    mode = file.stat().st_mode & 0o777
    # files of secrets that a container gets are readable there, and lie in a folder that only root may enter
    if mode & (0o022 if given else 0o077):
        yield Finding("secret key", ERROR, f"{file} is open to other users (mode {mode:o}).", f"chmod 600 {file}")
    else:
        yield Finding("secret key", OK, f"{file} is closed to others.")


def look_at_clock(thorough: bool) -> Iterator[Finding]:
    """Not behind what happened already, and no other than the database's."""
    now = timezone.now()
    remedy = "Set the clock and keep it set: timedatectl set-ntp true. Sessions, expiry and the audit trail rely on it."
    newest = max((path.stat().st_mtime for path in Path(__file__).parent.glob("*.py")), default=0.0)
    if time.time() + _TOLERANCE.total_seconds() < newest:
        yield Finding("clock", ERROR, f"The clock says {now:%Y-%m-%d %H:%M} UTC, before Havre was installed.", remedy)
        return
    try:
        last = Event.objects.order_by("-seq").values_list("at", flat=True).first()
        if last and last > now + _TOLERANCE:
            message = (
                f"The audit trail goes on until {last:%Y-%m-%d %H:%M} UTC, and the clock says {now:%Y-%m-%d %H:%M}."
            )
            yield Finding("clock", ERROR, message, remedy)
            return
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT clock_timestamp()")
                theirs = cursor.fetchone()[0]
            if abs(theirs - timezone.now()) > _TOLERANCE:
                yield Finding("clock", ERROR, f"The database's clock says {theirs:%Y-%m-%d %H:%M:%S %Z}.", remedy)
                return
    except DatabaseError:
        pass  # the database has findings of its own
    yield Finding("clock", OK, f"{now:%Y-%m-%d %H:%M} UTC.")
