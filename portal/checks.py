"""System checks (`manage.py check --deploy`): what will not do in a facility, each with an id and its remedy."""

from collections.abc import Sequence
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
