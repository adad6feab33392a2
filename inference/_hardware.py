"""The machine that models run on: its cores."""

import os
from pathlib import Path


def threads_for(wanted: int) -> int:
    """How many threads to compute with: what is wanted, but never more than there are cores; without a wish all cores
    but one, which stays free for everything else. An oversubscribed machine is ten times slower, not a little."""
    cores = max(1, min(len(os.sched_getaffinity(0)), _quota()))
    return min(wanted, cores) if wanted > 0 else max(1, cores - 1)


def _quota() -> int:
    """Cores that the control group allows (a container's limit), or a large number."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return 1 << 16
