"""What can happen to a process, a database or a file, done on purpose."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

_SPARE_BYTES = 4 << 20
_limits: dict[int, tuple[int, int]] = {}


def kill(pid: int) -> None:
    """As the kernel does when memory ends, and an impatient administrator."""
    _send(pid, signal.SIGKILL)


CRASHES: dict[str, Callable[[int], None]] = {
    "SIGSEGV": lambda pid: _send(pid, signal.SIGSEGV),
    "SIGABRT": lambda pid: _send(pid, signal.SIGABRT),
}
"""What a mistake in native code comes to: the process ends on the spot, without a word of Python."""


def no_more_memory(pid: int) -> None:
    """The process may have hardly more address space than it has now: what it asks for fails."""
    with suppress(OSError, ValueError):
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0])
        size = pages * resource.getpagesize() + _SPARE_BYTES
        _limits[pid] = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (size, _limits[pid][1]))


def memory_again(pid: int) -> None:
    """Undo `no_more_memory`, where the process still lives."""
    with suppress(OSError):
        if pid in _limits:
            resource.prlimit(pid, resource.RLIMIT_AS, _limits.pop(pid))


def hold_sqlite(file: Path, seconds: float) -> None:
    """Nobody else can write to the database for so long."""
    connection = sqlite3.connect(file, timeout=60, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def freeze_postgres(url: str, seconds: float) -> None:
    """The server and all its processes stand still for so long: whoever waits for it hangs."""
    server = _postmaster(url)
    everybody = [server, *_children(server)]
    for pid in everybody:
        _send(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        for pid in reversed(everybody):
            _send(pid, signal.SIGCONT)


def restart_postgres(url: str, seconds: float) -> None:
    """The server ends at once, as with its machine, and is started again after so long; it recovers by itself."""
    server = _postmaster(url)
    command = Path(f"/proc/{server}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    owner = Path(f"/proc/{server}").stat()
    folder = Path(os.fsdecode(command[command.index(b"-D") + 1]))
    _send(server, signal.SIGQUIT)
    while Path(f"/proc/{server}/exe").exists() and _is_alive(server):
        time.sleep(0.05)
    time.sleep(seconds)
    started = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, start_new_session=True, **started
    )


def stop_postgres(url: str) -> None:
    """End a server that `restart_postgres` started. Does nothing where none runs."""
    with suppress(LookupError):
        _send(_postmaster(url), signal.SIGINT)


@contextmanager
def spoilt(file: Path) -> Iterator[None]:
    """One byte more at the end of a file, for a while. A file that is shared with its source is copied first."""
    own = file.with_suffix(".own")
    shutil.copyfile(file, own)
    kept = file.with_suffix(".kept")
    file.rename(kept)
    own.rename(file)
    with file.open("ab") as end:
        end.write(b"!")
    try:
        yield
    finally:
        kept.replace(file)


def _postmaster(url: str) -> int:
    port = str(urlsplit(url).port)
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[0].endswith("/postgres") and port in words and _is_alive(int(folder.name)):
                return int(folder.name)
    raise LookupError(f"no PostgreSQL runs on port {port}")


def _children(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(folder.name))
    return found


def _is_alive(pid: int) -> bool:
    try:
        return (Path(f"/proc/{pid}") / "stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
