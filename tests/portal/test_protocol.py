"""Frames from the browser: everything malformed becomes a typed error with a sentence, never an exception."""

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import Effort
from portal.chat.protocol import (
    MAX_FRAME_BYTES,
    FrameError,
    Ping,
    TurnCancel,
    TurnResume,
    TurnStart,
    decode,
    parse,
)

REF = uuid.UUID("11111111-1111-4111-8111-111111111111")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
nearly_frames = st.fixed_dictionaries(
    {"type": st.sampled_from(["turn.start", "turn.cancel", "turn.resume", "ping", "x"]) | json_values},
    optional=dict.fromkeys(("client_ref", "text", "effort", "turn", "after"), json_values),
)


def test_every_kind_of_frame_is_understood() -> None:
    assert parse({"type": "turn.start", "client_ref": str(REF), "text": " Hi ", "effort": "high"}) == TurnStart(
        REF, "Hi", Effort.HIGH
    )
    assert parse({"type": "turn.cancel", "turn": str(REF)}) == TurnCancel(REF)
    assert parse({"type": "turn.resume", "turn": str(REF), "after": "17-3"}) == TurnResume(REF, "17-3")
    assert parse({"type": "turn.resume", "turn": str(REF)}) == TurnResume(REF, "")
    assert parse({"type": "ping"}) == Ping()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({}, "bad_frame"),
        ({"type": "turn.delete"}, "bad_frame"),
        ({"type": ["turn.start"]}, "bad_frame"),
        ({"type": "turn.start", "client_ref": "1", "text": "Hi"}, "bad_frame"),
        ({"type": "turn.start", "client_ref": str(REF), "text": "  \n"}, "bad_frame"),
        ({"type": "turn.start", "client_ref": str(REF), "text": 7}, "bad_frame"),
        ({"type": "turn.start", "client_ref": str(REF), "text": "Hi", "effort": "max"}, "bad_frame"),
        ({"type": "turn.start", "client_ref": str(REF), "text": "a" * 8001}, "too_large"),
        ({"type": "turn.resume", "turn": str(REF), "after": "0-0 COUNT"}, "bad_frame"),
    ],
)
def test_wrong_frames_are_refused_by_name(frame: dict[str, object], code: str) -> None:
    with pytest.raises(FrameError) as error:
        parse(frame)
    assert error.value.code == code
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("raw", ["", "{", "[]", "null", '"ping"', "[" * 20_000, "NaN", "{'type': 'ping'}"])
def test_what_is_not_a_json_object_is_a_bad_frame(raw: str) -> None:
    with pytest.raises(FrameError) as error:
        decode(raw)
    assert error.value.code == "bad_frame"


def test_the_limit_counts_bytes() -> None:
    small = json.dumps({"type": "ping", "pad": "é" * 10}, ensure_ascii=False)
    assert decode(small)["type"] == "ping"
    for pad in ("x" * MAX_FRAME_BYTES, "é" * (MAX_FRAME_BYTES // 2)):
        with pytest.raises(FrameError) as error:
            decode(json.dumps({"type": "ping", "pad": pad}, ensure_ascii=False))
        assert error.value.code == "too_large"


def test_text_that_no_database_stores_is_mended() -> None:
    raw = f'{{"type": "turn.start", "client_ref": "{REF}", "text": "a\\u0000b\\ud800c"}}'
    frame = parse(decode(raw))
    assert isinstance(frame, TurnStart)
    frame.text.encode("utf-8")
    assert "\x00" not in frame.text


@given(st.text(max_size=300) | json_values.map(json.dumps) | nearly_frames.map(json.dumps))
def test_nothing_but_frame_errors_ever_comes_out(raw: str) -> None:
    try:
        parse(decode(raw))
    except FrameError as error:
        assert error.code in {"bad_frame", "too_large"}
