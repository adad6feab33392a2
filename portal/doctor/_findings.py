"""One thing that the doctor found."""

from dataclasses import dataclass

from django.conf import settings

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """`level`: ok, warning (works, and wants attention) or error (something does not work or is not safe). `remedy`
    says how to mend it; empty where nothing is wrong."""

    part: str
    level: str
    message: str
    remedy: str = ""


def is_facility() -> bool:
    """Whether this is more than one person's workstation: another database than SQLite, or reached from elsewhere."""
    local = {"localhost", "127.0.0.1", "[::1]", "testserver"}
    sqlite = str(settings.DATABASES["default"]["ENGINE"]).endswith("sqlite3")
    return not sqlite or bool(settings.HAVRE_HTTPS) or bool(set(settings.ALLOWED_HOSTS) - local)


def grave_in_a_facility() -> str:
    """The level of what is right on a workstation and wrong in a facility."""
    return ERROR if is_facility() else WARNING
