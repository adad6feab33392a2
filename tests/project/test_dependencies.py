"""The lock covers what is installed, and no dependency has a licence that a facility could not live with."""

import ast
import re
import tomllib
from collections.abc import Iterable
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from .repository import PACKAGES, ROOT, python_files

_REVIEWED: dict[str, str] = {}
"""Distributions whose stated licence names the GPL, and why they may be used all the same."""

_COPYLEFT = re.compile(r"\bA?GPL|(?<!Lesser )General Public License|Affero", re.IGNORECASE)


def _pyproject() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _runtime() -> list[str]:
    return list(_pyproject()["project"]["dependencies"])  # type: ignore[index]


def _development() -> list[str]:
    return list(_pyproject()["dependency-groups"]["dev"])  # type: ignore[index]


def _pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): Version(next(iter(pin.specifier)).version) for pin in pins}


def _closure(requirements: Iterable[str]) -> set[str]:
    """Names of everything that the requirements bring with them on this machine."""
    waiting, seen = [Requirement(text) for text in requirements], set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            further = (Requirement(text) for text in metadata.distribution(name).requires or [])
            waiting += [one for one in further if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def test_every_line_of_the_lock_is_an_exact_version() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    exact = re.compile(r"^[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*$")
    assert [line for line in lines if line and not line.startswith("#") and not exact.match(line)] == []


@pytest.mark.parametrize("text", [*_runtime(), *_development()])
def test_lock_satisfies_the_ranges_of_pyproject(text: str) -> None:
    requirement = Requirement(text)
    pin = _pins().get(canonicalize_name(requirement.name))
    assert pin is not None, f"{requirement.name} is not in constraints.txt: make lock"
    assert requirement.specifier.contains(pin, prereleases=True)


def test_lock_covers_everything_that_comes_along() -> None:
    assert _closure([*_runtime(), *_development()]) - set(_pins()) == set()


def test_what_is_installed_is_what_the_lock_says() -> None:
    pins = _pins()
    drift = {}
    for name in _closure([*_runtime(), *_development()]) & set(pins):
        installed = Version(Version(metadata.version(name)).public)  # "2.13.0+cpu" is 2.13.0
        if installed != pins[name]:
            drift[name] = (str(installed), str(pins[name]))
    assert drift == {}, "installed, locked: run make again, or make lock"


def test_lock_brings_no_cuda_libraries() -> None:
    assert [name for name in _pins() if name.startswith(("nvidia-", "cuda-")) or name == "triton"] == []


@pytest.mark.parametrize("name", sorted(_closure(_runtime())))
def test_licence_lets_a_facility_use_it(name: str) -> None:
    if name in _REVIEWED:
        pytest.skip(_REVIEWED[name])
    about = metadata.metadata(name)
    stated = [value for value in (about.get("License-Expression"), about.get("License")) if value]
    stated += [line for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    # some put the whole text into the field: its first line names it
    found = [line for line in (text.strip().splitlines()[0] for text in stated if text.strip()) if _copyleft(line)]
    assert found == []


def _copyleft(licence: str) -> bool:
    """GPL or AGPL, unless a choice of licences ("MIT OR GPL-2.0") leaves another way."""
    choices = re.split(r"\s+OR\s+", licence)
    return all(_COPYLEFT.search(choice.replace("LGPL", "")) for choice in choices)


def _imported(folders: Iterable[str]) -> dict[str, set[str]]:
    """Distribution → files that import something of it, in the sources below these folders."""
    owners = metadata.packages_distributions()
    found: dict[str, set[str]] = {}
    for path in python_files():
        if path.parts[0] not in folders:
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                for owner in owners.get(name.split(".")[0], []):
                    found.setdefault(canonicalize_name(owner), set()).add(path.as_posix())
    return found


def test_what_the_product_imports_is_declared() -> None:
    """Not left to whatever another dependency happens to bring."""
    declared = {canonicalize_name(Requirement(text).name) for text in _runtime()}
    assert {name: files for name, files in _imported(PACKAGES).items() if name not in declared} == {}


def test_what_the_tests_import_is_declared() -> None:
    declared = {canonicalize_name(Requirement(text).name) for text in [*_runtime(), *_development()]}
    assert {name: files for name, files in _imported(["tests"]).items() if name not in declared} == {}
