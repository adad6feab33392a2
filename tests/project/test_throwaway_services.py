"""The servers that tests start for themselves: real, reachable, and gone afterwards."""

from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from tests.services import ServiceUnavailable, pongs, postgres, valkey_tcp


def test_valkey_listens_with_a_password_and_goes_away() -> None:
    with valkey_tcp() as url:
        address = urlsplit(url)
        assert address.port is not None
        assert pongs(address.port, address.password)
        with pytest.raises(redis.AuthenticationError):
            pongs(address.port, "wrong")
    assert not pongs(address.port, address.password)


def test_postgres_is_the_version_of_a_facility_and_goes_away() -> None:
    try:
        with postgres() as url:
            with psycopg.connect(url) as connection:
                row = connection.execute("SHOW server_version").fetchone()
            assert row is not None
            assert row[0].startswith("15.")
    except ServiceUnavailable as reason:
        pytest.skip(str(reason))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2)


def test_a_version_that_is_not_installed_gets_a_sentence() -> None:
    with pytest.raises(ServiceUnavailable, match="PostgreSQL 9 is not installed"), postgres("9"):
        pass
