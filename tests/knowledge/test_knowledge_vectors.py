"""The vector index by itself, in a folder and on a server: what is found, for whom, and by whom it was put in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import knowledge
from knowledge.indexing import _vectors
from knowledge.indexing._vectors import VectorIndex, VectorStore, private

from .chroma_server import chroma_server

WIDTH = 24
VERSIONS = [UUID(int=number) for number in range(1, 13)]


def make_vectors(many: int, seed: int = 1) -> Any:
    rows = np.random.default_rng(seed).normal(size=(many, WIDTH)).astype("<f4")
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module", params=["folder", "server"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | str]:
    folder = tmp_path_factory.mktemp("vectors")
    if request.param == "folder":
        yield folder / "index"
    else:
        with chroma_server(folder) as address:
            yield address


@pytest.fixture(scope="module")
def store(place: Path | str) -> Iterator[VectorStore]:
    opened = VectorStore(place)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def full(store: VectorStore) -> tuple[VectorIndex, Any]:
    """600 chunks, chunk n of version n modulo 12, the first version far larger than the others."""
    index, rows = store.index(uuid4(), "test:1"), make_vectors(600)
    for version, numbers in owners(600).items():
        index.add(version, [(number, rows[number].tobytes()) for number in numbers])
    return index, rows


def owners(many: int) -> dict[UUID, list[int]]:
    found: dict[UUID, list[int]] = {version: [] for version in VERSIONS}
    for number in range(many):
        found[VERSIONS[0 if number % 2 else number % 12]].append(number)
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chosen=st.sets(st.sampled_from(VERSIONS)), seed=st.integers(2, 99), small=st.booleans(), limit=st.integers(1, 30)
)
def test_the_nearest_of_the_allowed_versions(
    full: tuple[VectorIndex, Any], chosen: set[UUID], seed: int, small: bool, limit: int
) -> None:
    """Whichever way is taken (looking at each, asking for more neighbours, Chroma's filter): what is allowed, nearest
    first, as many as there are."""
    index, rows = full
    vector = make_vectors(1, seed)[0]
    near = rows @ vector
    allowed = [number for version in chosen for number in owners(600)[version]]
    best = sorted(allowed, key=lambda number: -near[number])[:limit]
    with pytest.MonkeyPatch.context() as patch:
        if not small:
            patch.setattr(_vectors, "SMALL", 0)
            patch.setattr(_vectors, "WIDEST", 200)
        found = index.search(vector.tobytes(), limit, chosen) if chosen or small else []
    assert {number for number, _ in found} <= set(allowed)
    assert len(found) == (min(limit, len(allowed)) if chosen or small else 0)
    assert [similarity for _, similarity in found] == pytest.approx(
        [float(near[n]) for n in best[: len(found)]], abs=1e-3
    )


def test_without_a_choice_everything_is_searched(full: tuple[VectorIndex, Any]) -> None:
    index, rows = full
    assert index.search(rows[17].tobytes(), 1)[0] == (17, pytest.approx(1, abs=1e-4))
    assert index.search(rows[17].tobytes(), 5, []) == []
    assert index.search(rows[17].tobytes(), 5, [uuid4()]) == []
    assert len(index.search(rows[17].tobytes(), 5000)) == 600


def test_what_was_taken_out_is_not_found(store: VectorStore) -> None:
    index, rows = store.index(uuid4(), "test:1"), make_vectors(20)
    index.add(VERSIONS[0], [(number, rows[number].tobytes()) for number in range(10)])
    index.add(VERSIONS[1], [(number, rows[number].tobytes()) for number in range(10, 20)])
    assert index.search(rows[3].tobytes(), 1, [VERSIONS[0]])[0][0] == 3
    index.remove([3])
    assert 3 not in dict(index.search(rows[3].tobytes(), 20))
    assert 3 not in dict(index.search(rows[3].tobytes(), 20, [VERSIONS[0]]))
    assert set(index.contents()) == set(range(20)) - {3}
    index.add(VERSIONS[0], [(3, rows[4].tobytes())])  # another vector for the same chunk
    assert dict(index.search(rows[4].tobytes(), 2, [VERSIONS[0]])) == {
        4: pytest.approx(1, abs=1e-3),
        3: pytest.approx(1, abs=1e-3),
    }


def test_a_version_without_chunks_counts_as_in(store: VectorStore) -> None:
    index = store.index(uuid4(), "test:1")
    index.add(VERSIONS[0], [])
    assert index.lacks(VERSIONS[:2]) == {VERSIONS[1]}
    assert index.search(make_vectors(1)[0].tobytes(), 3, VERSIONS) == []


def test_indexes_stand_beside_each_other(store: VectorStore) -> None:
    first, second = store.index(uuid4(), "a:1"), store.index(uuid4(), "b:1")
    first.add(VERSIONS[0], [(1, make_vectors(1)[0].tobytes())])
    second.add(VERSIONS[0], [(1, np.eye(1, 7, dtype="<f4")[0].tobytes())])  # of another width
    assert (set(first.contents()), set(second.contents())) == ({1}, {1})
    store.drop(second.number)
    assert set(store.index(second.number, "b:1").contents()) == set()
    assert set(first.contents()) == {1}


def test_a_second_worker_on_the_server_finds_what_the_first_put_in(
    place: Path | str, store: VectorStore, tmp_path: Path
) -> None:
    if isinstance(place, Path):
        with pytest.raises(knowledge.IndexLocked):
            VectorStore(place)
        return
    number, rows = uuid4(), make_vectors(30)
    one, other = store.index(number, "test:1"), VectorStore(place).index(number, "test:1")
    one.add(VERSIONS[0], [(chunk, rows[chunk].tobytes()) for chunk in range(10)])
    other.contents()
    one.add(VERSIONS[1], [(chunk, rows[chunk].tobytes()) for chunk in range(10, 20)])
    assert other.search(rows[15].tobytes(), 1)[0][0] == 15
    assert other.search(rows[15].tobytes(), 1, [VERSIONS[1]])[0][0] == 15
    assert other.missing(VERSIONS[1], range(15, 25)) == {20, 21, 22, 23, 24}


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://10.1.2.3:8000", True),
        ("https://192.168.0.7", True),
        ("http://[::1]:8000", True),
        ("http://[fd00::7]:8000", True),
        ("http://8.8.8.8:8000", False),
        ("http://[2001:4860:4860::8888]", False),
        ("ftp://127.0.0.1", False),
        ("127.0.0.1:8000", False),
        ("", False),
    ],
)
def test_only_private_addresses(address: str, allowed: bool) -> None:
    assert private(address) is allowed
    if not allowed and address:
        with pytest.raises(knowledge.IndexUnavailable, match="private"):
            VectorStore(address)


def test_a_silent_server_is_a_sentence() -> None:
    with pytest.raises(knowledge.IndexUnavailable, match="does not answer"):
        VectorStore("http://127.0.0.1:9")
