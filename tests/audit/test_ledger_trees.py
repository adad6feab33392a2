"""Merkle trees as RFC 6962 has them, canonical JSON as RFC 8785 has it, and events that every database gives back."""

import hashlib
import json
from typing import Any

import pytest
import rfc8785
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.audit import sealing, verifier, verifying
from portal.audit._canonical import canonical, plain
from portal.audit._merkle import EMPTY_ROOT, Frontier, leaf_hash, root_of
from portal.audit.models import Event
from portal.audit.services import leaf_of, record

from .rfc6962 import is_included

# the tree that the tests of Certificate Transparency share
ENTRIES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(bytes.fromhex(one)) for one in ENTRIES]


def test_the_roots_of_the_tree_that_everybody_knows() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert [root_of(LEAVES[:size]).hex() for size in range(1, 9)] == ROOTS


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 1, []),
        (
            *(0, 8),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            *(5, 8),
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
    ],
)
def test_paths_of_the_tree_that_everybody_knows(index: int, size: int, path: list[str]) -> None:
    assert [one.hex() for one in path_of(index, LEAVES[:size])] == path


def path_of(index: int, leaves: list[bytes]) -> list[bytes]:
    """The inclusion proof of a leaf, as the verifier of a bundle prints it."""
    proof, walk = verifier.Proof(index, len(leaves)), verifier.Walk()
    for number, leaf in enumerate(leaves, start=1):
        proof.add(number, 1, leaf, True)
    return [bytes.fromhex(one) for one in proof.told(walk)["inclusion_path"]]


def leaves(size: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(size)]


@given(st.integers(1, 70), st.data())
@settings(max_examples=60, deadline=None)
def test_every_leaf_is_proven_and_nothing_else(size: int, data: st.DataObject) -> None:
    there, index = leaves(size), data.draw(st.integers(0, size - 1))
    proof, root = path_of(index, there), root_of(there)
    assert is_included(there[index], index, size, proof, root)
    assert not is_included(leaf_hash(b"x"), index, size, proof, root)
    other = data.draw(st.integers(0, size + 3))
    assert other == index or not is_included(there[index], other, size, proof, root)
    assert not is_included(there[index], index, size, [*proof, root], root)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        broken = [*proof[:place], hashlib.sha256(proof[place]).digest(), *proof[place + 1 :]]
        assert not is_included(there[index], index, size, broken, root)
        assert not is_included(there[index], index, size, proof[:-1], root)


@given(st.integers(1, 70), st.data())
@settings(max_examples=60, deadline=None)
def test_a_tree_that_was_put_away_goes_on_as_if_it_had_not_been(size: int, data: st.DataObject) -> None:
    there, earlier = leaves(size), data.draw(st.integers(1, size))
    frontier = Frontier()
    for leaf in there[:earlier]:
        frontier.append(leaf)
    assert frontier.root() == root_of(there[:earlier])
    frontier = Frontier(earlier, frontier.packed())
    for leaf in there[earlier:]:
        frontier.append(leaf)
    assert frontier.root() == root_of(there)


numbers = st.floats(-(2.0**53) + 1, 2.0**53 - 1, allow_nan=False) | st.integers(-(2**53) + 1, 2**53 - 1)
texts = st.text(st.characters(), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(values)
@settings(max_examples=150, deadline=None)
def test_canonical_json_is_that_of_rfc_8785(value: Any) -> None:
    value = plain(value)
    assert canonical(value) == rfc8785.dumps(value)
    assert plain(json.loads(canonical(value))) == value


@pytest.mark.parametrize(
    "value",
    [
        *(3.0, -3.0, 1e-5, 1.5e-7, 1e-100, 123456789012345.6, 2.0**53 - 1, 9007199254740991, -9007199254740991, 1e15),
        *(0.1 + 0.2, -0.0, "10.0.0.1", "1e+05", "8d0e-4b1c", "é", "\x7f\x1f\u2028", [1, 1.0, True]),
        {"é": 1, "z": 2, "\U0001f642": 3, "\ufb33": 4},
    ],
)
def test_canonical_json_of_what_others_write_otherwise(value: Any) -> None:
    for one in (value, [value], {"a": value, "b": "x"}):
        assert canonical(one) == rfc8785.dumps(one)


def test_canonical_json_of_the_rfc_itself() -> None:
    given = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical(given) == (
        b'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        b'"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, -(2**60), 1e300, b"x", object(), {1, 2}])
def test_what_no_event_can_hold(value: Any) -> None:
    with pytest.raises(ValueError):
        plain({"a": [value]})


@given(st.dictionaries(texts, values, max_size=4), texts)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_event_comes_back_as_it_was_hashed(db: None, payload: dict[str, Any], subject: str) -> None:
    with transaction.atomic():
        event = record("x.happened", actor="anna", subject=subject, payload=payload)
    again = Event.objects.get(seq=event.seq)
    assert leaf_of(again) == bytes(again.leaf) == event.leaf


def test_what_is_dealt_out_at_random_is_verified(full_ledger: Any) -> None:
    sealing.seal("minute")
    assert verifying.verify().findings == ()
