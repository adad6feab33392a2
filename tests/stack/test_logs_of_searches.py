"""What somebody searches for, and from where, is written down nowhere."""

import urllib.error
import urllib.request
from typing import Any

import pytest


@pytest.mark.stack
def test_what_is_searched_for_stands_in_no_log_of_a_running_installation(installation: Any) -> None:
    name = "Quintilius-Varus"
    for path in ("audit/", "audit/export/", "nowhere/", "accounts/login/"):
        request = urllib.request.Request(f"{installation.url}/{path}?actor={name}&subject={name}")
        try:
            with urllib.request.urlopen(request) as response:
                assert "no-store" in response.headers["Cache-Control"]
                assert response.headers["Referrer-Policy"] == "same-origin"
        except urllib.error.HTTPError as error:
            assert error.code == 404
    said = installation.said() + b"".join(
        log.read_bytes() for log in (installation.folder / "data" / "logs").glob("*.log")
    )
    assert name.encode() not in said
    assert b"127.0.0.1:" not in said.replace(installation.url.encode(), b"")
