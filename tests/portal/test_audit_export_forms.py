"""The forms of an export, each read by what would read it."""

from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from portal.audit._canonical import canonical

_NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_canonical_json_is_rfc_8785_on_the_fast_road_too(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value", [1e-4, 1e-5, 9.999e-5, 1e15, 1e16, 123456789012345.6, 1e21, 0.1, -0.1, 1.0, -0.0, 5e-324, 1.7e308]
)
def test_canonical_numbers(value: float) -> None:
    assert canonical({"n": [value]}) == rfc8785.dumps({"n": [value]})
