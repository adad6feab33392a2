"""The machine that models run on: its cores, its memory, and the graphics cards that the engine can use."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_CONTROL_GROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics card, as the engine names it. `total` and `free` are bytes."""

    name: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Hardware:
    """What this process may use: `cores` and `memory_…` (bytes) respect a container's limits. `gpus` are the cards that
    the installed engine can compute on, in its order: a card without a build for it is not among them."""

    cores: int
    memory_total: int
    memory_free: int
    gpus: tuple[Gpu, ...]


def hardware() -> Hardware:
    """Look at the machine, now: free memory changes. Imports the engine's library. Never raises."""
    from inference._xllamacpp import devices

    total, free = _memory()
    return Hardware(cores(), total, free, devices())


def cores() -> int:
    """How many cores this process may use, at least one."""
    return max(1, min(len(os.sched_getaffinity(0)), _quota()))


def threads_for(wanted: int) -> int:
    """How many threads to compute with: what is wanted, but never more than there are cores; without a wish all cores
    but one, which stays free for everything else. An oversubscribed machine is ten times slower, not a little."""
    return min(wanted, cores()) if wanted > 0 else max(1, cores() - 1)


def proc_bytes(path: Path) -> dict[str, int]:
    """The sizes, in bytes, of a file of /proc that names them in kB a line; empty where there is none."""
    known: dict[str, int] = {}
    with suppress(OSError):
        for line in path.read_text(encoding="ascii", errors="replace").splitlines():
            name, _, rest = line.partition(":")
            size = rest.split()
            if len(size) == 2 and size[1] == "kB":
                known[name] = int(size[0]) * 1024
    return known


def _quota() -> int:
    """Cores that the control group allows (a container's limit), or a large number."""
    try:
        quota, period = (_CONTROL_GROUP / "cpu.max").read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return 1 << 16


def _memory() -> tuple[int, int]:
    """Bytes of main memory in all and free, within the control group's limit where there is one. What files occupy in
    memory counts as free: it makes way."""
    known = proc_bytes(Path("/proc/meminfo"))
    total = known.get("MemTotal") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = known.get("MemAvailable", total)
    limit = _number("memory.max")
    if limit < total:
        held = max(0, _number("memory.current", 0) - _reclaimable())
        total, free = limit, min(free, max(0, limit - held))
    return total, free


def _number(name: str, default: int = _UNLIMITED) -> int:
    """A number of the control group; `default` where there is none ("max" means no limit)."""
    try:
        return int((_CONTROL_GROUP / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return default


def _reclaimable() -> int:
    """Bytes of files that the control group holds in memory and can give back."""
    with suppress(OSError, ValueError):
        for line in (_CONTROL_GROUP / "memory.stat").read_text(encoding="ascii").splitlines():
            name, value = line.split()
            if name == "inactive_file":
                return int(value)
    return 0
