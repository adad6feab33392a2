"""How the suite is spread over processes (pytest-xdist): by stretches of a module, what needs everything running first.

pytest-django puts tests that commit behind those that are rolled back; a process that takes stretches of the list in
its order keeps to that, whichever stretches it gets. Whatever uses the one running installation stays together.
"""

import os
from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

_MOST = 4  # each takes some 3 GB
_EVERYTHING = ("", "not soak")
_TOGETHER = {"tests/browser": "installation", "tests/stack": "installation"}
_FIRST = ("installation", "tests/project/test_facility.py")


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process for each core. None but this one where modules are named, which are done before others have started,
    or marks: measurements, and the running whole, have the machine for themselves."""
    if config.option.markexpr not in _EVERYTHING or any(".py" in argument for argument in config.args):
        return 0
    return int(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS", min(_MOST, len(os.sched_getaffinity(0)))))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In one of several processes, what starts every part of Havre comes first: it takes longest, and mostly waits."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (*_FIRST, _stretch(item.nodeid)).index(_stretch(item.nodeid)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Called by pytest-xdist in the process that spreads."""
    config.option.loadscopereorder = False
    return _Stretches(config, log)  # type: ignore[arg-type]


class _Stretches(LoadScopeScheduling):
    """Hands out the list of tests by stretches of the same module, in its order."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)  # type: ignore[arg-type]
        self._stretch_of: dict[str, str] = {}

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        last, number = "", 0
        for nodeid in collection:
            if _stretch(nodeid) != last:
                last, number = _stretch(nodeid), number + 1
            self._stretch_of[nodeid] = f"{number} {last}"
        super().add_node_collection(node, collection)

    def _split_scope(self, nodeid: str) -> str:
        return self._stretch_of[nodeid]


def _stretch(nodeid: str) -> str:
    module = nodeid.partition("::")[0]
    return _TOGETHER.get(module.rpartition("/")[0], module)
