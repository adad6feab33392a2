"""Settings of the audit trail that cannot work, or are not safe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register


@register("havre")
def places_elsewhere(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Where checkpoints and events are sent to."""
    from portal.audit import _syslog

    found: list[CheckMessage] = []
    if address := settings.HAVRE_AUDIT_SYSLOG:
        try:
            scheme = _syslog.Server.at(address).scheme
        except ValueError as error:
            return [Error(str(error), hint="Set HAVRE_AUDIT_SYSLOG to an address.", id="havre.E031")]
        if scheme != "tcp+tls":
            message = f"The audit trail travels to {address} unencrypted, and whoever answers there is believed."
            found.append(Warning(message, hint="Use tcp+tls:// if the server can.", id="havre.W031"))
    if (ca := settings.HAVRE_AUDIT_SYSLOG_CA) and not Path(ca).is_file():
        found.append(
            Error(f"HAVRE_AUDIT_SYSLOG_CA: {ca} is no file.", hint="Name a PEM file of certificates.", id="havre.E032")
        )
    if (folder := settings.HAVRE_AUDIT_PUSH_FOLDER) and not Path(folder).is_dir():
        message = f"HAVRE_AUDIT_PUSH_FOLDER: {folder} is no folder."
        found.append(Error(message, hint="Make it, or mount it.", id="havre.E033"))
    return found
