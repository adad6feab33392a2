"""System checks (`manage.py check --deploy`): what will not do in a facility, each with an id and its remedy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register


@register(Tags.security, deploy=True)
def production_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Defaults that are right on a workstation and wrong in a facility."""
    found: list[CheckMessage] = []
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        found.append(
            Warning(
                "The database is SQLite.",
                hint="Set HAVRE_DATABASE_URL to a PostgreSQL database: several workers write at once.",
                id="havre.W001",
            )
        )
    if settings.HAVRE_REDIS_URL.startswith("unix://"):
        found.append(
            Warning(
                "Valkey is the embedded one.",
                hint="Set HAVRE_REDIS_URL to the address of a Valkey or Redis server.",
                id="havre.W002",
            )
        )
    if not settings.HAVRE_HTTPS:
        found.append(
            Error(
                "Passwords and questions travel unencrypted.",
                hint="Put a TLS proxy in front and set HAVRE_HTTPS=1 (docs/operations.md).",
                id="havre.E001",
            )
        )
    if "*" in settings.ALLOWED_HOSTS:
        found.append(
            Error(
                "Any host name is accepted.",
                hint="Set HAVRE_HOSTS to the portal's own names.",
                id="havre.E002",
            )
        )
    if settings.HAVRE_ENGINE == "scripted":
        found.append(
            Error(
                "The engine is the scripted one, which obeys everything that it reads.",
                hint="Unset HAVRE_ENGINE.",
                id="havre.E003",
            )
        )
    return found


@register(Tags.security, deploy=True)
def key_files(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """The master key and the audit key: there, for Havre's user alone, and not where the database is."""
    master = _key_file("master key", Path(settings.HAVRE_MASTER_KEY_FILE), "1", "reads what was sealed")
    audit = _key_file("audit key", Path(settings.HAVRE_AUDIT_KEY_FILE), "2", "can write an audit trail of his own")
    return master + audit


def _key_file(name: str, path: Path, number: str, danger: str) -> list[CheckMessage]:
    from portal import vault

    setting = f"HAVRE_{name.upper().replace(' ', '_')}_FILE"
    beside_data = path.resolve().is_relative_to(Path(settings.HAVRE_DATA_DIR).resolve())
    mode = 0
    found: list[CheckMessage] = []
    try:
        vault.read_key(path, name)
        mode = path.stat().st_mode
    except (vault.NoKey, OSError) as error:
        if path.exists() or not beside_data:  # in the data folder the first `migrate` makes one
            hint = "Bring it back from where the facility keeps its copy; docs/operations.md tells how to make one."
            found.append(Error(str(error), hint=hint, id=f"havre.E0{number}1"))
    if mode & 0o022:
        found.append(
            Error(f"Others may change the {name} {path}.", hint=f"chmod go-w {path}", id=f"havre.E0{number}0"),
        )
    elif mode & 0o044:
        hint = "chmod go-r, or a folder that only Havre's user may enter."
        found.append(Warning(f"Others may read the {name} {path}.", hint=hint, id=f"havre.W0{number}1"))
    if beside_data:
        found.append(
            Warning(
                f"The {name} lies in the data folder: whoever copies that {danger}.",
                hint=f"Move it to another place and set {setting}.",
                id=f"havre.W0{number}0",
            )
        )
    return found


@register("havre")
def known_region(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """A region without hotlines of its own gets only 112 and an international directory."""
    from guardrails import releases

    known = releases.known_regions()
    regions = [one.strip() for one in settings.HAVRE_REGION.split(",") if one.strip()]
    return [
        Warning(
            f"There are no hotlines for the region {region}.",
            hint="Set HAVRE_REGION to a country code such as FR; several with commas.",
            id="havre.W003",
        )
        for region in regions
        if region not in known and region.partition("-")[0] not in known
    ]


@register("havre")
def private_index_server(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """The server of the vector index asks nobody who he is: only a private network may reach it."""
    from knowledge.indexes import is_private

    if not settings.HAVRE_CHROMA_URL or is_private(settings.HAVRE_CHROMA_URL):
        return []
    return [
        Error(
            "HAVRE_CHROMA_URL is no http(s) address in a private network.",
            hint="Bind `chroma run` to a private address, or unset HAVRE_CHROMA_URL.",
            id="havre.E004",
        )
    ]
